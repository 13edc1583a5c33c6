"""How well each classifier routes: on prompts of sources left out, on recorded outcomes, and against steering.

Run it as ``python -m benchmarks routing --data FOLDER``. The folder, which ``SLMROUTE_EVAL`` may name instead, holds

- ``tasks.jsonl``: prompts with known tiers (``prompt``, ``tier``, ``source``, ``category``), as for ``slmroute train
  embedded``; ``public.jsonl``, written by ``slmroute train sources``, is taken along where it is there;
- ``outcomes_*.jsonl``: what two models scored on prompts (``prompt``, ``weak_score``, ``strong_score``).

Without a folder the project's own prompts are judged alone, whole kinds of task left out. What
a score takes, and steering, are measured always.
``--small-model N`` has a small model judge N of the prompts, too (by default 120; 0 leaves it out); ``--grade light``
leaves out the best grade, which embeds every prompt and so takes many minutes. ``--plots FOLDER`` draws cost against
quality: ``tiers.png`` of the prompts with known tiers, and a picture of each file of outcomes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile
from pathlib import Path

import numpy as np
from rich.console import Console

from slmroute import ChainClassifier, EmbeddedClassifier, FewShotClassifier, RouteRequest
from slmroute.attacks import steered
from slmroute.baselines import baselines
from slmroute.cases import Case, read_cases
from slmroute.classify.few_shot_prompt import INSTRUCTION
from slmroute.classify.platt import IDENTITY, Platt
from slmroute.classify.training.rows import LabelledPrompt, own_prompts, read_prompts
from slmroute.cli.evaluate import cell_tables, tables
from slmroute.cli.tables import show
from slmroute.demo.requests import load_requests
from slmroute.errors import ClassifierUnsure, MissingExtra, SlmrouteError
from slmroute.evaluate import Evaluation, evaluate, request_score
from slmroute.evaluate_charts import png, quality_figure

ROUNDS = 200
BANDS = ((0.2, 0.6), (0.1, 0.9), (0.0, 1.0))


def arguments() -> argparse.Namespace:
    """The options behind the benchmark's name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks routing")
    parser.add_argument("--data", type=Path, default=os.environ.get("SLMROUTE_EVAL"), metavar="FOLDER")
    parser.add_argument("--small-model", type=int, default=120, metavar="N")
    parser.add_argument("--grade", choices=("light", "best"), action="append")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    given = parser.parse_args(list(dropwhile(lambda word: not word.startswith("-"), sys.argv[1:])))
    if given.data is not None and not (Path(given.data) / "tasks.jsonl").is_file():
        parser.error(f"--data {given.data} holds no tasks.jsonl; see benchmarks/routing.py for what belongs there.")
    return given


def shown(console: Console, title: str, found: Sequence[Evaluation]) -> None:
    console.print(f"\n{title}", highlight=False, soft_wrap=True)
    show(*tables(found), console=console)


def measured(
    name: str, cases: Sequence[Case], score: object, threshold: float = 0.5, *, rules: bool = False
) -> Evaluation:
    return evaluate(cases, name, score, threshold=threshold, probabilities=not rules, rounds=ROUNDS)  # type: ignore[arg-type]


def beside(cases: Sequence[Case]) -> list[Evaluation]:
    return [measured(one.name, cases, one.score, one.threshold, rules=True) for one in baselines()]


def grades(wanted: Sequence[str]) -> dict[str, EmbeddedClassifier]:
    """The weights that ship and can be used here."""
    found: dict[str, EmbeddedClassifier] = {}
    for grade in wanted:
        try:
            found[grade] = EmbeddedClassifier(grade)
            found[grade].score(RouteRequest.from_text("Hello"))
        except (MissingExtra, SlmrouteError, OSError) as error:
            found.pop(grade, None)
            print(f"{grade}: left out ({type(error).__name__})")
    return found


def left_out(prompts: Sequence[LabelledPrompt], grade: str) -> list[float] | None:
    """Scores of every prompt by a fit that has seen no prompt of its family of sources; None without scikit-learn."""
    try:
        from slmroute.classify.training.left_out import left_out_scores
        from slmroute.classify.training.logistic import matrices_of
    except ImportError:
        return None
    labels = np.array([prompt.complex for prompt in prompts])
    judged = np.array([not prompt.own and not prompt.everyday for prompt in prompts])
    split = left_out_scores(prompts, matrices_of([prompt.text for prompt in prompts], grade), labels, 0)
    odds, _ = split.calibrated(labels, judged if judged.any() else ~judged)
    return [IDENTITY(float(one)) for one in odds]


def with_sources_left_out(
    console: Console,
    prompts: Sequence[LabelledPrompt],
    found: Mapping[str, EmbeddedClassifier],
    title: str,
    plots: Path | None = None,
) -> dict[str, dict[str, float]]:
    """Show how each grade does on sources that its fit has not seen; gives its scores by the prompt's text."""
    public = [place for place, prompt in enumerate(prompts) if not prompt.own]
    judged = [place for place in public if not prompts[place].everyday] or list(range(len(prompts)))
    cases = [case_of(prompts[place]) for place in judged]
    rows: list[Evaluation] = []
    unseen: dict[str, dict[str, float]] = {}
    for grade, shipped in found.items():
        scores = left_out(prompts, grade)
        if scores is not None:
            unseen[grade] = {prompt.text: score for prompt, score in zip(prompts, scores, strict=True)}
            chosen = [scores[place] for place in judged]
            rows.append(measured(f"{grade}, sources left out", cases, chosen, shipped.threshold))
    embedded = list(rows)
    if plots is not None:
        # What the tiers say: the strong model does every task, the weak one the simple ones.
        done = [replace(case, weak=float(not case.complex), strong=1.0) for case in cases]
        scores = {grade: [unseen[grade][case.text] for case in cases] for grade in unseen}
        drawn(plots / "tiers.png", done, {**scores, **{one.name: one.score for one in baselines()}})
    rows += beside(cases)
    shown(console, f"{len(cases)} {title}", rows)
    show(*cell_tables(embedded), console=console)
    everyday = [prompts[place].text for place in public if prompts[place].everyday]
    for grade, scores in unseen.items() if everyday else ():
        stayed = sum(scores[text] <= found[grade].threshold for text in everyday) / len(everyday)
        print(
            f"{grade}: {stayed:.0%} of {len(everyday)} everyday messages of a source left out stay; the table has none"
        )
    return unseen


