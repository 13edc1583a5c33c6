"""The pictures of an evaluation: cost against quality, and reliability, as matplotlib figures and as one HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from slmroute.evaluate import Evaluation, OutcomeFigures
from slmroute.evaluate_tables import FigureTable, cell_table, figure_tables
from slmroute.report.canvas import TEXT, WIDE, as_percent, blank, legend, literally
from slmroute.report.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["is_page", "page", "png", "quality_figure", "reliability_figure", "save_figures"]

COLOURS = ("spent", "small", "classifier", "draft", "judge", "middle", "baseline")

TITLES = {"quality": "Cost against quality", "reliability": "Reliability"}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>How well calls are routed</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2532}}
.scroll{{overflow-x:auto;margin:1rem 0}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
td,th{{padding:.3rem .7rem;text-align:right;vertical-align:top;border-bottom:1px solid #dfe4ea}}
td{{white-space:nowrap}}td small{{display:block;color:#5b6675}}
tr>th:first-child{{text-align:left;padding-left:0}}tbody th{{font-weight:normal}}
img{{max-width:100%}}summary{{cursor:pointer;font-weight:bold}}
@media(max-width:600px){{table{{font-size:13px}}td,th{{padding:.25rem .3rem}}td small{{font-size:11px}}}}</style>
<body>
<h1>How well calls are routed</h1>
<p>Brackets hold 95% bootstrap intervals.</p>
{parts}
</body>
</html>
"""


def quality_figure(
    found: Sequence[Evaluation], width: int = WIDE, *, banded: int = 1, quality: str = "mean quality"
) -> Figure | None:
    """Draw the quality that each share of strong calls gives, and what such shares cost where there are prices.

    Args:
        found: The evaluations.
        width: The figure's width in pixels.
        banded: So many of them, from the first on, are drawn with their intervals.
        quality: What stands at the axis of the quality.

    Returns:
        The figure, or None without recorded outcomes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    drawn = [one for one in found if one.outcomes is not None]
    if not drawn:
        return None
    costs = next((costs for one in drawn if (costs := ends_of(one)) is not None), None)
    figure, axes = blank(width, 360 if costs is None else 380)
    for place, one in enumerate(drawn):
        outcomes, colour = cast("OutcomeFigures", one.outcomes), LIGHT[COLOURS[place % len(COLOURS)]]
        shares, reached = zip(*outcomes.curve, strict=True)
        dashed = (0, (4, 3)) if one.name == "random" else "solid"
        axes.plot(shares, reached, label=one.name, linewidth=2, linestyle=dashed, color=colour)
        if place < banded:
            low, high = zip(*outcomes.band, strict=True)
            axes.fill_between(shares, low, high, color=colour, alpha=0.14, linewidth=0)
    axes.set_xlabel("share of calls at the strong model", fontsize=TEXT, color=LIGHT["muted"])
    axes.set_ylabel(quality, fontsize=TEXT, color=LIGHT["muted"])
    axes.xaxis.set_major_formatter(as_percent)
    axes.grid(color=LIGHT["grid"], linewidth=1)
    if costs is not None:
        cost_axis(axes, *costs)
    legend(axes, "upper left", (0.0, 1.14), min(5, len(drawn)))
    return figure


def ends_of(one: Evaluation) -> tuple[float, float] | None:
    """Give what a thousand calls cost, all weak and all strong; None where nothing tells them apart."""
    weak, strong = one.weak_cost_per_thousand, one.strong_cost_per_thousand
    return None if weak is None or strong is None or weak == strong else (float(weak), float(strong))


def cost_axis(axes: Any, weak: float, strong: float) -> None:
    """Say below each share what it costs: which calls go up differs from curve to curve, so at their mean length."""

    def both(share: float, _place: object = None) -> str:
        return f"{as_percent(share)}\n" + literally(f"${weak + share * (strong - weak):,.2f}")

    axes.set_xticks([step / 5 for step in range(6)])
    axes.xaxis.set_major_formatter(both)
    axes.set_xlabel(
        "share of calls at the strong model, and cost of a thousand calls of average length",
        fontsize=TEXT,
        color=LIGHT["muted"],
    )


def reliability_figure(found: Sequence[Evaluation], width: int = WIDE, *, counted: int = 1) -> Figure | None:
    """Draw observed against predicted shares; the larger a dot, the more prompts are behind it.

    Args:
        found: The evaluations.
        width: The figure's width in pixels.
        counted: At the dots of so many of them, from the first on, stands how many prompts are behind each.

    Returns:
        The figure, or None where no scores are probabilities.

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
        predicted, observed = [one.predicted for one in bins], [one.observed for one in bins]
        most = max(one.count for one in bins)
        axes.plot(predicted, observed, label=name, color=colour)
        axes.scatter(predicted, observed, s=[12 + 108 * one.count / most for one in bins], color=colour)
        for one in bins if place < counted else ():
            axes.annotate(f"{one.count:,}", (one.predicted, one.observed), xytext=(8, 6), textcoords="offset points",
                          color=LIGHT["muted"], fontsize=TEXT - 3)  # fmt: skip
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


def save_figures(found: Sequence[Evaluation], target: Path, told: Sequence[str], *, banded: int = 1) -> list[Path]:
    """Write the pictures.

    Args:
        found: The evaluations.
        target: A file that ends in ``.html`` gets one page with everything in it; any other name is a folder that gets
            ``quality.png`` and ``reliability.png``.
        told: What a page says of the prompts above the figures, a paragraph each.
        banded: So many evaluations, from the first on, are drawn with their intervals.

    Returns:
        The files written.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figures = {
        name: figure
        for name, figure in (
            ("quality", quality_figure(found, banded=banded)),
            ("reliability", reliability_figure(found)),
        )
        if figure is not None
    }
    if is_page(target):
        target.write_text(page(found, figures, told), encoding="utf-8")
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


def page(found: Sequence[Evaluation], figures: dict[str, Figure], told: Sequence[str]) -> str:
    """Write one page that opens offline: what the terminal shows, and the pictures."""
    parts = [f"<p>{escape(line)}</p>" for line in told]
    parts += [html_table(table) for table in figure_tables(found)]
    parts += [f"<h2>{TITLES[name]}</h2>\n{picture(TITLES[name], figure)}" for name, figure in figures.items()]
    cells = [html_table(table) for one in found if (table := cell_table(one)) is not None]
    if cells:
        parts.append(f"<details><summary>Right by category and length</summary>{''.join(cells)}</details>")
    return PAGE.format(parts="\n".join(parts))


def html_table(table: FigureTable) -> str:
    """Write a table in a box of its own, which scrolls where the screen is narrower."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.heads)
    rows = [
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{html_cell(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in table.rows
    ]
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.heads[0])}"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def html_cell(cell: str) -> str:
    """Write a figure, its interval small and in a line of its own."""
    value, bracket, interval = cell.partition(" [")
    return escape(value) + (f"<small>[{escape(interval)}</small>" if bracket else "")


def picture(title: str, figure: Figure) -> str:
    """Write a picture into the page itself."""
    return f'<img alt="{title}" src="data:image/png;base64,{base64.b64encode(png(figure)).decode()}">'
