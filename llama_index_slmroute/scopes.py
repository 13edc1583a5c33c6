"""Which calls belong to one query: those made in one callback event, to answer one question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from llama_index.core.callbacks.base import global_stack_trace
from llama_index.core.prompts import BasePromptTemplate
from llama_index_instrumentation.span import active_span_id

from slmroute.context import RouteContext

__all__ = ["Place", "QueryScopes", "question_of"]

QUESTION: Final = "query_str"
"""What LlamaIndex's prompts call the question, beside the chunks retrieved for it."""
MOST_QUERIES: Final = 512


def question_of(prompt: BasePromptTemplate, arguments: dict[str, Any]) -> str | None:
    """Give the question that a prompt is to have answered, or None where it does not tell.

    Args:
        prompt: The prompt; engines write the question into it, or hand it over with the other arguments.
        arguments: Those.
    """
    within = cast("BasePromptTemplate", getattr(prompt, "default_template", prompt))
    question = arguments.get(QUESTION) or within.kwargs.get(QUESTION)
    return question if isinstance(question, str) and question.strip() else None


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
    asks on the way has a decision of its own where its question is another one.
    """

    def __init__(self) -> None:
        self._decided: OrderedDict[tuple[str, str], dict[int, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[QueryScopes], tuple[()]]:
        return (QueryScopes, ())

    def context(self, outer: RouteContext, events: Sequence[str], question: str | None) -> RouteContext:
        """Give the context of a call.

        Args:
            outer: What ``route_context`` set; a scope of the user's own goes before the query's.
            events: The callback events that the call is made in, outermost first.
            question: See ``question_of``.
        """
        if outer.scope is not None or question is None or not events:
            return outer
        key = (events[0], question)
        with self._lock:
            decided = self._decided.setdefault(key, {})
            self._decided.move_to_end(key)
            if len(self._decided) > MOST_QUERIES:
                self._decided.popitem(last=False)
        return replace(outer, scope="query", decided=decided)
