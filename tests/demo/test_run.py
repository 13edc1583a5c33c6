"""The demo's run: a real LangChain chain, records, grades, what reaches the ledger, and what comes of it all."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from slmroute.demo.page import demo_page
from slmroute.demo.requests import Request, is_right
from slmroute.demo.run import Outcome, frontier_tier, run_requests, small_tier
from slmroute.demo.small import SmallModel
from slmroute.demo.summary import DemoSummary, summarise
from slmroute.demo.words import agreement
from slmroute.errors import MissingExtra
from slmroute.ledger import Ledger, LedgerReader
from slmroute.report import read_report
from slmroute.report.page import _template
from slmroute.testing import FakeServer, Fault, Reply

pytestmark = pytest.mark.usefixtures("closed_clients")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


@pytest.fixture
def outcomes(requests: list[Request], small: SmallModel, ledger: Path) -> list[Outcome]:
    with Ledger(ledger) as book:
        return run_requests(requests, small_tier(small), frontier_tier({}), ledger=book)


@pytest.fixture
def found(outcomes: list[Outcome], small: SmallModel) -> DemoSummary:
    return summarise(outcomes, small=small, tiers=(small_tier(small), frontier_tier({})), seconds=1.5)


def test_every_request_gets_an_answer_in_order(outcomes: list[Outcome], requests: list[Request]) -> None:
    assert [outcome.request for outcome in outcomes] == requests
    assert {outcome.record.status for outcome in outcomes} == {"ok"}
    assert {outcome.record.tier for outcome in outcomes} == {"small", "frontier"}


def test_answers_are_graded_unless_nothing_was_generated(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.record.tier == "frontier":
            assert outcome.right is None
            assert outcome.answer.startswith("[dry run: openai:gpt-4.1 would answer here")
        else:
            assert outcome.right is is_right(outcome.request, outcome.answer)
    assert {outcome.right for outcome in outcomes} == {True, False, None}


def test_confidence_is_measured_and_moves_nothing(outcomes: list[Outcome]) -> None:
    local = [outcome for outcome in outcomes if outcome.record.tier == "small"]
    assert {round(outcome.record.confidence or 0, 3) for outcome in local} == {0.9, 0.4}
    assert not any(outcome.record.escalated for outcome in outcomes)


def test_the_ledger_has_every_call_with_its_team_its_kind_and_its_grade(outcomes: list[Outcome], ledger: Path) -> None:
    reader = LedgerReader(ledger)
    assert reader.total().calls == len(outcomes)
    for outcome in outcomes:
        stored = reader.call(outcome.record.call_id)
        assert stored is not None
        assert stored.record.key == outcome.request.team
        assert stored.record.tags == (f"category:{outcome.request.kind}",)
        assert stored.feedback == ({} if outcome.right is None else {"demo": outcome.right})
    assert reader.lost == 0


def test_prompts_and_answers_stay_out_of_the_ledger(outcomes: list[Outcome], ledger: Path) -> None:
    stored = b"".join(path.read_bytes() for path in ledger.parent.glob("demo.db*"))
    for outcome in outcomes:
        assert outcome.request.prompt[:30].encode() not in stored
        assert repr(outcome).count(outcome.request.prompt[:30]) == 0


def test_the_summary_adds_up(found: DemoSummary, outcomes: list[Outcome]) -> None:
    assert sum(line.calls for line in found.tiers) == found.requests == len(outcomes)
    for line in found.tiers:
        assert line.right + line.wrong + line.ungraded == line.calls
    assert sum(line.cost or 0 for line in found.tiers) == found.cost
    assert sum(kind.calls for kind in found.kinds) == found.requests
    small, frontier = found.tiers
    assert small.right == sum(outcome.right is True for outcome in outcomes)
    assert frontier.output_tokens == 400 * frontier.calls
    assert found.agreement == sum(outcome.agrees for outcome in outcomes) / len(outcomes) >= 0.75


def test_a_tier_that_got_no_request_is_not_spoken_of(found: DemoSummary) -> None:
    assert "sent to frontier" in agreement(found)
    small, frontier = found.tiers
    assert "sent to frontier" not in agreement(replace(found, tiers=(small, replace(frontier, started=0, agrees=0))))


def test_the_saving_is_projected_while_the_frontier_is_a_dry_run(found: DemoSummary) -> None:
    assert found.dry_run
    data = found.to_json()
    assert "saved" not in data
    assert Decimal(str(data["projected"])) == found.gain
    assert found.gain is not None
    assert found.gain > 0
    assert found.baseline == sum((line.cost or Decimal(0)) for line in found.tiers) + found.gain


def test_a_month_at_textbook_prices_is_the_estimate_at_the_measured_mix(found: DemoSummary) -> None:
    month, share = found.textbook.month, round(Decimal(str(found.local_share)), 3)
    assert month.total == 20 + 100_000 * share * Decimal("0.001") + 100_000 * (1 - share) * Decimal("0.03")
    assert found.measured is not None
    assert found.cost is not None
    assert found.measured.total == pytest.approx(found.cost / found.requests * 100_000)


def test_confidence_would_have_caught_the_wrong_answers_of_this_model(found: DemoSummary) -> None:
    assert found.auc == 1
    middle = next(line for line in found.sweep if line.threshold == 0.5)
    assert (middle.caught, middle.disturbed, middle.served_right) == (middle.wrong, 0, 1)
    high = found.sweep[-1]
    assert high.caught == high.wrong


def test_json_is_plain(found: DemoSummary) -> None:
    data = json.loads(json.dumps(found.to_json()))
    assert data["frontier"] == {"model": "gpt-4.1", "dry_run": True}
    assert [line["tier"] for line in data["tiers"]] == ["small", "frontier"]
    assert len(data["escalation_by_confidence"]["thresholds"]) == 8


def test_the_page_says_what_the_summary_says(found: DemoSummary, ledger: Path) -> None:
    page = demo_page(found, read_report(ledger))
    assert "projected saving</h1>" in page
    assert "stands in" not in page
    for words in ("What became of the requests", "At 100,000 calls a month", "Right and wrong, by kind of work",
                  "Would confidence have caught", "Where the money went", "Set OPENAI_API_KEY"):  # fmt: skip
        assert words in page
    assert page.count("<figure>") == 6


def test_the_page_says_plainly_that_a_tiny_model_stands_in(found: DemoSummary, ledger: Path) -> None:
    from dataclasses import replace

    tiny = replace(found, small=replace(found.small, name="smollm2:135m", parameters="134.52M", stand_in=True))
    page = demo_page(tiny, read_report(ledger))
    assert "smollm2:135m (135M) stands in for the model of 2 to 8 billion parameters" in page


@pytest.mark.parametrize("module", ["matplotlib.figure", "jinja2"])
def test_the_page_names_the_extra_that_it_needs(
    found: DemoSummary, ledger: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    report = read_report(ledger)
    _template.cache_clear()
    monkeypatch.delitem(sys.modules, "slmroute.report.drawing", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r'needs the extra "report": pip install "slmroute\[report\]"'):
        demo_page(found, report)


def test_outcomes_are_told_as_they_come(requests: list[Request], small: SmallModel) -> None:
    told: list[str] = []
    run_requests(requests, small_tier(small), frontier_tier({}), done=lambda outcome: told.append(outcome.request.id))
    assert sorted(told) == sorted(request.id for request in requests)


def test_a_small_model_that_goes_down_does_not_end_the_run(
    requests: list[Request], scripted: FakeServer, small: SmallModel
) -> None:
    scripted.script("llama3.1:8b", Fault(503))
    outcomes = run_requests(requests, small_tier(small), frontier_tier({}))
    assert {outcome.record.tier for outcome in outcomes} == {"frontier"}


def test_with_a_key_the_frontier_really_answers_and_the_saving_is_saved(
    requests: list[Request], small: SmallModel, scripted: FakeServer, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.script("gpt-4.1", Reply("8", input_tokens=500, output_tokens=300))
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.openai_url)
    tiers = (small_tier(small), frontier_tier())
    with Ledger(ledger) as book:
        outcomes = run_requests(requests, *tiers, ledger=book)
    found = summarise(outcomes, small=small, tiers=tiers, seconds=1.0)
    frontier = found.tiers[-1]
    assert not found.dry_run
    assert frontier.right + frontier.wrong > 0
    assert (
        frontier.cost
        == scripted.bill["gpt-4.1"].input_tokens * Decimal(2) / 10**6
        + Decimal(scripted.bill["gpt-4.1"].output_tokens) * 8 / 10**6
    )
    data = found.to_json()
    assert "projected" not in data
    assert Decimal(str(data["saved"])) == found.gain
    page = demo_page(found, read_report(ledger))
    assert " saved</h1>" in page
    assert "projected" not in page.lower()


def test_the_frontier_is_real_only_with_a_key_and_when_wanted() -> None:
    assert frontier_tier({}).dry_run
    assert frontier_tier({"OPENAI_API_KEY": ""}).dry_run
    openai, anthropic = frontier_tier({"OPENAI_API_KEY": "k"}), frontier_tier({"ANTHROPIC_API_KEY": "k"})
    assert (openai.model, anthropic.model) == ("openai:gpt-4.1", "anthropic:claude-sonnet-4-6")
    assert frontier_tier({"OPENAI_API_KEY": "k"}, dry_run=True).dry_run
