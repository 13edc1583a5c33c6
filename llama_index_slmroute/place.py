"""Where a call stands in LlamaIndex's traces, and how to go back there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from llama_index.core.callbacks.base import global_stack_trace
from llama_index_instrumentation.span import active_span_id

__all__ = ["Place"]


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

    @contextmanager
    def again(self) -> Generator[None]:
        """Go back there for a moment: streams ask their tiers when they are read, wherever that is."""
        span, stack = active_span_id.set(self.span), global_stack_trace.set(list(self.stack))
        try:
            yield
        finally:
            global_stack_trace.reset(stack)
            active_span_id.reset(span)
