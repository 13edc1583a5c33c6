"""What one call has to do with a budget: it holds before it spends, and settles when it is over."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from slmroute.budget.counting import Counting
from slmroute.budget.limits import NANO, Charge, Limits, to_nano, window_of
from slmroute.budget.stores import Taken
from slmroute.errors import BudgetExceeded

if TYPE_CHECKING:
    from slmroute.budget.budget import Budget

__all__ = ["Spending"]

WARN_AT: Final = 0.8
MOST_WARNED: Final = 10_000
UNKNOWN: Final = 1
"""What is held where it is not known what a call may cost: the least there is, which fits until a limit is reached."""

logger = logging.getLogger("slmroute.budget")


class Spending:
    """One call's dealings with a budget.

    Args:
        budget: The budget.
        counting: Where it counts.
        limits: The call's limits, each with the key whose it is, as it can be stored, or None for those of all calls.
        at: When the call began.
        local: Whether its router has a tier that is local, for advice at the limit.

    Attributes:
        events: What is to be noted in the call's record.
        escalates_over: Whether the last refusal was for the number of escalations, and not for money.
    """

    def __init__(
        self,
        budget: Budget,
        counting: Counting,
        limits: Sequence[tuple[str | None, Limits]],
        at: datetime,
        *,
        local: bool = True,
    ) -> None:
        self.budget = budget
        self.events: list[str] = []
        self.escalates_over = False
        self._counting = counting
        self._limits = limits
        self._at = at
        self._local = local
        self._hold_ids: list[str] = []
        self._escalated = False

    def charges(self, nanos: int, *, escalates: bool) -> tuple[Charge, ...]:
        """Give what the call counts towards: every limit it has, with an amount for each.

        Args:
            nanos: Nano-dollars.
            escalates: Whether it counts as an escalation.
        """
        found: list[Charge] = []
        for key, limits in self._limits:
            named = "" if key is None else "per_key "
            for window, limit in limits.spending.items():
                found.append(self._charge("dollars", window, key, f"{named}{window}", limit, nanos))
            rate = limits.escalations_per_minute
            if rate is not None:
                setting = f"{named}escalations_per_minute"
                found.append(self._charge("escalations", "minute", key, setting, rate, int(escalates)))
        return tuple(found)

    def hold(self, cost: Decimal | None, *, escalates: bool) -> BudgetExceeded | None:
        """Hold what an attempt may cost; may wait for a server.

        Args:
            cost: Dollars; None where it is not known: then it is let through until a limit is reached.
            escalates: Whether it takes the call above the cheapest tier; a call counts once.

        Returns:
            Why it may not be made, or None.
        """
        asked = self._asked(cost, escalates=escalates)
        return None if asked is None else self._told(asked, *self._counting.hold(*asked))

    async def ahold(self, cost: Decimal | None, *, escalates: bool) -> BudgetExceeded | None:
        """Hold what an attempt may cost, without holding up the event loop; see ``hold``."""
        asked = self._asked(cost, escalates=escalates)
        return None if asked is None else self._told(asked, *await self._counting.ahold(*asked))

    def settle(self, spent: Decimal) -> None:
        """End the call: count what it did cost, and drop what it held. Never waits.

        Args:
            spent: Dollars.
        """
        nanos = to_nano(spent)
        if nanos or self._hold_ids:
            charges = self.charges(nanos, escalates=self._escalated)
            self._counting.settle(self._hold_ids, charges)
            for charge in charges:
                if charge.of_money and nanos:
                    # A server is not waited for: what others had spent there is known from the last hold.
                    self._warn(charge, self._counting.memory.spent(charge))

    def _charge(self, unit: str, window: str, key: str | None, setting: str, limit: int, amount: int) -> Charge:
        start, end = window_of(window, self._at)
        meter = f"{self.budget.name}|{unit}|{'' if key is None else f'key {key}'}|{window}"
        return Charge(meter, start, end, limit, amount, setting, int(self._at.timestamp()), key)

    def _asked(self, cost: Decimal | None, *, escalates: bool) -> tuple[str, tuple[Charge, ...]] | None:
        nanos = UNKNOWN if cost is None else to_nano(cost)
        charges = self.charges(nanos, escalates=escalates and not self._escalated)
        charges = tuple(charge for charge in charges if charge.amount)
        if not charges:
            return None
        hold_id = uuid.uuid4().hex
        self._hold_ids.append(hold_id)
        return hold_id, charges

    def _told(self, asked: tuple[str, tuple[Charge, ...]], taken: Taken, told: bool) -> BudgetExceeded | None:
        _, charges = asked
        if not told:
            self.events.append("budget_store_unavailable")
        for charge, used, spent in zip(charges, taken.used, taken.spent, strict=True):
            # Another process may have passed the mark. Of money what calls hold is not spent, and may never be; who
            # moves up has moved up.
            moved_up = used if taken.refused is not None else used + charge.amount
            self._warn(charge, spent if charge.of_money else moved_up)
        if taken.refused is not None:
            charge = charges[taken.refused]
            self.escalates_over = not charge.of_money
            return self._exceeded(charge, taken.used[taken.refused])
        self._escalated = self._escalated or any(not charge.of_money for charge in charges)
        return None

    def _warn(self, charge: Charge, used: int) -> None:
        """Tell once in each window that a limit is nearly reached by what is spent, whatever calls that run hold."""
        warned = self.budget.warned
        if not charge.limit or used < WARN_AT * charge.limit or charge.window in warned:
            return
        if len(warned) >= MOST_WARNED:
            warned.clear()
        warned.add(charge.window)
        self.events.append(f"budget_warning:{charge.setting}")
        logger.warning("%.0f%% of the budget's limit %s are used", 100 * used / charge.limit, charge.shown)

    def _exceeded(self, charge: Charge, used: int) -> BudgetExceeded:
        end = datetime.fromtimestamp(charge.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if charge.of_money:
            held = Decimal(charge.amount) / NANO
            own = f"this call may cost ${held:.6f}" if charge.amount > UNKNOWN else "what this call costs is not known"
            state = f"${Decimal(used) / NANO:.6f} are spent, or held for calls that run, and {own}"
        else:
            state = f"{used} calls have moved up"
        limit = f"The budget's limit {charge.shown} is reached: {state}."
        if charge.of_money and not self._local:
            return BudgetExceeded(
                f"{limit} Raise the limit, wait until {end}, or give the router a tier with local=True."
            )
        if self.budget.on_limit == "local":
            return BudgetExceeded(f"{limit} Raise the limit, or wait until {end}.")
        stay = "local tiers" if charge.of_money else "the cheapest tier"
        return BudgetExceeded(
            f'{limit} Raise the limit, wait until {end}, or have calls stay on {stay} with on_limit="local".'
        )
