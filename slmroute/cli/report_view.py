"""How a report shows itself in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slmroute.report import sentences
from slmroute.report.advice import advice_of
from slmroute.report.gains import at_least, gain_columns, money_cells
from slmroute.report.wording import count, dollars, duration, percent

if TYPE_CHECKING:
    from slmroute.report.facts import Group as Grouping
    from slmroute.report.facts import Report

__all__ = ["report_view"]


def report_view(report: Report, by: Grouping) -> RenderableType:
    """Give a report for a terminal.

    Args:
        report: The report.
        by: What to show the calls by.
    """
    style = "bold green" if report.achieved >= report.idle else "bold red"
    lines = [sentences.summary(report)]
    lines += [
        line
        for line in (
            sentences.outages(report),
            sentences.idle(report),
            sentences.before(report),
            sentences.speed(report),
        )
        if line
    ]
    lines += [sentences.failure(rate) for rate in report.failures if rate.answers]
    lines.append(sentences.escalation(report))
    lines += [*map(sentences.machine, report.machines), *([sentences.HOURS] if report.machines else [])]
    parts: list[RenderableType] = [
        Text.assemble((sentences.headline(report), style), f"  {report.period}"),
        Text("\n".join(lines)),
        Text(),
        _money(report),
        Text(),
        _groups(report, by),
        Text("\nWhat to do next", style="bold"),
    ]
    for number, advice in enumerate(advice_of(report), start=1):
        parts.append(Text(f"{number}. {advice.what} {advice.why}"))
    parts.append(Text("\nHow sure this is", style="bold"))
    parts += [Text(f"- {line}") for line in sentences.certainty(report)]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        box=None, title=title, title_justify="left", title_style="bold", header_style="dim", padding=(0, 2, 0, 0)
    )
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=number > 0, overflow="fold")
    return table


def _money(report: Report) -> Table:
    table = _table("Where the money went", "what for", "cost", "share")
    for part in report.money:
        share = percent(part.cost / report.total.cost) if report.total.cost else "-"
        table.add_row(part.name, at_least(dollars(part.cost), part.cost, part.unpriced), share)
    total = report.total
    table.add_row("in all", at_least(dollars(total.cost), total.cost, total.unpriced), "", style="bold")
    if total.dry_run_cost:
        table.add_row("never billed (dry runs)", dollars(total.dry_run_cost), "")
    return table


def _groups(report: Report, by: Grouping) -> Table:
    title = {"day": "Day by day", "tier": "By the tier that answered", "key": "The dearest keys",
             "tag": "The dearest tags; a call counts in each of its tags"}[by]  # fmt: skip
    gained = gain_columns(report.groups(by))
    table = _table(title, by, "calls", "last tier", "cost", *gained, "share", "median")
    for group in report.groups(by):
        table.add_row(
            "(none)" if group.group is None else group.group,
            count(group.calls),
            *money_cells(group, gained),
            duration(group.total_ms.p50),
        )
    return table
