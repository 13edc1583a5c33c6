"""Which calls belong to one query: those made in one callback event, to answer one question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from llama_index.core.callbacks.base import global_stack_trace
from llama_index_instrumentation.span import active_span_id

from llama_index_slmroute.questions import TaskText
from slmroute.context import RouteContext, current_context

__all__ = ["Place", "QueryScopes"]

MOST_QUERIES: Final = 512


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands in LlamaIndex's traces, both the newer and the older ones.

    LlamaIndex keeps either in a context variable, whichever handlers there are.

    Attributes:
        span: The id of the span it was begun in, or None.
        stack: The ids of the callback events going on, outermost first, after a root that is always there.
    """

    span: str | None
    stack: tuple[str, ...]

    @classmethod
    def here(cls) -> Place:
        """Give the place that a call begun here and now stands in."""
        return cls(active_span_id.get(), tuple(global_stack_trace.get()))

    @property
    def events(self) -> tuple[str, ...]:
        """The callback events without the root: query engines and synthesizers open one each."""
        return self.stack[1:]

    @contextmanager
    def again(self) -> Generator[None]:
        """Go back there for a moment: streams ask their tiers when they are read, wherever that is."""
        span, stack = active_span_id.set(self.span), global_stack_trace.set(list(self.stack))
        try:
            yield
        finally:
            global_stack_trace.reset(stack)
            active_span_id.reset(span)


class QueryScopes:
    """Remembers what was decided for the queries going on. Safe to use from many threads.

    A query is told by the outermost callback event and its question: what a sub-question engine or a router's selector
    asks on the way has a decision of its own where its question is another one. Calls made in no event belong to no
    query, whatever they ask: others may have asked the very same.
    """

    def __init__(self) -> None:
        self._scopes: OrderedDict[tuple[str, str], RouteContext] = OrderedDict()
        self._lock = threading.Lock()

    def context(self, event: str | None, question: str | None) -> RouteContext:
        """Give the context of a call, what ``route_context`` set included.

        Args:
            event: The outermost callback event that the call is made in, or None.
            question: See ``question_of``.

        Returns:
            The context, with a scope of the user's own or else the query's.
        """
        outer = current_context()
        if event is None or question is None or isinstance(question, TaskText) or outer.scope is not None:
            return outer
        with self._lock:
            scope = self._scopes.setdefault((event, question), RouteContext(scope="query"))
            self._scopes.move_to_end((event, question))
            if len(self._scopes) > MOST_QUERIES:
                self._scopes.popitem(last=False)
        return replace(outer, scope=scope.scope, decided=scope.decided, scoring=scope.scoring)
