"""How complex the calls of a log are, many at a time: in this process, or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Protocol

from slmroute.audit.calls import Assumptions, LoggedCall, call_of
from slmroute.audit.categories import category_of_task
from slmroute.audit.formats import Format, every_record
from slmroute.audit.kinds import object_of
from slmroute.classify.embedded import EmbeddedClassifier
from slmroute.classify.task_text import split_task

__all__ = ["Judged", "Page", "Reading", "Scored", "Scorer", "scorer"]

WORTH_PROCESSES: Final = 3_000
"""Fewer prompts are scored before other processes have even started."""
AHEAD: Final = 3
"""So many pages wait for each process."""
REMEMBERED: Final = 100_000
"""Of so many prompts a process knows the score: logs repeat themselves. That takes about 20 MB."""
ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

Scored = tuple[float, str]
"""P(the prompt's task is complex), and what kind of task it is."""

Page = Sequence[tuple[int, str]]
"""Some records as the log has them, each with its number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a log's records are read.

    Attributes:
        form: Their format.
        assumed: What is taken for granted where they are silent.
        keeps_text: Whether prompts are kept beyond their scores.
    """

    form: Format
    assumed: Assumptions
    keeps_text: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """The calls of a page.

    Attributes:
        calls: Those that have a prompt; without it, where prompts are not kept.
        scored: How complex each is.
        missing: How many records have none.
    """

    calls: list[LoggedCall]
    scored: list[Scored]
    missing: int


class Scorer(Protocol):
    """Reads and scores the pages of a log."""

    def __call__(self, pages: Iterable[Page], reading: Reading, /) -> Iterator[Judged]:
        """Score pages in order, each taken when it is needed."""
        ...


class Scores:
    """Scores prompts, each wording once.

    Args:
        weights: A weights file; None for the weights that ship.
    """

    def __init__(self, weights: str | None) -> None:
        self._classifier = EmbeddedClassifier(weights)
        self._known: dict[bytes, Scored] = {}

    def of(self, text: str) -> Scored:
        """Score a prompt."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        found = self._known.get(key)
        if found is None:
            task = split_task(text)
            found = self._classifier.score_task(task), category_of_task(task)
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = found
        return found

    def judge(self, page: Page, reading: Reading) -> Judged:
        """Read the records of a page and score their prompts."""
        calls: list[LoggedCall] = []
        scored: list[Scored] = []
        for place, record in page:
            doc = object_of(record)
            call = None if doc is None else call_of(place, doc, reading.form, reading.assumed)
            if call is not None:
                scored.append(self.of(call.text))
                calls.append(call if reading.keeps_text else replace(call, text=""))
        return Judged(calls, scored, len(page) - len(calls))


@contextmanager
def scorer(expected: int, processes: int, weights: str | None = None) -> Generator[Scorer]:
    """Make what reads and scores records, and end its processes afterwards.

    Args:
        expected: About how many records there are.
        processes: How many processes may work on them.
        weights: A weights file; None for the weights that ship.

    Yields:
        A function from pages to judged pages, which takes them as it needs them.
    """
    if processes < 2 or expected < WORTH_PROCESSES:
        scores = Scores(weights)
        yield lambda pages, reading: (scores.judge(page, reading) for page in pages)
        return
    # Not forked: DuckDB's threads would not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=keep_to_one_thread) as pool:

        def in_processes(pages: Iterable[Page], reading: Reading) -> Iterator[Judged]:
            # Its test of records need not and cannot go to another process.
            reading = replace(reading, form=replace(reading.form, is_one=every_record))
            waiting: deque[Future[Judged]] = deque()
            # Only so far ahead as keeps everybody busy, so that a log of any size stays on disk.
            for page in pages:
                waiting.append(pool.submit(judge_there, page, reading, weights))
                if len(waiting) > AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        try:
            yield in_processes
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def keep_to_one_thread() -> None:
    """Keep numpy to one thread in a process of several: threads of all of them would only wait for each other."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")


def judge_there(page: Page, reading: Reading, weights: str | None) -> Judged:
    """Judge a page in a process of its own."""
    return scores_there(weights).judge(page, reading)


@lru_cache(maxsize=1)
def scores_there(weights: str | None) -> Scores:
    """Give what scores prompts, made once in each process."""
    return Scores(weights)
