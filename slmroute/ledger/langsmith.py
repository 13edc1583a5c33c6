"""Feedback that people gave in LangSmith, taken over into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from slmroute.ledger.ledger import Ledger

__all__ = ["import_feedback"]

PAGE: Final = 100
GOOD_FROM: Final = 0.5
RECORD_KEY: Final = "slmroute"


class Run(Protocol):
    """What is needed of a run, as LangSmith's client gives it."""

    id: Any
    trace_id: Any
    start_time: Any
    outputs: Any


class Score(Protocol):
    """What is needed of feedback, as LangSmith's client gives it."""

    run_id: Any
    score: Any


def import_feedback(
    ledger: Ledger,
    runs: Iterable[Run],
    feedback: Callable[[list[str]], Iterable[Score]],
    *,
    good_from: float = GOOD_FROM,
) -> int:
    """Take over the scores that LangSmith's runs were given; doing so again changes nothing.

    A run stands for the last routed call whose answer is in its output, or, where there is none, as behind an output
    parser, for the last one in its trace. Routed answers carry their call's id in their metadata. Feedback without a
    score (a comment) is passed over.

    Args:
        ledger: Where it goes, with the source ``langsmith``.
        runs: The runs of a project, all of a trace among them.
        feedback: Gives the feedback on runs, by up to 100 of their ids.
        good_from: Scores from here on mean that the answer was good.

    Returns:
        How many words of feedback were taken.

    Example:
        >>> client = langsmith.Client()  # doctest: +SKIP
        >>> import_feedback(  # doctest: +SKIP
        ...     Ledger("slmroute.db"),
        ...     client.list_runs(project_name="support"),
        ...     lambda ids: client.list_feedback(run_ids=ids, feedback_key=["correctness"]),
        ... )
        17
    """
    calls = _calls_of(runs)
    ids = list(calls)
    taken = 0
    for start in range(0, len(ids), PAGE):
        for word in feedback(ids[start : start + PAGE]):
            if word.score is not None:
                ledger.feedback(calls[str(word.run_id)], float(word.score) >= good_from, source="langsmith")
                taken += 1
    return taken


def _calls_of(runs: Iterable[Run]) -> dict[str, str]:
    """Find the routed call that each run stands for."""
    ordered = sorted(runs, key=lambda run: (str(run.trace_id), run.start_time))
    own = {str(run.id): ids[-1] for run in ordered if (ids := list(_call_ids(run.outputs)))}
    last_of_trace = {str(run.trace_id): own[str(run.id)] for run in ordered if str(run.id) in own}
    found: dict[str, str] = {}
    for run in ordered:
        call_id = own.get(str(run.id)) or last_of_trace.get(str(run.trace_id))
        if call_id is not None:
            found[str(run.id)] = call_id
    return found


def _call_ids(output: object) -> Iterator[str]:
    """Find the ids of routed calls in a run's output, in order."""
    if isinstance(output, Mapping):
        for key, value in cast("Mapping[str, object]", output).items():
            if key == RECORD_KEY and isinstance(value, Mapping):
                call_id = cast("Mapping[str, object]", value).get("call_id")
                if isinstance(call_id, str):
                    yield call_id
            else:
                yield from _call_ids(value)
    elif isinstance(output, Sequence) and not isinstance(output, str | bytes):
        for item in cast("Sequence[object]", output):
            yield from _call_ids(item)
