"""The pictures of an evaluation: cost against quality, and reliability, as matplotlib figures and as one HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from slmroute.evaluate import Evaluation
from slmroute.metrics import Interval
from slmroute.report.canvas import TEXT, WIDE, as_percent, blank, legend
from slmroute.report.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["is_page", "page", "png", "quality_figure", "reliability_figure", "save_figures"]

COLOURS = ("spent", "small", "classifier", "draft", "judge", "middle", "baseline")

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>How well calls are routed</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2532}}
table{{border-collapse:collapse;display:block;overflow-x:auto}}
td,th{{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #dfe4ea}}
td:first-child,th:first-child{{text-align:left}}img{{max-width:100%}}</style>
<h1>How well calls are routed</h1>
<p>{count} labelled prompts. Intervals are 95% bootstrap intervals.</p>
{table}
{figures}
</html>
"""


def quality_figure(found: Sequence[Evaluation], width: int = WIDE) -> Figure | None:
    """Draw the quality that each share of strong calls gives, the first one's with its interval.

    None without recorded outcomes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    curves = [(one.name, one.outcomes.curve) for one in found if one.outcomes is not None]
    if not curves:
        return None
    figure, axes = blank(width, 360)
    for place, (name, curve) in enumerate(curves):
        shares, quality = zip(*curve, strict=True)
        dashed = (0, (4, 3)) if name == "random" else "solid"
        axes.plot(
            shares, quality, label=name, linewidth=2, linestyle=dashed, color=LIGHT[COLOURS[place % len(COLOURS)]]
        )
    first = next(one.outcomes for one in found if one.outcomes is not None)
    low, high = zip(*first.band, strict=True)
    axes.fill_between([share for share, _ in first.curve], low, high, color=LIGHT[COLOURS[0]], alpha=0.14, linewidth=0)
    axes.set_xlabel("share of calls at the strong model", fontsize=TEXT, color=LIGHT["muted"])
    axes.set_ylabel("mean quality", fontsize=TEXT, color=LIGHT["muted"])
    axes.xaxis.set_major_formatter(as_percent)
    axes.grid(color=LIGHT["grid"], linewidth=1)
    legend(axes, "upper left", (0.0, 1.14), min(4, len(curves)))
    return figure


def reliability_figure(found: Sequence[Evaluation], width: int = WIDE) -> Figure | None:
    """Draw observed against predicted shares; None where no scores are probabilities.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    lines = [(one.name, one.tiers.bins) for one in found if one.tiers is not None and one.tiers.bins]
    if not lines:
        return None
    figure, axes = blank(width, 360)
    axes.plot([0, 1], [0, 1], color=LIGHT["baseline"], linewidth=1, linestyle=(0, (4, 3)))
    for place, (name, bins) in enumerate(lines):
        colour = LIGHT[COLOURS[place % len(COLOURS)]]
        axes.plot([one.predicted for one in bins], [one.observed for one in bins], marker="o", label=name, color=colour)
    axes.set_xlabel("predicted: P(complex)", fontsize=TEXT, color=LIGHT["muted"])
    axes.set_ylabel("observed: share complex", fontsize=TEXT, color=LIGHT["muted"])
    axes.xaxis.set_major_formatter(as_percent)
    axes.yaxis.set_major_formatter(as_percent)
    axes.grid(color=LIGHT["grid"], linewidth=1)
    legend(axes, "upper left", (0.0, 1.14), min(4, len(lines)))
    return figure


def is_page(target: Path) -> bool:
    """Tell whether pictures go into one page, and not into a folder."""
    return target.suffix.lower() in (".html", ".htm")


def save_figures(found: Sequence[Evaluation], target: Path, count: int) -> list[Path]:
    """Write the pictures.

    Args:
        found: The evaluations.
        target: A file that ends in ``.html`` gets one page with everything in it; any other name is a folder that gets
            ``quality.png`` and ``reliability.png``.
        count: How many prompts were looked at.

    Returns:
        The files written.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figures = {
        name: figure
        for name, figure in (("quality", quality_figure(found)), ("reliability", reliability_figure(found)))
        if figure is not None
    }
    if is_page(target):
        target.write_text(page(found, figures, count), encoding="utf-8")
        return [target]
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, figure in figures.items():
        written.append(target / f"{name}.png")
        written[-1].write_bytes(png(figure))
    return written


def png(figure: Figure) -> bytes:
    """Give a figure as PNG on white paper, at twice the resolution of a screen."""
    out = io.BytesIO()
    cast("Any", figure).savefig(out, format="png", dpi=144, facecolor=LIGHT["paper"])
    return out.getvalue()


def page(found: Sequence[Evaluation], figures: dict[str, Figure], count: int) -> str:
    """Write one page that opens offline: the table and the pictures."""
    head = (
        "",
        "AUC",
        "long",
        "short",
        "kept local",
        "ECE",
        "accuracy",
        "APGR",
        "CPT(50)",
        "CPT(80)",
        "saved at 95%",
        "at 99%",
    )
    rows = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"]
    for one in found:
        cells = (one.name, *figures_of(one))
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    titles = {"quality": "Cost against quality", "reliability": "Reliability"}
    pictures = [
        f'<h2>{titles[name]}</h2><img alt="{titles[name]}" src="data:image/png;base64,{encoded}">'
        for name, encoded in ((name, base64.b64encode(png(figure)).decode()) for name, figure in figures.items())
    ]
    return PAGE.format(count=count, table=f"<table>{''.join(rows)}</table>", figures="\n".join(pictures))


def figures_of(one: Evaluation) -> list[str]:
    """Give an evaluation's figures as the cells of a table, a dash where there is none."""
    tiers, outcomes = one.tiers, one.outcomes
    cells = (
        [shown(interval) for interval in (tiers.auc, tiers.auc_long, tiers.auc_short, tiers.kept_local)]
        if tiers
        else ["-"] * 4
    )
    cells += [number(tiers.ece), number(tiers.accuracy)] if tiers else ["-"] * 2
    measured = (
        (outcomes.apgr, outcomes.cpt50, outcomes.cpt80, outcomes.saved_at_95, outcomes.saved_at_99) if outcomes else ()
    )
    return [*cells, *([shown(interval) for interval in measured] or ["-"] * 5)]


def number(value: float | None) -> str:
    """Write a figure with two digits, or a dash."""
    return "-" if value is None else f"{value:.2f}"


def shown(interval: Interval | None) -> str:
    """Write a figure with its interval, or a dash."""
    return "-" if interval is None else f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
