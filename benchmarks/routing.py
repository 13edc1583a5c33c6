"""How well each classifier routes: on public prompts with known tiers, on recorded outcomes, and against steering.

The data are read from the folder in ``SLMROUTE_EVAL`` (``tasks.jsonl``, ``outcomes_*.jsonl``; by default
``../shared/eval`` beside the project). ``SLMROUTE_EVAL_SAMPLE`` says how many prompts the small model is asked about
(120; 0 leaves it out).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from slmroute import ChainClassifier, EmbeddedClassifier, FewShotClassifier, RouteRequest
from slmroute.attacks import steered
from slmroute.cases import Case, read_cases
from slmroute.classify.few_shot_prompt import INSTRUCTION
from slmroute.classify.platt import IDENTITY, Platt
from slmroute.cli.evaluate import tables
from slmroute.demo.requests import load_requests
from slmroute.errors import ClassifierUnsure, MissingExtra, SlmrouteError
from slmroute.evaluate import BASELINES, Evaluation, evaluate, request_score

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
ROUNDS = 200
BANDS = ((0.2, 0.6), (0.1, 0.9), (0.0, 1.0))

DETECTOR = """
import json, sys
from cascadeflow.quality.complexity import ComplexityDetector
detector = ComplexityDetector()
levels = ["trivial", "simple", "moderate", "hard", "expert"]
print(json.dumps([levels.index(detector.detect(text)[0].value) / 4 for text in json.load(sys.stdin)]))
"""
"""A peer's rules, run where the peer is installed."""


def folder() -> Path | None:
    """Where the data are, or None."""
    given = os.environ.get("SLMROUTE_EVAL")
    chosen = Path(given) if given else ROOT.parent / "shared" / "eval"
    return chosen if (chosen / "tasks.jsonl").is_file() else None


def shown(console: Console, title: str, found: Sequence[Evaluation]) -> None:
    console.print(f"\n{title}", highlight=False, soft_wrap=True)
    for table in tables(found):
        console.print(table)


def measured(
    name: str, cases: Sequence[Case], score: object, threshold: float = 0.5, *, rules: bool = False
) -> Evaluation:
    return evaluate(cases, name, score, threshold=threshold, probabilities=not rules, rounds=ROUNDS)  # type: ignore[arg-type]


def grades() -> dict[str, EmbeddedClassifier]:
    """The weights that ship and can be used here."""
    found: dict[str, EmbeddedClassifier] = {}
    for grade in ("light", "best"):
        try:
            found[grade] = EmbeddedClassifier(grade)
            found[grade].score(RouteRequest.from_text("Hello"))
        except (MissingExtra, SlmrouteError, OSError) as error:
            found.pop(grade, None)
            print(f"{grade}: left out ({type(error).__name__})")
    return found


def left_out(tasks: Path) -> dict[str, float] | None:
    """Scores of every prompt by a fit that has seen no prompt of its family of sources; None without scikit-learn."""
    try:
        from slmroute.classify.training.left_out import left_out_scores
        from slmroute.classify.training.logistic import matrices_of
    except ImportError:
        return None
    from slmroute.classify.training.rows import OWN_PROMPTS, read_prompts

    prompts = read_prompts([tasks, OWN_PROMPTS])
    labels = np.array([prompt.complex for prompt in prompts])
    split = left_out_scores(prompts, matrices_of([prompt.text for prompt in prompts]), labels, 0)
    scores: dict[str, float] = {}
    for fold in sorted(set(split.folds.tolist())):
        here, others = split.folds == fold, split.folds != fold
        platt = Platt.fit(split.logits[others].tolist(), labels[others].tolist())
        for place in np.flatnonzero(here).tolist():
            scores[prompts[place].text] = platt(float(split.logits[place]))
    return scores


