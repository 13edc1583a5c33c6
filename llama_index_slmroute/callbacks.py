"""What LlamaIndex's instrumentation and callbacks are told of routing."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final, cast

from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.events import BaseEvent

from llama_index_slmroute.carried import RECORD_KEY
from llama_index_slmroute.scopes import Place
from slmroute.context import RouteContext, current_context, in_context
from slmroute.costs import Collector, RouteCosts, counted_in, current_collectors
from slmroute.record import RouteRecord

__all__ = ["RouteCallbackHandler", "RouteDecisionEvent", "WatchedCallbacks", "query_being_read", "told_too"]

_QUERIES: Final = (CBEventType.QUERY, CBEventType.SYNTHESIZE)


class RouteDecisionEvent(BaseEvent):
    """Says how a call was routed, once it is over; dispatched beside the LLM events, in the router's span.

    Attributes:
        tier: The tier that answered, or None.
        reason: Why the call started where it started.
        record: The whole record as plain JSON.
    """

    tier: str | None = None
    reason: str | None = None
    record: dict[str, Any]

    @classmethod
    def class_name(cls) -> str:
        """See ``BaseEvent``."""
        return "RouteDecisionEvent"


@dataclass(slots=True)
class _Routes:
    """The records of the calls made for a query so far, and what held where it was asked.

    Attributes:
        event: The outermost callback event of the query.
    """

    event: str
    records: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    context: RouteContext = field(default_factory=current_context)
    collectors: tuple[Collector, ...] = field(default_factory=current_collectors)

    @contextmanager
    def read(self) -> Generator[None]:
        """Have the calls made inside belong to the query."""
        token = _read.set(self)
        try:
            with in_context(self.context), counted_in(self.collectors):
                yield
        finally:
            _read.reset(token)


_read: ContextVar[_Routes | None] = ContextVar("slmroute_read", default=None)
"""Whose streamed answer is being read: it asks for its tokens only then, after the events of its query have ended."""


def query_being_read() -> str | None:
    """Give the outermost event of the query whose streamed answer is being read just now; None where none is."""
    routes = _read.get()
    return None if routes is None else routes.event


def _reading(tokens: Generator[Any], routes: _Routes) -> Generator[Any]:
    """Give the tokens of a streamed answer; the calls made for them are its own."""
    try:
        while True:
            try:
                with routes.read():  # which must not span a yield: it would then hold for what the reader does
                    text = next(tokens)
            except StopIteration:
                return
            yield text
    finally:
        if hasattr(tokens, "close"):
            tokens.close()


async def _areading(tokens: AsyncGenerator[Any], routes: _Routes) -> AsyncGenerator[Any]:
    try:
        while True:
            try:
                with routes.read():
                    text = await anext(tokens)
            except StopAsyncIteration:
                return
            yield text
    finally:
        if hasattr(tokens, "aclose"):
            await tokens.aclose()


class RouteCallbackHandler(BaseCallbackHandler):
    """Adds up what routed calls cost, and has a query's answer say how it was routed.

    With ``Settings.callback_manager = CallbackManager([RouteCallbackHandler()])``, ``response.metadata["slmroute"]``
    of a query engine's answer is the list of the records of the calls that made it; engines that open no event of
    their own around others (retries, transforms of the query) give the last one's. For a streamed answer the list
    fills as the stream is read. LlamaIndex makes the last call of a streamed query only then: with this handler it
    still belongs to the query, is decided with its other calls, counts in the ``route_costs`` and bears the
    ``route_context`` that the query was asked in. Chat engines open no event around their calls: what these cost is in
    ``costs`` alone.
    A handler that is pickled starts anew.

    Attributes:
        costs: The sums so far.
    """

    def __init__(self) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.costs = RouteCosts()
        self._open: dict[str, _Routes] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[RouteCallbackHandler], tuple[()]]:
        return (RouteCallbackHandler, ())

    def add(self, record: RouteRecord, events: Sequence[str]) -> None:
        """Add a call.

        Args:
            record: The call's record.
            events: The ids of the callback events that it was made in.
        """
        self.costs.add(record)
        with self._lock:
            queries = [routes for event in events if (routes := self._open.get(event)) is not None]
            if (read := _read.get()) is not None:
                queries.append(read)
            for routes in queries:
                routes.records.append(record.to_json())

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        """See ``BaseCallbackHandler``."""
        if event_type in _QUERIES:
            outermost = next(iter(Place.here().events), event_id)
            with self._lock:
                self._open[event_id] = _Routes(outermost)
        return event_id

    def on_event_end(
        self, event_type: CBEventType, payload: dict[str, Any] | None = None, event_id: str = "", **kwargs: Any
    ) -> None:
        """See ``BaseCallbackHandler``."""
        with self._lock:
            routes = self._open.pop(event_id, None)
            response = cast("Any", (payload or {}).get(EventPayload.RESPONSE))
            if routes is None or not hasattr(response, "metadata"):
                return
            metadata = dict(response.metadata or {})
            if isinstance(response, StreamingResponse | AsyncStreamingResponse):
                if RECORD_KEY in metadata:  # the synthesizer's event has ended before the query's
                    return
                told = cast("Any", response)
                of_async = isinstance(response, AsyncStreamingResponse)
                told.response_gen = (_areading if of_async else _reading)(told.response_gen, routes)
            elif not routes.records:
                return
            response.metadata = {**metadata, RECORD_KEY: routes.records}

    def start_trace(self, trace_id: str | None = None) -> None:
        """See ``BaseCallbackHandler``; there is nothing to do."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """See ``BaseCallbackHandler``; there is nothing to do."""


def told_too(callbacks: CallbackManager, others: CallbackManager) -> CallbackManager:
    """Give a callback manager whose events other handlers are told of, too; each handler once.

    Args:
        callbacks: The manager, whose traces are gone on with; where nobody listens to it, the others are given.
        others: Whose handlers are told as well.
    """
    if not callbacks.handlers:
        return others
    more = [each for each in others.handlers if not any(each is known for known in callbacks.handlers)]
    if not more:
        return callbacks
    joined = copy(callbacks)  # not one of its own: it notes its events where the manager's traces are told from
    joined.handlers = [*callbacks.handlers, *more]
    return joined


class WatchedCallbacks(CallbackManager):
    """Stands for a callback manager during one call, to learn what an LLM answered beneath a parsed object.

    Args:
        inner: The manager.
        note: Called with the response of each LLM event that ends.
    """

    def __init__(self, inner: CallbackManager, note: Callable[[Any], object]) -> None:
        # Not the base's own: it would add handlers that ``inner`` has already.
        self.inner = inner
        self.handlers = inner.handlers
        self._note = note

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str | None = None,
        parent_id: str | None = None,
        **kwargs: Any,
    ) -> str:
        """See ``CallbackManager``."""
        return self.inner.on_event_start(event_type, payload, event_id=event_id, parent_id=parent_id, **kwargs)

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """See ``CallbackManager``."""
        response = (payload or {}).get(EventPayload.RESPONSE) or (payload or {}).get(EventPayload.COMPLETION)
        if event_type == CBEventType.LLM and response is not None:
            self._note(response)
        self.inner.on_event_end(event_type, payload, event_id=event_id, **kwargs)

    def start_trace(self, trace_id: str | None = None) -> None:
        """See ``CallbackManager``."""
        self.inner.start_trace(trace_id)

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """See ``CallbackManager``."""
        self.inner.end_trace(trace_id, trace_map)

    @property
    def trace_map(self) -> dict[str, list[str]]:
        """See ``CallbackManager``."""
        return self.inner.trace_map
