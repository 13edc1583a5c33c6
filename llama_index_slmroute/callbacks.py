"""What LlamaIndex's instrumentation and callbacks are told of routing."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation.events import BaseEvent

from slmroute.costs import RouteCosts

__all__ = ["RouteCallbackHandler", "RouteDecisionEvent", "WatchedCallbacks", "told_too"]


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


class RouteCallbackHandler(BaseCallbackHandler):
    """Adds up what routed calls cost, and has a query's answer say how it was routed.

    With ``Settings.callback_manager = CallbackManager([RouteCallbackHandler()])``, ``response.metadata["slmroute"]``
    of a query engine's answer, and of a chat engine's, is the list of the records of the calls that made it. For a
    streamed answer the list fills as the stream is read. A handler that is pickled starts anew.

    Attributes:
        costs: The sums so far.
    """

    def __init__(self) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.costs = RouteCosts()

    def __reduce__(self) -> tuple[type[RouteCallbackHandler], tuple[()]]:
        return (RouteCallbackHandler, ())

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **kwargs: Any,
    ) -> str:
        """See ``BaseCallbackHandler``; there is nothing to do."""
        return event_id

    def on_event_end(
        self, event_type: CBEventType, payload: dict[str, Any] | None = None, event_id: str = "", **kwargs: Any
    ) -> None:
        """See ``BaseCallbackHandler``; there is nothing to do."""

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
