"""The pictures of a report, as matplotlib figures: on the page, in a notebook, in a slide.

matplotlib, because its SVG needs no script: it prints, it opens offline, a page stays under 200 kB where plotly's
library alone takes 4.8 MB, and the same figures give PNG and PDF.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from slmroute.failures import LINE, FailureRate, wilson
from slmroute.report.canvas import ROW, TEXT, WIDE, as_duration, as_percent, bars, blank, legend, literally, money_axis
from slmroute.report.facts import Report
from slmroute.report.palette import LIGHT, tier_colours
from slmroute.report.wording import dollars, duration, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CHARTS", "cost_by_day", "failures", "latency", "money", "shares"]

MOST_ROWS: Final = 12
DAYS_NAMED: Final = 9


def cost_by_day(report: Report, width: int = WIDE) -> Figure:
    """Draw what each day would have cost at the last tier, and what it cost.

    Args:
        report: The report.
        width: The figure's width in pixels.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure, axes = blank(width, 230)
    days = report.every_day
    places = range(len(days))
    baseline = [float(day.baseline) if day else 0.0 for _, day in days]
    spent = [float(day.compared_cost) if day else 0.0 for _, day in days]
    axes.bar(places, baseline, width=0.78, color=LIGHT["baseline"], label="at the last tier")
    axes.bar(places, spent, width=0.46, color=LIGHT["spent"], label="with routing")
    step = max(1, -(-len(days) // (DAYS_NAMED if width >= WIDE else 5)))
    names = [f"{date.fromisoformat(day):%a}\n{date.fromisoformat(day):%-d %b}" for day, _ in days]
    axes.set_xticks(list(places)[::step], names[::step])
    axes.set_xlim(-0.6, len(days) - 0.4)
    money_axis(axes, max(baseline + spent, default=0.0), vertical=True)
    legend(axes, "upper right", (1.0, 1.16), 2)
    return figure


def money(report: Report, width: int = WIDE) -> Figure:
    """Draw what the last tier alone would have cost, and under it each part of what was spent, on one scale.

    Args:
        report: The report.
        width: The figure's width in pixels.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    colours = {
        "classifier": "classifier", "small answers": "small", "drafts thrown away": "draft",
        "frontier answers": "frontier", "judges": "judge", "failed attempts": "failed",
    }  # fmt: skip
    spent = report.total.cost
    parts = [part for part in report.money if part.cost or part.name in ("classifier", "small answers")]
    parts.sort(key=lambda part: -part.cost)
    rows = [("all at the last tier", report.total.baseline, "baseline", dollars(report.total.baseline))]
    for part in parts:
        share = f" ({percent(part.cost / spent)})" if spent else ""
        rows.append((part.name, part.cost, colours[part.name], dollars(part.cost) + share))
    return bars(rows, width)


def shares(report: Report, width: int = WIDE) -> Figure | None:
    """Draw each tier's share of the calls beside its share of the cost.

    Args:
        report: The report.
        width: The figure's width in pixels.

    Returns:
        The figure; None where no call was answered.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    tiers = answering(report)
    if not tiers:
        return None
    colours = tier_colours([name for name, *_ in tiers], report.last_tiers)
    rows = [("of calls", [calls for _, calls, _ in tiers]), ("of cost", [float(cost) for *_, cost in tiers])]
    figure, axes = blank(width, 150)
    for place, (_, values) in enumerate(rows):
        left, whole = 0.0, sum(values) or 1
        for (name, *_), value in zip(tiers, values, strict=True):
            part = value / whole
            axes.barh(place, part, left=left, height=0.62, color=colours[name], edgecolor=LIGHT["paper"], linewidth=1.5,
                      label=literally(name) if place == 0 else None)  # fmt: skip
            if part > (0.08 if width >= WIDE else 0.16):
                axes.text(left + part / 2, place, percent(part), ha="center", va="center", color=LIGHT["paper"],
                          fontsize=TEXT, fontweight="bold")  # fmt: skip
            left += part
    axes.set_yticks([0, 1], [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    legend(axes, "upper left", (0.0, 1.34), 3)
    return figure


def latency(report: Report, width: int = WIDE) -> Figure | None:
    """Draw how long answers took by the tier that gave them: the middle, nine in ten, and 99 in 100.

    Args:
        report: The report.
        width: The figure's width in pixels.

    Returns:
        The figure; None where no time was measured.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    timed = [tier for tier in report.tiers if tier.group is not None and tier.group not in report.dry_tiers]
    rows = [
        (str(tier.group), times.p50, times.p90 or times.p50, times.p99 or times.p50)
        for tier in timed
        if (times := tier.total_ms).p50
    ]
    if not rows:
        return None
    order = [name for name, *_ in answering(report)]
    rows.sort(key=lambda row: order.index(row[0]) if row[0] in order else 0)
    colours = tier_colours(order, report.last_tiers)
    from matplotlib.ticker import LogLocator

    figure, axes = blank(width, 74 + ROW * len(rows))
    for place, (name, p50, p90, p99) in enumerate(rows):
        colour = colours.get(name, LIGHT["muted"])
        axes.plot([p50, p99], [place, place], color=colour, linewidth=1.5, solid_capstyle="butt")
        axes.plot([p50, p90], [place, place], color=colour, linewidth=7, solid_capstyle="butt", alpha=0.55)
        axes.plot(p50, place, "o", color=colour, markersize=11)
        axes.annotate(duration(p50), (p50, place), xytext=(0, 9), textcoords="offset points", ha="center",
                      color=LIGHT["ink"], fontsize=TEXT)  # fmt: skip
    axes.set_yticks(range(len(rows)), [literally(name) for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.8)
    axes.set_xscale("log", subs=[])
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if width >= WIDE else (1.0, 3.0)))
    axes.set_xlim(min(row[1] for row in rows) / 1.6, max(row[3] for row in rows) * 1.4)
    axes.xaxis.set_major_formatter(as_duration)
    axes.xaxis.set_minor_formatter("")
    axes.grid(axis="x", color=LIGHT["grid"], linewidth=1)
    return figure


def failures(report: Report, width: int = WIDE) -> Figure | None:
    """Draw the failure rates, with what they may truly be, against the 5% line; and how often calls escalated.

    Args:
        report: The report.
        width: The figure's width in pixels.

    Returns:
        The figure; None where no answer can have failed.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    rows = failure_rows(report)
    if not rows:
        return None
    figure, axes = blank(width, 74 + ROW * len(rows))
    rightmost = min(1.0, max(LINE * 2, *(high * 1.05 for _, _, (_, high), _ in rows)))
    for place, (_, rate, (low, high), colour) in enumerate(rows):
        axes.plot([low, min(high, rightmost)], [place, place], color=colour, linewidth=5, alpha=0.45,
                  solid_capstyle="round")  # fmt: skip
        axes.plot(rate, place, "o", color=colour, markersize=10)
        axes.annotate(percent(rate), (rate, place), xytext=(0, 8), textcoords="offset points", ha="center",
                      color=LIGHT["ink"], fontsize=TEXT - 1)  # fmt: skip
    axes.axvline(LINE, color=LIGHT["line"], linewidth=1.6, linestyle=(0, (5, 3)))
    axes.annotate("5% line", (LINE, -0.75), xytext=(5, 0), textcoords="offset points", color=LIGHT["line"],
                  fontsize=TEXT - 1, va="center")  # fmt: skip
    axes.set_yticks(range(len(rows)), [literally(name) for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -1.05)
    axes.set_xlim(-0.012 * rightmost / 0.1, rightmost)
    axes.xaxis.set_major_formatter(as_percent)
    axes.grid(axis="x", color=LIGHT["grid"], linewidth=1)
    return figure


CHARTS: Final[Mapping[str, Callable[..., Figure | None]]] = {
    "cost_by_day": cost_by_day,
    "money": money,
    "shares": shares,
    "latency": latency,
    "failures": failures,
}
"""Every chart by its name."""


def answering(report: Report) -> list[tuple[str, int, Decimal]]:
    """Give the tiers that answered with their calls and all that these calls cost, cheapest a call first."""
    tiers = [(str(tier.group), tier.calls, tier.cost) for tier in report.tiers if tier.group is not None]
    return sorted(tiers, key=lambda tier: (tier[0] in report.last_tiers, tier[2] / tier[1], tier[0]))


def failure_rows(report: Report) -> list[tuple[str, float, tuple[float, float], str]]:
    """Give the rows of the chart of failures: name, rate, interval, colour."""
    colours = tier_colours([name for name, *_ in answering(report)], report.last_tiers)

    def row(name: str, rate: FailureRate) -> tuple[str, float, tuple[float, float], str]:
        return name, rate.rate or 0.0, rate.interval, colours.get(rate.tier, LIGHT["muted"])

    rows = [row(rate.tier, rate) for rate in report.failures if rate.answers]
    below = [rate for rate in report.failures_by_category if rate.category and rate.tier not in report.last_tiers]
    below.sort(key=lambda rate: -(rate.rate or 0.0))
    several = len({rate.tier for rate in below}) > 1
    rows += [
        row(f"{rate.tier}, {rate.category}" if several else f"{rate.category}", rate)
        for rate in below[: MOST_ROWS - len(rows)]
    ]
    moved, calls = report.total.escalated, report.total.calls
    if rows:
        rows.append(("escalated", moved / calls, wilson(moved, calls), LIGHT["muted"]))
    return rows
