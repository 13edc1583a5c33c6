"""A tier that is down during the demo: what it changes is told, and is no saving and no choice of the router's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from slmroute.cli.demo_view import results
from slmroute.demo import words
from slmroute.demo.page import demo_page
from slmroute.demo.requests import Request
from slmroute.demo.run import Outcome, frontier_tier, run_requests, small_tier
from slmroute.demo.small import SmallModel
from slmroute.demo.summary import DemoSummary, summarise
from slmroute.errors import Misconfigured, SlmrouteError
from slmroute.ledger import Ledger
from slmroute.report import read_report
from slmroute.report.wording import dollars
from slmroute.testing import FakeServer, Fault, Reply

pytestmark = pytest.mark.usefixtures("closed_clients")

GOOD = Reply("8", input_tokens=500, output_tokens=300)

Demo = Callable[[], tuple[list[Outcome], DemoSummary]]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


@pytest.fixture
def demo(
    requests: list[Request], small: SmallModel, scripted: FakeServer, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> Demo:
    """Runs the demo with a frontier that is really called, on the scripted server."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.openai_url)
    tiers = (small_tier(small), frontier_tier())

    def run() -> tuple[list[Outcome], DemoSummary]:
        with Ledger(ledger) as book:
            outcomes = run_requests(requests, *tiers, ledger=book)
        return outcomes, summarise(outcomes, small=small, tiers=tiers, seconds=1.0)

    return run


def printed(found: DemoSummary) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(results(found))
    return " ".join(captured.get().split())


def complex_ones(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.start == "frontier"]


def test_a_frontier_that_is_down_saves_nothing_and_agrees_with_nobody_by_it(
    demo: Demo, scripted: FakeServer, ledger: Path
) -> None:
    scripted.script("gpt-4.1", GOOD)
    _, well = demo()
    ledger.unlink()
    scripted.script("gpt-4.1", Fault(503))
    outcomes, found = demo()
    hard = complex_ones(outcomes)
    assert {outcome.record.tier for outcome in outcomes} == {"small"}
    assert all(outcome.record.degraded and not outcome.as_routed for outcome in hard)
    assert found.routed.degraded == found.routed.others == len(hard) > 2
    easy = [outcome.record for outcome in outcomes if outcome.start == "small"]
    assert found.gain == sum(((each.saved or Decimal(0)) for each in easy), Decimal(0))
    assert found.gain_share is None
    assert found.measured is None
    # What the router chose is the same, whoever answers.
    assert (found.agreement, found.local_share) == (well.agreement, well.local_share)
    assert found.textbook == well.textbook
    assert [(line.started, line.agrees) for line in found.tiers] == [(line.started, line.agrees) for line in well.tiers]
    data = found.to_json()
    assert data["not_as_routed"] == {
        "calls": len(hard), "degraded": len(hard), "covered": 0, "failed": 0,
        "baseline_minus_cost": format(found.routed.elsewhere or 0, "f"),
    }  # fmt: skip
    assert data["agreement_is_of"] == "the tier that the router chose, whichever answered"
    said = words.outages(found)
    assert said is not None
    assert f"{len(hard)} of the 20 requests did not go as routed" in said
    assert f"{dollars(found.routed.elsewhere)} less than at gpt-4.1 is the outage's doing" in said
    assert said in printed(found)
    page = demo_page(found, read_report(ledger))
    assert f'<h1 class="good">{words.gain(found)} saved on {20 - len(hard)} of 20 requests</h1>' in page
    assert "did not go as routed" in page
    assert "of the tier that the router chose, not of who answered" in page


def test_a_frontier_that_is_down_for_a_while_leaves_the_month_as_it_was(demo: Demo, scripted: FakeServer) -> None:
    scripted.script("gpt-4.1", GOOD)
    _, well = demo()
    scripted.script("gpt-4.1", GOOD, GOOD, Fault(503))
    outcomes, found = demo()
    assert 0 < found.routed.degraded < len(complex_ones(outcomes))
    assert found.textbook == well.textbook
    assert found.measured is not None
    assert well.measured is not None
    assert found.measured.saved_share == pytest.approx(well.measured.saved_share, abs=Decimal("0.15"))
    assert found.gain_share is None


def test_a_small_model_that_is_down_is_covered_for_and_that_is_told(demo: Demo, scripted: FakeServer) -> None:
    scripted.script("gpt-4.1", GOOD)
    scripted.script("llama3.1:8b", Fault(503))
    outcomes, found = demo()
    assert {outcome.record.tier for outcome in outcomes} == {"frontier"}
    assert (found.routed.covered, found.routed.degraded) == (found.local, 0)
    assert found.local > 10
    assert f"{found.local} were for llama3.1:8b, whose answer did not come, and got gpt-4.1's" in printed(found)


def test_requests_without_an_answer_are_counted_and_named(demo: Demo, scripted: FakeServer, ledger: Path) -> None:
    scripted.script("gpt-4.1", Fault(503))
    scripted.script("llama3.1:8b", *[Reply("It is well.", input_tokens=100, output_tokens=3)] * 8, Fault(503))
    outcomes, found = demo()
    failed = [outcome for outcome in outcomes if outcome.record.status == "error"]
    assert 0 < len(failed) == found.routed.failed < 20
    assert all(outcome.right is None and outcome.answer == "" for outcome in failed)
    assert sum(line.calls for line in found.tiers) + len(failed) == 20
    assert f"{len(failed)} were given no answer at all (failed)" in printed(found)
    assert ">no answer<" in demo_page(found, read_report(ledger))


def test_where_nothing_answers_it_says_so_in_one_line(demo: Demo, scripted: FakeServer) -> None:
    scripted.script("gpt-4.1", Fault(503))
    scripted.script("llama3.1:8b", Fault(503))
    with pytest.raises(SlmrouteError, match="No request was answered, of 20"):
        demo()


def test_a_refused_key_is_known_before_the_small_model_has_answered_much(demo: Demo, scripted: FakeServer) -> None:
    scripted.script("gpt-4.1", Fault(401))
    with pytest.raises(Misconfigured):
        demo()
    assert sum(request.model == "llama3.1:8b" for request in scripted.requests) <= 3


def test_all_is_as_routed_where_everything_is_up(demo: Demo, scripted: FakeServer, ledger: Path) -> None:
    scripted.script("gpt-4.1", GOOD)
    outcomes, found = demo()
    assert all(outcome.as_routed for outcome in outcomes)
    assert (found.routed.others, words.outages(found)) == (0, None)
    assert (found.routed.cost, found.routed.baseline) == (found.cost, found.baseline)
    assert "as routed" not in printed(found) + demo_page(found, read_report(ledger))


def test_what_is_printed_adds_up(demo: Demo, scripted: FakeServer) -> None:
    scripted.script("gpt-4.1", GOOD)
    _, found = demo()
    whole, spent, saved = (
        Decimal(word.strip("$."))
        for word in (words.money(found).split()[3].rstrip("."), words.money(found).split()[5], words.gain(found))
    )
    assert whole - spent == saved
    _, rows = words.month_rows(found)
    for column in (1, 2):
        amounts = [Decimal(row[column].split()[0].replace("$", "").replace(",", "")) for row in rows]
        assert sum(amounts[:3]) == amounts[3]
        assert amounts[4] - amounts[3] == amounts[5]
