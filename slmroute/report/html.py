"""A report as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slmroute.failures import LINE, FailureRate
from slmroute.report import charts, sentences
from slmroute.report.advice import advice_of
from slmroute.report.facts import Report
from slmroute.report.gains import at_least, gain_columns, gain_of, money_cells
from slmroute.report.page import Mood, Page, Section, Table, Tile, picture, render
from slmroute.report.wording import alike, count, counted, dollars, duration, percent

if TYPE_CHECKING:
    from slmroute.ledger.summary import CallSummary

__all__ = ["html_of", "report_sections", "report_tiles"]

MOST_GROUPS = 10
NOBODY = "(none)"


def html_of(report: Report) -> str:
    """Write a report as one self-contained HTML page.

    Args:
        report: The report.

    Raises:
        MissingExtra: The extra ``report`` is not installed.
    """
    before = sentences.before(report)
    sure = report.certainty
    low, high = alike(sure.low, sure.high)
    asides = [f"How sure: between {low} and {high}; see the end of the page."]
    said = [each for each in (sentences.outages(report), sentences.idle(report)) if each]
    page = Page(
        title=f"slmroute: {sentences.headline(report)}, {report.period}",
        kicker=f"What routing did, {report.period}",
        headline=sentences.headline(report),
        mood=_mood(report.achieved >= report.idle if report.compares else None),
        lead=sentences.summary(report),
        asides=(*said, *(asides if report.compares else ()), *([before] if before else ())),
        warning=_warning(report),
        tiles=report_tiles(report),
        sections=report_sections(report),
        footer=footer(report),
    )
    return render(page)


def report_tiles(report: Report) -> tuple[Tile, ...]:
    """Give the figures that stand out."""
    total, (local, answered) = report.total, report.local
    cost = at_least(dollars(total.cost), total.cost, total.unpriced)
    of = counted(total.calls, "call") + (f", {count(total.unpriced)} unpriced" if total.unpriced else "")
    tiles = [
        Tile("Cost, all counted", cost, of),
        Tile("Answered by smaller models", percent(local / answered) if answered else "-",
             f"{count(local)} of {counted(answered, 'answered call')}"),
    ]  # fmt: skip
    if total.degraded or report.unanswered:
        note = f"and {count(report.unanswered)} without any" if report.unanswered else "a better tier did not answer"
        tiles.append(Tile("Weaker answers than wanted", count(total.degraded), note, "bad"))
    small = [rate for rate in report.failures if rate.tier not in report.last_tiers and rate.answers]
    for rate in sorted(small, key=lambda rate: (rate.verdict != "over", -rate.answers))[:2]:
        low, high = rate.interval
        words = {"under": "under", "over": "over", "open": "may be over"}[rate.verdict]
        note = f"{words} the {percent(LINE)} line; {percent(low)} to {percent(high)}"
        tiles.append(Tile(f"Failed answers of {rate.tier}", percent(rate.rate), note, _verdict(rate)))
    if report.speed_up is not None:
        faster = report.speed_up
        word = "faster than the last tier" if faster >= 1 else "slower than the last tier"
        word = word if abs(faster - 1) >= 0.05 else "about as fast as the last tier"
        tiles.append(Tile("Speed of small answers", f"{max(faster, 1 / faster):.1f}x", word, _mood(faster >= 1)))
    return tuple(tiles)


def report_sections(report: Report) -> tuple[Section, ...]:
    """Give the parts of the page."""
    sections = [
        Section(title="What to do next", steps=advice_of(report)),
        _days(report),
        _money(report),
        _shares(report),
        _latency(report),
        _failures(report),
        _dearest(report),
    ]
    if report.machines:
        sections.append(_machines(report))
    sections.append(Section(title="How sure this is", points=tuple(sentences.certainty(report))))
    return tuple(sections)


def footer(report: Report) -> tuple[str, ...]:
    """Say where the figures come from and what words mean."""
    return (
        f"From the ledger {report.ledger}, read {report.made_at:%-d %B %Y %H:%M} UTC. Days are days in UTC.",
        "A tier is a model that calls can go to. The last tier is the most capable one, which gets what nothing "
        "smaller will do. What calls would have cost there is the same text at its price, without a classifier. "
        "Saved is that minus everything that was spent: answers, drafts (small answers that were not good enough and "
        "were thrown away), judges (models that look at answers), and the classifier that tells simple calls from "
        "complex ones.",
        "A failed answer is one that someone said was bad, that was wrong on its face, or that was judged more likely "
        "wrong than right. Very likely means with 95% confidence (Wilson's intervals).",
    )


def _days(report: Report) -> Section:
    gained = gain_columns(report.days)
    none = ("0", "$0", "$0", *("$0" for _ in gained), "-")
    rows = [
        (day, *((count(found.calls), *money_cells(found, gained)) if found else none))
        for day, found in report.every_day
    ]
    text = (
        f"Bars for each day of {report.period}: what its calls would have cost at the last tier, "
        f"{dollars(report.total.baseline)} in all, and what they cost, {dollars(report.total.compared_cost)}."
    )
    return Section(
        title="Day by day",
        lines=("What each day's calls would have cost at the last tier, and in front of it what they cost.",),
        picture=picture("days", text, lambda width: charts.cost_by_day(report, width)) if report.compares else None,
        tables=(Table("Calls and cost by day", ("day", "calls", "at the last tier", "cost", *gained, "share"),
                      tuple(rows), _wide_only(gained)),),
    )  # fmt: skip


def _money(report: Report) -> Section:
    spent = report.total.cost
    rows = tuple(
        (
            part.name,
            at_least(dollars(part.cost), part.cost, part.unpriced),
            percent(part.cost / spent) if spent else "-",
        )
        for part in report.money
    )
    free = sentences.unbilled(report)
    whole = at_least(dollars(spent), spent, report.total.unpriced)
    parts = ", ".join(f"{part.name} {dollars(part.cost)}" for part in report.money if part.cost)
    text = f"All at the last tier {dollars(report.total.baseline)}; with routing: {parts or 'nothing'}."
    return Section(
        title="Where the money went",
        lines=(
            f"In all: {whole}. Answers of the last tier are the frontier answers; a draft is a small answer "
            "that was not good enough, a judge a model that looks at answers.",
            *((free,) if free else ()),
        ),
        picture=picture("money", text, lambda width: charts.money(report, width)) if spent else None,
        tables=(Table("Cost by what it was for", ("what for", "cost", "share"), rows),),
    )


def _shares(report: Report) -> Section:
    unpriced = {tier.group: tier.unpriced for tier in report.tiers}
    total, all_calls = report.total.cost, sum(calls for _, calls, _ in charts.answering(report))
    rows = tuple(
        (
            name,
            count(calls),
            percent(calls / all_calls),
            at_least(dollars(cost), cost, unpriced[name]),
            percent(cost / total) if total else "-",
        )
        for name, calls, cost in charts.answering(report)
    )
    shares = "; ".join(f"{name}: {of_calls} of calls, {of_cost} of cost" for name, _, of_calls, _, of_cost in rows)
    return Section(
        title="Who answered",
        lines=("Each tier's share of the calls, and of all that these calls cost.",),
        picture=picture("shares", f"Shares by tier. {shares}.", lambda width: charts.shares(report, width)),
        tables=(
            Table(
                "Calls and cost by the tier that answered",
                ("tier", "calls", "of calls", "cost", "of cost"),
                rows,
                frozenset({"calls"}),
            ),
        ),
    )


def _latency(report: Report) -> Section:
    timed = [tier for tier in report.tiers if tier.group is not None]
    dry = sorted(report.dry_tiers & {str(tier.group) for tier in timed})
    rows = tuple(
        (str(tier.group), count(tier.calls),
         *(("-",) * 3 if tier.group in dry else
           (duration(ms) for ms in (tier.total_ms.p50, tier.total_ms.p90, tier.total_ms.p99))))
        for tier in timed
    )  # fmt: skip
    times = "; ".join(f"{row[0]}: median {row[2]}, nine in ten within {row[3]}" for row in rows if row[2] != "-")
    chart = picture("latency", f"Times by tier. {times}.", lambda width: charts.latency(report, width))
    lines = ["The whole call counts, classifier and drafts included."]
    if chart is not None:
        lines.append(
            "The dot is the middle answer; the thick line reaches to where nine in ten had come, the thin one to 99 in "
            "100. Each step of the scale is a multiple."
        )
    said = sentences.speed(report)
    if said:
        lines.insert(0, said)
    if dry:
        lines.append(f"{', '.join(dry)} was a dry run, whose times say nothing.")
    lines += [
        f"Left out: {count(tier.dry_runs)} of {counted(tier.calls, 'call')} of {tier.group}, dry runs."
        for tier in timed
        if tier.dry_runs and tier.group not in dry
    ]
    return Section(
        title="How fast",
        lines=tuple(lines),
        picture=chart,
        tables=(Table("Time of a call by the tier that answered", ("tier", "calls", "median", "90%", "99%"), rows),),
    )


def _failures(report: Report) -> Section:
    rates = [(rate.tier, rate) for rate in report.failures]
    below = [each for each in report.failures_by_category if each.category and each.tier not in report.last_tiers]
    rates += [(f"{rate.tier}, {rate.category}", rate) for rate in below]
    moved, calls, (low, high) = report.escalation
    rows = [(name, *_rate_cells(rate)) for name, rate in rates if rate.answers]
    escalated = (
        "escalated calls",
        count(calls),
        count(moved),
        percent(moved / calls),
        f"{percent(low)} to {percent(high)}",
    )
    lines = [sentences.failure(rate) for rate in report.failures if rate.answers]
    if not lines:
        lines = ["No tier gave an answer that can have failed: all were dry runs, or nothing was answered."]
    text = " ".join((*lines, sentences.escalation(report)))
    columns = ("", "answers", "failed", "rate", "very likely")
    return Section(
        title="How good: failed answers against the 5% line",
        lines=(*lines, sentences.escalation(report)),
        picture=picture("failures", text, lambda width: charts.failures(report, width)),
        tables=(Table("Failure and escalation rates", columns, (*rows, escalated), frozenset({"failed"})),),
    )


def _dearest(report: Report) -> Section:
    tables = tuple(
        Table(
            caption,
            (name, "calls", "at the last tier", "cost", *gain_columns(groups), "share"),
            _group_rows(groups),
            _wide_only(gain_columns(groups)) - ({"calls"} if len(gain_columns(groups)) == 1 else set()),
        )
        for caption, name, groups in (
            ("The dearest keys", "key", report.keys),
            ("The dearest tags; a call counts in each of its tags", "tag", report.tags),
        )
    )
    line = "Keys and tags are the names that programs give their calls: whose they are, and what kind of task."
    return Section(title="The dearest keys and tags", lines=(line,), tables=tables)


def _machines(report: Report) -> Section:
    rows = tuple(
        (machine.tier, count(machine.calls), dollars(machine.rent), dollars(machine.charged), dollars(machine.idle))
        for machine in report.machines
    )
    lines = (
        *map(sentences.machine, report.machines),
        "Calls are charged for the time they keep a machine busy; idle time is paid all the same.",
        sentences.HOURS,
    )
    return Section(
        title="Machines paid by the hour",
        lines=lines,
        tables=(Table("Cost of machines", ("tier", "calls", "all hours", "charged to calls", "idle"), rows),),
    )


def _group_rows(groups: Sequence[CallSummary]) -> tuple[tuple[str, ...], ...]:
    gained = gain_columns(groups)
    rows = [(NOBODY if group.group is None else group.group, count(group.calls), *money_cells(group, gained))
            for group in groups[:MOST_GROUPS]]  # fmt: skip
    if len(groups) > MOST_GROUPS:
        rest = groups[MOST_GROUPS:]
        rows.append(
            (
                f"and {count(len(rest))} more",
                count(sum(group.calls for group in rest)),
                "",
                "",
                "",
                *("" for _ in gained),
            )
        )
    return tuple(rows)


def _wide_only(gained: tuple[str, ...]) -> frozenset[str]:
    return frozenset({"calls", "at the last tier", *(("share",) if len(gained) > 1 else ())})


def _rate_cells(rate: FailureRate) -> tuple[str, ...]:
    low, high = rate.interval
    return count(rate.answers), count(rate.failures), percent(rate.rate), f"{percent(low)} to {percent(high)}"


def _warning(report: Report) -> str | None:
    if projected := gain_of(report.total).projected:
        return (
            f"{dollars(projected)} of this is projected: the last tier was a dry run that generated "
            "nothing and was priced by estimated tokens. Nothing was really saved there."
        )
    return None


def _verdict(rate: FailureRate) -> Mood:
    return {"under": "good", "over": "bad", "open": ""}[rate.verdict]  # type: ignore[return-value]


def _mood(good: bool | None) -> Mood:
    return "" if good is None else "good" if good else "bad"
