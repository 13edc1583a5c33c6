"""``slmroute tune``: thresholds for one's own traffic, and examples for the few-shot classifier."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slmroute.report.wording import counted, percent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from slmroute.tune import Thresholds, TierPrice
    from slmroute.tune_few_shot import FewShotTuning

app = typer.Typer(no_args_is_help=True)

EXAMPLES_OF = {"--shares": "50,30,20", "--cost": "1.50", "--quality": "0.95", "--price": "0.05/0.08"}


@app.callback()
def tune() -> None:
    """Tune a router to prompts of your own."""


@app.command()
def thresholds(
    data: Annotated[Path, typer.Argument(help="JSONL with a prompt a row, as they come in.")],
    *,
    shares: Annotated[
        str | None,
        typer.Option(help="Percentages of the traffic at each tier, cheapest first, for example 50,30,20 or 50/30/20."),
    ] = None,
    cost: Annotated[str | None, typer.Option(help="Dollars that a thousand calls may cost; needs --price.")] = None,
    quality: Annotated[
        str | None, typer.Option(help="Share of the last tier's quality to keep, for example 0.95.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="A tier's dollars for a million tokens, INPUT/OUTPUT; repeat it, cheapest first."),
    ] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            help="The field with the quality of a tier's answer; repeat it, cheapest first. "
            "Default for --quality: weak_score, strong_score."
        ),
    ] = None,
    classifier: Annotated[str, typer.Option(help="light, best, a weights file, or ollama:MODEL.")] = "light",
    as_json: Annotated[bool, typer.Option("--json", help="Give the figures as JSON.")] = False,
) -> None:
    """Choose the thresholds for traffic shares, for a cost or for a quality; with none given, for equal shares.

    For three tiers give three shares or prices: thresholds = [0.35, 0.7] then go into slmroute.toml. What they come to
    on prompts that had no part in choosing them stands beside.
    """
    from slmroute.cli.console import out, print_json
    from slmroute.cli.evaluate import classifier_named
    from slmroute.cli.tables import show
    from slmroute.errors import ConfigError
    from slmroute.jsonl import read_rows
    from slmroute.tune import thresholds_for

    target = target_of({"--shares": shares, "--cost": cost, "--quality": quality})
    if cost is not None and not price:
        raise ConfigError(f"{target} needs what the tiers cost: give --price for each, cheapest first.")
    money = None if cost is None else _number(cost, "--cost", above_zero=True)
    share = None if quality is None else _number(quality, "--quality", above_zero=True)
    rows = list(read_rows(data))
    texts = [row.text("prompt") for row in rows]
    fields = outcome or (["weak_score", "strong_score"] if quality is not None else None)
    qualities: list[list[float]] | None = None
    if fields is not None:
        qualities = [[_given(row.number(name), row.where, name) for name in fields] for row in rows]
    judge, _ = classifier_named(classifier)
    found = thresholds_for(
        texts,
        [judge(text) for text in texts],
        shares=None if shares is None else _shares(shares),
        cost_per_thousand=money,
        quality=None if share is None else float(share),
        prices=[_price(one) for one in price] if price else None,
        qualities=qualities,
    )
    if as_json:
        print_json({"target": target, **found.to_json()})
        return
    show(_traffic(found, target))
    # As many digits as keep thresholds apart that a router takes for rising only then.
    numbers = ", ".join(str(round(threshold, 6)) for threshold in found.thresholds)
    out.print(f"thresholds = [{numbers}]", highlight=False, markup=False)
    if not found.met:
        out.print("The shares are as near as equal scores allow.")
    elif not found.met_unseen:
        out.print(
            f"On prompts that had no part in choosing them these miss the target ({target}): ask for a little more "
            "than you need, or give more prompts."
        )


@app.command()
def few_shot(
    data: Annotated[Path, typer.Argument(help="JSONL, a row a prompt: prompt, tier (simple or complex), category.")],
    *,
    model: Annotated[str, typer.Option(help="The model, on Ollama.")] = "ollama:phi3:mini",
    host: Annotated[str | None, typer.Option(help="Ollama's address; default: OLLAMA_HOST.")] = None,
    examples: Annotated[int, typer.Option(help="Examples in the prompt: 6, 8 or 10.")] = 8,
    sets: Annotated[int, typer.Option(help="Sets of examples to try.", min=1)] = 6,
    limit: Annotated[int, typer.Option(help="At most so many prompts are used, 40 or more.")] = 200,
    to: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the table for slmroute.toml, with examples that did better, there."),
    ] = None,
    seed: Annotated[int, typer.Option(help="How prompts are split and drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Give the figures as JSON.")] = False,
) -> None:
    """Choose the few-shot classifier's examples out of labelled prompts, and report what that is worth.

    Try this before you think of fine-tuning a model. The figures are of prompts that had no part in the choice.
    """
    from slmroute.cases import read_cases
    from slmroute.cli.console import err, out, print_json
    from slmroute.cli.tables import show
    from slmroute.cli.target import check_target, write_target
    from slmroute.tune_few_shot import check_settings, tune_few_shot

    check_settings(examples, sets, limit, "--{} {}")
    if to is not None:
        check_target(to, "--out")
    name = model_on_ollama(model)
    cases = read_cases([data])
    with _asking(err) as asked:
        found = tune_few_shot(cases, name, host=host, examples=examples, sets=sets, limit=limit, seed=seed, asked=asked)
    if to is not None:
        write_target(to, found.to_toml(host), "--out")
    if as_json:
        print_json(found.to_json())
        return
    show(_figures(found))
    out.print(_words(found, to), highlight=False, soft_wrap=True)


def target_of(given: Mapping[str, str | None]) -> str:
    """Name the target, and refuse two at once, of which one would count for nothing."""
    from slmroute.errors import ConfigError

    named = [f"{setting} {value}" for setting, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} are targets of their own: give one of them.")
    return named[0] if named else f"equal shares, as none of {', '.join(given)} was given"


def model_on_ollama(model: str) -> str:
    """Take the name of a model on Ollama; other providers' models cannot be tuned."""
    from slmroute.errors import ConfigError
    from slmroute.tier import PROVIDERS

    provider, _, _ = model.partition(":")
    if provider in PROVIDERS and provider != "ollama":
        raise ConfigError(f"--model {model}: the few-shot classifier asks a model on Ollama; write ollama:NAME.")
    return model.removeprefix("ollama:")


