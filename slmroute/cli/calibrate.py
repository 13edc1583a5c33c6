"""``slmroute calibrate``: from log-probabilities to confidence, and the threshold that keeps a promise."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slmroute.calibrators import ALL_FEATURES
from slmroute.report.wording import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from slmroute.calibrate import Calibration

app = typer.Typer()

DEFAULT_MODEL = "ollama:phi3:mini"
MOST_NAMED = 5
TELLING = 0.6
"""The area under the ROC curve from which a confidence says something."""


class How(StrEnum):
    """How log-odds become probabilities."""

    PLATT = "platt"
    ISOTONIC = "isotonic"


@app.command()
def calibrate(
    outcomes: Annotated[
        Path,
        typer.Argument(
            help="JSONL: correct (true, false), logprobs (one a token), optionally margins (one a token), source, "
            "category, id, model. Plain confidences, as of judges, are calibrated in Python: Platt.fit."
        ),
    ],
    *,
    target: Annotated[float, typer.Option(help="The failure rate that served answers must stay under.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="How sure to be of that.")] = 0.95,
    to: Annotated[Path, typer.Option("--out", "-o", help="The calibrator to write.")] = Path("calibrator.json"),
    method: Annotated[How, typer.Option(help="isotonic takes some hundred outcomes.")] = How.PLATT,
    features: Annotated[
        str | None,
        typer.Option(
            help=f"What of the tokens to look at, by commas: {', '.join(ALL_FEATURES)}. margin takes margins in every "
            "row.",
            show_default="what does best on sources left out",
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="A page with the reliability diagram to write: .html, or .png.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="JSONL with prompt and answer, optionally source: have --model answer, and add to OUTCOMES first.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model to run, on Ollama.", show_default=DEFAULT_MODEL)] = None,
    host: Annotated[str | None, typer.Option(help="Ollama's address; default: OLLAMA_HOST.")] = None,
    limit: Annotated[int | None, typer.Option(help="Run at most so many prompts, of all sources alike.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="How outcomes are split.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Give the figures as JSON.")] = False,
) -> None:
    """Fit a calibrator on labelled outcomes of a small model, and choose the threshold from which it may be served.

    The failure rate of what is served stays under --target with the stated --confidence (fixed-sequence testing with
    Clopper-Pearson bounds: Angelopoulos and others, "Learn then test", 2021), for answers mixed as the outcomes are:
    they are dealt at random into a half that is fitted on and one that is tested on. Sources that would fail more often
    were they not among them are named. Where no threshold keeps that promise it says what is missing and exits with 1;
    the calibrator is written all the same, without a threshold, but never in place of one that has a threshold.
    """
    from slmroute.calibrate import calibrate as work_out
    from slmroute.calibrate import checked_features
    from slmroute.cli.console import out, print_json
    from slmroute.cli.tables import show
    from slmroute.cli.target import check_target
    from slmroute.errors import ConfigError
    from slmroute.outcomes import read_outcomes
    from slmroute.risk import answers_needed

    for setting, share in (("--target", target), ("--confidence", confidence)):
        if not 0 < share < 1:
            raise ConfigError(f"{setting} {share:g} must be above 0 and below 1, for example 0.05 or 0.95.")
    if answers_needed(target, confidence) is None:
        raise ConfigError(
            f"--target {target:g} with --confidence {confidence:g} would take millions of labelled answers: give a "
            "larger --target, for example 0.05, or less --confidence."
        )
    chosen = None if features is None else [name.strip() for name in features.split(",") if name.strip()]
    if chosen is not None:
        checked_features(chosen, (), "--features")
    check_target(to, "--out")
    if page is not None:
        _check_page(page)
    if run is not None:
        _run(run, outcomes, model or DEFAULT_MODEL, host, limit, seed)
    elif unused := [name for name, value in (("--model", model), ("--host", host), ("--limit", limit)) if value]:
        raise ConfigError(
            f"{unused[0]} is for a model that is run: give --run ANSWERS.jsonl beside it, or leave it out."
        )
    rows = read_outcomes(outcomes)
    if chosen is not None:
        checked_features(chosen, rows, "--features")
    found = work_out(rows, target=target, confidence=confidence, method=method.value, features=chosen, seed=seed)
    wanted, to = to, found.calibrator.save(_where(found, to))
    if page is not None:
        _write_page(found, page)
    if as_json:
        print_json({**found.to_json(), "out": to})
    else:
        show(_figures(found), _coverage(found))
        out.print(_words(found, to, wanted), highlight=False, soft_wrap=True)
    if found.tested is None:
        raise typer.Exit(1)


def _where(found: Calibration, to: Path) -> Path:
    """Tell where the calibrator goes: one without a threshold takes no place of one that answers are served by."""
    from slmroute.calibrators import FittedCalibrator
    from slmroute.errors import ConfigError

    if found.tested is not None or not to.is_file():
        return to
    try:
        there = FittedCalibrator.load(to)
    except ConfigError:
        return to
    return to if there.threshold is None else to.with_name(f"{to.stem}.no-threshold{to.suffix}")


def _run(answers: Path, outcomes: Path, model: str, host: str | None, limit: int | None, seed: int) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    from slmroute.cli.console import err
    from slmroute.errors import ConfigError
    from slmroute.outcomes import Outcome, append_outcome, read_known_answers, read_outcomes, run_model, sampled

    provider, _, name = model.partition(":")
    if provider != "ollama" or not name:
        raise ConfigError(f"--model {model}: log-probabilities are read from Ollama; write ollama:NAME.")
    if not answers.is_file():
        raise ConfigError(f"--run {answers} is not a file: give JSONL with prompt and answer a row.")
    prompts = read_known_answers(answers)
    if not prompts:
        raise ConfigError(f"--run {answers} holds no rows: give JSONL with prompt and answer a row.")
    there = read_outcomes(outcomes) if outcomes.exists() else []
    if others := sorted({one.model for one in there} - {name}):
        raise ConfigError(
            f"{outcomes} holds outcomes of {', '.join(map(repr, others))}, and --model is {name!r}: each model is "
            "calibrated by itself, so name another file for its outcomes, or give --model ollama:NAME of those there."
            if all(others)
            else f"{outcomes} holds outcomes that do not say of which model they are: name another file for those of "
            f"--model {model}, or give each row its 'model'."
        )
    known = {(one.source, one.id) for one in there}
    waiting = [one for one in sampled(prompts, limit, seed) if (one.source, one.id) not in known]
    columns = (SpinnerColumn(), TextColumn("answering"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[words]}", style="dim"), console=err) as bar:
        task = bar.add_task("", total=len(waiting), words="")
        right = 0

        def note(outcome: Outcome) -> None:
            nonlocal right
            append_outcome(outcomes, outcome)
            right += outcome.correct
            bar.update(task, advance=1, words=f"{right} right")

        answered = run_model(waiting, name, host=host, done=note)
    if missing := len(waiting) - len(answered):
        err.print(f"Left out: {counted(missing, 'prompt')} without an answer.")


def _figures(found: Calibration) -> Table:
    from rich import box
    from rich.table import Table

    left = found.left_out
    judged = "" if left.judged == found.outcomes else f"{left.judged} of them "
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{found.outcomes} outcomes, {percent(found.accuracy)} right; "
        f"{judged}judged with their {left.by} left out",
        title_justify="left",
    )
    for name in ("", "calibrated", "plain mean"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("AUC, right against wrong", _number(left.auc), _number(left.auc_plain))
    table.add_row("expected calibration error", _number(left.ece), _number(left.ece_plain))
    if left.auc_margin is not None:
        table.add_row("AUC of the lowest margin alone", "", _number(left.auc_margin))
    return table


def _coverage(found: Calibration) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title="Serving the surest answers (left out)", title_justify="left")
    for name in ("served", "answers", "right", "confidence from"):
        table.add_column(name, justify="right")
    for one in found.left_out.coverage:
        table.add_row(percent(one.share), str(one.answers), percent(one.accuracy), f"{one.threshold:.3f}")
    return table


def _words(found: Calibration, to: Path, wanted: Path) -> str:
    left, lines = found.left_out, [found.advice]
    if left.judged < found.outcomes:
        lines.insert(
            0,
            f"In no figure above: {counted(found.outcomes - left.judged, 'outcome')}, as without their {left.by} too "
            "few right or wrong ones remain to fit on.",
        )
    if found.repeated:
        lines.insert(
            0,
            f"Left out: {counted(found.repeated, 'row')} repeating others. Where rows are of different prompts, give "
            "each an id of its own.",
        )
    if found.tested is not None:
        bound = percent(found.tested.bound)
        lines.append(
            f"{found.tested.failures} of {found.tested.served} served answers were wrong in the test: under {bound} "
            f"with confidence {found.confidence:g}, for answers mixed as these outcomes are."
        )
    lines += [*_elsewhere(found), *_streams(found)]
    looked_at = ", ".join(sorted(found.calibrator.weights))
    margins = "; a router then asks for the next likely token, too" if found.calibrator.needs_margins else ""
    lines.append(f"Read from the tokens: {looked_at} (--features){margins}.")
    loaded = f"FittedCalibrator.load({str(to)!r})"
    if found.tested is None:
        kept = f" beside {wanted}, which has a threshold and is left as it was" if to != wanted else ""
        lines.append(
            f"Written: {to}{kept}, without a threshold: {loaded} gives confidences, but nothing is promised of them."
        )
    else:
        lines.append(f"Written: {to}. Use it with escalation={loaded}.confidence().")
    return "\n".join(lines)


def _elsewhere(found: Calibration) -> Iterator[str]:
    left = found.left_out
    if left.served:
        rate = percent(left.failures / left.served)
        yield (
            f"Thresholds chosen without them served {left.served:,} of {counted(left.offered, 'answer')} of left-out "
            f"{left.by}: {rate} wrong."
        )
    if left.worse:
        told = [
            f"{one.source or 'those without a source'} ({one.failures:,} of {one.served:,} served wrong)"
            for one in left.worse[:MOST_NAMED]
        ]
        more = f" and {len(left.worse) - len(told)} more" if len(left.worse) > len(told) else ""
        yield (
            f"Warning: for sources left out, the promise would have been broken by {', '.join(told)}{more}. It is for "
            "the mixture of the outcomes, not for each source, nor for new ones: label answers of all that you serve, "
            "in the shares that you serve, or calibrate by itself what stands out."
        )
    if left.auc is not None and left.auc < TELLING:
        yield f"On {left.by} that it has not seen, this model's confidence tells hardly anything (AUC {left.auc:.2f})."


def _streams(found: Calibration) -> Iterator[str]:
    left, below = found.left_out, found.calibrator.abort_below
    breaking = (
        f"ends {percent(left.aborted)} of them, saves {percent(left.tokens_saved)} of the tokens"
        + (f", and {percent(left.lost)} of those were right" if left.aborted else "")
        + f" ({left.by} left out)"
    )
    if below is not None:
        yield (
            f"Streams are shown once they are whole. Breaking hopeless drafts off after 16 tokens, under {below:.2f}, "
            f"{breaking}; the promise was tested with it."
        )
    elif found.tested is not None:
        yield (
            "Streams are shown once they are whole, and none is broken off: that takes more answers of 16 tokens or "
            "more to test, or would lose too many that are served."
        )
    elif left.aborted:
        yield f"Streams: breaking hopeless drafts off after 16 tokens {breaking}."


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _check_page(page: Path) -> None:
    from slmroute.cli.target import check_target
    from slmroute.errors import ConfigError

    if page.suffix.lower() not in (".html", ".htm", ".png"):
        raise ConfigError(f"--page {page} must end in .html, or in .png for the diagram alone.")
    check_target(page, "--page")


def _write_page(found: Calibration, path: Path) -> None:
    from slmroute.report.quality_charts import reliability_diagram, save_png
    from slmroute.report.quality_pages import calibration_page, write_page

    series = {"calibrated": found.left_out.bins, "mean of the tokens": found.left_out.bins_plain}
    if path.suffix.lower() == ".png":
        save_png(reliability_diagram(series), path)
    else:
        write_page(calibration_page(found), path)
