"""Keeps tokens from handlers that show them until the answer they belong to is sure to be given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast
from uuid import UUID

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    AsyncCallbackManager,
    BaseCallbackHandler,
    CallbackManager,
)
from langchain_core.callbacks.manager import ahandle_event, handle_event
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

# Private, but LangGraph builds on them too: nothing public tells which handlers show tokens.
# pyright: reportPrivateUsage=false
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer
from langchain_core.tracers.context import _configure_hooks

from langchain_slmroute.messages import chunk_of
from langchain_slmroute.overhear import overhearing
from slmroute.context import Held
from slmroute.gate import Chunk, Gate
from slmroute.overheard import Heard, listening

__all__ = ["Relay", "aside", "hold_back", "is_streamed", "showing_runs"]

_Event = tuple[str, tuple[Any, ...], dict[str, Any]]
_News = tuple[list[BaseCallbackHandler], _Event]

_TOKENS: Final = frozenset({"on_llm_new_token", "on_stream_event"})


class Relay(BaseCallbackHandler):
    """Stands for the handlers of one attempt that may yet be rejected.

    Handlers that show the whole of a run (LangGraph's message streams, ``astream_events``) hear nothing of the attempt
    until it is shown. From other handlers that read tokens only the tokens are kept back: they hear of the run itself
    at once, as tracers and usage handlers do. An attempt that is rejected is never told.

    Args:
        whole: The handlers that show whole runs.
        tokens: The handlers that read tokens.
        is_shown: Whether the attempt is shown by now.
        gate: Decides when the attempt may be shown, where its tokens reach nobody but handlers.
        show: Called when the gate decides so.
    """

    run_inline = True

    def __init__(
        self,
        whole: Sequence[BaseCallbackHandler],
        tokens: Sequence[BaseCallbackHandler],
        is_shown: Callable[[], bool],
        gate: Gate | None,
        show: Callable[[], None],
    ) -> None:
        self.whole = list(whole)
        self.tokens = list(tokens)
        self.raise_error = any(handler.raise_error for handler in (*whole, *tokens))
        self._is_shown = is_shown
        self._gate = gate
        self._show = show
        self._kept: list[_Event] = []

    def receive(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[_News]:
        """Take an event; gives what is to be told now, and to whom."""
        event = (name, args, kwargs)
        if self._is_shown():
            return [*self.release(), ([*self.whole, *self.tokens], event)]
        self._kept.append(event)
        if name not in _TOKENS:
            return [(self.tokens, event)]
        if self._gate is not None and self._gate.feed(_chunk_of(name, args, kwargs)) == "commit":
            self._show()
            return self.release()
        return []

    def release(self) -> list[_News]:
        """Give what was kept back so far, and to whom it is to be told; it is kept no longer."""
        kept, self._kept = self._kept, []
        return [([*self.whole, *self.tokens] if event[0] in _TOKENS else self.whole, event) for event in kept]

    def tell(self, news: list[_News]) -> None:
        """Tell the handlers."""
        for handlers, (name, args, kwargs) in news:
            handle_event(handlers, name, _IGNORE.get(name), *args, **kwargs)

    async def atell(self, news: list[_News]) -> None:
        """Tell the handlers, asynchronously."""
        for handlers, (name, args, kwargs) in news:
            await ahandle_event(handlers, name, _IGNORE.get(name), *args, **kwargs)


_IGNORE: Final = {
    "on_chat_model_start": "ignore_chat_model",
    "on_llm_start": "ignore_llm",
    "on_llm_new_token": "ignore_llm",
    "on_llm_end": "ignore_llm",
    "on_llm_error": "ignore_llm",
    "on_chain_start": "ignore_chain",
    "on_chain_end": "ignore_chain",
    "on_chain_error": "ignore_chain",
}
"""The events of an attempt's runs, and the attribute by which a handler declines each."""

_EVENTS: Final = (*_IGNORE, "on_stream_event")


def _sync(name: str) -> Callable[..., None]:
    def take(self: Relay, *args: Any, **kwargs: Any) -> None:
        self.tell(self.receive(name, args, kwargs))

    take.__name__ = name
    return take


def _async(name: str) -> Callable[..., Any]:
    async def take(self: Relay, *args: Any, **kwargs: Any) -> None:
        await self.atell(self.receive(name, args, kwargs))

    take.__name__ = name
    return take


class _Taps:
    """What makes LangChain stream a run for its handlers; there is nothing to tap here."""

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[Any]) -> AsyncIterator[Any]:
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[Any]) -> Iterator[Any]:
        return output


_SYNC: Final = {name: _sync(name) for name in _EVENTS}
_ASYNC: Final = {name: _async(name) for name in _EVENTS}
_MARKS: Final = {"none": (), "v1": (_Taps,), "v2": (_V2StreamingCallbackHandler,)}
# A run is streamed for its handlers when one of them is of the right kind: the relay must be of the same.
_KINDS: Final = {
    (kind, is_async): type("Relay", (Relay, *marks), _ASYNC if is_async else _SYNC)
    for kind, marks in _MARKS.items()
    for is_async in (False, True)
}


