"""Which calls belong to one query: those made in one callback event, to answer one question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from llama_index.core.callbacks.base import global_stack_trace
from llama_index_instrumentation.span import active_span_id

from llama_index_slmroute.questions import TaskText
from slmroute.context import RouteContext, current_context

__all__ = ["Place", "QueryScopes", "within"]

MOST_QUERIES: Final = 512

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class _Query:
    """A query going on: what was decided for it, and what held where it was asked."""

    scope: RouteContext = field(default_factory=lambda: RouteContext(scope="query"))
    held: Context = field(default_factory=copy_context)


class QueryScopes:
    """Remembers what was decided for the queries going on. Safe to use from many threads.

    A query is told by the outermost callback event and its question: what a sub-question engine or a router's selector
    asks on the way has a decision of its own where its question is another one.
    """

    def __init__(self) -> None:
        self._queries: OrderedDict[tuple[str, str], _Query] = OrderedDict()
        self._lock = threading.Lock()

    def context(
        self, events: Sequence[str], question: str | None, *, held: Context | None = None, streams: bool = False
    ) -> tuple[RouteContext, Context | None]:
        """Give the context of a call, what ``route_context`` set included.

        Args:
            events: The callback events that the call is made in, outermost first.
            question: See ``question_of``.
            held: What holds for the call, where that is not what holds here and now.
            streams: Whether the call is a stream. LlamaIndex makes a query's last call when its answer is read, after
                the query's events have ended; it then belongs to the last query that handed on this very string.

        Returns:
            The context, with a scope of the user's own or else the query's; and what holds for the call, see ``held``.
        """
        query: _Query | None = None
        if question is not None and not isinstance(question, TaskText):
            with self._lock:
                if events:
                    query = self._queries.setdefault((events[0], question), _Query())
                    self._queries.move_to_end((events[0], question))
                    if len(self._queries) > MOST_QUERIES:
                        self._queries.popitem(last=False)
                elif streams:
                    late = [query for (_, asked), query in self._queries.items() if asked is question]
                    query = late[-1] if late else None
        if query is not None and not events and held is None:
            held = query.held
        outer = within(held, current_context)
        if query is None or outer.scope is not None:
            return outer, held
        scope = query.scope
        return replace(outer, scope=scope.scope, decided=scope.decided, scoring=scope.scoring), held


def within(held: Context | None, make: Callable[[], T]) -> T:
    """Make something where other things hold than here and now.

    Args:
        held: What holds; None for here and now.
        make: Makes it, without waiting for anything.
    """
    return make() if held is None else held.copy().run(make)
