"""``slmroute estimate``: what routing would save at a volume of calls."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from slmroute.report.wording import alike, counted, percent, saving, sums

if TYPE_CHECKING:
    from rich.table import Table

    from slmroute.estimate import Bill, Estimate, TierShare

app = typer.Typer()


@app.command()
def estimate(
    *,
    volume: Annotated[str, typer.Option(help="Calls a month.")] = "100000",
    simple: Annotated[str, typer.Option(help="Share of calls that a small model answers: 0.8 or 80%.")] = "0.8",
    classifier: Annotated[str, typer.Option(help="Dollars for classifying one call; 0 in process.")] = "0.0002",
    small: Annotated[str, typer.Option(help="Dollars for one small answer.")] = "0.001",
    frontier: Annotated[str, typer.Option(help="Dollars for one frontier answer.")] = "0.03",
    escalated: Annotated[str, typer.Option(help="Share of small answers that the frontier must repeat.")] = "0",
    tier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE:DOLLARS",
            help="A tier of three or more, cheapest first, in place of --simple, --small and --frontier; repeat it.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Give the numbers as JSON.")] = False,
) -> None:
    """Work out what routing would save at a volume of calls.

    Any number may be a range, low..high: --simple 0.7..0.9 --frontier 0.02..0.04. Sums are exact and leave nothing out:
    at the defaults $700 a month (classifier $20, small $80, frontier $600) instead of $3,000. Accounts that say $680
    have left out the classifier; those that say "80% saved" take what stays local to be free.
    """
    from slmroute.cli.console import out, print_json
    from slmroute.cli.tables import show
    from slmroute.estimate import estimate as work_out

    found = work_out(
        _range(volume),
        simple=_range(simple),
        classifier=_range(classifier),
        small=_range(small),
        frontier=_range(frontier),
        escalated=_range(escalated),
        tiers=[_tier(text) for text in tier] if tier else None,
    )
    if as_json:
        print_json(found.to_json())
        return
    show(_sums(found), _mixes(found))
    out.print(_words(found), highlight=False, soft_wrap=True)


def _sums(found: Estimate) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{counted(found.month.calls, 'call')} a month", title_justify="left")
    table.add_column("")
    for name in ("a call", "a month", "a year", "a million calls"):
        table.add_column(name, justify="right", no_wrap=True)
    million = found.million
    names = ["classifier, every call", *(f"{tier.name}, {percent(tier.share)} of calls" for tier in found.mix.tiers)]
    if found.month.escalations:
        names.append(f"asked again, {percent(found.mix.escalated)}")

    def column(bill: Bill, calls: int = 1) -> list[str]:
        parts = [bill.classifier, *bill.tiers.values(), *([bill.escalations] if found.month.escalations else [])]
        # What is printed adds up.
        words, total, whole, saved = sums([part / calls for part in parts], bill.baseline / calls)
        return [*words, total, whole, saved]

    columns = [column(million, million.calls), column(found.month), column(found.year), column(million)]
    names += ["with routing", f"all at {found.mix.tiers[-1].name}", "saved"]
    styles = {"with routing": "bold", "saved": "bold green" if found.month.saved >= 0 else "bold red"}
    for place, (name, *amounts) in enumerate(zip(names, *columns, strict=True)):
        table.add_row(name, *amounts, style=styles.get(name) if place >= len(names) - 3 else None)
    return table


def _mixes(found: Estimate) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title="The same month at other mixes", title_justify="left")
    for name in ("stays local", "a call", "a month", "saved"):
        table.add_column(name, justify="right", no_wrap=True)
    each_call = alike(*(month.per_call or Decimal(0) for _, month in found.mixes))
    for (share, month), one in zip(found.mixes, each_call, strict=True):
        style = "bold" if share == found.mix.local_share else None
        table.add_row(percent(share), one, saving(month.baseline, month.total)[1], _saved(month), style=style)
    return table


def _words(found: Estimate) -> str:
    last = found.mix.tiers[-1].name
    failing = saving(found.failing.baseline, found.failing.total)[1]
    lines = [
        f"Range ({', '.join(found.ranges)}): saved {_saved(found.least)} to {_saved(found.most)} a month.",
        f"If 5% of the local answers must be asked again of {last}: {failing} a month, saved {_saved(found.failing)}.",
    ]
    if found.break_even is None:
        lines.append(f"An answer below {last} costs no less than one of {last}: routing cannot save at these prices.")
    elif found.break_even > 1:
        lines.append("Classifying a call costs more than a local answer saves: routing cannot save at these prices.")
    else:
        lines.append(f"Routing pays from {percent(found.break_even)} local on.")
    return "\n".join(lines)


def _saved(bill: Bill) -> str:
    share, saved = bill.saved_share, saving(bill.baseline, bill.total)[-1]
    return saved if share is None else f"{saved} ({float(share):.1%})"


def _range(text: str) -> str | tuple[str, str]:
    low, dots, high = text.partition("..")
    return (low, high) if dots else text


def _tier(text: str) -> TierShare:
    from slmroute.errors import ConfigError
    from slmroute.estimate import TierShare, read_share
    from slmroute.tier import money

    name, equals, rest = text.partition("=")
    share, colon, price = rest.partition(":")
    if not (name and equals and colon):
        raise ConfigError(f"--tier {text}: write NAME=SHARE:DOLLARS, for example --tier mid=0.3:0.004")
    return TierShare(name, read_share(share, f"--tier {name}"), money(price, f"--tier {name}"))