def _number(text: str, setting: str, *, above_zero: bool = False) -> Decimal:
    from slmroute.errors import ConfigError

    try:
        value = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise ConfigError(f"{setting} {text!r} must be a number, for example {EXAMPLES_OF[setting]}.")
    if above_zero and value <= 0:
        raise ConfigError(f"{setting} {text!r} must be above zero, for example {EXAMPLES_OF[setting]}.")
    return value


def _shares(text: str) -> list[float]:
    from slmroute.errors import ConfigError

    shares = [_number(one, "--shares") for one in text.replace("/", ",").split(",")]
    total = sum(shares, start=Decimal(0))
    # Thirds may be written 33,33,33.
    if min(abs(total - 100), abs(100 * total - 100)) > 1:
        raise ConfigError(
            f"--shares {text!r} add up to {total.normalize():f}: give percentages that add up to 100, cheapest tier "
            f"first, for example {EXAMPLES_OF['--shares']}."
        )
    return [float(share) for share in shares]


def _price(text: str) -> TierPrice:
    from slmroute.errors import ConfigError

    first, slash, second = text.partition("/")
    if not slash:
        raise ConfigError(f"--price {text!r} must be INPUT/OUTPUT, for example 0.05/0.08.")
    price = _number(first, "--price"), _number(second, "--price")
    if min(price) < 0:
        raise ConfigError(f"--price {text!r} must be zero or more, for example 0.05/0.08.")
    return price


def _given(value: float | None, where: str, name: str) -> float:
    from slmroute.errors import ConfigError

    if value is None:
        raise ConfigError(f"{where}: {name!r} is missing: it must be the quality of a tier's answer, a number.")
    return value


def _traffic(found: Thresholds, target: str) -> Table:
    from rich import box
    from rich.table import Table

    parts = {"chosen on these": found.seen, "on prompts left out": found.unseen}
    columns: dict[str, list[str]] = {"": list(parts)}
    for place in range(len(found.thresholds) + 1):
        columns[f"tier {place + 1}"] = [percent(part.shares[place]) for part in parts.values()]
    if found.seen.cost_per_thousand is not None:
        columns["a thousand calls"] = [_or_dash(part.cost_per_thousand, "${:,.2f}") for part in parts.values()]
    if found.seen.quality is not None:
        columns["quality"] = [_or_dash(part.quality, "{:.3f}") for part in parts.values()]
        columns["of the last"] = [percent(part.of_last) for part in parts.values()]
    table = Table(box=box.SIMPLE_HEAD, title=f"{counted(found.prompts, 'prompt')}; {target}", title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name else "left")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


@contextmanager
def _asking(console: Console) -> Generator[Callable[[int, int], object]]:
    """Show how many questions have been asked."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (SpinnerColumn(), TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _figures(found: FewShotTuning) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{found.model}: {counted(found.reported_on, 'prompt')} that had no part in choosing",
        title_justify="left",
    )
    for name in ("", "AUC", "right at 0.5", "calibration error"):
        table.add_column(name, justify="right" if name else "left")
    parts = {
        "as it comes": found.before,
        f"calibrated on {found.chosen_on} of yours": found.calibrated,
        "with examples of yours": found.after,
    }
    for name, part in parts.items():
        if name != "with examples of yours" or found.own:
            ranked = "-" if part.auc is None else f"{part.auc:.3f}"
            table.add_row(name, ranked, percent(part.accuracy), f"{part.ece:.3f}")
    return table


def _words(found: FewShotTuning, to: Path | None) -> str:
    sets = ", ".join(f"{one:.2f}" for one in found.tried[1:])
    lines = [f"AUC while choosing: {found.tried[0]:.2f} with the examples that come with it; {sets} with yours."]
    if not found.own:
        before, after = found.before, found.calibrated
        lines.append("None of the sets did better beyond chance: keep the examples that come with it.")
        if after.accuracy >= before.accuracy and after.ece <= before.ece:
            lines.append("Take the calibration.")
        else:
            lines.append(
                f"Leave the calibration: on the prompts that had no part in it {percent(after.accuracy)} were right, "
                f"{percent(before.accuracy)} without it. Label more than {found.chosen_on + found.reported_on} prompts."
            )
    right = found.after.accuracy
    if right >= 0.8:
        lines.append(f"{percent(right)} right without any fine-tuning.")
    else:
        lines.append(
            f"{percent(right)} right. Before you fine-tune: try more --sets, a larger --model, or EmbeddedClassifier "
            "(slmroute evaluate compares them)."
        )
    if to is not None:
        content = "the examples' texts and the calibration" if found.own else "the calibration and no texts"
        lines.append(f"Written: {to}, with {content} in it.")
    return "\n".join(lines)
