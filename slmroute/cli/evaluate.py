"""``slmroute evaluate``: measure classifiers on labelled prompts."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slmroute.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from slmroute.cases import Case
    from slmroute.evaluate import Costs, Evaluation
    from slmroute.evaluate_tables import FigureTable

__all__ = ["app", "classifier_named"]

app = typer.Typer()

ASKED = "ollama:"
"""What the names of models that are asked, and not fitted, begin with."""


@app.command()
def evaluate(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="JSONL: a row has prompt, and tier (simple or complex) or weak_score and strong_score, or both.",
            show_default=False,
        ),
    ],
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier",
            "-c",
            help="What to measure: light, best, a weights file, or ollama:MODEL. Give it again for more.",
            show_default="light",
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option("--score", help="A field of the rows that holds another router's score.", show_default=False),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Calls above it go up; by default the classifier's own, or 0.5.", show_default=False),
    ] = None,
    weak_price: Annotated[
        str | None, typer.Option(help="Dollars per million tokens of the weak model, INPUT/OUTPUT.", show_default=False)
    ] = None,
    strong_price: Annotated[
        str | None, typer.Option(help="The same of the strong model, for example 2/8.", show_default=False)
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="Where to put pictures: PAGE.html, or a folder for PNG files.", show_default=False),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Bootstrap samples behind the intervals.", min=10)] = 300,
    cells: Annotated[bool, typer.Option(help="Show the accuracy by category and length, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure classifiers on labelled prompts, beside chance, length and (pip install cascadeflow) a peer's rules.

    Ranking (AUC, and within long and short prompts), calibration, how much stays local when 95% of the complex prompts
    go up; from recorded outcomes APGR, CPT(50), CPT(80) and the calls saved at 95% and 99% of the strong quality. The
    prompts must not be among those the classifier was fitted to.
    """
    from slmroute.baselines import baselines
    from slmroute.cases import read_cases
    from slmroute.evaluate import check_threshold, evaluate
    from slmroute.evaluate_tables import without_a_gap

    if threshold is not None:
        check_threshold(threshold, f"--threshold {threshold:g}", probabilities=bool(classifier) or not score)
    if plots is not None:
        check_plots(plots)
    cases = read_cases(data)
    costs = costs_of(weak_price, strong_price)
    found: list[Evaluation] = []
    judged = classifier or ([] if score else ["light"])
    for name in judged:
        judge, own = classifier_named(name)
        found.append(
            evaluate(cases, name, judge, threshold=own if threshold is None else threshold, costs=costs, rounds=rounds)
        )
    for name in score or []:
        scores = scores_named(cases, name)
        cut = 0.5 if threshold is None else threshold
        chances = min(scores) >= 0 and max(scores) <= 1
        check_threshold(cut, f"--threshold {cut:g}", probabilities=chances)
        found.append(evaluate(cases, name, scores, threshold=cut, probabilities=chances, costs=costs, rounds=rounds))
    for other in baselines():
        beside = evaluate(
            cases, other.name, other.score, threshold=other.threshold, probabilities=False, costs=costs, rounds=rounds
        )
        found.append(beside)
    notes = [*without_a_gap(found), *note_on_fit(judged)]
    show(found, cases, notes, plots, banded=len(judged) + len(score or []), cells=cells, as_json=as_json)


def classifier_named(name: str) -> tuple[Callable[[str], float], float]:
    """Make a classifier of its name on the command line.

    Args:
        name: ``light``, ``best``, a weights file, or ``ollama:MODEL``.

    Returns:
        From a text to its score, and the threshold the classifier ships with.
    """
    from slmroute.classify import EmbeddedClassifier, FewShotClassifier
    from slmroute.classify.embedded import SHIPPED
    from slmroute.evaluate import request_score

    if name.startswith(ASKED):
        slm = FewShotClassifier(name.removeprefix(ASKED), timeout_s=60)
        slm.warm_up()
        return request_score(slm), 0.5
    if name not in SHIPPED and not Path(name).is_file():
        raise ConfigError(
            f"--classifier {name} is no file: give light, best, ollama:MODEL, or a weights file made with slmroute "
            "train embedded."
        )
    embedded = EmbeddedClassifier(name)
    threshold = embedded.threshold
    return request_score(embedded), threshold


