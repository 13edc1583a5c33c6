"""What an audit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from slmroute.audit.projection import Interval, Tallied

__all__ = ["AuditResult", "CategoryLine", "FileLine", "UnsureCall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    """What was read of one file.

    Attributes:
        file: The file.
        form: Its format, in words.
        records: How many model calls it holds.
        other: How many records are something else.
        bad: How many lines cannot be read.
        bad_lines: The numbers of the first of them.
    """

    file: str
    form: str
    records: int
    other: int
    bad: int
    bad_lines: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryLine:
    """One kind of task.

    Attributes:
        category: The kind.
        calls: How many calls of it were looked at.
        share: The share of all calls.
        cost_share: The share of today's cost.
        simple: The share of them that is simple.
        interval: Where that lies for the whole log, at 95%.
        unsure: The share of them that the classifier is unsure of.
        examples: Some of their prompts; only where they were asked for.
    """

    category: str
    calls: int
    share: float
    cost_share: float
    simple: float
    interval: Interval
    unsure: float
    examples: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsureCall:
    """A call that the classifier is unsure of.

    Attributes:
        file: Its file.
        place: Its number there, counted from 1.
        score: P(its task is complex).
        category: What kind of task it is.
        prompt: Its prompt; only where prompts were asked for.
    """

    file: str
    place: int
    score: float
    category: str
    prompt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """What an audit found.

    Attributes:
        files: What was read of each file.
        calls: How many model calls there are in all.
        looked_at: How many of them were scored: all, or a random sample.
        without_prompt: How many of those that were drawn have no prompt.
        simple: The share of calls that is simple.
        simple_interval: Where that lies for the whole log, at 95%, as far as sampling goes.
        simple_range: The same if all unsure calls were complex, and if all were simple.
        unsure: The share of calls that the classifier is unsure of: their score is near the threshold.
        threshold: Scores above it are complex.
        classifier: The classifier's version.
        today: What the log's calls that have a prompt cost today, in dollars.
        today_interval: Where that lies, at 95%.
        cost_sources: How many of the calls looked at have a cost that is logged, listed or assumed.
        tokens_estimated: How many of them have estimated tokens.
        median_ms: The middle of today's times; None where the log has none.
        slowest_ms: The time that nine in ten calls are within; None where the log has none.
        patterns: What each way to route would come to.
        categories: The kinds of task, most calls first.
        unsure_calls: Some calls that the classifier is unsure of, the least sure first.
        assumed: What was taken for granted, in words.
        seconds: How long it took.
    """

    files: tuple[FileLine, ...]
    calls: int
    looked_at: int
    without_prompt: int
    simple: float
    simple_interval: Interval
    simple_range: Interval
    unsure: float
    threshold: float
    classifier: str
    today: float
    today_interval: Interval
    cost_sources: Mapping[str, int]
    tokens_estimated: int
    median_ms: float | None
    slowest_ms: float | None
    patterns: tuple[Tallied, ...]
    categories: tuple[CategoryLine, ...]
    unsure_calls: tuple[UnsureCall, ...]
    assumed: tuple[str, ...]
    seconds: float

    @property
    def sampled(self) -> bool:
        """Whether only some of the calls were looked at."""
        return self.looked_at + self.without_prompt < self.calls

    def to_json(self) -> dict[str, object]:
        """Give the result as plain JSON."""
        return {
            "files": [_fields(line) for line in self.files],
            "calls": self.calls,
            "looked_at": self.looked_at,
            "without_prompt": self.without_prompt,
            "sampled": self.sampled,
            "simple": {
                "share": _round(self.simple), "interval": _pair(self.simple_interval),
                "if_unsure_are_complex": _round(self.simple_range[0]),
                "if_unsure_are_simple": _round(self.simple_range[1]),
            },
            "unsure": _round(self.unsure),
            "threshold": _round(self.threshold),
            "classifier": self.classifier,
            "today": {
                "cost": _round(self.today), "interval": _pair(self.today_interval), "sources": dict(self.cost_sources),
                "estimated_tokens": self.tokens_estimated, "median_ms": self.median_ms, "p90_ms": self.slowest_ms,
            },
            "patterns": [
                {"name": each.name, "what": each.what, "stays_below": _round(each.stays),
                 "cost": _round(each.cost_share * self.today), "saved": _round(each.saved_share * self.today),
                 "saved_share": _round(each.saved_share), "saved_interval": _pair(each.saved_interval),
                 "median_ms": each.median_ms, "p90_ms": each.slowest_ms}
                for each in self.patterns
            ],
            "categories": [_fields(line) for line in self.categories],
            "unsure_calls": [_fields(line) for line in self.unsure_calls],
            "assumed": list(self.assumed),
            "seconds": round(self.seconds, 2),
        }  # fmt: skip


def _fields(line: FileLine | CategoryLine | UnsureCall) -> dict[str, object]:
    values = {name: getattr(line, name) for name in type(line).__slots__}
    return {name: _round(value) if isinstance(value, float) else _pair(value) if name == "interval" else value
            for name, value in values.items() if value not in (None, ())}  # fmt: skip


def _round(value: float) -> float:
    return round(value, 6)


def _pair(interval: Interval) -> list[float]:
    return [_round(interval[0]), _round(interval[1])]
