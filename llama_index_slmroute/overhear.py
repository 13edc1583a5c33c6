"""What LLMs of LlamaIndex's take that a classifier or a judge calls: nobody else would count it.

LlamaIndex tells of its LLMs' calls in instrumentation events, whoever makes them. One handler listens for the whole
process, and does nothing but where the core has asked a classifier or a judge.
"""

from __future__ import annotations

import inspect
import sys
import threading
import weakref
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, Final, cast

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index_instrumentation import root_dispatcher
from llama_index_instrumentation.events.span import SpanDropEvent
from llama_index_instrumentation.span import BaseSpan
from llama_index_instrumentation.span_handlers import BaseSpanHandler
from pydantic import PrivateAttr

from llama_index_slmroute.answers import Response, answer_of, chunk_of
from slmroute.gate import Growth
from slmroute.overheard import Heard, ModelCall, hear

__all__ = ["overhear"]

_PROVIDERS: Final = {
    "Anthropic_LLM": "anthropic",
    "GoogleGenAI": "google_genai",
    "Ollama_llm": "ollama",
    "azure_openai_llm": "azure",
    "openai_llm": "openai",
    "openai_responses_llm": "openai",
}
"""Who serves the LLMs, by their classes' names in events; who only speaks a provider's protocol is not known."""

_MOST_OPEN: Final = 1_000
"""How many calls may be open; of streams that are not read to their end nobody tells."""


