"""How the demo shows itself in a terminal: a progress bar while it runs, tables and plain words afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from slmroute.report.wording import count, dollars, duration, percent

if TYPE_CHECKING:
    from slmroute.demo.run import Outcome
    from slmroute.demo.summary import DemoSummary

__all__ = ["opening", "progress", "results"]

LINE_EVERY_S: Final = 10.0
"""How often a line tells how far it is where there is no terminal to draw a bar in."""


class Done(Protocol):
    """Told of each outcome as it comes."""

    def __call__(self, outcome: Outcome, /) -> None:
        """Show it."""
        ...


@contextmanager
def progress(console: Console, total: int) -> Generator[Done]:
    """Show how far the run is: a live bar in a terminal, a line every ten seconds elsewhere.

    Args:
        console: Where to.
        total: How many requests there are.

    Yields:
        What to call with each outcome.
    """
    seen: Counter[str] = Counter()

    def words() -> str:
        graded = seen["right"] + seen["wrong"]
        return f"{seen['small']} small, {seen['frontier']} frontier, {seen['right']} of {graded} graded right"

    def add(outcome: Outcome) -> None:
        seen[outcome.record.tier or "none"] += 1
        if outcome.right is not None:
            seen["right" if outcome.right else "wrong"] += 1

    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("routing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[words]}", style="dim"), console=console) as bar:
            task = bar.add_task("", total=total, words="")

            def show(outcome: Outcome) -> None:
                add(outcome)
                bar.update(task, advance=1, words=words())

            yield show
        return
    began = told = time.monotonic()
    places = 0

    def say(outcome: Outcome) -> None:
        nonlocal told, places
        add(outcome)
        places += 1
        now = time.monotonic()
        if now - told >= LINE_EVERY_S or places == total:
            told = now
            console.print(f"  {places} of {total} after {now - began:.0f} s: {words()}", highlight=False)

    yield say


def opening(requests: int, small: str, frontier: str, *, dry_run: bool) -> Text:
    """Say what is about to happen."""
    text = f"{requests} requests of a support desk and a back office. What stays local is answered by {small}; "
    if dry_run:
        return Text(text + f"the frontier is a dry run of {frontier}: no key is set, so it generates nothing.")
    return Text(text + f"the frontier is {frontier}, called for real with the key in your environment.")


def results(found: DemoSummary) -> RenderableType:
    """Give all that the demo found."""
    parts: list[RenderableType] = [
        _tiers(found),
        Text(_tier_words(found)),
        Text(),
        _money(found),
        _months(found),
        Text(_month_words()),
    ]
    if found.sweep:
        parts += [_sweep(found), Text(_sweep_words(found))]
    parts.append(Text(stand_in_words(found), style="yellow" if found.small.stand_in else ""))
    return Group(*parts)


def stand_in_words(found: DemoSummary) -> str:
    """Say what kind of model answered, and what that does to the figures."""
    small = found.small
    if not small.stand_in:
        return f"{small.name} ({small.size}) on {small.server} answered what stayed local."
    return (
        f"{small.name} ({small.size}) stands in for the model of 2 to 8 billion parameters that one would use, "
        "so that the demo runs anywhere. It is real, and it is often wrong: it repeats the question, mixes up labels, "
        "and knows little but English. Take its share of right answers as a floor and its speed as a ceiling. Where "
        "calls went, and tokens and costs at an 8B model's price, do not depend on it."
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(
        box=None, title=title, title_justify="left", title_style="bold", header_style="dim", padding=(0, 2, 0, 0)
    )
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    return table


def _tiers(found: DemoSummary) -> Table:
    table = _table("Per tier", "tier", "calls", "right", "wrong", "ungraded", "tokens in", "out", "cost", "median")
    for line in found.tiers:
        verdicts = ("-" if line.dry_run else str(number) for number in (line.right, line.wrong))
        tokens = (count(line.input_tokens), count(line.output_tokens))
        times = "dry run" if line.dry_run else duration(line.median_ms)
        table.add_row(line.tier, str(line.calls), *verdicts, str(line.ungraded), *tokens, dollars(line.cost), times)
    return table


def _tier_words(found: DemoSummary) -> str:
    parts = [f"{line.agrees} of the {line.calls} that {line.tier} answered" for line in found.tiers]
    return (
        f"\nA person would have sent {percent(found.agreement)} of the requests to the same tier: {', '.join(parts)}.\n"
        "Latencies are of answers with two requests under way at a time"
        + ("; a dry run has none.\n" if found.dry_run else ".\n")
    )


def _money(found: DemoSummary) -> Text:
    gain = found.gain
    if gain is None or found.baseline is None:
        return Text("Some calls have no known price, so that nothing can be said about the saving.")
    share = float(gain / found.baseline) if found.baseline else None
    word = "projected saving" if found.dry_run else "saved"
    line = Text(f"All at {found.frontier}: {dollars(found.baseline)}. Routed: {dollars(found.cost)}. ")
    line.append(f"{word}: {dollars(gain)} ({percent(share)})", style="bold green" if gain >= 0 else "bold red")
    if found.dry_run:
        line.append(
            "\nProjected, because the frontier was not called: its list price times the prompt's tokens and those of "
            "an answer of 400 tokens, or as long as the small model's where that answered."
        )
    return line.append("\nSmall tier: priced at $0.05 and $0.08 a million tokens, what a hosted 8B model lists at.\n")


def _months(found: DemoSummary) -> Table:
    bills = [("textbook prices", found.textbook.month)]
    if found.measured is not None:
        bills.append(("what these calls cost", found.measured))
    share = percent(found.textbook.mix.local_share)
    table = _table(f"100,000 calls a month with {share} of them local", "at", *(name for name, _ in bills))

    def row(name: str, *cells: str, style: str = "") -> None:
        table.add_row(name, *cells, style=style)

    row("classifier", *(dollars(bill.classifier) for _, bill in bills))
    for line in found.tiers:
        row(line.tier, *(dollars(bill.tiers.get(line.tier)) for _, bill in bills))
    row("with routing", *(dollars(bill.total) for _, bill in bills), style="bold")
    row("all at the frontier", *(dollars(bill.baseline) for _, bill in bills))
    row("saved", *(f"{dollars(bill.saved)} ({percent(bill.saved_share)})" for _, bill in bills), style="bold")
    return table


def _month_words() -> str:
    return (
        "\nTextbook: $0.0002 a classification, $0.001 a small answer, $0.03 a frontier answer (slmroute estimate). The "
        "classifier used here runs in process and costs nothing.\n"
    )


def _sweep(found: DemoSummary) -> Table:
    table = _table(
        "Had weak local answers moved up by their confidence",
        "confidence under", "wrong ones caught", "right ones too", "right of the rest",
    )  # fmt: skip
    for line in found.sweep:
        table.add_row(
            f"{line.threshold:g}",
            f"{line.caught} of {line.wrong}",
            f"{line.disturbed} of {line.right}",
            percent(line.served_right),
        )
    return table


def _sweep_words(found: DemoSummary) -> str:
    if found.auc is None:
        return "\nAll graded local answers were right, or all were wrong: confidence had nothing to tell apart.\n"
    return (
        f"\nConfidence ranks a right answer above a wrong one {percent(found.auc)} of the time (50% is chance). It is "
        "the plain mean of the tokens' log-probabilities: fit it to your own answers with `slmroute calibrate`.\n"
    )