def scores_named(cases: Sequence[Case], name: str) -> list[float]:
    """Take the scores that came with the data."""
    if missing := sum(name not in case.scores for case in cases):
        raise ConfigError(f"--score {name}: {missing} of {len(cases)} rows have no number in the field {name!r}.")
    return [case.scores[name] for case in cases]


def costs_of(weak: str | None, strong: str | None) -> Costs | None:
    """Read both prices, or none."""
    from slmroute.evaluate import Costs

    if weak is None and strong is None:
        return None
    if weak is None or strong is None:
        raise ConfigError("Give both --weak-price and --strong-price, or neither.")
    return Costs(*price_of(weak, "--weak-price"), *price_of(strong, "--strong-price"))


def price_of(text: str, setting: str) -> tuple[Decimal, Decimal]:
    """Read a price, ``INPUT/OUTPUT``."""
    from slmroute.tier import MOST_DOLLARS

    try:
        first, second = (Decimal(part) for part in text.split("/"))
    except (ValueError, InvalidOperation):
        first = second = Decimal("nan")
    if not all(one.is_finite() and 0 <= one <= MOST_DOLLARS for one in (first, second)):
        raise ConfigError(
            f"{setting} {text!r} must be two numbers, INPUT/OUTPUT, from zero to {MOST_DOLLARS:,} each, for example "
            "0.05/0.08."
        )
    return first, second


def check_plots(target: Path) -> None:
    """Make sure, before the work, that pictures can be put where ``--plots`` says."""
    from slmroute.cli.target import check_target
    from slmroute.evaluate_charts import is_page

    if is_page(target):
        check_target(target, "--plots")
        return
    kind, _ = mimetypes.guess_type(target.name)
    if target.is_file() or (kind is not None and not target.is_dir()):
        raise ConfigError(
            f"--plots {target} must be a page that ends in .html, with all pictures in it, or a folder for PNG files; "
            f"for example --plots {target.with_suffix('.html')}."
        )
    # A folder is made once there are pictures to put in it; until then the nearest one above stands for it.
    there = next(folder for folder in (target, *target.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise ConfigError(f"--plots {target} cannot be made a folder: {there} is a file. Name another folder.")
    check_target(there / "quality.png", "--plots")


def show(
    found: Sequence[Evaluation],
    cases: Sequence[Case],
    notes: Sequence[str],
    plots: Path | None,
    *,
    banded: int,
    cells: bool,
    as_json: bool,
) -> None:
    """Print the figures and write the pictures."""
    from slmroute.cli.console import err, out, print_json
    from slmroute.cli.tables import show as show_tables
    from slmroute.evaluate_tables import described

    told = [described(cases), *notes]
    if plots is not None:
        from slmroute.evaluate_charts import save_figures

        for path in save_figures(found, plots, told, banded=banded):
            err.print(f"wrote {path}", soft_wrap=True, highlight=False)
    if as_json:
        print_json({"prompts": len(cases), "notes": notes, "classifiers": [one.to_dict() for one in found]})
        return
    show_tables(*tables(found), *(cell_tables(found) if cells else ()))
    for line in told:
        out.print(line, highlight=False, soft_wrap=True)


def note_on_fit(names: Sequence[str]) -> list[str]:
    """Say of the classifiers with weights that what they were fitted on is not told from what they were not."""
    embedded = [name for name in names if not name.startswith(ASKED)]
    if not embedded:
        return []
    shipped = " SOURCES.md in slmroute/classify/training lists what the shipped weights were fitted on."
    return [
        f"Not checked: whether {' or '.join(embedded)} was fitted on any of these prompts. Figures on prompts that a "
        f"classifier was fitted on say nothing.{shipped if set(embedded) & {'light', 'best'} else ''}"
    ]


def tables(found: Sequence[Evaluation]) -> list[Table]:
    """Lay the figures out as tables for a terminal."""
    from slmroute.evaluate_tables import figure_tables

    return [drawn(one) for one in figure_tables(found)]


def cell_tables(found: Sequence[Evaluation]) -> list[Table]:
    """Lay the accuracy by category and length out, a table for each classifier."""
    from slmroute.evaluate_tables import cell_table

    return [drawn(table) for one in found if (table := cell_table(one)) is not None]


def drawn(figures: FigureTable) -> Table:
    """Make a table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(*figures.heads, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for row in figures.rows:
        table.add_row(*row)
    return table
