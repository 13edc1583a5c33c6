"""Pictures of how well routing works: reliability diagrams, and cost against quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from slmroute.errors import ConfigError
from slmroute.report.canvas import TEXT, WIDE, as_percent, blank, legend, literally
from slmroute.report.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from slmroute.metrics import ReliabilityBin

__all__ = ["curves", "reliability_diagram", "save_png"]

COLOURS = ("small", "classifier", "frontier", "judge", "middle", "baseline")
SIZE = 360


def reliability_diagram(
    series: Mapping[str, Sequence[ReliabilityBin]],
    width: int = WIDE,
    *,
    across: str = "confidence",
    up: str = "share right",
) -> Figure:
    """Draw what came true against what was foretold; the nearer to the diagonal the better.

    Args:
        series: Bins by name; the first is drawn in front. A point is as large as its bin is full.
        width: The figure's width in pixels.
        across: What was foretold.
        up: What came true.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure, axes = blank(width, SIZE)
    axes.plot([0, 1], [0, 1], color=LIGHT["baseline"], linewidth=1.4, linestyle=(0, (5, 3)))
    for (name, bins), colour in zip(series.items(), COLOURS, strict=False):
        most = max((one.count for one in bins), default=1)
        places = [one.predicted for one in bins], [one.observed for one in bins]
        axes.plot(*places, color=LIGHT[colour], linewidth=1.8, label=literally(name))
        axes.scatter(*places, s=[18 + 130 * one.count / most for one in bins], color=LIGHT[colour], zorder=3, alpha=0.8)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.04)
    finished(axes, across, up, len(series))
    return figure


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    width: int = WIDE,
    *,
    across: str,
    up: str,
    bands: Mapping[str, Sequence[tuple[float, float, float]]] | None = None,
) -> Figure:
    """Draw curves of shares.

    Args:
        lines: Points by name, the first drawn in front.
        width: The figure's width in pixels.
        across: What the horizontal axis is.
        up: What the vertical axis is.
        bands: Where a curve may truly lie: place, lower and upper bound, by its name.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure, axes = blank(width, SIZE)
    for place, ((name, points), colour) in enumerate(zip(lines.items(), COLOURS, strict=False)):
        x, y = [one[0] for one in points], [one[1] for one in points]
        axes.plot(x, y, color=LIGHT[colour], linewidth=2.2 if place == 0 else 1.5, label=literally(name),
                  zorder=10 - place)  # fmt: skip
        if band := (bands or {}).get(name):
            x, low, high = zip(*band, strict=True)
            axes.fill_between(x, low, high, color=LIGHT[colour], alpha=0.14, linewidth=0)
    axes.set_xlim(-0.01, 1.01)
    finished(axes, across, up, len(lines))
    return figure


def finished(axes: Any, across: str, up: str, names: int) -> None:
    """Write on the axes what they are."""
    axes.xaxis.set_major_formatter(as_percent)
    axes.yaxis.set_major_formatter(as_percent)
    axes.grid(color=LIGHT["grid"], linewidth=1)
    axes.set_xlabel(across, color=LIGHT["muted"], fontsize=TEXT)
    axes.set_ylabel(up, color=LIGHT["muted"], fontsize=TEXT)
    legend(axes, "lower left", (0.0, 1.02), min(names, 3))


def save_png(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG on paper.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        cast("Any", figure).savefig(path, format="png", dpi=144, facecolor=LIGHT["paper"])
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
    return path
