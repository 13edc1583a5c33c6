"""How complex prompts are, many at a time: in this process, or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Final, Protocol

from slmroute.audit.categories import category_of
from slmroute.classify.embedded import EmbeddedClassifier

__all__ = ["Scored", "Scorer", "scorer"]

CHUNK: Final = 250
WORTH_PROCESSES: Final = 3_000
"""Fewer prompts are scored before other processes have even started."""
AHEAD: Final = 4

Scored = tuple[float, str]
"""P(the prompt's task is complex), and what kind of task it is."""


class Scorer(Protocol):
    """Scores prompts."""

    def __call__(self, texts: Iterable[Sequence[str]], /) -> Iterator[list[Scored]]:
        """Score prompts, list by list, in order."""
        ...


@contextmanager
def scorer(expected: int, processes: int, weights: str | None = None) -> Generator[Scorer]:
    """Make what scores prompts, and end its processes afterwards.

    Args:
        expected: About how many prompts there are.
        processes: How many processes may work on them.
        weights: A weights file; None for the weights that ship.

    Yields:
        A function from lists of prompts to lists of scores, which takes them as it needs them.
    """
    if processes < 2 or expected < WORTH_PROCESSES:
        yield lambda texts: (score(batch, weights) for batch in texts)
        return
    # Not forked: DuckDB's threads would not survive it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:

        def in_processes(texts: Iterable[Sequence[str]]) -> Iterator[list[Scored]]:
            waiting: list[list[Future[list[Scored]]]] = []
            batches = iter(texts)
            # Only so far ahead as keeps everybody busy, so that a log of any size stays on disk.
            while True:
                for batch in islice(batches, AHEAD - len(waiting)):
                    parts = [batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK)]
                    waiting.append([pool.submit(score, part, weights) for part in parts])
                if not waiting:
                    return
                yield [scored for part in waiting.pop(0) for scored in part.result()]

        try:
            yield in_processes
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def score(texts: Sequence[str], weights: str | None) -> list[Scored]:
    """Score prompts here and now.

    Args:
        texts: The prompts.
        weights: A weights file; None for the weights that ship.
    """
    different = list(dict.fromkeys(texts))  # logs repeat themselves
    scores = classifier(weights).score_many(different)
    found = {text: (float(value), category_of(text)) for value, text in zip(scores, different, strict=True)}
    return [found[text] for text in texts]


@lru_cache(maxsize=2)
def classifier(weights: str | None) -> EmbeddedClassifier:
    """Give the classifier, loaded once in each process."""
    return EmbeddedClassifier(weights)
