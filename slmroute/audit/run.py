"""The audit: find the format, draw calls, judge them, add up."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from slmroute.audit.calls import Assumptions, logged_cost
from slmroute.audit.currency import DOLLARS, NoRateError, missing_rates
from slmroute.audit.formats import Format, check_things, find_format, first_prompt, mapped
from slmroute.audit.kinds import object_of
from slmroute.audit.log import PAGE, Log, Totals, connect
from slmroute.audit.projection import CLASSIFIER_MS, FIRST_TOKEN_MS, TOKEN_MS, patterns
from slmroute.audit.result import AuditResult, FileLine
from slmroute.audit.scoring import Page, Reading, scorer
from slmroute.audit.sums import Sums, assumptions_in_words
from slmroute.classify.embedded import EmbeddedClassifier
from slmroute.errors import ConfigError
from slmroute.failures import wilson

__all__ = ["SAMPLE", "audit"]

SAMPLE: Final = 10_000
"""Draws so many calls: a share is then within one point, 95 times of 100."""

SEED: Final = 42

Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose format is known, and what it adds up to."""

    log: Log
    form: Format
    totals: Totals


def audit(
    files: Sequence[str | os.PathLike[str]],
    *,
    places: Mapping[str, str] | None = None,
    sample: int = SAMPLE,
    everything: bool = False,
    assumed: Assumptions | None = None,
    weights: str | None = None,
    show: int = 0,
    processes: int = 1,
    progress: Progress = lambda _done, _of: None,
) -> AuditResult:
    """Audit logs of past calls.

    Args:
        files: JSON lines, JSON, CSV, Parquet or plain text, also gzipped: OpenAI requests and responses, exports of
            LangSmith and Langfuse, logs of LiteLLM, plain prompts. Each file's format is found.
        places: Where things stand in formats that are not known: ``{"prompt": "inputs.question"}``.
        sample: How many calls to draw at random, all files together.
        everything: Whether to look at every call instead.
        assumed: What to take for granted where the log is silent.
        weights: A weights file for the classifier; None for the weights that ship.
        show: How many prompts to keep of each kind of task in the result.
        processes: How many processes may judge prompts. More than one only from a script's ``__main__``.
        progress: Told of how many calls were judged, of how many.

    Returns:
        What was found.

    Raises:
        ConfigError: A file cannot be read, has no prompts in a place that is known, or has costs in a currency without
            a rate; the message says what was found and what to do.
        MissingExtra: DuckDB is not installed.
    """
    began = time.monotonic()
    assumed = assumed or Assumptions()
    if not files:
        raise ConfigError("There is nothing to audit: name one or more files.")
    if sample < 1:
        raise ConfigError(f"--sample {sample} must be 1 or more.")
    check_things(places or {})
    price_in, _ = assumed.frontier_price()
    with connect() as connection, TemporaryDirectory(prefix="slmroute-audit-", ignore_cleanup_errors=True) as scratch:
        sources = [_source(Log(Path(file), connection, Path(scratch)), places or {}) for file in files]
        population = sum(source.totals.records for source in sources)
        if population == 0:
            raise ConfigError(f"{', '.join(map(str, files))} hold no model calls that can be read.")
        wanted = population if everything else min(sample, population)
        judge = EmbeddedClassifier(weights)
        sums = Sums(patterns(judge.threshold), judge.threshold, price_in / 1_000_000, show)
        sizes = [None if everything else _part(source, population, wanted) for source in sources]
        try:
            with scorer(wanted, processes, weights) as score:
                for source, size in zip(sources, sizes, strict=True):
                    for judged in score(_pages(source, size), Reading(source.form, assumed, keeps_text=show > 0)):
                        sums.add(str(source.log.path), judged)
                        progress(sums.calls + sums.without_prompt, wanted)
        except NoRateError:
            raise _without_rates(sources, sizes, assumed) from None
    if sums.calls == 0:
        raise ConfigError(
            f"{', '.join(map(str, files))} hold no prompts: say where they stand with --map prompt=FIELD."
        )
    return _result(sources, sums, population, assumed, judge.version, time.monotonic() - began)


def _source(log: Log, places: Mapping[str, str]) -> Source:
    path = log.path
    first = log.first()
    form = mapped(Format("as mapped", (places["prompt"],)), places, first) if "prompt" in places else None
    if form is None:
        form = mapped(find_format(first, str(path)), places, first)
    return Source(log, form, log.totals(form))


