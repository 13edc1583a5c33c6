"""The style that a report's pictures share: an empty figure, bars, axes of money, legends."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from slmroute.errors import MissingExtra
from slmroute.report.palette import LIGHT
from slmroute.report.wording import dollars, duration, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NARROW", "ROW", "TEXT", "WIDE", "as_dollars", "as_duration", "as_percent", "bars", "blank", "legend",
           "literally", "money_axis"]  # fmt: skip

WIDE: Final = 720
NARROW: Final = 350
"""The widths of charts in pixels: on a screen or paper, and on a phone."""

TEXT: Final = 13
ROW: Final = 34


def blank(width: int, height: int) -> tuple[Figure, Any]:
    """Make an empty figure in the report's style, and its axes, whose types matplotlib does not tell in full.

    Args:
        width: Its width in pixels.
        height: Its height in pixels.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        from slmroute.report.drawing import Drawing
    except ImportError:
        raise MissingExtra("report", "A chart") from None

    figure = Drawing(figsize=(width / 72, height / 72), dpi=72, layout="constrained", facecolor="none")
    axes: Any = figure.subplots()
    axes.set_facecolor("none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT["muted"])
    axes.tick_params(length=0, labelsize=TEXT, colors=LIGHT["muted"], pad=6)
    axes.tick_params(which="minor", length=0)
    axes.set_axisbelow(True)
    return figure, axes


def bars(rows: Sequence[tuple[str, Decimal, str, str]], width: int) -> Figure:
    """Draw horizontal bars with their values written beside them.

    Args:
        rows: Name, length, the colour's name, and what is written.
        width: The figure's width in pixels.
    """
    figure, axes = blank(width, 24 + ROW * len(rows))
    longest = max((float(value) for _, value, _, _ in rows), default=0.0) or 1.0
    for place, (_, value, colour, words) in enumerate(rows):
        axes.barh(place, float(value), height=0.62, color=LIGHT[colour])
        axes.annotate(literally(words), (float(value), place), xytext=(6, 0), textcoords="offset points", va="center",
                      color=LIGHT["ink"], fontsize=TEXT)  # fmt: skip
    axes.set_yticks(range(len(rows)), [literally(name) for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    # Room for what is written beside the longest bar.
    axes.set_xlim(0, longest * (1.28 if width >= WIDE else 1.75))
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.axvline(0, color=LIGHT["muted"], linewidth=1)
    return figure


def money_axis(axes: Any, most: float, *, vertical: bool) -> None:
    """Give an axis of dollars few, round marks."""
    from matplotlib.ticker import MaxNLocator

    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(as_dollars)
    axes.grid(axis="y" if vertical else "x", color=LIGHT["grid"], linewidth=1)
    if most <= 0:
        (axes.set_ylim if vertical else axes.set_xlim)(0, 1)


def legend(axes: Any, place: str, anchor: tuple[float, float], columns: int) -> None:
    """Put a legend above the axes."""
    axes.legend(
        loc=place,
        bbox_to_anchor=anchor,
        ncols=columns,
        frameon=False,
        fontsize=TEXT,
        labelcolor=LIGHT["muted"],
        handlelength=0.9,
        handleheight=0.9,
        handletextpad=0.5,
        columnspacing=1.2,
        borderaxespad=0.0,
    )


def literally(text: object) -> str:
    """Keep matplotlib from reading dollar signs as the borders of a formula."""
    return str(text).replace("$", r"\$")


def as_dollars(value: float, _place: object = None) -> str:
    """Write a mark on an axis of money."""
    return literally(f"${value:.3g}" if 0 < abs(value) < 1 else dollars(Decimal(f"{value:.10g}")))


def as_duration(value: float, _place: object = None) -> str:
    """Write a mark on an axis of milliseconds."""
    return duration(value)


def as_percent(value: float, _place: object = None) -> str:
    """Write a mark on an axis of shares; none below zero."""
    return percent(value) if value >= 0 else ""
