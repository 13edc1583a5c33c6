"""The pictures of an evaluation: cost against quality, and reliability, as matplotlib figures and as one HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from slmroute.evaluate import Evaluation
from slmroute.evaluate_tables import FigureTable, cell_table, figure_tables
from slmroute.report.canvas import TEXT, WIDE, as_percent, blank, legend
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


def save_figures(found: Sequence[Evaluation], target: Path, told: Sequence[str]) -> list[Path]:
    """Write the pictures.

    Args:
        found: The evaluations.
        target: A file that ends in ``.html`` gets one page with everything in it; any other name is a folder that gets
            ``quality.png`` and ``reliability.png``.
        told: What a page says of the prompts above the figures, a paragraph each.

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