def hold_back(
    manager: CallbackManager | AsyncCallbackManager,
    is_shown: Callable[[], bool],
    gate: Gate | None,
    show: Callable[[], None],
    *,
    logprobs: bool,
) -> Relay | None:
    """Put a relay before the handlers that show tokens.

    Args:
        manager: The manager of an attempt's run, which is changed.
        is_shown: See ``Relay``.
        gate: See ``Relay``.
        show: See ``Relay``.
        logprobs: Whether the attempt is judged by its log-probabilities.

    Returns:
        The relay, where one was needed.
    """
    whole, tokens = _watching(manager)
    if not whole and not tokens:
        return None
    kind = _KINDS[_mark(whole, logprobs=logprobs), isinstance(manager, AsyncCallbackManager)]
    relay = cast("Relay", kind(whole, tokens, is_shown, gate, show))
    for handler in (*whole, *tokens):
        manager.remove_handler(handler)
    manager.add_handler(relay, inherit=True)
    return relay


@contextmanager
def aside(
    config: RunnableConfig,
    child: Callable[[], CallbackManager | AsyncCallbackManager],
    heard: Heard,
) -> Generator[None]:
    """Have LangChain models that are called inside run as a router's children, and nobody see their tokens.

    What a classifier or a judge says is no answer. Tracers and usage handlers hear of it as of any run.

    Args:
        config: The config of the router's run.
        child: Makes the manager of a child run.
        heard: Where the calls of these models are noted.
    """
    manager = child()
    whole, tokens = _watching(manager)
    for handler in (*whole, *tokens):
        manager.remove_handler(handler)
    if tokens:
        kind = _KINDS["none", isinstance(manager, AsyncCallbackManager)]
        manager.add_handler(cast("Relay", kind([], tokens, _never, None, _nothing)), inherit=True)
    inner = cast("RunnableConfig", {k: v for k, v in config.items() if k not in ("run_name", "run_id")})
    inner["callbacks"] = manager
    with listening(heard), overhearing(heard, manager), Held(var_child_runnable_config, inner):
        yield


def _watching(manager: _Handled) -> tuple[list[BaseCallbackHandler], list[BaseCallbackHandler]]:
    """Give the handlers that show whole runs, and the others that read tokens."""
    if not manager.handlers:
        return [], []
    whole = [handler for handler in manager.handlers if _shows_runs(handler)]
    counted = _counted_by_context()
    others = [handler for handler in manager.handlers if not _shows_runs(handler)]
    return whole, [handler for handler in others if _reads_tokens(handler) and handler not in counted]


def _never() -> bool:
    return False


def _nothing() -> None:
    pass


def _mark(whole: Sequence[BaseCallbackHandler], *, logprobs: bool) -> str:
    v2 = [handler for handler in whole if isinstance(handler, _V2StreamingCallbackHandler)]
    if v2 and not logprobs:
        return "v2"
    # Streams of the second kind keep no log-probabilities: their handlers are shown the answer whole.
    return "v1" if len(whole) > len(v2) else "none"


def _counted_by_context() -> list[object]:
    """Handlers that a context variable adds to every run (usage handlers): behind a relay they would be told twice."""
    return [var.get() for var, *_ in _configure_hooks]


def is_streamed(config: RunnableConfig) -> bool:
    """Whether LangChain streams a run for one of the handlers in its config, even where it was invoked."""
    manager = cast("CallbackManager", config.get("callbacks"))
    return any(_shows_runs(handler) for handler in manager.handlers)


class _Handled(Protocol):
    handlers: list[BaseCallbackHandler]


def showing_runs(manager: _Handled | None) -> list[_StreamingCallbackHandler[Any]]:
    """Give the handlers that show what a run streams, which a run in the midst of others has to tell them itself."""
    handlers = [] if manager is None else manager.handlers
    return [handler for handler in handlers if isinstance(handler, _StreamingCallbackHandler)]


def _shows_runs(handler: BaseCallbackHandler) -> bool:
    return isinstance(handler, _StreamingCallbackHandler | _V2StreamingCallbackHandler)


def _reads_tokens(handler: BaseCallbackHandler) -> bool:
    """Whether a handler of the user's own reads tokens; tracers write down what was really generated."""
    if isinstance(handler, BaseTracer | AsyncBaseTracer | Relay):
        return False
    return type(handler).on_llm_new_token not in (
        BaseCallbackHandler.on_llm_new_token,
        AsyncCallbackHandler.on_llm_new_token,
    )


def _chunk_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Chunk:
    """Read what the gate must know of a token's event."""
    if name == "on_stream_event":
        event = cast("dict[str, Any]", args[0] if args else kwargs.get("event") or {})
        delta = cast("dict[str, Any]", event.get("delta") or {})
        block = cast("dict[str, Any]", delta.get("fields") or event.get("content") or {})
        return Chunk(None, text=str(delta.get("text") or ""), tool_call="tool" in str(block.get("type", "")))
    message = getattr(kwargs.get("chunk"), "message", None)
    if isinstance(message, AIMessageChunk):
        return chunk_of(message)
    return Chunk(None, text=str(args[0]) if args and isinstance(args[0], str) else "")
