"""A callback that adds up what routed calls cost."""

from __future__ import annotations

from langchain_core.callbacks import BaseCallbackHandler

from slmroute.costs import RouteCosts
from slmroute.record import RouteRecord

__all__ = ["RouteCostCallback"]


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
