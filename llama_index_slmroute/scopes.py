"""Which calls belong to one query: those made in one callback event, to answer one question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from llama_index.core.callbacks.base import global_stack_trace
from llama_index.core.prompts import BasePromptTemplate

from slmroute.context import RouteContext

__all__ = ["QueryScopes", "current_events", "question_of"]

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


def current_events() -> tuple[str, ...]:
    """Give the ids of the callback events that are going on, outermost first.

    LlamaIndex keeps them in a context variable, whichever handlers there are: query engines and synthesizers open an
    event each.
    """
    return tuple(global_stack_trace.get()[1:])


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
            events: See ``current_events``.
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
