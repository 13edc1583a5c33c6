"""How well each classifier routes: on prompts of sources left out, on recorded outcomes, and against steering.

Run it as ``python -m benchmarks routing --data FOLDER``. The folder, which ``SLMROUTE_EVAL`` may name instead, holds

- ``tasks.jsonl``: prompts with known tiers (``prompt``, ``tier``, ``source``, ``category``), as for ``slmroute train
  embedded``; ``public.jsonl``, written by ``slmroute train sources``, is taken along where it is there;
- ``outcomes_*.jsonl``: what two models scored on prompts (``prompt``, ``weak_score``, ``strong_score``).

``make evaluate DATA=FOLDER`` is the same. Without a folder the project's own prompts are judged alone, whole kinds of
task left out. What a score takes, and steering, are measured always.
``--small-model N`` has a small model judge N of the prompts, too (by default 120; 0 leaves it out), and as many of
those that the light grade is unsure of; ``--grade light`` leaves out the best grade, which embeds every prompt and so
takes many minutes. ``--plots FOLDER`` draws cost against quality: ``tiers.png`` of the prompts with known tiers, and a
picture of each file of outcomes; ``--weak-price`` and ``--strong-price``, as ``slmroute evaluate`` takes them, put
dollars below the shares.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import dropwhile
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks._judged import beside, measured, shown
from benchmarks._small_model import with_small_model
from benchmarks._steering import steering
from slmroute import EmbeddedClassifier, RouteRequest
from slmroute.cases import Case, read_cases
from slmroute.classify.platt import IDENTITY
from slmroute.classify.training.rows import LabelledPrompt, own_prompts, read_prompts
from slmroute.cli.evaluate import cell_tables, costs_of
from slmroute.cli.tables import show
from slmroute.demo.requests import load_requests
from slmroute.errors import ConfigError, MissingExtra, SlmrouteError
from slmroute.evaluate import Costs, Evaluation, request_score
from slmroute.evaluate_charts import png, quality_figure

MISSING = """
No data: neither --data FOLDER (make evaluate DATA=FOLDER) nor SLMROUTE_EVAL names a folder.
Missing are the tables of every classifier (light, best, few-shot, chain, length, random, a peer's rules) on public
prompts, their sources left out, and on recorded outcomes such as RouteLLM's of MMLU. benchmarks/routing.py tells what
the folder holds. What follows instead says nothing of public prompts:"""

OWN = """
own prompts of the project, whole kinds of task left out of the fit, and no public prompt in it: each kind is new to
its judge, and mostly short messages are to be told from each other. So this is no figure for new sources: README gives
those, measured on public prompts."""

TASKS_DONE = "tasks done well, if the weak\nmodel does the simple ones only"


def arguments() -> argparse.Namespace:
    """The options behind the benchmark's name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks routing")
    parser.add_argument("--data", type=Path, default=os.environ.get("SLMROUTE_EVAL") or None, metavar="FOLDER")
    parser.add_argument("--small-model", type=int, default=120, metavar="N")
    parser.add_argument("--grade", choices=("light", "best"), action="append")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    parser.add_argument("--weak-price", metavar="INPUT/OUTPUT")
    parser.add_argument("--strong-price", metavar="INPUT/OUTPUT")
    given = parser.parse_args(list(dropwhile(lambda word: not word.startswith("-"), sys.argv[1:])))
    if given.data is not None and not (Path(given.data) / "tasks.jsonl").is_file():
        parser.error(f"--data {given.data} holds no tasks.jsonl; see benchmarks/routing.py for what belongs there.")
    try:
        given.costs = costs_of(given.weak_price, given.strong_price)
    except ConfigError as error:
        parser.error(str(error))
    return given


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
    costs: Costs | None = None,
    left: str = "sources",
) -> dict[str, dict[str, float]]:
    """Show how each grade does on sources that its fit has not seen; gives its scores by the prompt's text."""
    public = [place for place, prompt in enumerate(prompts) if not prompt.own]
    judged = [place for place in public if not prompts[place].everyday] or list(range(len(prompts)))
    cases = [case_of(prompts[place]) for place in judged]
    rows: list[Evaluation] = []
    unseen: dict[str, dict[str, float]] = {}
    for grade, shipped in found.items():
        scores = left_out(prompts, grade)
        if scores is None:
            print(f"{grade}: left out; without scikit-learn no fit can be made that has not seen a prompt's source")
            continue
        unseen[grade] = {prompt.text: score for prompt, score in zip(prompts, scores, strict=True)}
        chosen = [scores[place] for place in judged]
        rows.append(measured(f"{grade}, {left} left out", cases, chosen, shipped.threshold))
    embedded = list(rows)
    if plots is not None and unseen:
        # What the tiers say: the strong model does every task, the weak one the simple ones.
        done = [replace(case, weak=float(not case.complex), strong=1.0) for case in cases]
        scores = {grade: [unseen[grade][case.text] for case in cases] for grade in unseen}
        drawn(plots / "tiers.png", done, scores, costs, TASKS_DONE)
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


