"""What routing gained by calls, and how their cost is written: one meaning of saved, wherever a report says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from slmroute.report.wording import alike, saving

if TYPE_CHECKING:
    from slmroute.ledger.summary import CallSummary

__all__ = ["Gain", "at_least", "gain_columns", "gain_of", "money_cells"]


@dataclass(frozen=True, slots=True)
class Gain:
    """What routing gained by some calls.

    What a weaker answer than wanted cost less is in none of it: a better tier did not answer, routing did not save.

    Attributes:
        saved: Dollars saved where the last tier is real; negative for a loss.
        projected: The same where it is a dry run, so that nobody saved it.
        baseline: Dollars that the calls would have cost at the last tier.
    """

    saved: Decimal
    projected: Decimal
    baseline: Decimal

    @property
    def both(self) -> Decimal:
        """What was saved and what is projected, together."""
        return self.saved + self.projected

    @property
    def share(self) -> float | None:
        """The same as a share of the baseline; None without a baseline."""
        return float(self.both / self.baseline) if self.baseline else None

    @property
    def word(self) -> str:
        """What it is: saved, projected, or some of each."""
        return ("saved or projected" if self.saved else "projected") if self.projected else "saved"


def gain_of(group: CallSummary) -> Gain:
    """Give what routing gained by the calls of a group."""
    whole = group.baseline - group.compared_cost - group.degraded_gain
    projected = group.projected - group.degraded_projected
    return Gain(whole - projected, projected, group.baseline)


def gain_columns(groups: Iterable[CallSummary]) -> tuple[str, ...]:
    """Name the columns of what was gained: saved, projected, or both where the groups have both."""
    gains = [gain_of(group) for group in groups]
    saved, projected = any(gain.saved for gain in gains), any(gain.projected for gain in gains)
    return (*(("saved",) if saved or not projected else ()), *(("projected",) if projected else ()))


def at_least(words: str, cost: Decimal, unpriced: int) -> str:
    """Mark an amount that leaves out what has no known price, or say that nothing of it is known."""
    if not unpriced:
        return words
    return f"\u2265 {words}" if cost else "unpriced"


def money_cells(group: CallSummary, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Write what calls would have cost, what they cost, and what was gained, so that what is printed adds up.

    Args:
        group: The calls.
        columns: The columns of what was gained, as ``gain_columns`` names them.

    Returns:
        The baseline, the cost, the columns, and what was gained as a share of the baseline.
    """
    gain = gain_of(group)
    parts = [gain.saved if name == "saved" else gain.projected for name in columns]
    if group.cost == group.compared_cost and not group.degraded_gain and len(parts) == 1:
        baseline, cost, *gained = saving(group.baseline, group.cost)
    else:  # what is in no saving was spent as well: then the row need not add up
        baseline, cost, *gained = alike(group.baseline, group.cost, *parts)
    cost = at_least(cost, group.cost, group.unpriced)
    if group.unpriced and not group.compared:
        return "-", cost, *("-" for _ in parts), "-"
    return baseline, cost, *gained, f"{gain.share:.1%}" if gain.share is not None else "-"
