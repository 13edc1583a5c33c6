"""Which calls belong to one query: those made within the engine that the user asked, whatever it asks them.

LlamaIndex tells of its engines' methods in spans, with what they were called with and what they returned. One handler
listens for the whole process, and does nothing but where an engine is asked.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from inspect import BoundArguments
from typing import Any, Final, cast

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    PydanticResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine, StreamingAgentChatResponse
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine, SubQuestionQueryEngine
from llama_index.core.response_synthesizers import Generation
from llama_index.core.response_synthesizers.base import BaseSynthesizer
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index_instrumentation import root_dispatcher
from llama_index_instrumentation.span import BaseSpan
from llama_index_instrumentation.span_handlers import BaseSpanHandler
from pydantic import PrivateAttr

from llama_index_slmroute.callbacks import RouteCallbackHandler
from llama_index_slmroute.carried import RECORD_KEY
from llama_index_slmroute.loops import users_turns
from llama_index_slmroute.questions import Question
from slmroute.context import RouteContext, current_context, in_context
from slmroute.costs import Collector, counted_in, current_collectors
from slmroute.owned import Owned
from slmroute.request import is_follow_up

__all__ = ["Query", "current_query", "watch_queries"]

_ENGINES: Final = (BaseQueryEngine, BaseChatEngine, BaseSynthesizer, BaseRetriever, BaseNodePostprocessor)
_READERS: Final = (RetrieverQueryEngine, ContextChatEngine, CondensePlusContextChatEngine)
_ASKED: Final = {
    method: argument
    for argument, methods in {
        "str_or_query_bundle": ("query", "aquery", "retrieve", "aretrieve"),
        "message": ("chat", "achat", "stream_chat", "astream_chat"),
        "query": ("synthesize", "asynthesize"),
        "query_str": ("get_response", "aget_response"),
        "query_bundle": ("_postprocess_nodes", "_apostprocess_nodes"),
    }.items()
    for method in methods
}
"""The methods that a query may begin with, and which argument of theirs is the question."""
_STREAMED: Final = (StreamingResponse, AsyncStreamingResponse, StreamingAgentChatResponse)
_ANSWERS: Final = (Response, PydanticResponse, AgentChatResponse, *_STREAMED)


@dataclass(slots=True, eq=False)
class Query:
    """What an engine was asked, and what held where it was.

    Attributes:
        question: What was asked; None where that is not known.
        grounded: Whether it is to be answered from what the engine retrieves.
        shared: The decision of the query that this is a part of, or its own.
        splits: Whether the questions that the engine asks other engines are decided each by itself.
        outer: The query that this one was asked for, or None.
        records: The records of the calls made for it so far, where a ``RouteCallbackHandler`` is told of them.
        context: What ``route_context`` had set.
        collectors: The ``route_costs`` going on.
    """

    question: str | None
    grounded: bool
    shared: RouteContext
    splits: bool
    outer: Query | None
    records: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    context: RouteContext = field(default_factory=current_context)
    collectors: tuple[Collector, ...] = field(default_factory=current_collectors)

    @classmethod
    def begun(cls, engine: object, question: str | None) -> Query:
        """Begin a query, or the part of one that an engine does for another."""
        outer, splits = current_query(), isinstance(engine, SubQuestionQueryEngine)
        is_split = outer is not None and outer.splits and isinstance(engine, BaseQueryEngine)
        if outer is None or (is_split and question != outer.question):
            return cls(question, _reads(engine), RouteContext(scope="query"), splits, outer)
        # What a part is asked may be what an LLM has made of the user's question.
        return cls(outer.question or question, outer.grounded, outer.shared, splits, outer)

    def context_of_call(self) -> RouteContext:
        """Give the context of a call: what ``route_context`` set, with the user's own scope or else the query's."""
        outer = current_context()
        if outer.scope is not None:
            return outer
        shared = self.shared
        return replace(outer, scope=shared.scope, decided=shared.decided, scoring=shared.scoring)

    def judged_by(self, asked: str | None, messages: Sequence[ChatMessage]) -> str | None:
        """Give the question that a call is judged by.

        Args:
            asked: The question that its prompt is to have answered, or None.
            messages: Its messages.

        Returns:
            The query's question; what the call itself says of it, where that tells of the turn before it, too.
        """
        last = messages[-1].content if messages else None
        if self.question is None or (asked is None and (last or "").strip() == self.question.strip()):
            return asked
        tells_more = isinstance(asked, Question) and asked.before and asked.strip() == self.question.strip()
        return asked if tells_more else self.question

    def note(self, record: dict[str, object]) -> None:
        """Note the record of a call."""
        query: Query | None = self
        while query is not None:
            query.records.append(record)
            query = query.outer

    @contextmanager
    def going_on(self) -> Generator[None]:
        """Have the calls made inside belong to the query: streamed answers make theirs when they are read."""
        token = _current.set(self)
        try:
            with in_context(self.context), counted_in(self.collectors):
                yield
        finally:
            _current.reset(token)


_current: ContextVar[Query | None] = ContextVar("slmroute_query", default=None)


def current_query() -> Query | None:
    """Give the innermost query that goes on here and now, or whose streamed answer is being read."""
    return _current.get()


def _reading(tokens: Any, query: Query) -> Generator[Any]:
    """Give the tokens of a streamed answer; the calls made for them are its own."""
    tokens = iter(tokens)
    try:
        while True:
            try:
                with query.going_on():  # which must not span a yield: it would then hold for what the reader does
                    text = next(tokens)
            except StopIteration:
                return
            yield text
    finally:
        if hasattr(tokens, "close"):
            tokens.close()


async def _areading(tokens: Any, query: Query) -> AsyncGenerator[Any]:
    async with Owned(aiter(tokens)) as owned:
        while True:
            try:
                with query.going_on():
                    text = await anext(owned)
            except StopAsyncIteration:
                return
            yield text


def _is_read_by_us(tokens: object) -> bool:
    """Whether the engine within has seen to a streamed answer already."""
    code = getattr(tokens, "gi_code", None) or getattr(tokens, "ag_code", None)
    return code in (_reading.__code__, _areading.__code__)


class _Watch(BaseSpanHandler[BaseSpan]):
    """Hears when engines are asked and when they have answered; other spans are nothing to it."""

    _open: dict[str, tuple[Query, Query | None]] = PrivateAttr(default_factory=dict[str, tuple[Query, Query | None]])
    _guard: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def class_name(cls) -> str:
        """See ``BaseSpanHandler``."""
        return "SlmrouteQueries"

    def span_enter(
        self,
        id_: str,
        bound_args: BoundArguments,
        instance: Any = None,
        parent_id: str | None = None,
        tags: Any = None,
        **_: Any,
    ) -> None:
        """See ``BaseSpanHandler``."""
        argument = _ASKED.get(id_.partition("-")[0].rpartition(".")[2])
        if argument not in bound_args.arguments or not isinstance(instance, _ENGINES):
            return
        before = current_query()
        query = Query.begun(instance, _question(instance, argument, bound_args.arguments))
        with self._guard:
            self._open[id_] = (query, before)
        _current.set(query)

    def span_exit(
        self, id_: str, bound_args: BoundArguments, instance: Any = None, result: Any = None, **_: Any
    ) -> None:
        """See ``BaseSpanHandler``."""
        query = self._end(id_)
        if query is None or not isinstance(result, _ANSWERS):
            return
        answer = cast("Any", result)
        if isinstance(result, StreamingResponse | AsyncStreamingResponse):
            tokens = answer.response_gen
            if tokens is not None and not _is_read_by_us(tokens):
                read = _areading if isinstance(result, AsyncStreamingResponse) else _reading
                answer.response_gen = read(tokens, query)
        if query.records or (isinstance(result, _STREAMED) and _tells(instance)):
            # A streamed chat's answer has no place of its own for it: it is told where those of all others are.
            answer.metadata = {**(getattr(answer, "metadata", None) or {}), RECORD_KEY: query.records}

    def span_drop(self, id_: str, bound_args: BoundArguments, instance: Any = None, err: Any = None, **_: Any) -> None:
        """See ``BaseSpanHandler``."""
        self._end(id_)

    def _end(self, id_: str) -> Query | None:
        if id_ not in self._open:
            return None
        with self._guard:
            query, before = self._open.pop(id_, (None, None))
        if query is not None and _current.get() is query:
            _current.set(before)
        return query

    def new_span(self, *_: Any, **__: Any) -> None:
        """See ``BaseSpanHandler``."""

    def prepare_to_exit_span(self, *_: Any, **__: Any) -> None:
        """See ``BaseSpanHandler``."""

    def prepare_to_drop_span(self, *_: Any, **__: Any) -> None:
        """See ``BaseSpanHandler``."""


def _question(engine: Any, argument: str, arguments: Mapping[str, Any]) -> str | None:
    asked = arguments[argument]
    text = getattr(asked, "query_str", None) or getattr(asked, "content", None) or asked
    if not isinstance(text, str) or not text.strip():
        return None
    if not isinstance(engine, BaseChatEngine) or not is_follow_up(text):
        return text
    before = _turn_before(arguments.get("chat_history") or _history_at_hand(getattr(engine, "_memory", None)))
    return Question.of(text, before=before)


def _reads(engine: object) -> bool:
    """Whether an engine answers from what it retrieves, itself or by the engines that it asks, all of them."""
    if isinstance(engine, _READERS):
        return not isinstance(getattr(engine, "_response_synthesizer", None), Generation)
    held: list[Any] = []
    for value in vars(engine).values():
        held += value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
    asked = [each for each in held if isinstance(each, BaseQueryEngine)]
    return bool(asked) and all(map(_reads, asked))


def _history_at_hand(memory: Any) -> Sequence[ChatMessage]:
    """Give what a memory holds, where nothing has to be waited for."""
    store = getattr(memory, "chat_store", None)
    return store.get_messages(memory.chat_store_key) if isinstance(store, SimpleChatStore) else ()


def _turn_before(history: Sequence[ChatMessage]) -> str | None:
    turns = users_turns(history)
    return history[turns[-1]].content if turns else None


def _tells(engine: Any) -> bool:
    """Whether an engine's callbacks are to say how its calls were routed, which a streamed answer has not made yet."""
    handlers = getattr(getattr(engine, "callback_manager", None), "handlers", ())
    return any(isinstance(handler, RouteCallbackHandler) for handler in handlers)


def watch_queries() -> None:
    """Listen to LlamaIndex's engines from now on; further times change nothing."""
    root = cast("Any", root_dispatcher)
    if not any(handler is _WATCH for handler in root.span_handlers):  # comparing them takes longer
        with _LOCK:
            if _WATCH not in root.span_handlers:
                root.add_span_handler(_WATCH)


_WATCH: Final = _Watch()
_LOCK: Final = threading.Lock()
