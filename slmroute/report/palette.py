"""The colours of charts, by what they stand for; the page gives each of them a light and a dark value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["DARK", "LIGHT", "tier_colours"]

LIGHT: Final[Mapping[str, str]] = {
    "ink": "#1c2532",
    "muted": "#566173",
    "grid": "#dfe4ea",
    "paper": "#fdfdfc",
    "baseline": "#8c97a6",
    "spent": "#3b55a5",
    "small": "#0c8484",
    "middle": "#5a7d1e",
    "third": "#7a4a32",
    "frontier": "#3c56a6",
    "classifier": "#a86a00",
    "draft": "#c2415a",
    "judge": "#8450a8",
    "failed": "#6d7683",
    "line": "#b93c0a",
    "good": "#0b7a52",
}
"""Against paper, every mark has a contrast of 3:1 and every text of 4.5:1 or more. No value stands twice: the page
tells by it what a colour stands for."""

DARK: Final[Mapping[str, str]] = {
    "ink": "#e8ecf1",
    "muted": "#a3aebd",
    "grid": "#323b48",
    "paper": "#151a21",
    "baseline": "#7b8797",
    "spent": "#8ea6f2",
    "small": "#35c2bb",
    "middle": "#a3c95b",
    "third": "#cf9f86",
    "frontier": "#8fa7f3",
    "classifier": "#e3a73a",
    "draft": "#f2798d",
    "judge": "#c195e3",
    "failed": "#98a2b0",
    "line": "#ff9462",
    "good": "#45cf98",
}


def tier_colours(tiers: list[str], last: frozenset[str]) -> dict[str, str]:
    """Give each tier its colour.

    Args:
        tiers: The tiers, by what their answers cost, cheapest first.
        last: Those that the baseline is reckoned with.
    """
    below = [tier for tier in tiers if tier not in last]
    colours = {tier: LIGHT["frontier"] for tier in tiers if tier in last}
    for place, tier in enumerate(below):
        colours[tier] = LIGHT[("small", "middle", "third")[min(place, 2)]]
    return colours
