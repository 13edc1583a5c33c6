"""What any classifier has to beat: chance, length, and the rules of another router."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

__all__ = ["Baseline", "baselines"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A router without a classifier.

    Attributes:
        name: What figures call it.
        score: From a prompt to a score in [0, 1]; the higher, the more complex. It is no probability.
        threshold: Prompts above it go up.
    """

    name: str
    score: Callable[[str], float]
    threshold: float = 0.5


def baselines() -> list[Baseline]:
    """Give what classifiers are measured beside.

    Returns:
        A router by chance, one by length and, where cascadeflow is installed, one by the rules of its
        ``ComplexityDetector``, which knows five levels: what is moderate or harder goes up.
    """
    found = [Baseline("random", chance), Baseline("length", length_of)]
    if find_spec("cascadeflow") is not None:
        found.append(Baseline("cascadeflow", cascadeflow_rules(), threshold=0.4))
    return found


def chance(text: str) -> float:
    """Score by nothing: a number drawn from the text's digest."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) / 2**32


def length_of(text: str) -> float:
    """Score by the prompt's length alone, longer taken for more complex."""
    return 1 - 1 / (1 + len(text) / 500)


def cascadeflow_rules() -> Callable[[str], float]:
    """Score by the level that cascadeflow's rules find."""
    from cascadeflow.quality.complexity import ComplexityDetector, QueryComplexity

    # Its own annotations leave out what a dictionary in them holds.
    detect = cast("Callable[[str], tuple[QueryComplexity, float]]", ComplexityDetector().detect)  # pyright: ignore[reportUnknownMemberType]
    levels = list(QueryComplexity)

    def score(text: str) -> float:
        return (levels.index(detect(text)[0]) + 0.5) / len(levels)

    return score
