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

__all__ = ["app", "classifier_named"]

app = typer.Typer()

LONGEST_NAME = len("cascadeflow")
LEAST_WIDTH = 4


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

    if threshold is not None:
        check_threshold(threshold, f"--threshold {threshold:g}", probabilities=bool(classifier) or not score)
    if plots is not None:
        check_plots(plots)
    cases = read_cases(data)
    costs = costs_of(weak_price, strong_price)
    found: list[Evaluation] = []
    for name in classifier or ([] if score else ["light"]):
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
    show(found, cases, plots, cells=cells, as_json=as_json)


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

    if name.startswith("ollama:"):
        slm = FewShotClassifier(name.removeprefix("ollama:"), timeout_s=60)
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
    try:
        first, second = (Decimal(part) for part in text.split("/"))
    except (ValueError, InvalidOperation):
        first = second = Decimal("nan")
    if not all(one.is_finite() and one >= 0 for one in (first, second)):
        raise ConfigError(
            f"{setting} {text!r} must be two numbers, INPUT/OUTPUT, zero or more each, for example 0.05/0.08."
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


def show(found: Sequence[Evaluation], cases: Sequence[Case], plots: Path | None, *, cells: bool, as_json: bool) -> None:
    """Print the figures and write the pictures."""
    from slmroute.cli.console import err, out, print_json

    if plots is not None:
        from slmroute.evaluate_charts import save_figures

        for path in save_figures(found, plots, len(cases)):
            err.print(f"wrote {path}", soft_wrap=True, highlight=False)
    if as_json:
        print_json({"prompts": len(cases), "classifiers": [one.to_dict() for one in found]})
        return
    for table in tables(found):
        out.print(table)
    for one in found if cells else ():
        for line in cell_lines(one):
            out.print(line, highlight=False)


def tables(found: Sequence[Evaluation]) -> list[object]:
    """Lay the figures out, one table for tiers and one for outcomes."""
    from slmroute.evaluate_charts import number, shown

    made: list[object] = []
    if any(one.tiers for one in found):
        table = table_of("tiers", "AUC", "long", "short", "kept local", "went up", "stayed", "right", "ECE", "µs")
        for one in found:
            if one.tiers is not None:
                row = (shown(one.tiers.auc), number_of(one.tiers.auc_long), number_of(one.tiers.auc_short))
                kept = (shown(one.tiers.kept_local), number(one.tiers.went_up), number(one.tiers.stayed))
                time = "-" if one.median_us is None else f"{one.median_us:.0f}"
                table.add_row(one.name, *row, *kept, number(one.tiers.accuracy), number(one.tiers.ece), time)
        made.append(table)
    if any(one.outcomes for one in found):
        table = table_of("outcomes", "APGR", "CPT(50)", "CPT(80)", "saved at 95%", "at 99%")
        for one in found:
            if one.outcomes is not None:
                measured = (one.outcomes.apgr, one.outcomes.cpt50, one.outcomes.cpt80)
                saved = (one.outcomes.saved_at_95, one.outcomes.saved_at_99)
                table.add_row(one.name, *(shown(interval) for interval in (*measured, *saved)))
        made.append(table)
    if any(one.cost_per_thousand is not None for one in found):
        estimated = " (tokens estimated)" if any(one.tokens_estimated for one in found) else ""
        table = table_of(f"a thousand calls{estimated}", "routed", "all strong", "share up")
        for one in found:
            table.add_row(
                one.name, f"${one.cost_per_thousand:.2f}", f"${one.strong_cost_per_thousand:.2f}", f"{one.share_up:.0%}"
            )
        made.append(table)
    return made


def table_of(*names: str) -> Table:
    """Make a table whose headings are whole in a terminal of 80 columns: cells are wrapped, words are not cut."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for place, name in enumerate(names):
        longest = max(len(word) for word in name.split())
        table.add_column(name, min_width=max(LEAST_WIDTH, longest) if place else LONGEST_NAME, overflow="fold")
    return table


def number_of(interval: object) -> str:
    """Write an interval's figure alone."""
    from slmroute.evaluate_charts import number
    from slmroute.metrics import Interval

    return number(interval.value if isinstance(interval, Interval) else None)


def cell_lines(one: Evaluation) -> list[str]:
    """Write the accuracy in each cell of category and length."""
    if one.tiers is None:
        return []
    lines = [f"\n{one.name}: right at {one.tiers.threshold:.2f}"]
    for category, sizes in one.tiers.cells.items():
        parts = [f"{size} {right:.0%} of {count}" for size, (right, count) in sizes.items()]
        lines.append(f"  {category:<26} {'  '.join(parts)}")
    return lines
