"""The page: every number on it is the ledger's, it needs nothing else, everyone can read it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from slmroute.cli.report_view import report_view
from slmroute.failures import wilson
from slmroute.report import Period, Report, html_of, read_report, sentences, to_json
from slmroute.report.palette import DARK, LIGHT
from slmroute.report.wording import alike, count, dollars, duration, percent, saving

Ask = Callable[..., list[tuple[Any, ...]]]
NANO = Decimal(10) ** -9
VOID = {"meta", "link", "wbr", "br"}


class Reader(HTMLParser):
    """Reads a page: its text outside pictures, its tags, and whether they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(week: Path, period: Period) -> Report:
    return read_report(week, period)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return html_of(report)


def test_a_chart_is_explained_only_where_there_is_one(report: Report, page: str) -> None:
    unmeasured = tuple(
        replace(tier, total_ms=replace(tier.total_ms, p50=0.0, p90=0.0, p99=0.0)) for tier in report.tiers
    )
    without = html_of(replace(report, tiers=unmeasured))
    assert ("The dot is the middle answer" in page, "The dot is the middle answer" in without) == (True, False)


def sums(ask: Ask, group: str, source: str = "{here} c") -> list[str]:
    """The words for calls, cost, baseline and gain of each group, by hand."""
    words: list[str] = []
    compared = "cost_nano IS NOT NULL AND baseline_nano IS NOT NULL"
    for calls, cost, compared_cost, baseline, gain in ask(
        "SELECT count(*), sum(priced_nano), "  # noqa: S608
        f"coalesce(sum(CASE WHEN {compared} THEN cost_nano END), 0), "
        f"coalesce(sum(CASE WHEN {compared} THEN baseline_nano END), 0), "
        f"coalesce(sum(CASE WHEN {compared} AND NOT degraded THEN baseline_nano - cost_nano END), 0) "
        f"FROM {source} GROUP BY {group}"
    ):
        words.append(dollars(NANO * (baseline - compared_cost)))
        words += [count(calls), dollars(NANO * cost), dollars(NANO * baseline), dollars(NANO * gain)]
        words += saving(NANO * baseline, NANO * compared_cost)
        words += alike(NANO * baseline, NANO * cost, NANO * gain)
        words += [f"{Decimal(gain) / baseline:.1%}", percent(Decimal(gain) / baseline)] if baseline else []
        words += [percent(abs(Decimal(gain) / baseline))] if baseline else []
    return words


