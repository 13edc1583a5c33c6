"""The demo's own pictures, in the report's style."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from slmroute.demo.summary import DemoSummary
from slmroute.report.canvas import ROW, TEXT, WIDE, as_percent, bars, blank, legend
from slmroute.report.palette import LIGHT
from slmroute.report.wording import dollars, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["answers_by_kind", "month", "threshold_sweep"]

WRITTEN_FROM: Final = 1


def answers_by_kind(found: DemoSummary, width: int = WIDE) -> Figure:
    """Draw how many answers of the small model were right and wrong, and how many calls went up, by kind of work.

    Args:
        found: What the demo found.
        width: The figure's width in pixels.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    kinds = sorted(found.kinds, key=lambda kind: (-kind.local, kind.kind))
    figure, axes = blank(width, 60 + round(ROW * 0.75) * len(kinds))
    parts = [
        ("right", [kind.right for kind in kinds], LIGHT["good"]),
        ("wrong", [kind.wrong for kind in kinds], LIGHT["draft"]),
        ("not graded", [kind.local - kind.right - kind.wrong for kind in kinds], LIGHT["baseline"]),
        ("went to the frontier", [kind.calls - kind.local - kind.failed for kind in kinds], LIGHT["frontier"]),
    ]
    if any(kind.failed for kind in kinds):
        parts.append(("no answer", [kind.failed for kind in kinds], LIGHT["failed"]))
    left = [0] * len(kinds)
    for name, numbers, colour in parts:
        axes.barh(range(len(kinds)), numbers, left=left, height=0.66, color=colour, edgecolor=LIGHT["paper"],
                  linewidth=1.2, label=name)  # fmt: skip
        for place, number in enumerate(numbers):
            if number >= WRITTEN_FROM:
                axes.text(left[place] + number / 2, place, str(number), ha="center", va="center", color=LIGHT["paper"],
                          fontsize=TEXT - 2, fontweight="bold")  # fmt: skip
        left = [a + b for a, b in zip(left, numbers, strict=True)]
    axes.set_yticks(range(len(kinds)), [kind.kind for kind in kinds])
    axes.set_ylim(len(kinds) - 0.5, -0.6)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    rows = len(kinds) or 1
    legend(axes, "lower left", (0.0 if width >= WIDE else -0.3, 1.0 + 0.1 / rows), 4 if width >= WIDE else 2)
    return figure


def month(found: DemoSummary, width: int = WIDE) -> Figure:
    """Draw the month of 100,000 calls at textbook prices: all at the frontier, and with routing by its parts.

    Args:
        found: What the demo found.
        width: The figure's width in pixels.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    bill = found.textbook.month
    rows = [
        ("all at the frontier", bill.baseline, "baseline", dollars(bill.baseline)),
        ("with routing", bill.total, "spent", f"{dollars(bill.total)}, saved {percent(bill.saved_share)}"),
        ("frontier answers", bill.tiers.get("frontier", Decimal(0)), "frontier", dollars(bill.tiers.get("frontier"))),
        ("small answers", bill.tiers.get("small", Decimal(0)), "small", dollars(bill.tiers.get("small"))),
        ("classifier", bill.classifier, "classifier", dollars(bill.classifier)),
    ]
    return bars(rows, width)


def threshold_sweep(found: DemoSummary, width: int = WIDE) -> Figure | None:
    """Draw what share of the wrong, and of the right, local answers each threshold would have moved up.

    Args:
        found: What the demo found.
        width: The figure's width in pixels.

    Returns:
        The figure; None where no local answer was graded.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if not found.sweep:
        return None
    figure, axes = blank(width, 240)
    thresholds = [line.threshold for line in found.sweep]
    caught = [line.caught / line.wrong if line.wrong else 0.0 for line in found.sweep]
    moved = [line.disturbed / line.right if line.right else 0.0 for line in found.sweep]
    axes.plot(thresholds, caught, "o-", color=LIGHT["good"], linewidth=2.2, markersize=6, label="wrong answers caught")
    axes.plot(thresholds, moved, "s--", color=LIGHT["draft"], linewidth=2.2, markersize=6, label="right answers too")
    axes.set_ylim(-0.03, 1.05)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(as_percent)
    axes.set_xticks(thresholds if width >= WIDE else thresholds[::2])
    axes.set_xlabel("moved up when confidence is under", color=LIGHT["muted"], fontsize=TEXT)
    axes.grid(axis="y", color=LIGHT["grid"], linewidth=1)
    legend(axes, "lower left", (0.0, 1.02), 2 if width >= WIDE else 1)
    return figure
