"""``slmroute ledger``: what is in the ledger, taking it elsewhere, and forgetting what is old."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from slmroute.cli.console import err, out, print_json
from slmroute.cli.tables import show
from slmroute.errors import ConfigError, LedgerError
from slmroute.report.wording import alike, counted, dollars, saving

if TYPE_CHECKING:
    from slmroute.failures import FailureRate
    from slmroute.ledger.summary import AttemptSummary, CallSummary, Machine

__all__ = ["LedgerOption", "app", "ledger_address", "span_of"]

app = typer.Typer(no_args_is_help=True)

VARIABLE = "SLMROUTE_LEDGER"
HERE = "slmroute.db"

LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        "-l",
        help=f"The ledger: a path or URL. By default ${VARIABLE}, the one that slmroute.toml names, {HERE} in this "
        "folder, or the one in your user's data folder.",
        show_default=False,
        metavar="WHERE",
    ),
]
SinceOption = Annotated[
    str | None, typer.Option(help="Calls that began then or later: 2026-03-01, or 30d ago.", show_default=False)
]
UntilOption = Annotated[
    str | None, typer.Option(help="Calls that began earlier; a date includes its day.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

AGE = re.compile(r"(\d+)\s*(h|d|w)", re.IGNORECASE)
HOURS = {"h": 1, "d": 24, "w": 24 * 7}


@app.callback()
def ledger() -> None:
    """Look after the ledger: prune, export, stats."""


@app.command()
def stats(
    where: LedgerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    by: Annotated[
        Literal["day", "month", "tier", "key", "tag", "tags", "category", "status", "reason"],
        typer.Option(help="What to group calls by."),
    ] = "tier",
    as_json: JsonOption = False,
) -> None:
    """Sum up calls, spending, savings and failed answers."""
    from slmroute.ledger import LedgerReader
    from slmroute.report import sentences

    reader = LedgerReader(ledger_address(where))
    span = span_of(since, until)
    total, groups, roles = reader.total(*span), reader.sums(by, *span), reader.attempt_sums("role", *span)
    failures, machines, lost = reader.failures(*span, by_category=True), reader.machines(*span), reader.lost
    if as_json:
        rates = [told(rate) for rate in failures]
        data = {"ledger": reader.address.shown, "lost_rows": lost, "total": total, f"by_{by}": groups}
        print_json(data | {"roles": roles, "failures": rates, "machines": [rent(each) for each in machines]})
        return
    out.print(f"Ledger {reader.address.shown}", highlight=False)
    show_calls(by, [*groups, total] if len(groups) != 1 else groups)
    show_roles(roles)
    show_failures(failures)
    for each in machines:
        out.print(sentences.machine(each), highlight=False)
    if machines:
        out.print(sentences.HOURS)
    if lost:
        err.print(f"{counted(lost, 'row')} lost: the ledger could not be written for too long.", style="yellow")


@app.command()
def export(
    path: Annotated[str, typer.Argument(help="The file: .csv, .jsonl or .parquet; - for JSONL on standard output.")],
    where: LedgerOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    table: Annotated[
        Literal["calls", "attempts"], typer.Option(help="What a line of CSV or Parquet is; JSONL has calls.")
    ] = "calls",
) -> None:
    """Write calls to a file: CSV, Parquet or JSONL. Money is in dollars."""
    from slmroute.ledger import LedgerReader
    from slmroute.ledger.export import export as write
    from slmroute.ledger.export import write_jsonl

    reader = LedgerReader(ledger_address(where))
    span = span_of(since, until)
    if path == "-":
        write_jsonl(reader.calls(*span), sys.stdout)
        return
    lines = write(reader, path, since=span[0], until=span[1], table=table)
    err.print(f"{counted(lines, 'line')} in {path}", highlight=False)


@app.command()
def prune(
    older_than: Annotated[str, typer.Option(help="How old: 90d, 12w, 36h.")],
    where: LedgerOption = None,
    shrink: Annotated[bool, typer.Option(help="Give the space back to the disk; locks a file for a while.")] = False,
) -> None:
    """Delete calls that are older than this, with their attempts and feedback."""
    from slmroute.ledger.retention import prune as delete

    age = AGE.fullmatch(older_than.strip())
    if age is None:
        raise ConfigError(f"--older-than {older_than!r} is no age: write for example 90d, 12w or 36h.")
    gone = delete(ledger_address(where), ago(age), shrink=shrink)
    err.print(f"{counted(gone, 'call')} deleted", highlight=False)


def ledger_address(where: str | None) -> str:
    """Find the ledger that a command is about.

    Args:
        where: The one that was asked for, or None.

    Raises:
        LedgerError: None was asked for and none is found.
        ConfigError: ``slmroute.toml`` cannot be read.
    """
    if where or (where := os.environ.get(VARIABLE)):
        return where
    if named := ledger_of_config():
        return named
    from slmroute.ledger.address import default_path

    for path in (Path(HERE), default_path()):
        if path.exists():
            return str(path)
    raise LedgerError(f"There is no {HERE} here and none in {default_path().parent}: name the ledger with --ledger.")


def ledger_of_config() -> str | None:
    """Give the ledger that ``slmroute.toml`` names; the rest of it is of no concern here, and may even be wrong."""
    from slmroute.config import DEFAULT_FILE

    path = Path(DEFAULT_FILE)
    if not path.is_file():
        return None
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{DEFAULT_FILE} cannot be read: {error}") from None
    variable, named = data.get("ledger_env"), data.get("ledger")
    return os.environ.get(str(variable)) if variable else named if isinstance(named, str) else None


def span_of(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Read a time as ``slmroute report`` does; without a beginning or an end where none is given.

    Raises:
        ConfigError: One of them cannot be read.
    """
    from slmroute.report.period import end_of, moment_of

    now = datetime.now(UTC)
    return (
        None if since is None else moment_of(since, "since", now),
        None if until is None else end_of(until, "until", now),
    )


