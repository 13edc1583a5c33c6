"""A figure that a notebook shows by itself."""

from __future__ import annotations

import io
from typing import Any, cast

from matplotlib.figure import Figure

from slmroute.report.palette import LIGHT

__all__ = ["Drawing"]

SHARPNESS = 2
"""Pixels for each point of the page, for screens that show so many."""


class Drawing(Figure):
    """A figure that shows itself where it is a cell's last value, whether or not pyplot was ever imported."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Give the picture and the size to show it in, in pixels; on light paper, which dark notebooks lack."""
        out = io.BytesIO()
        cast("Any", self).savefig(out, format="png", dpi=self.dpi * SHARPNESS, facecolor=LIGHT["paper"])
        width, height = (round(inches * self.dpi) for inches in self.get_size_inches())
        return out.getvalue(), {"width": width, "height": height}
