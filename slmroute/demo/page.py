"""The demo's page: what was found, with pictures, and the report of the calls as the ledger has them."""

from __future__ import annotations

from slmroute.demo import charts, words
from slmroute.demo.summary import DemoSummary
from slmroute.report import html
from slmroute.report.advice import Advice
from slmroute.report.facts import Report
from slmroute.report.page import Mood, Page, Section, Table, Tile, picture, render
from slmroute.report.wording import count, counted, dollars, duration, percent

__all__ = ["demo_page"]


def demo_page(found: DemoSummary, report: Report) -> str:
    """Write the demo's page as one self-contained HTML file.

    Args:
        found: What the demo found.
        report: The report on the run's calls.

    Raises:
        MissingExtra: The extra ``report`` is not installed.
    """
    gain, word = found.gain, "projected saving" if found.dry_run else "saved"
    mood: Mood = "" if gain is None else "good" if gain >= 0 else "bad"
    outages, stand_in = words.outages(found), words.stand_in(found) if found.small.stand_in else None
    # A share of what is left after an outage would be the outage's as much as the router's.
    headline = (
        f"{percent(found.gain_share)} {word}"
        if outages is None
        else f"{words.gain(found)} {word} on {found.routed.calls} of {counted(found.requests, 'request')}"
    )
    asides = [*((stand_in,) if outages and stand_in else ()), *((words.projected(),) if found.dry_run else ())]
    page = Page(
        title=f"slmroute demo: {headline}",
        kicker=f"slmroute demo, {report.period}",
        headline=headline,
        mood=mood,
        lead=f"{counted(found.requests, 'request')} of a support desk and a back office, routed in {found.seconds:.0f} "
        f"seconds between {found.small.name} and {found.frontier}. {words.money(found)}",
        asides=(*asides, words.price_of_small()),
        warning=outages or stand_in,
        tiles=_tiles(found),
        sections=(
            _requests(found), _month(found), _kinds(found), _sweep(found), *_of_the_ledger(report), _next(found),
        ),
        footer=html.footer(report),
    )  # fmt: skip
    return render(page)


def _tiles(found: DemoSummary) -> tuple[Tile, ...]:
    small = next(line for line in found.tiers if line.tier == "small")
    asked = counted(found.requests, "request")
    graded, bill = small.right + small.wrong, found.textbook.month
    return (
        Tile("Routed to stay local", percent(found.local_share), f"{found.local} of {asked}"),
        Tile("Routed as a person would", percent(found.agreement), "of all requests, whoever answered in the end"),
        Tile("Right answers of the small model", percent(small.right / graded) if graded else "-",
             f"{small.right} of {graded} graded"),
        Tile("100,000 calls a month", dollars(bill.total), f"instead of {dollars(bill.baseline)}, at textbook prices"),
    )  # fmt: skip


def _requests(found: DemoSummary) -> Section:
    rows = tuple(
        (
            f"{line.tier} ({line.model}{', dry run' if line.dry_run else ''})",
            count(line.calls),
            *("-" if line.dry_run else str(number) for number in (line.right, line.wrong)),
            str(line.ungraded),
            count(line.input_tokens),
            count(line.output_tokens),
            dollars(line.cost),
            "-" if line.dry_run else duration(line.median_ms),
        )
        for line in found.tiers
    )
    columns = ("tier", "calls", "right", "wrong", "ungraded", "tokens in", "tokens out", "cost", "median")
    few = frozenset({"ungraded", "tokens in", "tokens out"})
    return Section(
        title="What became of the requests",
        lines=(words.agreement(found), words.latencies(found)),
        tables=(Table("Per tier", columns, rows, few),),
    )


def _month(found: DemoSummary) -> Section:
    columns, rows = words.month_rows(found)
    bill = found.textbook.month
    text = (
        f"A month at textbook prices: {dollars(bill.baseline)} at the frontier, {dollars(bill.total)} with routing: "
        + ", ".join(f"{name} {dollars(cost)}" for name, cost in (("classifier", bill.classifier), *bill.tiers.items()))
    )
    local = percent(found.textbook.mix.local_share)
    return Section(
        title=f"At 100,000 calls a month, {local} of them local",
        lines=(words.textbook(found),),
        picture=picture("month", f"{text}.", lambda width: charts.month(found, width)),
        tables=(Table("100,000 calls a month", columns, rows),),
    )


def _kinds(found: DemoSummary) -> Section:
    rows = tuple(
        (kind.kind, str(kind.calls), str(kind.local), str(kind.right), str(kind.wrong)) for kind in found.kinds
    )
    said = "; ".join(f"{kind.kind}: {kind.right} right, {kind.wrong} wrong" for kind in found.kinds if kind.local)
    columns = ("kind", "requests", "answered locally", "right", "wrong")
    return Section(
        title="Right and wrong, by kind of work",
        lines=("Answers that stayed local, against the answers that the project wrote down beforehand.",),
        picture=picture("kinds", f"Local answers by kind. {said}.", lambda w: charts.answers_by_kind(found, w)),
        tables=(Table("Requests by kind of work", columns, rows),),
    )


def _sweep(found: DemoSummary) -> Section:
    rows = tuple(
        (f"{line.threshold:g}", f"{line.caught} of {line.wrong}", f"{line.disturbed} of {line.right}",
         percent(line.served_right))
        for line in found.sweep
    )  # fmt: skip
    columns = ("confidence under", "wrong ones caught", "right ones too", "right of the rest")
    points = "; ".join(f"under {row[0]}: {row[1]} wrong, {row[2]} right" for row in rows)
    return Section(
        title="Would confidence have caught the wrong answers?",
        lines=(
            "Nothing moved up in this run: confidence was only noted. This is what each threshold would have done.",
            words.confidence(found),
        ),
        picture=picture("sweep", f"Moved up by threshold. {points}.", lambda w: charts.threshold_sweep(found, w)),
        tables=(Table("Escalation by confidence", columns, rows),) if rows else (),
    )


def _of_the_ledger(report: Report) -> tuple[Section, ...]:
    wanted = ("Where the money went", "Who answered", "How fast", "How sure this is")
    return tuple(section for section in html.report_sections(report) if section.title in wanted)


def _next(found: DemoSummary) -> Section:
    steps = [
        Advice("Find out what your own traffic would save: slmroute audit LOGS", "It reads logs you have; no code is "
               "changed and nothing is sent anywhere."),
        Advice("Put the router where your model is.", "RoutingChatModel in LangChain, RoutingLLM in LlamaIndex."),
    ]  # fmt: skip
    if found.small.stand_in:
        steps.insert(1, Advice("Try a real small model: ollama pull llama3.1:8b, then run the demo again.",
                               f"It takes the place of {found.small.name} ({found.small.size})."))  # fmt: skip
    if found.dry_run:
        steps.append(Advice("Set OPENAI_API_KEY or ANTHROPIC_API_KEY and run the demo again.",
                            "The frontier then answers for real, and its answers are graded as well."))  # fmt: skip
    return Section(title="What to do next", steps=tuple(steps))