def drawn(
    target: Path,
    cases: Sequence[Case],
    scores: Mapping[str, object],
    costs: Costs | None,
    quality: str = "mean quality",
) -> None:
    """Draw cost against quality: the classifiers with their intervals, and what they have to beat."""
    found = [measured(name, cases, score, costs=costs) for name, score in scores.items()]
    figure = quality_figure([*found, *beside(cases)], banded=len(found), quality=quality)
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


def outcomes(
    console: Console,
    path: Path,
    prompts: Sequence[LabelledPrompt],
    found: Mapping[str, EmbeddedClassifier],
    plots: Path | None,
    costs: Costs | None,
) -> None:
    """Show what routing by each grade would have given, from recorded outcomes of prompts that no fit has seen."""
    known, seen = not_fitted_on(read_cases([path]), prompts)
    if not known:
        print(f"\n{path.name}: left out, as the prompts of all its {seen} outcomes were fitted on.")
        return
    scores = {name: [request_score(one)(case.text) for case in known] for name, one in found.items()}
    rows = [measured(name, known, own, found[name].threshold) for name, own in scores.items()]
    title = f"{len(known)} recorded outcomes, {path.name}: no outcome was fitted on"
    title += f", and {seen} more are left out, as their prompts were fitted on." if seen else ", and no prompt."
    shown(console, title, rows + beside(known))
    if plots is not None:
        drawn(plots / f"{path.stem}.png", known, scores, costs)


def main() -> None:
    console = Console(width=150)
    given = arguments()
    found = grades(given.grade or ("light", "best"))
    steering(found)
    latency(found)
    if find_spec("cascadeflow") is None:
        print("\nA peer's rules are left out of all tables: pip install cascadeflow")
    if given.data is None:
        print(MISSING)
        with_sources_left_out(
            console, own_prompts(), {"light": EmbeddedClassifier()}, OWN.strip(), left="kinds of task"
        )
        return
    data = Path(given.data)
    files = [data / name for name in ("tasks.jsonl", "public.jsonl") if (data / name).is_file()]
    title = (
        f"public prompts with known tiers ({', '.join(file.name for file in files)}). Each was judged by a fit to "
        "other families of sources and the project's own prompts, at the threshold that the shipped weights have."
    )
    if len(files) == 1:
        title += (
            " There is no public.jsonl (slmroute train sources writes it), so these fits know fewer sources than the "
            "shipped weights, whose figures README gives."
        )
    prompts = [*read_prompts(files), *own_prompts()]
    unseen = with_sources_left_out(console, prompts, found, title, given.plots, given.costs)
    recorded = sorted(data.glob("outcomes_*.jsonl"))
    if not recorded:
        print(f"\n{data} holds no outcomes_*.jsonl: nothing is said of recorded outcomes, such as RouteLLM's of MMLU.")
    for path in recorded:
        outcomes(console, path, prompts, found, given.plots, given.costs)
    if given.small_model and "light" in unseen:
        with_small_model(console, read_cases([data / "tasks.jsonl"]), unseen, given.small_model)


if __name__ == "__main__":
    main()