@dataclass(slots=True, eq=False)
class _Open:
    """A call that has begun.

    Attributes:
        call: What the core is told of it.
        heard: The calls of the asking that it is one of.
        before: The call begun before it here that may go on yet.
        parts: Whether it is known to call other LLMs, which are told of by themselves.
        said: How much of its text the chunks of a stream have held so far.
        called: How much of its tool calls they have.
        ended: Whether it is over.
        left: Whether its method has returned; what is called then is a part of it only while its stream runs.
        stream: The stream that it returned; one that is dropped must be free to go.
    """

    call: ModelCall
    heard: Heard
    before: _Open | None
    parts: bool = False
    said: Growth = field(default_factory=Growth)
    called: Growth = field(default_factory=Growth)
    ended: bool = False
    left: bool = False
    stream: weakref.ref[Any] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing can be a part of it any more."""
        return self.ended or (self.left and (self.stream is None or self.stream() is None))

    def runs(self) -> bool:
        """Whether what happens here and now happens within it."""
        if self.over or not self.left or self.stream is None:
            return not self.over
        running = self.stream()
        frame: FrameType | None = getattr(running, "gi_frame", None) or getattr(running, "ag_frame", None)
        return frame is not None and _is_called_by(frame)


def _is_called_by(frame: FrameType) -> bool:
    here = inspect.currentframe()
    while here is not None and here is not frame:
        here = here.f_back
    return here is not None


_latest: ContextVar[_Open | None] = ContextVar("slmroute_latest", default=None)
"""The call last begun here, and by it those before: a call that begins within one of them is a part of it."""


class _Overhear(BaseEventHandler):
    """Tells the core of each LLM call within the asking of a classifier or a judge."""

    _open: OrderedDict[str, _Open] = PrivateAttr(default_factory=OrderedDict)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def class_name(cls) -> str:
        """See ``BaseEventHandler``."""
        return "SlmrouteOverhear"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """See ``BaseEventHandler``."""
        heard = hear()
        if heard is None or event.span_id is None:
            return
        match event:
            case LLMChatStartEvent():
                self._begin(heard, event, " ".join(message.content or "" for message in event.messages))
            case LLMCompletionStartEvent():
                self._begin(heard, event, event.prompt)
            case LLMChatInProgressEvent() | LLMCompletionInProgressEvent():
                self._go_on(event.span_id, event.response)
            case LLMChatEndEvent() | LLMCompletionEndEvent():
                self._end(event.span_id, event.response)
            case ExceptionEvent():
                self._fail(event.span_id, event.exception)
            case SpanDropEvent():
                self._fail(event.span_id, sys.exc_info()[1] or RuntimeError())
            case _:
                pass

    def _begin(self, heard: Heard, event: LLMChatStartEvent | LLMCompletionStartEvent, prompt: str) -> None:
        before = _before(heard)
        around = before
        while around is not None and not around.runs():
            around = around.before
        if around is not None:
            around.parts, around.call.usage = True, None
        told = cast("dict[str, Any]", event.model_dict)  # pyright: ignore[reportUnknownMemberType]
        name, provider = told.get("model_name"), _PROVIDERS.get(str(told.get("class_name")))
        call = ModelCall.of(prompt, name, provider)
        heard.append(call)
        begun = _Open(call, heard, before)
        _latest.set(begun)
        with self._lock:
            self._open[str(event.span_id)] = begun
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)

    def leave(self, span: str, returned: object) -> None:
        """Note that the method of a call has returned."""
        begun = self._open.get(span)
        if begun is not None:
            begun.left = True
            is_stream = inspect.isgenerator(returned) or inspect.isasyncgen(returned)
            begun.stream = weakref.ref(cast("Any", returned)) if is_stream else None

    def _go_on(self, span: str, response: Response) -> None:
        begun = self._open.get(span)
        if begun is None or begun.parts:
            return
        # Chunks hold all text so far, and not all of them say what of it is new.
        chunk = replace(chunk_of(response, begun.called), text=begun.said.of(_text(response)))
        begun.call.hear(chunk)

    def _end(self, span: str, response: Response | None) -> None:
        begun = self._close(span)
        if begun is None or begun.parts or response is None:
            return
        answer = answer_of([response], begun.call.provider)
        begun.call.end(answer.usage or begun.call.so_far.usage, _text(response))
        begun.call.model = answer.model or begun.call.model

    def _fail(self, span: str, error: BaseException) -> None:
        begun = self._close(span)
        if begun is not None and not begun.parts:
            begun.call.fail(error)

    def _close(self, span: str) -> _Open | None:
        with self._lock:
            begun = self._open.pop(span, None)
        if begun is not None:
            begun.ended = True
        return begun


def _before(heard: Heard) -> _Open | None:
    """Give the call last begun in this asking that is not over."""
    found = _latest.get()
    while found is not None and (found.heard is not heard or found.over):
        found = found.before
    return found


class _Leaving(BaseSpanHandler[BaseSpan]):
    """Hears when the methods of calls return; the spans themselves are nothing to it."""

    @classmethod
    def class_name(cls) -> str:
        """See ``BaseSpanHandler``."""
        return "SlmrouteLeaving"

    def span_exit(self, id_: str, bound_args: Any, instance: Any = None, result: Any = None, **_: Any) -> None:
        """See ``BaseSpanHandler``."""
        _OURS.leave(id_, result)

    def new_span(self, *_: Any, **__: Any) -> None:
        """See ``BaseSpanHandler``."""

    def prepare_to_exit_span(self, *_: Any, **__: Any) -> None:
        """See ``BaseSpanHandler``."""

    def prepare_to_drop_span(self, *_: Any, **__: Any) -> None:
        """See ``BaseSpanHandler``."""


def _text(response: Response) -> str:
    text = getattr(response, "text", None)
    return text if isinstance(text, str) else getattr(getattr(response, "message", None), "content", None) or ""


def overhear() -> None:
    """Listen to LlamaIndex's LLMs from now on; further times change nothing."""
    if _OURS not in root_dispatcher.event_handlers:
        with _LOCK:  # two handlers would count everything twice
            if _OURS not in root_dispatcher.event_handlers:
                root = cast("Any", root_dispatcher)
                if _LEAVING not in root.span_handlers:
                    root.add_span_handler(_LEAVING)
                root_dispatcher.add_event_handler(_OURS)


_OURS: Final = _Overhear()
_LEAVING: Final = _Leaving()
_LOCK: Final = threading.Lock()