def ago(age: re.Match[str]) -> datetime:
    """Give the time that was so long ago."""
    return datetime.now(UTC) - timedelta(hours=int(age[1]) * HOURS[age[2].lower()])


def table(title: str, names: Sequence[str]) -> Any:
    """Begin a table; all columns but the first are numbers."""
    from rich import box
    from rich.table import Table

    made = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for position, name in enumerate(names):
        made.add_column(name, justify="right" if position else "left", overflow="fold")
    return made


def show_calls(by: str, groups: Sequence[CallSummary]) -> None:
    """Show calls, group by group, the total last."""
    names = [by, "calls", "cost", "baseline", "saved", "moved up", "median"]
    projected = any(group.projected for group in groups)
    shown = table("Calls", [*names[:5], *(["projected"] if projected else []), *names[5:]])
    for position, group in enumerate(groups):
        last = position == len(groups) - 1 and position > 0
        shown.add_row(
            "total" if last else named(by, group.group),
            f"{group.calls:,}",
            *amounts(group)[: 4 if projected else 3],
            f"{group.escalated:,}",
            milliseconds(group.total_ms.p50),
            end_section=position == len(groups) - 2,
        )
    show(shown)
    if by == "tag" and len(groups) > 1:
        out.print("A call counts in each of its tags, so that the groups overlap.")
    if unpriced := groups[-1].unpriced:
        holds = "holds" if unpriced == 1 else "hold"
        out.print(
            f"{counted(unpriced, 'call')} {holds} attempts whose price is not known: more was spent than is said here."
        )
    if degraded := groups[-1].degraded:
        out.print(
            f"{counted(degraded, 'call')} got a weaker answer than wanted, as a better tier failed or the budget "
            f"barred it: {dollars(groups[-1].degraded_gain)} of the above is theirs, and no saving."
        )
    if projected:
        out.print("What is projected was not saved: the last tier is a dry run, and nobody was charged for it.")


def amounts(group: CallSummary) -> tuple[str, ...]:
    """Write cost, baseline, what was saved and what is projected, so that what is printed adds up."""
    if group.cost != group.compared_cost or (group.saved and group.projected):
        return alike(group.cost, group.baseline, group.saved, group.projected)
    baseline, cost, gain = saving(group.baseline, group.cost)
    return cost, baseline, *(("$0", gain) if group.projected else (gain, "$0"))


def named(by: str, group: str | None) -> str:
    """Write what the calls of a group have in common."""
    if by == "tags" and group is not None:
        return ", ".join(json.loads(group)) or "(none)"
    return "(none)" if group is None else group or '""'


def show_roles(roles: Sequence[AttemptSummary]) -> None:
    """Show where the money went."""
    unpriced, dry = any(role.unpriced for role in roles), any(role.dry_run_cost for role in roles)
    names = ["role", "attempts", "cost", *(["dry run"] if dry else []), *(["unpriced"] if unpriced else [])]
    shown = table("Spending by role", [*names, "tokens in", "out", "estimated"])
    for role in roles:
        shown.add_row(
            role.group,
            f"{role.attempts:,}",
            dollars(role.cost),
            *([dollars(role.dry_run_cost)] if dry else []),
            *([f"{role.unpriced:,}"] if unpriced else []),
            f"{role.tokens.input_tokens:,}",
            f"{role.tokens.output_tokens:,}",
            f"{role.tokens.estimated_attempts:,}",
        )
    show(shown)


def show_failures(failures: Sequence[FailureRate]) -> None:
    """Show how often each tier's answers failed, against the 5% line."""
    from slmroute.failures import LINE

    shown = table("Failed answers", ["tier", "category", "answers", "failed", "rate", "95% sure", f"{LINE:.0%} line"])
    for rate in failures:
        low, high = rate.interval
        shown.add_row(
            rate.tier,
            rate.category or "(none)",
            f"{rate.answers:,}",
            f"{rate.failures:,}",
            "-" if rate.rate is None else f"{rate.rate:.1%}",
            f"{low:.1%} - {high:.1%}",
            rate.verdict,
        )
    show(shown)


def told(rate: FailureRate) -> dict[str, Any]:
    """Give a rate with what is worked out of it, as plain data."""
    own = {"tier": rate.tier, "category": rate.category, "answers": rate.answers, "failures": rate.failures}
    return own | {"kinds": rate.kinds, "rate": rate.rate, "interval": rate.interval, "verdict": rate.verdict}


def rent(machine: Machine) -> dict[str, Any]:
    """Give a machine's cost with what is worked out of it, as plain data."""
    own = {"tier": machine.tier, "since": machine.since, "until": machine.until, "calls": machine.calls}
    money = {"rent": machine.rent, "charged": machine.charged, "idle": machine.idle}
    return own | money | {"cost_per_call": machine.cost_per_call}


def milliseconds(value: float | None) -> str:
    """Write a duration."""
    if value is None:
        return "-"
    return f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.1f} s"
