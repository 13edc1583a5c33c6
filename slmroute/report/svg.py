"""A figure as an inline SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any, cast

from slmroute.report.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>')
_FAMILY = re.compile(r" font-family: [^;\"]+;")
_ID = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]+)')
_SPACE = re.compile(r">\s+<")
_TAG = re.compile(r"<[^>]+>")
_DIGITS = re.compile(r"(\d+\.\d{2})\d+")


def inline_svg(figure: Figure, name: str, classes: str = "") -> str:
    """Write a figure as SVG to be put into HTML.

    Colours of the palette become the page's variables (``var(--small)``), so that they follow its light and dark
    theme; text stays text, in the page's font. It is hidden from screen readers: the page puts the description and the
    table of numbers beside it.

    Args:
        figure: The figure.
        name: A name that is unique on the page; it goes in front of every id.
        classes: The element's classes.
    """
    import matplotlib as mpl

    context, save = cast("Any", mpl).rc_context, cast("Any", figure).savefig

    target = io.StringIO()
    with context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # Names may be in any script; the page's fonts have what matplotlib's has not.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        save(target, format="svg", transparent=True, metadata={"Date": None})
    svg = _METADATA.sub("", _PROLOGUE.sub("", target.getvalue(), count=1))
    svg = _SIZE.sub(rf'<svg class="{classes}" viewBox="\1" aria-hidden="true" focusable="false">', svg, count=1)
    svg = _FAMILY.sub("", svg)
    for colour, value in LIGHT.items():
        svg = svg.replace(value, f"var(--{colour})")
    used = set(_REFERENCE.findall(svg))
    svg = _ID.sub(lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = _REFERENCE.sub(lambda found: found[0].replace(f"#{found[1]}", f"#{name}-{found[1]}"), svg)
    shorter = _TAG.sub(lambda tag: _DIGITS.sub(r"\1", tag[0]), svg)  # coordinates only, never what is written
    return _SPACE.sub("><", shorter).strip()
