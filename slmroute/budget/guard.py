"""Puts a budget between one call and the tiers: what may be called, what it may cost, what it did cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from slmroute.budget.budget import Budget
from slmroute.draft import with_draft
from slmroute.errors import BudgetExceeded
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.steps import Call, Failure, Usage
from slmroute.tier import Tier

if TYPE_CHECKING:
    from slmroute.policy import Policy
    from slmroute.price import PriceBook
    from slmroute.record import AttemptRecord

__all__ = ["Guard"]


class Guard:
    """A budget's say in one call. Tiers that are local, or generate nothing, it lets pass.

    Args:
        budget: The budget.
        policy: The router's policy.
        prices: The prices by which costs are held.
        request: The call.
        started_at: When it began.
    """

    def __init__(
        self, budget: Budget, policy: Policy, prices: PriceBook, request: RouteRequest, started_at: datetime
    ) -> None:
        self._policy = policy
        self._prices = prices
        self._request = request
        self._answer_tokens = budget.answer_tokens
        self._raises = budget.on_limit == "raise"
        self._spending = budget.open(request.key, started_at, local=any(tier.local for tier in policy.tiers))

    @property
    def events(self) -> list[str]:
        """What is to be noted in the call's record."""
        return self._spending.events

    def hold(self, call: Call) -> Failure | None:
        """Hold what an attempt may cost; gives why it may not be made, or None. May wait for a server."""
        if _free(call.tier):
            return None
        cost = self._may_cost(call)
        return self._refusal(call, cost, self._spending.hold(cost, escalates=self._escalates(call)))

    async def ahold(self, call: Call) -> Failure | None:
        """Hold what an attempt may cost, without holding up the event loop."""
        if _free(call.tier):
            return None
        cost = self._may_cost(call)
        return self._refusal(call, cost, await self._spending.ahold(cost, escalates=self._escalates(call)))

    def settle(self, attempts: Sequence[AttemptRecord], counted: Decimal = Decimal(0)) -> Decimal:
        """Count what the call did cost, and drop what it held; ``events`` are complete then. Never waits.

        Args:
            attempts: What was done.
            counted: What routers that are tiers have counted of it already, in the same budget.

        Returns:
            What was counted, in dollars.
        """
        paid = (attempt.cost for attempt in attempts if attempt.cost is not None and not attempt.dry_run)
        spent = max(sum(paid, Decimal(0)) - counted, Decimal(0))
        self._spending.settle(spent)
        return spent

    def _may_cost(self, call: Call) -> Decimal | None:
        drafted = estimate_tokens(with_draft("", call.draft)) if call.draft else 0
        usage = Usage(self._request.tokens + drafted, self._answer_tokens, source="estimated")
        return self._prices.price(call.tier, usage, provider=None, model=None).cost

    def _escalates(self, call: Call) -> bool:
        return call.tier.name != self._policy.tiers[0].name and call.reason != "explicit"

    def _refusal(self, call: Call, cost: Decimal | None, exceeded: BudgetExceeded | None) -> Failure | None:
        if exceeded is None:
            if cost is None:  # it is counted once it is known, if it ever is
                self.events.append(f"budget_blind:{call.tier.name}")
            return None
        self.events.append(f"over_budget:{call.tier.name}")
        return Failure("over_budget", exceeded, barred=self._barred())

    def _barred(self) -> frozenset[str]:
        tiers = self._policy.tiers
        if self._raises:
            return frozenset(tier.name for tier in tiers)
        allowed = {tiers[0].name} if self._spending.escalates_over else set[str]()
        return frozenset(tier.name for tier in tiers if not tier.local and tier.name not in allowed)


def _free(tier: Tier) -> bool:
    return tier.local or tier.dry_run
