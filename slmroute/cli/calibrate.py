"""``slmroute calibrate``: from log-probabilities to confidence, and the threshold that keeps a promise."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slmroute.report.wording import counted, percent

if TYPE_CHECKING:
    from rich.table import Table

    from slmroute.calibrate import Calibration

app = typer.Typer()

DEFAULT_MODEL = "ollama:phi3:mini"
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
        typer.Argument(help="JSONL: correct (true, false), logprobs (one a token), optionally source, category, id."),
    ],
    *,
    target: Annotated[float, typer.Option(help="The failure rate that served answers must stay under.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="How sure to be of that.")] = 0.95,
    to: Annotated[Path, typer.Option("--out", "-o", help="The calibrator to write.")] = Path("calibrator.json"),
    method: Annotated[How, typer.Option(help="isotonic takes some hundred outcomes.")] = How.PLATT,
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
    Clopper-Pearson bounds: Angelopoulos and others, "Learn then test", 2021). Where no threshold keeps that promise it
    says what is missing and exits with 1; the calibrator is written all the same, without a threshold.
    """
    from slmroute.calibrate import calibrate as work_out
    from slmroute.cli.console import out, print_json
    from slmroute.cli.tables import show
    from slmroute.cli.target import check_target
    from slmroute.errors import ConfigError
    from slmroute.outcomes import read_outcomes

    for setting, share in (("--target", target), ("--confidence", confidence)):
        if not 0 < share < 1:
            raise ConfigError(f"{setting} {share:g} must be above 0 and below 1, for example 0.05 or 0.95.")
    check_target(to, "--out")
    if page is not None:
        _check_page(page)
    if run is not None:
        _run(run, outcomes, model or DEFAULT_MODEL, host, limit, seed)
    elif unused := [name for name, value in (("--model", model), ("--host", host), ("--limit", limit)) if value]:
        raise ConfigError(
            f"{unused[0]} is for a model that is run: give --run ANSWERS.jsonl beside it, or leave it out."
        )
    found = work_out(read_outcomes(outcomes), target=target, confidence=confidence, method=method.value, seed=seed)
    found.calibrator.save(to)
    if page is not None:
        _write_page(found, page)
    if as_json:
        print_json({**found.to_json(), "out": to})
    else:
        show(_figures(found), _coverage(found))
        out.print(_words(found, to), highlight=False, soft_wrap=True)
    if found.tested is None:
        raise typer.Exit(1)


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
    waiting = [one for one in sampled(read_known_answers(answers), limit, seed) if (one.source, one.id) not in known]
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
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{found.outcomes} outcomes, {percent(found.accuracy)} right; judged with their {left.by} left out",
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


def _words(found: Calibration, to: Path) -> str:
    left, lines = found.left_out, [found.advice]
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
            f"with confidence {found.confidence:g}."
        )
    if left.served:
        rate = percent(left.failures / left.served)
        lines.append(
            f"Thresholds chosen without them served {counted(left.served, 'answer')} of left-out {left.by}: {rate} "
            "wrong."
        )
    if left.auc is not None and left.auc < TELLING:
        lines.append(
            f"On {left.by} that it has not seen, this model's confidence tells hardly anything (AUC {left.auc:.2f})."
        )
    if left.aborted:
        lines.append(
            f"Streams: breaking hopeless drafts off after 16 tokens ends {percent(left.aborted)} of them, saves "
            f"{percent(left.tokens_saved)} of the tokens, and {percent(left.lost)} of those were right."
        )
    loaded = f"FittedCalibrator.load({str(to)!r})"
    if found.tested is None:
        lines.append(
            f"Written: {to}, without a threshold: {loaded} gives confidences, but nothing is promised of them."
        )
    else:
        lines.append(f"Written: {to}. Use it with escalation={loaded}.confidence().")
    return "\n".join(lines)


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
