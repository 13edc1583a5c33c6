"""What users say of answers, through either framework: it lands in the ledger and counts in the failure rates."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slmroute import Confidence, ConfigError, route_context
from slmroute.cli import main
from slmroute.ledger import Ledger, LedgerReader
from slmroute.testing import FakeServer, Reply
from tests.money.asking import BIG, FRAMEWORKS, SMALL, WAYS, Framework, make_router

pytestmark = pytest.mark.usefixtures("shared_ssl", "closed_clients")

ASKING = [
    pytest.param(framework, way, id=f"{framework.name}-{way.__name__}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name][:4]
]


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request: pytest.FixtureRequest) -> Framework:
    return request.param


@pytest.fixture
def server() -> Iterator[FakeServer]:
    # Of what a small model says, one answer is wrong on its face.
    with FakeServer({SMALL: [Reply("Fine."), Reply("Well."), Reply("")], BIG: Reply("It is so.")}) as running:
        yield running


@pytest.mark.parametrize(("framework", "ask"), ASKING)
async def test_a_word_on_an_answer_lands_in_the_ledger(
    framework: Framework, ask: Any, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        router = make_router(framework, server, "small", ledger=ledger)
        call_id = framework.record_of(await ask(router, "Is it?"))["call_id"]
        router.feedback(call_id, good=False)
        router.feedback(call_id, good=True, source="judge")
        assert await asyncio.to_thread(ledger.flush)
    stored = LedgerReader(path).call(call_id)
    assert stored is not None
    assert stored.feedback == {"user": False, "judge": True}
    assert stored.record.tier == "small"


async def test_it_counts_in_the_failure_rate_of_the_tier_and_its_category(
    framework: Framework, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    ask = WAYS[framework.name][0]
    with Ledger(path) as ledger:
        router = make_router(framework, server, "small", ledger=ledger)
        with route_context(tags=["category:legal"]):
            calls = [framework.record_of(await ask(router, "Is it?")) for _ in range(3)]
        assert [call["tier"] for call in calls] == ["small", "small", "frontier"]
        router.feedback(calls[0]["call_id"], good=False)
        router.feedback(calls[2]["call_id"], good=True)
        assert await asyncio.to_thread(ledger.flush)
    rates = {(rate.tier, rate.category): rate for rate in LedgerReader(path).failures(by_category=True)}
    small, frontier = rates["small", "legal"], rates["frontier", "legal"]
    assert (small.answers, dict(small.kinds)) == (3, {"said": 1, "invalid": 1})
    assert small.rate == pytest.approx(2 / 3)
    low, high = small.interval
    assert low < 2 / 3 < high
    assert small.verdict == "over"
    assert (frontier.answers, frontier.failures) == (1, 0)


async def test_a_good_word_overrules_what_the_judge_thought(
    framework: Framework, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        doubts = Confidence(0.3, judge=lambda _request, _answer: 0.4)
        router = make_router(framework, server, "small", ledger=ledger, escalation=doubts)
        first, second = [framework.record_of(await WAYS[framework.name][0](router, "Is it?")) for _ in range(2)]
        router.feedback(second["call_id"], good=True)
        assert await asyncio.to_thread(ledger.flush)
    (rate,) = LedgerReader(path).failures()
    assert first["tier"] == second["tier"] == "small"
    assert (rate.answers, dict(rate.kinds)) == (2, {"judged": 1})


async def test_a_router_s_copies_take_feedback_too(framework: Framework, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    router = make_router(framework, server, "small", ledger=str(path))
    copy = router.model_copy(update={"deadline_s": 60})
    call_id = framework.record_of(await WAYS[framework.name][0](copy, "Is it?"))["call_id"]
    copy.feedback(call_id, good=False)
    assert router.engine.ledger is copy.engine.ledger
    assert await asyncio.to_thread(router.engine.ledger.flush)
    stored = LedgerReader(path).call(call_id)
    assert stored is not None
    assert stored.feedback == {"user": False}
    await asyncio.to_thread(router.engine.ledger.close)


def test_without_a_ledger_the_error_says_what_to_set(framework: Framework, server: FakeServer) -> None:
    router = make_router(framework, server)
    with pytest.raises(ConfigError, match=re.escape('ledger="sqlite:///slmroute.db"')):
        router.feedback("some call", good=False)


async def test_the_command_takes_the_id_that_an_answer_carries(
    framework: Framework, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        router = make_router(framework, server, "small", ledger=ledger)
        call_id = framework.record_of(await WAYS[framework.name][0](router, "Is it?"))["call_id"]
    with pytest.raises(SystemExit) as ended:
        main(["feedback", call_id, "--bad", "-l", str(path), "--source", "anna"])
    assert ended.value.code == 0
    stored = LedgerReader(path).call(call_id)
    assert stored is not None
    assert stored.feedback == {"anna": False}


@pytest.mark.parametrize("wrong", [{"source": "x" * 65}, {"source": ""}, {"source": "a\0b"}, {"call_id": "x" * 65}])
def test_what_no_ledger_could_keep_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger, pytest.raises(ConfigError, match=r"1 to 64 characters and no NUL"):
        ledger.feedback(**{"call_id": "0" * 32, "good": True, **wrong})