def queried(ask: Ask) -> set[str]:
    """Every number that may stand on the page, each worked out by a query by hand."""
    words = sums(ask, "1 = 1") + sums(ask, "day") + sums(ask, "tier") + sums(ask, "key")
    words += sums(ask, "t.value", "{here} c LEFT JOIN json_each(c.tags) t")
    total = ask("SELECT sum(priced_nano) FROM {here}")[0][0]
    calls = ask("SELECT count(*) FROM {here}")[0][0]
    compared = "WHERE cost_nano IS NOT NULL AND baseline_nano IS NOT NULL"
    words += [count(ask(f"SELECT count(*) FROM {{here}} {compared}")[0][0])]  # noqa: S608
    words += [dollars(NANO * ask(f"SELECT sum(cost_nano) FROM {{here}} {compared}")[0][0])]  # noqa: S608
    # the week before
    old = "FROM calls WHERE day >= '2026-11-09' AND day < '2026-11-16'"
    before, cost, baseline = ask(f"SELECT count(*), sum(cost_nano), sum(baseline_nano) {old}")[0]
    words += [count(before), dollars(NANO * cost), percent(Decimal(baseline - cost) / baseline)]
    # where the money went, and who answered
    spent = "SELECT coalesce(sum(a.cost_nano), 0) FROM attempts a JOIN {here} c USING (call_id) WHERE"
    for condition in ("a.role = 'classifier'", "a.role = 'draft'", "a.role = 'judge'", "a.role = 'failed'",
                      "a.role = 'final' AND c.tier = 'small'", "a.role = 'final' AND c.tier = 'frontier'"):  # fmt: skip
        part = ask(f"{spent} {condition}")[0][0]
        words += [dollars(NANO * part), percent(Decimal(part) / total)]
    answered = ask("SELECT count(*) FROM {here} WHERE tier IS NOT NULL")[0][0]
    for of_tier, cost in ask("SELECT count(*), sum(priced_nano) FROM {here} WHERE tier IS NOT NULL GROUP BY tier"):
        words += [count(of_tier), count(answered), percent(of_tier / answered), percent(Decimal(cost) / total)]
    dearest = ask("SELECT sum(priced_nano) FROM {here} WHERE key IS NOT NULL GROUP BY key ORDER BY 1 DESC")[0][0]
    words.append(percent(Decimal(dearest) / total))
    # times
    middles: list[float] = []
    for tier in ("small", "frontier"):
        times = sorted(ms for (ms,) in ask(f"SELECT total_ms FROM {{here}} WHERE tier = '{tier}'"))  # noqa: S608
        ranks = [times[-(-len(times) * share // 100) - 1] for share in (50, 90, 99)]
        middles.append(ranks[0])
        words += [duration(ms) for ms in ranks]
    words += [f"{middles[1] / middles[0]:.1f}", f"{middles[1] / middles[0]:.1f}x"]
    # failures, escalations
    for failed, answers in [*failures(ask, "a.tier"), *failures(ask, "a.tier, c.category")]:
        low, high = wilson(failed, answers)
        words += [count(failed), count(answers), percent(failed / answers), percent(low), percent(high)]
    moved = ask("SELECT count(*) FROM {here} WHERE escalated")[0][0]
    words += [count(moved), percent(moved / calls), *map(percent, wilson(moved, calls))]
    # how sure
    elsewhere = ask("SELECT sum(baseline_nano) FROM {here} WHERE tier IS NOT 'frontier' AND cost_nano IS NOT NULL")
    gain = NANO * ask(f"SELECT sum(baseline_nano - cost_nano) FROM {{here}} {compared}")[0][0]  # noqa: S608
    assumed = NANO * elsewhere[0][0]
    # a weaker answer than wanted is no saving
    weaker, less = ask(
        "SELECT count(*), sum(CASE WHEN cost_nano IS NOT NULL THEN baseline_nano - cost_nano END) "
        "FROM {here} WHERE degraded"
    )[0]
    made = gain - NANO * less
    failed = ask("SELECT count(*) FROM {here} WHERE status IN ('error', 'partial')")[0][0]
    words += [count(weaker), count(failed), *alike(made - assumed / 5, made + assumed / 5, assumed)]
    words += [*alike(made - assumed / 5, made + assumed / 5), count(calls)]
    spent = NANO * ask(f"SELECT sum(cost_nano) FROM {{here}} {compared}")[0][0]  # noqa: S608
    words += saving(gain + spent, spent, NANO * less)
    unpriced = ask("SELECT count(*) FROM attempts JOIN {here} USING (call_id) WHERE attempts.cost_nano IS NULL")[0][0]
    words += [count(unpriced), count(ask("SELECT count(*) FROM {here} WHERE cost_nano IS NULL")[0][0])]
    attempts = ask("SELECT count(*) FROM attempts JOIN {here} USING (call_id)")[0][0]
    guessed = ask("SELECT count(*) FROM attempts JOIN {here} USING (call_id) WHERE usage_source = 'estimated'")[0][0]
    return {*words, count(attempts), count(guessed), percent(guessed / attempts)}


def failures(ask: Ask, group: str) -> list[tuple[int, int]]:
    """How many answers of each group failed, of how many, by the definition in ``slmroute.failures``."""
    return ask(
        "SELECT sum(CASE WHEN a.role = 'final' AND f.good IS NOT NULL THEN NOT f.good "  # noqa: S608
        "WHEN a.fault IN ('empty', 'refusal') THEN 1 WHEN a.confidence < 0.5 THEN 1 ELSE 0 END), count(*) "
        "FROM attempts a JOIN {here} c USING (call_id) LEFT JOIN feedback f USING (call_id) "
        f"WHERE a.role IN ('draft', 'final') GROUP BY {group}"
    )


NOT_MEASURED = {"5%", "95%", "20%", "90", "90%", "99", "99%", "100", "$0", "0%", "0", "4.7"}
"""The line, the level of intervals, the range's assumption, and what quantiles are called."""


def test_every_figure_on_the_page_equals_a_query_on_the_ledger(page: str, report: Report, ask: Ask) -> None:
    reader = Reader(re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))
    seen = " ".join(reader.text).replace(str(report.period), "").replace(report.ledger, "")
    seen = re.sub(r"read \d+ \w+ \d{4} \d\d:\d\d", "", seen)
    seen = re.sub(r"\b2026-11-\d\d\b|=1\+1|\b[12]\. ", "", seen)
    numbers = re.findall(r"-?\$?\d[\d,]*(?:\.\d+)?(?:%| ms| s\b|x)?", seen)
    assert len(numbers) > 150
    assert set(numbers) - queried(ask) <= NOT_MEASURED


def test_every_figure_in_the_pictures_equals_a_query_on_the_ledger(page: str, ask: Ask) -> None:
    known = queried(ask)
    pictures = {
        name: re.findall(rf"<svg[^>]*>(?:(?!</svg>).)*?{name}-.*?</svg>|<svg.*?</svg>", page, re.DOTALL)
        for name in ("wide", "narrow")
    }
    written = {
        html.unescape(text)
        for svgs in pictures.values()
        for svg in svgs
        for text in re.findall(r">([^<>]+)</text>", svg)
    }
    values = {
        part for text in written for part in re.findall(r"\$\d[\d,.]*\d|\$\d|\d+(?:\.\d+)?%|\d[\d.,]* (?:ms|s)\b", text)
    }
    axis = {text for text in written if re.fullmatch(r"\$\d+(\.\d)?|\d+%|[1235]\d* ms|[1235]0*\.0 s", text)}
    assert len(values - axis) > 15
    assert {value for value in values if value not in known} <= axis | NOT_MEASURED


def test_the_page_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    names = {name for name, _ in reader.tags}
    assert names.isdisjoint({"script", "iframe", "object", "embed", "img", "base", "form"})
    assert [link["href"] for link in reader.all("link")] == ["data:,"]
    addresses = {
        value for _, attributes in reader.tags for name, value in attributes.items() if name in ("src", "href")
    }
    assert all(str(value).startswith(("data:", "#")) for value in addresses)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert len(page) < 300_000


def test_ids_are_unique_and_references_meet_one(page: str) -> None:
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:url\(#|href="#|aria-labelledby=")([^")]+)', page))
    assert used <= set(ids)


def test_every_picture_has_a_text_and_a_table(page: str) -> None:
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == 5
    for figure in figures:
        label = re.search(r'role="img" aria-label="([^"]+)"', figure)
        assert label is not None
        assert len(label[1]) > 40
        assert figure.count('aria-hidden="true"') == 2
        assert '<th scope="col"' in figure
        assert '<th scope="row"' in figure


def test_it_has_a_language_headings_in_order_and_room_for_phones(page: str) -> None:
    reader = Reader(page)
    assert reader.all("html") == [{"lang": "en"}]
    assert [name for name, _ in reader.tags if name in ("h1", "h2", "h3")][:2] == ["h1", "h2"]
    assert sum(name == "h1" for name, _ in reader.tags) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in reader.all("meta")
    assert all(table.get("tabindex") == "0" for table in reader.all("div") if table.get("role") == "region")


def test_names_from_the_ledger_are_escaped(page: str) -> None:
    assert "<b>bold</b>" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "$x$ \u8acb\u6c42" in page


def test_there_is_a_dark_theme_and_a_print(page: str) -> None:
    assert f"--small: {LIGHT['small']}" in page
    assert f"--small: {DARK['small']}" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    svgs = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--small)" in svgs
    assert re.findall(r"#[0-9a-f]{6}\b", svgs) == []


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("colours", "card"), [(LIGHT, "#ffffff"), (DARK, "#1c222b")], ids=["light", "dark"])
def test_texts_and_marks_stand_out(colours: dict[str, str], card: str) -> None:
    assert len(set(LIGHT.values())) == len(LIGHT)
    for paper in (colours["paper"], card):
        for text in ("ink", "muted", "good", "line"):
            assert contrast(colours[text], paper) >= 4.5, text
        for mark in set(colours) - {"ink", "muted", "grid", "paper"}:
            assert contrast(colours[mark], paper) >= 2.9, mark


def test_weaker_answers_than_wanted_are_counted_named_and_no_saving(week: Path, period: Period) -> None:
    report = read_report(week, period)
    out = replace(
        report,
        total=replace(
            report.total, degraded=5, degraded_gain=report.gain / 2, statuses={"ok": 609, "error": 2, "partial": 1}
        ),
    )
    baseline, cost, less, made = saving(out.total.baseline, out.total.compared_cost, out.total.degraded_gain)
    page, shown = html_of(out), Console(width=400)
    with shown.capture() as captured:
        shown.print(report_view(out, "day"))
    assert f'<h1 class="good">{made} saved</h1>' in page
    assert out.achieved == report.gain / 2
    for text in (html.unescape(page), captured.get()):
        assert "5 calls got a weaker answer than wanted, because a better tier failed" in text
        assert f"3 calls failed; the {less} that weaker answers cost less is no saving" in text
    data = to_json(out)
    assert (data["achieved"], data["unanswered"]) == (f"{out.achieved.normalize():f}", 3)
    amounts = [Decimal(word.replace("$", "")) for word in (baseline, cost, less, made)]
    assert amounts[0] - amounts[1] - amounts[2] == amounts[3]
    well = replace(report, total=replace(report.total, degraded=0, degraded_gain=Decimal(0), statuses={"ok": 612}))
    assert "weaker answer" not in html_of(well)


def test_where_most_of_it_is_an_outage_it_says_routing_lost(week: Path, period: Period) -> None:
    report = read_report(week, period)
    out = replace(report, total=replace(report.total, degraded=400, degraded_gain=report.gain + 1))
    made = saving(out.total.baseline, out.total.compared_cost, out.total.degraded_gain)[-1]
    assert out.achieved == -1
    assert sentences.headline(out) == f"Routing cost {made.removeprefix('-')} more than it saved"


def test_one_call_is_not_one_calls(week: Path, period: Period) -> None:
    report = read_report(week, period)
    one = replace(report.total, calls=1, compared=1, degraded=1, escalated=0, statuses={"error": 1})
    said = [sentences.summary(replace(report, total=one)), sentences.outages(replace(report, total=one)) or "",
            sentences.escalation(replace(report, total=one))]  # fmt: skip
    assert all(re.search(r"\b1 call\b", text) for text in said)
    assert not any(re.search(r"\b1 calls\b", text) for text in said)


def test_a_dry_run_is_called_projected_and_never_saved(dry_week: Path, period: Period) -> None:
    report = read_report(dry_week, period)
    page = html_of(report)
    words = saving(report.total.baseline, report.total.compared_cost)[-1]
    assert f'<h1 class="good">{words} projected saving</h1>' in page
    assert "Nothing was really saved there" in page
    assert " saved</h1>" not in page
    assert "frontier was a dry run, whose times say nothing" in page


def test_the_words_of_the_readmes_picture_stand_out() -> None:
    light, dark = (
        (Path(__file__).parents[2] / "docs" / "flow.svg")
        .read_text("utf-8")
        .split("@media (prefers-color-scheme: dark)")
    )
    for style in (light, dark):
        fills = dict(re.findall(r"^\s*\.?(\w+) \{[^}]*?fill: (#[0-9a-f]{6})", style, re.MULTILINE))
        for paper in ("card", "box", "small", "big", "check"):
            for words in ("text", "sub"):
                assert contrast(fills[words], fills[paper]) >= 7, (words, paper)
