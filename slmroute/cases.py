"""Prompts whose right tier, or whose outcome on two models, is known: what routers are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slmroute.errors import ConfigError
from slmroute.jsonl import Row, finite, read_rows

__all__ = ["Case", "read_cases"]

OUTPUT_TOKENS = 250
"""How long an answer is taken to be where the data do not say."""


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt whose right tier, or whose outcome on two models, is known.

    Attributes:
        text: The prompt. Never in the repr.
        complex: Whether it belongs to the strong tier; None where only outcomes are known.
        weak: The quality of the weak model's answer, or None.
        strong: The quality of the strong model's answer, or None.
        category: The kind of task.
        source: Where it comes from.
        input_tokens: How long it is; estimated where the data do not say.
        output_tokens: How long its answer is.
        scores: Scores that came with the data, by the field's name.
    """

    text: str = field(repr=False)
    complex: bool | None
    weak: float | None
    strong: float | None
    category: str = "all"
    source: str = ""
    input_tokens: int = 0
    output_tokens: int = OUTPUT_TOKENS
    scores: Mapping[str, float] = field(default_factory=dict[str, float])


def read_cases(paths: Sequence[Path]) -> list[Case]:
    """Read labelled prompts.

    Args:
        paths: JSONL files, a row for each prompt: ``prompt`` with ``tier`` (``simple`` or ``complex``), or with
            ``weak_score`` and ``strong_score`` (the quality of two models' answers), or both. Optional: ``category``,
            ``source``, ``input_tokens``, ``output_tokens``; any other number is kept as a score by its name.

    Raises:
        ConfigError: A file cannot be read or a row is wrong; the message names file, line and field.
    """
    cases = [case_of(row) for path in paths for row in read_rows(path)]
    if not cases:
        raise ConfigError("--data holds no row: give JSONL files with prompt and tier, or weak_score and strong_score.")
    return cases


def case_of(one: Row) -> Case:
    """Parse one row."""
    row, where = one.fields, one.where
    text, tier = row.get("prompt"), row.get("tier")
    if not isinstance(text, str):
        raise ConfigError(f"{where}: 'prompt' must be a text.")
    if tier not in (None, "simple", "complex"):
        raise ConfigError(f"{where}: 'tier' must be 'simple' or 'complex', not {tier!r}.")
    numbers = {key: number for key, value in row.items() if (number := finite(value)) is not None}
    weak, strong = numbers.get("weak_score"), numbers.get("strong_score")
    if (weak is None) != (strong is None) or (tier is None and weak is None):
        raise ConfigError(f"{where}: give 'tier', or both 'weak_score' and 'strong_score' as numbers.")
    for name in ("input_tokens", "output_tokens"):
        if numbers.get(name, 0) < 0:
            raise ConfigError(f"{where}: {name!r} must not be negative.")
    return Case(
        text,
        None if tier is None else tier == "complex",
        weak,
        strong,
        str(row.get("category") or "all"),
        str(row.get("source") or ""),
        int(numbers.get("input_tokens", 0)),
        int(numbers.get("output_tokens", OUTPUT_TOKENS)),
        {key: value for key, value in numbers.items() if key not in ("weak_score", "strong_score")},
    )
