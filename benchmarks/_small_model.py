"""The few-shot classifier and the chain with a real small model, on prompts that the light grade has not seen."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.console import Console

from benchmarks._judged import beside, measured, shown
from slmroute import ChainClassifier, FewShotClassifier, RouteRequest
from slmroute.cases import Case
from slmroute.classify.few_shot_prompt import INSTRUCTION
from slmroute.classify.platt import IDENTITY, Platt
from slmroute.errors import ClassifierUnsure
from slmroute.evaluate import Evaluation, request_score

BANDS = ((0.2, 0.6), (0.1, 0.9), (0.0, 1.0))
UNSURE = (0.05, 0.95)
"""Where the light grade is less than certain: only there can a second opinion change the order."""


def stratified(cases: Sequence[Case], count: int) -> list[Case]:
    """Half of either tier, of each category alike."""
    taken: list[Case] = []
    for tier in (False, True):
        waiting: dict[str, list[Case]] = {}
        for case in cases:
            if case.complex is tier:
                waiting.setdefault(case.category, []).append(case)
        while waiting and sum(case.complex is tier for case in taken) < count // 2:
            for category in sorted(waiting):
                taken.append(waiting[category].pop())
                if not waiting[category]:
                    del waiting[category]
    return taken[: count + 20]


def small_model(cases: Sequence[Case], url: str, model: str) -> tuple[dict[str, float], float, float]:
    """The small model's scores, not calibrated; milliseconds for one, and for reading its prompt's beginning."""
    scores: dict[str, float] = {}
    times: list[float] = []
    with FewShotClassifier(model, host=url, calibrator=IDENTITY, timeout_s=600) as classifier:
        classifier.warm_up()
        for case in cases:
            began = time.perf_counter()
            try:
                scores[case.text] = classifier.score(RouteRequest.from_text(case.text))
            except ClassifierUnsure:
                scores[case.text] = 0.5
            times.append((time.perf_counter() - began) * 1000)
    cold: list[float] = []
    for place in range(8):
        # A beginning that the server has not seen: reading it is what reuse spares each score.
        instruction = f"Number {place} of 8. {INSTRUCTION}"
        with FewShotClassifier(model, host=url, instruction=instruction, warm_up_timeout_s=600) as other:
            began = time.perf_counter()
            other.warm_up()
            cold.append((time.perf_counter() - began) * 1000)
    return scores, statistics.median(times), statistics.median(cold)


def calibrated(cases: Sequence[Case], raw: Mapping[str, float]) -> dict[str, float]:
    """Platt scaling of each half by the other."""
    scores: dict[str, float] = {}
    halves = cases[::2], cases[1::2]
    for here, there in (halves, halves[::-1]):
        odds = [float(np.log(raw[case.text] / (1 - raw[case.text] + 1e-12) + 1e-12)) for case in there]
        platt = Platt.fit(odds, [bool(case.complex) for case in there])
        for case in here:
            scores[case.text] = platt(float(np.log(raw[case.text] / (1 - raw[case.text] + 1e-12) + 1e-12)))
    return scores


def looked_up(scores: Mapping[str, float]) -> Callable[[RouteRequest], float]:
    return lambda request: scores[request.text]


def unsure(cases: Sequence[Case], unseen: Mapping[str, float]) -> list[Case]:
    """The cases that the light grade is not certain of."""
    low, high = UNSURE
    return [case for case in cases if low <= unseen[case.text] <= high]


def with_small_model(
    console: Console, cases: Sequence[Case], unseen: Mapping[str, Mapping[str, float]], count: int
) -> None:
    """Show every classifier on prompts of all categories alike, and on those that the light grade is unsure of."""
    from slmroute.local import LocalServer

    mixed, hard = stratified(cases, count), stratified(unsure(cases, unseen["light"]), count)
    with LocalServer(keep_alive="1h", num_ctx=2048) as server:
        raw, warm, beginning = small_model(
            list({case.text: case for case in (*mixed, *hard)}.values()), server.url, server.model
        )
        name = server.model
    low, high = UNSURE
    samples = (
        (
            mixed,
            "of these prompts, of all categories alike",
            "Where an embedded grade has 1.00 here, no chain can gain.",
        ),
        (hard, f"of these prompts that the light grade scores from {low:g} to {high:g}", "Here a chain can gain."),
    )
    for sample, which, remark in samples:
        if len({case.complex for case in sample}) < 2:
            print(f"\nOf the prompts {which.removeprefix('of these prompts ')} there are too few to measure.")
            continue
        shown(
            console,
            f"{len(sample)} {which}: every classifier. {name} is the small model, calibrated on the other half of "
            "them; the embedded grades are those of the first table, sources left out. A chain asks the light grade "
            f"first; its time is what asking the small model adds to a call on average. {remark}",
            rows_of(sample, unseen, calibrated(sample, raw), warm),
        )
    print(
        f"a few-shot score takes {warm:.0f} ms with its prompt's beginning reused; to read that beginning, which reuse "
        f"spares each score, takes {beginning:.0f} ms"
    )


def rows_of(
    sample: Sequence[Case], unseen: Mapping[str, Mapping[str, float]], scores: Mapping[str, float], warm: float
) -> list[Evaluation]:
    """The small model alone, the embedded grades, chains of both, and what they have to beat."""
    found = [measured("few-shot", sample, [scores[case.text] for case in sample])]
    found += [measured(grade, sample, [own[case.text] for case in sample]) for grade, own in unseen.items()]
    first = unseen["light"]
    for low, high in BANDS:
        chain = ChainClassifier(looked_up(first), looked_up(scores), band=(low, high))
        asked = sum(low <= first[case.text] <= high for case in sample) / len(sample)
        name = f"chain {low:g}-{high:g}, asks {asked:.0%}: {asked * warm:.0f} ms"
        found.append(measured(name, sample, request_score(chain)))
    return found + beside(sample)