def _without_rates(sources: Sequence[Source], sizes: Sequence[int | None], assumed: Assumptions) -> ConfigError:
    """Say which currencies have no rate: of all calls that would have been looked at, not only of the first."""
    costs: Counter[str] = Counter()
    where: list[str] = []
    for source, size in zip(sources, sizes, strict=True):
        found: Counter[str] = Counter()
        for page in _pages(source, size):
            docs = [doc for _, record in page if (doc := object_of(record)) is not None]
            calls = [doc for doc in docs if first_prompt(doc, source.form) is not None]
            found.update(cost[1] for doc in calls if (cost := logged_cost(doc, source.form)) is not None)
        costs += found
        if any(name not in (DOLLARS, *assumed.rates) for name in found):
            where.append(str(source.log.path))
    return ConfigError(missing_rates(where, costs, assumed.rates))


def _part(source: Source, population: int, wanted: int) -> int:
    """How many of the calls drawn are a file's: its share, so that every call is as likely to be drawn."""
    return max(1, round(wanted * source.totals.records / population)) if source.totals.records else 0


def _pages(source: Source, size: int | None) -> Iterator[Page]:
    if size is None:
        yield from source.log.all(source.form)
        return
    drawn = source.log.sample(source.form, size, SEED)
    for start in range(0, len(drawn), PAGE):
        yield drawn[start : start + PAGE]


def _result(
    sources: Sequence[Source],
    sums: Sums,
    population: int,
    assumed: Assumptions,
    version: str,
    seconds: float,
) -> AuditResult:
    looked_at = sums.calls
    sampled = looked_at + sums.without_prompt < population
    mean, interval = sums.today.value or 0.0, sums.today.interval(population) or (0.0, 0.0)
    median, slowest = sums.times()
    share = sums.simple / looked_at
    return AuditResult(
        files=tuple(
            FileLine(
                file=str(source.log.path),
                form=source.form.name,
                records=source.totals.records,
                other=source.totals.other,
                bad=source.totals.bad,
                bad_lines=source.totals.bad_lines,
            )
            for source in sources
        ),
        calls=population,
        looked_at=looked_at,
        without_prompt=sums.without_prompt,
        simple=share,
        simple_interval=wilson(sums.simple, looked_at) if sampled else (share, share),
        simple_range=(sums.surely_simple / looked_at, sums.possibly_simple / looked_at),
        unsure=sums.unsure / looked_at,
        threshold=sums.threshold,
        classifier=version,
        today=mean * population,
        today_interval=(interval[0] * population, interval[1] * population),
        cost_sources=dict(sums.sources),
        tokens_estimated=sums.estimated,
        median_ms=median,
        slowest_ms=slowest,
        patterns=sums.tallied(population),
        categories=sums.categories(),
        unsure_calls=sums.least_sure(),
        assumed=_in_words(sums, assumed, [source.form.note for source in sources], timed=median is not None),
        seconds=seconds,
    )


def _in_words(sums: Sums, assumed: Assumptions, notes: Sequence[str], *, timed: bool) -> tuple[str, ...]:
    said = [note for note in dict.fromkeys(notes) if note]
    said += assumptions_in_words(sums.sources, sums.estimated, sums.calls)
    if sums.sources.get("assumed"):
        said.append(
            f"{sums.sources['assumed']:,} of {sums.calls:,} calls have neither a cost (0 is taken for none) nor "
            f"a model with a list price: they are priced as {assumed.frontier}."
        )
    if sums.estimated:
        said.append(f"Where no length is told, an answer takes {assumed.answer_tokens} tokens.")
    said.append(
        "Local tiers cost what the presets declare: $0.08 and $0.22 a million tokens for a small model, half of that "
        "for a micro one, $0.0002 a classification by a small model."
    )
    said.append(
        "A saving lies between what it is if every call that the classifier is unsure of goes up and if every one "
        "stays, a sample's error at 95% included; how often it is wrong where it is sure, slmroute evaluate tells."
    )
    said.append(
        "A call that stays is taken to be answered well enough: one that has to be asked again of the frontier saves "
        "nothing. slmroute report shows how many do."
    )
    if timed:
        said.append(
            f"A local answer takes {FIRST_TOKEN_MS:.0f} ms and {TOKEN_MS:.0f} ms a token, a classification by a small "
            f"model {CLASSIFIER_MS:.0f} ms; measure yours with slmroute doctor."
        )
    return tuple(said)