def peer(cases: Sequence[Case]) -> list[float] | None:
    """The scores of a rule-based peer (cascadeflow's detector); None where it is not installed."""
    if not PEERS.exists():
        return None
    texts = json.dumps([case.text for case in cases])
    done = subprocess.run([PEERS, "-c", DETECTOR], input=texts, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


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
    """The small model's scores, not calibrated; milliseconds with its prompt's beginning reused, and without."""
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
        # A beginning that the server has not seen: its evaluation is what reuse spares.
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


def with_small_model(console: Console, cases: Sequence[Case], unseen: Mapping[str, float], count: int) -> None:
    from slmroute.local import LocalServer

    sample = stratified(cases, count)
    with LocalServer(keep_alive="1h", num_ctx=2048) as server:
        raw, warm, cold = small_model(sample, server.url, server.model)
        name = server.model
    scores = calibrated(sample, raw)
    found = [measured("few-shot", sample, [scores[case.text] for case in sample])]
    found.append(measured("embedded", sample, [unseen[case.text] for case in sample]))
    for band in BANDS:
        chain = ChainClassifier(looked_up(unseen), looked_up(scores), band=band)
        asked = sum(band[0] <= unseen[case.text] <= band[1] for case in sample) / len(sample)
        low, high = band
        found.append(measured(f"chain {low:g}-{high:g}, asks {asked:.0%}", sample, request_score(chain)))
    shown(
        console,
        f"{len(sample)} of these prompts, of all categories alike, with {name} as the small model: calibrated on the "
        "other half of them; embedded as in the first table, sources left out.",
        found,
    )
    print(f"a few-shot score takes {warm:.0f} ms with the prompt's beginning reused, {cold:.0f} ms without")


def steering(classifier: EmbeddedClassifier) -> None:
    requests = load_requests(None, short=False)
    score = request_score(classifier)
    print(f"\nSteering the embedded classifier, {len(requests)} requests of the demo; the filter knew these phrases:")
    for up, tier in ((True, "simple"), (False, "complex")):
        prompts = [one.prompt for one in requests if one.tier == tier]
        found = steered(score, prompts, classifier.threshold, up=up)
        print(
            f"  {'up' if up else 'down'}: {found.success:.1%} of {found.attempts} attempts; "
            f"worst {found.worst_share:.0%}, {found.worst!r}"
        )


def main() -> None:
    console = Console(width=150)
    found = grades()
    steering(found["light"])
    data = folder()
    if data is None:
        print("No prompts to measure on: set SLMROUTE_EVAL to a folder with tasks.jsonl and outcomes_*.jsonl.")
        return
    cases = read_cases([data / "tasks.jsonl"])
    rows: list[Evaluation] = []
    unseen = left_out(data / "tasks.jsonl")
    if unseen is not None:
        rows.append(measured("light, sources left out", cases, [unseen[case.text] for case in cases]))
    rows += [measured(f"{name}, as it ships*", cases, request_score(one), one.threshold) for name, one in found.items()]
    rows += [measured(name, cases, score, rules=True) for name, score in BASELINES.items()]
    rules = peer(cases)
    if rules is not None:
        rows.append(measured("cascadeflow's rules", cases, rules, 0.4, rules=True))
    shown(
        console,
        f"{len(cases)} public prompts with known tiers. Left out: fitted on this file's other families of sources and "
        "the project's own prompts, nothing else. *As it ships: the weights that ship were fitted on these prompts "
        "among others, so those rows say nothing of prompts to come.",
        rows,
    )
    for path in sorted(data.glob("outcomes_*.jsonl")):
        known = read_cases([path])
        rows = [measured(name, known, request_score(one), one.threshold) for name, one in found.items()]
        rows += [measured(name, known, score, rules=True) for name, score in BASELINES.items()]
        shown(console, f"{len(known)} recorded outcomes, {path.name}: no outcome was fitted on.", rows)
    count = int(os.environ.get("SLMROUTE_EVAL_SAMPLE", "120"))
    if count and unseen is not None:
        with_small_model(console, cases, unseen, count)


if __name__ == "__main__":
    main()
