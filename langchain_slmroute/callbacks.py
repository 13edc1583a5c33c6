"""A callback that adds up what routed calls cost."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

from langchain_core.callbacks import BaseCallbackHandler

from langchain_slmroute.errors import told_as_langchains
from slmroute.costs import RouteCosts
from slmroute.record import RouteRecord
from slmroute.run import Run

__all__ = ["RouteCostCallback", "counted", "tell_costs"]


class _Manager(Protocol):
    handlers: list[BaseCallbackHandler]


class RouteCostCallback(BaseCallbackHandler):
    """Adds up the costs of the routed calls made under a config: ``config={"callbacks": [RouteCostCallback()]}``.

    Routers recognise it among a call's handlers and hand it their records, so that drafts, the classifier, cache hits
    (charged nothing), failed and cancelled calls count, in streams too.

    Attributes:
        costs: The sums so far.

    Example:
        >>> from langchain_slmroute import RouteCostCallback
        >>> counter = RouteCostCallback()
        >>> # chain.invoke("...", config={"callbacks": [counter]})
        >>> counter.costs.calls
        0
    """

    def __init__(self) -> None:
        self.costs = RouteCosts()

    def __repr__(self) -> str:
        return f"RouteCostCallback({self.costs!r})"

    def add(self, record: RouteRecord) -> None:
        """Add a call.

        Args:
            record: The call's record.
        """
        self.costs.add(record)


def tell_costs(handlers: Sequence[BaseCallbackHandler], record: RouteRecord | None) -> None:
    """Hand a call's record to those of its handlers that add up costs."""
    if record is not None:
        for handler in handlers:
            if isinstance(handler, RouteCostCallback):
                handler.add(record)


@contextmanager
def counted(run: Run, manager: _Manager | None) -> Generator[None]:
    """Hand a call's record on when it ends, however it does; its errors come out as LangChain's, too.

    Args:
        run: The call.
        manager: The manager of the router's own run, where there is one.
    """
    try:
        with told_as_langchains():
            yield
    finally:
        tell_costs([] if manager is None else manager.handlers, run.record)
