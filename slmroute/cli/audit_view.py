"""How an audit shows itself in a terminal."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slmroute.report.wording import count, counted, dollars, duration, percent

if TYPE_CHECKING:
    from slmroute.audit import AuditResult
    from slmroute.audit.result import FileLine

__all__ = ["audit_view"]

MOST_CATEGORIES: Final = 15
MOST_UNSURE: Final = 5
LONGEST: Final = 300


def audit_view(found: AuditResult) -> RenderableType:
    """Give what an audit found, for a terminal."""
    parts: list[RenderableType] = [Text(_file(line)) for line in found.files]
    parts += [Text(_looked_at(found)), Text(), Text(_simple(found), style="bold"), Text(_unsure(found)), Text()]
    parts += [_categories(found), Text(), Text(_today(found)), Text(), _patterns(found), Text()]
    if found.unsure_calls:
        parts += [Text(_least_sure(found)), Text()]
    parts += [Text(f"- {line}") for line in found.assumed]
    shown = [(line.category, text) for line in found.categories for text in line.examples]
    if shown:
        parts.append(Text("\nPrompts", style="bold"))
        parts += [Text(f"[{kind}] {_short(text)}") for kind, text in shown]
    return Group(*parts)


def _file(line: FileLine) -> str:
    said = f"{line.file}: {line.form}, {counted(line.records, 'call')}"
    if line.other:
        said += f", {counted(line.other, 'record')} of other kinds left out"
    if line.bad:
        word = "line" if line.bad == 1 else "lines"
        named = f" ({word} {', '.join(map(str, line.bad_lines))}{' ...' if line.bad > len(line.bad_lines) else ''})"
        said += f", {counted(line.bad, 'line')} that cannot be read{named if line.bad_lines else ''}"
    return f"{said}."


def _looked_at(found: AuditResult) -> str:
    low, high = found.simple_interval
    if not found.sampled:
        every = "The one call was" if found.looked_at == 1 else f"All {count(found.looked_at)} calls were"
        if found.without_prompt:
            every = every.replace(" calls", " calls with a prompt").replace("one call", "one call with a prompt")
        said = f"{every} looked at, in {found.seconds:.0f} s."
    else:
        said = (
            f"{count(found.looked_at)} of {count(found.calls)} calls were drawn at random and looked at, in "
            f"{found.seconds:.0f} s: shares are within {(high - low) * 50:.1f} points of the whole log's, 95 times of "
            "100. --all looks at every call."
        )
    if found.without_prompt:
        said += f" Left out, with what they cost: {counted(found.without_prompt, 'call')} without a prompt."
    return said


def _simple(found: AuditResult) -> str:
    low, high = found.simple_interval
    within = f" ({percent(low)} to {percent(high)})" if found.sampled else ""
    return f"{percent(found.simple)} of the calls are simple{within}."


def _unsure(found: AuditResult) -> str:
    low, high = found.simple_range
    return (
        f"The classifier is unsure of {percent(found.unsure)}: if all of these were complex, {percent(low)} would be "
        f"simple, if none, {percent(high)}."
    )


def _table(title: str, *columns: str, folds: bool = True) -> Table:
    table = Table(
        box=None, title=title, title_justify="left", title_style="bold", header_style="dim", padding=(0, 2, 0, 0)
    )
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=number > 0 or not folds, overflow="fold")
    return table


def _categories(found: AuditResult) -> Table:
    within = ("95% interval",) if found.sampled else ()
    table = _table("By kind of task", "kind", "calls", "of cost", "unsure", "simple", *within)
    for line in found.categories[:MOST_CATEGORIES]:
        low, high = line.interval
        shares = (line.share, line.cost_share, line.unsure, line.simple)
        table.add_row(
            line.category, *map(percent, shares), *((f"{percent(low)} to {percent(high)}",) if within else ())
        )
    if len(found.categories) > MOST_CATEGORIES:
        rest = found.categories[MOST_CATEGORIES:]
        table.add_row(f"{len(rest)} more", percent(sum(line.share for line in rest)))
    return table


def _today(found: AuditResult) -> str:
    low, high = found.today_interval
    within = f" ({_dollars(low)} to {_dollars(high)})" if found.sampled else ""
    said = f"Today these calls cost {_dollars(found.today)}{within}"
    if found.median_ms is None:
        return f"{said}; the log does not tell how long they took."
    return f"{said} and take {duration(found.median_ms)} (median; nine in ten within {duration(found.slowest_ms)})."


def _patterns(found: AuditResult) -> Table:
    timed = found.median_ms is not None
    names = ("pattern", "stays", "cost", "saved", "between", *(("median", "90%") if timed else ()))
    table = _table("With routing, projected", *names, folds=False)
    for each in found.patterns:
        low, high = each.saved_interval
        table.add_row(
            each.name,
            percent(each.stays),
            _dollars(each.cost_share * found.today),
            f"{_dollars(each.saved_share * found.today)} ({percent(each.saved_share)})",
            f"{percent(low)} and {percent(high)}",
            *((duration(each.median_ms), duration(each.slowest_ms)) if timed else ()),
            style="bold" if each.name == "embedded" else "",
        )
    table.caption = "\n".join(f"{each.name}: {each.what}" for each in found.patterns)
    table.caption_justify = "left"
    return table


def _least_sure(found: AuditResult) -> str:
    lines = [f"Least sure of ({len(found.unsure_calls)} with --json):"]
    for call in found.unsure_calls[:MOST_UNSURE]:
        prompt = "" if call.prompt is None else f": {_short(call.prompt)}"
        lines.append(f"  record {count(call.place)} of {call.file}, {call.category}, {call.score:.2f}{prompt}")
    return "\n".join(lines)


def _dollars(amount: float) -> str:
    return dollars(Decimal(f"{amount:.12g}"))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
