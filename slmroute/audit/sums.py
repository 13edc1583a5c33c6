"""Adding an audit up, some calls at a time, so that a log of any size fits in memory."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from slmroute.audit.calls import LoggedCall
from slmroute.audit.projection import Costs, Pattern, Ratio, Tallied, quantiles
from slmroute.audit.result import CategoryLine, UnsureCall
from slmroute.audit.scoring import Judged
from slmroute.failures import wilson

if TYPE_CHECKING:
    from slmroute.audit.projection import Column

__all__ = ["Sums"]

UNSURE: Final = 0.1
"""A score so near the threshold may be on the wrong side of it."""

MOST_TIMES: Final = 200_000
SHOWN_UNSURE: Final = 20
MOST_CATEGORIES: Final = 200
REST: Final = "other"


@dataclass(slots=True)
class CategorySums:
    """What one kind of task adds up to."""

    calls: int = 0
    simple: int = 0
    unsure: int = 0
    cost: float = 0.0
    examples: list[str] = field(default_factory=list[str], repr=False)


class Sums:
    """What was looked at, added up.

    Args:
        patterns: The ways to route.
        threshold: Scores above it are complex.
        frontier: Dollars for an input token of the frontier.
        show: How many prompts to keep of each kind of task; none unless they were asked for.
    """

    def __init__(self, patterns: Sequence[Pattern], threshold: float, frontier: float, show: int) -> None:
        self.patterns = patterns
        self.threshold = threshold
        self.calls = self.simple = self.unsure = self.surely_simple = self.possibly_simple = self.estimated = 0
        self.without_prompt = 0
        self.today = Ratio()
        self.sources: Counter[str] = Counter()
        self._frontier = frontier
        self._show = show
        self._ratios = {each.name: (Ratio(), Ratio(), Ratio()) for each in patterns}
        self._stays: Counter[str] = Counter()
        self._times: dict[str, list[Column]] = {"": [], **{each.name: [] for each in patterns}}
        self._timed = 0
        self._categories: dict[str, CategorySums] = {}
        self._least_sure: list[tuple[float, str, int, float, str, str | None]] = []

    def add(self, file: str, judged: Judged) -> None:
        """Add calls of one file with their scores.

        Records without a prompt are a part of what was drawn and cost nothing that is counted.
        """
        import numpy as np

        calls, scored = judged.calls, judged.scored
        self.without_prompt += judged.missing
        self.today.add(
            np.array([call.cost for call in calls] + [0.0] * judged.missing), np.ones(len(calls) + judged.missing)
        )
        for ratio in (ratio for each in self._ratios.values() for ratio in each):
            ratio.calls += judged.missing
        if not calls:
            return
        columns = Costs(
            today=np.array([call.cost for call in calls]),
            input_tokens=np.array([call.input_tokens for call in calls], dtype=np.float64),
            output_tokens=np.array([call.output_tokens for call in calls], dtype=np.float64),
            score=np.array([score for score, _ in scored]),
            latency_ms=np.array([np.nan if call.latency_ms is None else call.latency_ms for call in calls]),
            frontier=self._frontier,
        )
        simple = columns.score <= self.threshold
        unsure = np.abs(columns.score - self.threshold) < UNSURE
        self.calls += len(calls)
        self.simple += int(simple.sum())
        self.unsure += int(unsure.sum())
        self.surely_simple += int((simple & ~unsure).sum())
        self.possibly_simple += int((simple | unsure).sum())
        self.estimated += sum(call.tokens_source == "estimated" for call in calls)
        self.sources.update(call.cost_source for call in calls)
        self._add_patterns(columns)
        for call, (score, kind), is_simple, is_unsure in zip(calls, scored, simple, unsure, strict=True):
            self._add_category(file, call, score, kind, simple=bool(is_simple), unsure=bool(is_unsure))

    def tallied(self, population: int) -> tuple[Tallied, ...]:
        """Give what each pattern comes to.

        Args:
            population: How many calls there are in all.
        """
        found: list[Tallied] = []
        for each in self.patterns:
            middle, low, high = self._ratios[each.name]
            value, below, above = middle.value, low.interval(population), high.interval(population)
            if value is None or below is None or above is None:
                continue
            median, slowest = quantiles(self._times[each.name])
            found.append(
                Tallied(
                    name=each.name,
                    what=each.what,
                    stays=self._stays[each.name] / self.calls,
                    cost_share=value,
                    low=min(below[0], value),
                    high=max(above[1], value),
                    median_ms=median,
                    slowest_ms=slowest,
                )
            )
        return tuple(found)

    def times(self) -> tuple[float | None, float | None]:
        """Give the median and the 90% quantile of today's times; None where the log has none."""
        return quantiles(self._times[""])

    def categories(self) -> tuple[CategoryLine, ...]:
        """Give the kinds of task, most calls first."""
        cost = sum(each.cost for each in self._categories.values())
        lines = [
            CategoryLine(
                category=name,
                calls=each.calls,
                share=each.calls / self.calls,
                cost_share=each.cost / cost if cost else 0.0,
                simple=each.simple / each.calls,
                interval=wilson(each.simple, each.calls),
                unsure=each.unsure / each.calls,
                examples=tuple(each.examples),
            )
            for name, each in self._categories.items()
        ]
        return tuple(sorted(lines, key=lambda line: (-line.calls, line.category)))

    def least_sure(self) -> tuple[UnsureCall, ...]:
        """Give some of the calls that the classifier is unsure of, the least sure first."""
        return tuple(
            UnsureCall(file=file, place=place, score=score, category=kind, prompt=prompt)
            for _, file, place, score, kind, prompt in sorted(self._least_sure, key=lambda call: (-call[0], *call[1:3]))
        )

    def _add_patterns(self, columns: Costs) -> None:
        import numpy as np

        timed = self._timed < MOST_TIMES and not bool(np.isnan(columns.latency_ms).all())
        if timed:
            self._timed += len(columns.today)
            self._times[""].append(columns.latency_ms)
        for each in self.patterns:
            for ratio, shift in zip(self._ratios[each.name], (0.0, -UNSURE, UNSURE), strict=True):
                ratio.add(each.cost(columns, columns.score + shift), columns.today)
            self._stays[each.name] += int(each.stays(columns.score).sum())
            if timed:
                self._times[each.name].append(each.time(columns, columns.score))

    def _add_category(
        self, file: str, call: LoggedCall, score: float, kind: str, *, simple: bool, unsure: bool
    ) -> None:
        name = call.category or kind
        if name not in self._categories and len(self._categories) >= MOST_CATEGORIES:
            name = REST
        sums = self._categories.setdefault(name, CategorySums())
        sums.calls += 1
        sums.simple += simple
        sums.unsure += unsure
        sums.cost += call.cost
        if len(sums.examples) < self._show:
            sums.examples.append(call.text)
        if unsure:
            shown = call.text if self._show else None
            heapq.heappush(self._least_sure, (-abs(score - self.threshold), file, call.place, score, name, shown))
            if len(self._least_sure) > SHOWN_UNSURE:
                heapq.heappop(self._least_sure)


def assumptions_in_words(sources: Mapping[str, int], estimated: int, looked_at: int) -> Sequence[str]:
    """Say what the log did not."""
    said: list[str] = []
    if sources.get("listed"):
        said.append(
            f"{sources['listed']:,} of {looked_at:,} calls have no cost, or one of 0: "
            "their model's list price was used."
        )
    if sources.get("unreadable"):
        said.append(
            f"{sources['unreadable']:,} of {looked_at:,} calls have a cost that is no number (12.5 is one, 12,5 is "
            "none): the list price was used of their model, or of the frontier where it has none."
        )
    if estimated:
        said.append(f"{estimated:,} of {looked_at:,} calls have no token counts: they are estimated from their text.")
    return said