def drawn(target: Path, cases: Sequence[Case], scores: Mapping[str, object]) -> None:
    """Draw cost against quality, with the interval of the first."""
    figure = quality_figure([measured(name, cases, score) for name, score in scores.items()])
    if figure is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png(figure))


def case_of(prompt: LabelledPrompt) -> Case:
    return Case(prompt.text, prompt.complex, None, None, prompt.category, prompt.source)


def not_fitted_on(cases: Sequence[Case], prompts: Sequence[LabelledPrompt]) -> tuple[list[Case], int]:
    """The cases whose prompt is none of those that the weights were fitted on, and how many others there are."""
    fitted = {" ".join(prompt.text.split()) for prompt in prompts}
    unseen = [case for case in cases if " ".join(case.text.split()) not in fitted]
    return unseen, len(cases) - len(unseen)


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
        name_and_time = f"chain {low:g}-{high:g}, asks {asked:.0%}: {asked * warm:.0f} ms"
        found.append(measured(name_and_time, sample, request_score(chain)))
    shown(
        console,
        f"{len(sample)} of these prompts, of all categories alike, with {name} as the small model: calibrated on the "
        "other half of them; embedded is the light grade of the first table, sources left out. A chain's time is what "
        "asking the small model adds to a call on average.",
        found,
    )
    print(f"a few-shot score takes {warm:.0f} ms with the prompt's beginning reused, {cold:.0f} ms without")


def latency(found: Mapping[str, EmbeddedClassifier]) -> None:
    """What a score takes, one after the other, of instructions that come for the first time: real ones of the demo.

    They are put before the demo's longer requests, each time from another one on: a score looks at the lines and the
    sentences of a text, so that one sentence said again and again would take less than what people send.
    """
    prompts = [one.prompt for one in load_requests()]
    asked, longer = ([each for each in prompts if (len(each) > 300) == long] for long in (False, True))
    print("\nMilliseconds a score takes, median and 95% quantile (of 10 MB one only):")
    for grade, classifier in found.items():
        shown: list[str] = []
        for name, size in (("as asked", 0), ("1 kB", 1_000), ("100 kB", 100_000), ("10 MB", 10_000_000)):
            times: list[float] = []
            for place, prompt in enumerate(asked[:1] if size > 1_000_000 else asked):
                turned = "\n\n".join((*longer[place % len(longer) :], *longer[: place % len(longer)])) + "\n\n"
                text = prompt if not size else f"{prompt}\n\n{turned * (size // len(turned) + 1)}"[:size]
                request = RouteRequest.from_text(text)
                began = time.perf_counter()
                classifier.score(request)
                times.append((time.perf_counter() - began) * 1000)
            times.sort()
            shown.append(f"{name} {statistics.median(times):.1f}, {times[int(len(times) * 0.95)]:.1f}")
        print(f"  {grade}: {'; '.join(shown)}")


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
    given = arguments()
    found = grades(given.grade or ("light", "best"))
    steering(EmbeddedClassifier())
    latency(found)
    if given.data is None:
        print("\nNo --data FOLDER: only the project's own prompts are judged, no public ones and no outcomes.")
        title = "own prompts with known tiers. Whole kinds of task were left out of the fit: harder than new sources."
        with_sources_left_out(console, own_prompts(), {"light": EmbeddedClassifier()}, title)
        return
    data = Path(given.data)
    files = [data / name for name in ("tasks.jsonl", "public.jsonl") if (data / name).is_file()]
    title = (
        f"public prompts with known tiers ({', '.join(file.name for file in files)}). Each was judged by a fit to "
        "other families of sources and the project's own prompts, at the threshold that the shipped weights have."
    )
    prompts = [*read_prompts(files), *own_prompts()]
    unseen = with_sources_left_out(console, prompts, found, title, given.plots)
    for path in sorted(data.glob("outcomes_*.jsonl")):
        known, seen = not_fitted_on(read_cases([path]), prompts)
        if not known:
            print(f"\n{path.name}: left out, as the prompts of all its {seen} outcomes were fitted on.")
            continue
        rows = [measured(name, known, request_score(one), one.threshold) for name, one in found.items()]
        rows += beside(known)
        title = f"{len(known)} recorded outcomes, {path.name}: no outcome was fitted on"
        shown(console, f"{title}, and {seen} more are left out, as their prompts were fitted on.", rows)
        if given.plots is not None:
            scores = {name: request_score(one) for name, one in found.items()}
            drawn(given.plots / f"{path.stem}.png", known, {**scores, **{one.name: one.score for one in baselines()}})
    if given.small_model and "light" in unseen:
        with_small_model(console, read_cases([data / "tasks.jsonl"]), unseen["light"], given.small_model)


if __name__ == "__main__":
    main()
