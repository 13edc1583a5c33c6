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

from slmroute.demo import words as say
from slmroute.report.wording import count, counted, dollars, duration, percent

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

    def so_far() -> str:
        graded = seen["right"] + seen["wrong"]
        said = f"{seen['small']} small, {seen['frontier']} frontier, {seen['right']} of {graded} graded right"
        return said + "".join(
            f", {seen[name]} {word}" for name, word in (("degraded", "degraded"), ("none", "failed")) if seen[name]
        )

    def add(outcome: Outcome) -> None:
        seen[outcome.record.tier or "none"] += 1
        seen["degraded"] += outcome.record.degraded
        if outcome.right is not None:
            seen["right" if outcome.right else "wrong"] += 1

    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("routing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[words]}", style="dim"), console=console) as bar:
            task = bar.add_task("", total=total, words="")

            def show(outcome: Outcome) -> None:
                add(outcome)
                bar.update(task, advance=1, words=so_far())

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
            console.print(f"  {places} of {total} after {now - began:.0f} s: {so_far()}", highlight=False)

    yield say


def opening(requests: int, small: str, frontier: str, *, dry_run: bool) -> Text:
    """Say what is about to happen."""
    text = (
        f"{counted(requests, 'request')} of a support desk and a back office. What stays local is answered by {small}; "
    )
    if dry_run:
        return Text(text + f"the frontier is a dry run of {frontier}: no key is set, so it generates nothing.")
    return Text(text + f"the frontier is {frontier}, called for real with the key in your environment.")


def results(found: DemoSummary) -> RenderableType:
    """Give all that the demo found."""
    tiers = f"\n{say.agreement(found)}\n{say.latencies(found)}\n"
    parts: list[RenderableType] = [_tiers(found), Text(tiers), _money(found), _months(found)]
    parts.append(Text(f"\n{say.textbook(found)}\n"))
    if found.sweep:
        parts += [_sweep(found), Text(f"\n{say.confidence(found)}\n")]
    parts.append(Text(say.stand_in(found), style="yellow" if found.small.stand_in else ""))
    return Group(*parts)


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


def _money(found: DemoSummary) -> Text:
    line = Text(say.money(found))
    if found.gain is not None:
        word = "Projected saving" if found.dry_run else "Saved"
        share = "" if found.gain_share is None else f" ({percent(found.gain_share)})"
        line.append(f" {word}: {say.gain(found)}{share}.", style="bold green" if found.gain >= 0 else "bold red")
    if (outages := say.outages(found)) is not None:
        line.append(f"\n{outages}", style="bold yellow")
    if found.dry_run:
        line.append(f"\n{say.projected()}")
    return line.append(f"\n{say.price_of_small()}\n")


def _months(found: DemoSummary) -> Table:
    share = percent(found.textbook.mix.local_share)
    columns, rows = say.month_rows(found)
    table = _table(f"100,000 calls a month with {share} of them local", *columns)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] in ("with routing", "saved") else "")
    return table


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
