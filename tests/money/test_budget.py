"""Budgets: what is held and counted, what happens at a limit, and who shares them."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from slmroute.budget import Budget, Limits
from slmroute.budget.limits import window_of
from slmroute.drive import adrive, adrive_stream, drive_stream
from slmroute.errors import BudgetExceeded, ConfigError, NoTierAnswered, ServerUnreachable
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.testing import BreaksOff, FakeClock, FakePerformer, Reply
from slmroute.tier import Tier
from tests.money.spending import DEAR, LOCAL, SCRIPT, ask, used


def test_calls_are_counted_until_the_limit_and_then_stay_local(engine: Any, store: str | None) -> None:
    budget = Budget(day="3", store=store, answer_tokens=500)
    router = engine(0.99, budget=budget)
    tiers = [ask(router).tier for _ in range(5)]
    assert tiers == ["frontier", "frontier", "frontier", "small", "small"]
    assert used(budget) == {"day": Decimal(3)}
    last = ask(router)
    assert (last.tier, last.degraded, last.cost) == ("small", True, 0)
    assert "over_budget:frontier" in last.events


def test_at_the_limit_a_call_raises_where_that_is_wanted(engine: Any, store: str | None) -> None:
    router = engine(0.99, budget=Budget(hour=1, on_limit="raise", store=store, answer_tokens=500))
    ask(router)
    with pytest.raises(BudgetExceeded, match=r"hour=\$1 is reached.*\$1\.000000 are spent.*2026-01-01 01:00 UTC"):
        ask(router)
    assert ask(engine(0.0, budget=router.budget)).tier == "small"  # what is local is never refused


def test_what_was_held_gives_way_to_what_was_spent(engine: Any, store: str | None) -> None:
    budget = Budget(day=10, store=store, answer_tokens=5_500)  # six dollars are held for a call that costs one
    router = engine(0.99, budget=budget)
    assert [ask(router).tier for _ in range(6)] == ["frontier"] * 5 + ["small"]
    assert used(budget) == {"day": Decimal(5)}


def test_windows_begin_anew(engine: Any, clock: FakeClock, store: str | None) -> None:
    router = engine(0.99, budget=Budget(hour=1, month=2, store=store, answer_tokens=500))
    assert [ask(router).tier for _ in range(2)] == ["frontier", "small"]
    clock.advance(3600)
    assert [ask(router).tier for _ in range(2)] == ["frontier", "small"]
    clock.advance(3600)
    assert ask(router).tier == "small"  # the month is used up
    clock.set_wall(datetime(2026, 2, 1, tzinfo=UTC))
    assert ask(router).tier == "frontier"


def test_each_key_has_its_own_limits(engine: Any, store: str | None) -> None:
    limits = {"rich": Limits(day=2), "*": {"day": "1"}}
    router = engine(0.99, budget=Budget(day=4, per_key=limits, store=store, answer_tokens=500))
    by_key = {key: [ask(router, key=key).tier for _ in range(3)] for key in ("rich", "poor", None)}
    assert by_key == {
        "rich": ["frontier", "frontier", "small"],
        "poor": ["frontier", "small", "small"],
        None: ["frontier", "small", "small"],
    }


@pytest.mark.parametrize(
    "key", ["", "a\0b", "\ud800", "k" * 20_000, "two\nlines"], ids=["empty", "nul", "surrogate", "long", "lines"]
)
def test_any_key_can_be_counted(engine: Any, store: str | None, key: str) -> None:
    budget = Budget(day=5, per_key=Limits(day=1), store=store, answer_tokens=500)
    records = [ask(engine(0.99, budget=budget), key=whose) for whose in (key, key, "another's", key + "!")]
    assert [record.tier for record in records] == ["frontier", "small", "frontier", "frontier"]
    assert not any("budget_store_unavailable" in record.events for record in records)
    assert budget.flush()


def test_escalations_are_limited_by_the_minute(engine: Any, clock: FakeClock, store: str | None) -> None:
    budget = Budget(escalations_per_minute=2, store=store)
    router = engine(None, weak=0.1, budget=budget)
    script = {"small": LOCAL, "mid": DEAR, "frontier": DEAR}
    assert [ask(router, script).tier for _ in range(3)] == ["mid", "mid", "small"]
    assert ask(router, script).degraded
    assert ask(router, script, tier="frontier").tier == "frontier"  # who names a tier does not escalate
    clock.advance(60)
    assert ask(router, script).tier == "mid"


def test_a_call_that_climbs_past_two_tiers_escalates_once(engine: Any) -> None:
    budget = Budget(escalations_per_minute=2)
    router = engine(None, weak=0.1, budget=budget)
    assert [ask(router).tier for _ in range(3)] == ["frontier", "frontier", "small"]
    assert used(budget) == {"escalations_per_minute": 2}


def test_over_the_limit_of_escalations_the_cheapest_tier_still_answers(engine: Any) -> None:
    tiers = [
        Tier("cheap", "openai:a", input_price=1, output_price=1),
        Tier("dear", "openai:b", input_price=2, output_price=2),
    ]
    router = engine(0.9, tiers=tiers, budget=Budget(escalations_per_minute=0))
    assert ask(router, {"cheap": LOCAL, "dear": DEAR}).tier == "cheap"
    router = engine(0.9, tiers=tiers, budget=Budget(day=0))
    with pytest.raises(BudgetExceeded, match="day"):
        ask(router, {"cheap": LOCAL, "dear": DEAR})


def test_an_answer_in_hand_is_given_rather_than_an_error(engine: Any) -> None:
    router = engine(None, weak=0.3, budget=Budget(day=0, on_limit="raise"))
    record = ask(router)
    assert (record.tier, record.degraded, record.status) == ("small", True, "ok")
    assert record.attempts[0].fault == "low_confidence"


def test_failover_is_kept_within_the_budget(engine: Any) -> None:
    router = engine(0.0, budget=Budget(day=0))
    with pytest.raises(BudgetExceeded) as caught:
        ask(router, {"small": ConnectionError("down")})
    assert isinstance(caught.value.__cause__, ConnectionError)
    router = engine(0.99, budget=Budget(day=0))
    with pytest.raises(NoTierAnswered) as group:
        ask(router, {"small": ConnectionError("down")})
    assert [type(error) for error in group.value.exceptions] == [BudgetExceeded, ServerUnreachable]


def test_every_attempt_counts_and_a_dry_run_does_not(engine: Any) -> None:
    budget = Budget(day=10, answer_tokens=500)
    router = engine(None, weak=0.1, budget=budget)
    record = ask(
        router, {"small": LOCAL, "mid": Reply("bad", input_tokens=1_000_000, output_tokens=1_000_000), "frontier": DEAR}
    )
    assert record.cost == 3
    assert used(budget) == {"day": Decimal(3)}
    dry = [
        Tier("small", "ollama:a", local=True, input_price=0, output_price=0),
        Tier("frontier", "dry-run:openai:gpt-4.1"),
    ]
    before = used(budget)
    assert ask(engine(0.9, tiers=dry, budget=budget)).cost != 0
    assert used(budget) == before


def test_what_broke_off_is_counted_and_holds_are_dropped(engine: Any, store: str | None) -> None:
    budget = Budget(day=100, store=store)
    router = engine(0.99, budget=budget)
    run = Run(router, RouteRequest(text="a question", tokens=500))
    with pytest.raises(ConnectionError):
        list(drive_stream(run, FakePerformer({"frontier": BreaksOff(DEAR, 2, ConnectionError())})))
    assert run.record is not None
    assert run.record.status == "partial"
    assert used(budget) == {"day": run.record.cost}
    with pytest.raises(ValueError, match="mine"):
        ask(router, {"frontier": ValueError("mine")})
    assert used(budget) == {"day": run.record.cost}


def test_one_is_warned_once_when_a_limit_is_nearly_reached(engine: Any, caplog: pytest.LogCaptureFixture) -> None:
    router = engine(0.99, budget=Budget(day=5, per_key=Limits(day=100), answer_tokens=500))
    records = [ask(router, key="anna@example.org") for _ in range(5)]
    noted = [[event for event in record.events if "budget" in event] for record in records]
    assert noted == [[], [], [], ["budget_warning:day"], []]
    warnings = [entry.getMessage() for entry in caplog.records]
    assert warnings == ["80% of the budget's limit day=$5 are used"]
    assert "anna" not in caplog.text


def test_a_limit_of_one_key_is_told_with_the_key(engine: Any, caplog: pytest.LogCaptureFixture) -> None:
    limits = {"team-a": Limits(day=1), "*": Limits(escalations_per_minute=1)}
    router = engine(0.99, budget=Budget(day=100, per_key=limits, on_limit="raise", answer_tokens=500))
    for key, limit in (
        ("team-a", "day=$1 of the key 'team-a'"),
        ("team-b", "escalations_per_minute=1 of the key 'team-b'"),
    ):
        ask(router, key=key)
        assert caplog.records[-1].getMessage() == f"100% of the budget's limit per_key {limit} are used"
        with pytest.raises(BudgetExceeded, match=re.escape(f"The budget's limit per_key {limit} is reached")):
            ask(router, key=key)


@pytest.mark.parametrize("key", ["two\nlines", "\x1b[31mred", "k" * 20_000])
def test_a_key_that_would_spoil_a_log_is_told_by_its_hash(
    engine: Any, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    ask(engine(0.99, budget=Budget(per_key=Limits(day=1), answer_tokens=500)), key=key)
    (warning,) = [entry.getMessage() for entry in caplog.records]
    assert re.fullmatch(r"100% of the budget's limit per_key day=\$1 of the key '[0-9a-f]{64}' are used", warning)


def warnings_of(record: RouteRecord) -> list[str]:
    return [event for event in record.events if event.startswith("budget_warning")]


def test_one_is_warned_by_what_a_call_did_cost_too_and_once(engine: Any, clock: FakeClock, store: str | None) -> None:
    budget = Budget(day="1.2", per_key=Limits(hour="1.1", month=100), store=store, answer_tokens=1)
    router = engine(0.99, budget=budget)  # hardly a half is held for a call that costs a dollar
    both = ["budget_warning:day", "budget_warning:per_key hour"]
    assert warnings_of(ask(router, key="anna")) == both
    assert warnings_of(ask(router, key="anna")) == []
    clock.advance(3_600)
    assert warnings_of(ask(router, key="anna", tier="small")) == []
    clock.advance(86_400)
    assert warnings_of(ask(router, key="anna")) == both


def test_a_warning_knows_of_what_others_have_spent(engine: Any, store: str | None) -> None:
    if store is None:
        pytest.skip("a budget in memory knows of no others")
    found: list[list[str]] = []
    for _ in range(2):  # as two processes would; a half is held for each call, and the second comes to 62% by that
        budget = Budget(day="2.4", store=store, answer_tokens=1)
        found.append(warnings_of(ask(engine(0.99, budget=budget))))
        assert budget.flush()
    assert found == [[], ["budget_warning:day"]]


def test_what_running_calls_hold_warns_nobody_and_what_is_spent_later_does(engine: Any, store: str | None) -> None:
    budget = Budget(day=10, store=store, answer_tokens=500)
    at = FakeClock().now()
    running = [budget.open(None, at) for _ in range(9)]
    assert [call.hold(Decimal(1), escalates=False) for call in running] == [None] * 9
    with_ten = budget.open(None, at)
    assert isinstance(with_ten.hold(Decimal(2), escalates=False), BudgetExceeded)
    for call in running:
        call.settle(Decimal("0.02"))
    assert [call.events for call in [*running, with_ten]] == [[]] * 10
    router = engine(0.99, budget=budget)
    assert [warnings_of(ask(router)) for _ in range(8)] == [[]] * 7 + [["budget_warning:day"]]


def test_calls_that_have_moved_up_warn_while_they_run(store: str | None) -> None:
    budget = Budget(escalations_per_minute=5, store=store)
    running = [budget.open(None, FakeClock().now()) for _ in range(4)]
    assert [call.hold(Decimal(1), escalates=True) for call in running] == [None] * 4
    assert [call.events for call in running] == [[], [], [], ["budget_warning:escalations_per_minute"]]


LOCAL_TIER = Tier("small", "ollama:a", local=True, input_price=0, output_price=0)
CLOUD = [
    Tier("cheap", "openai:a", input_price=1, output_price=1),
    Tier("dear", "openai:b", input_price=2, output_price=2),
]


@pytest.mark.parametrize(
    ("tiers", "limits", "advice"),
    [
        ([LOCAL_TIER, CLOUD[1]], {"day": 0, "on_limit": "raise"}, r'on local tiers with on_limit="local"\.$'),
        (CLOUD, {"day": 0, "on_limit": "raise"}, r"or give the router a tier with local=True\.$"),
        (CLOUD, {"day": 0}, r"or give the router a tier with local=True\.$"),
        (CLOUD, {"escalations_per_minute": 0, "on_limit": "raise"}, r'on the cheapest tier with on_limit="local"\.$'),
        ([LOCAL_TIER, CLOUD[1]], {"day": 0}, r"Raise the limit, or wait until 2026-01-02 00:00 UTC\.$"),
    ],
)
def test_at_the_limit_only_what_would_help_is_proposed(
    engine: Any, tiers: list[Tier], limits: dict[str, Any], advice: str
) -> None:
    router = engine(0.99, tiers=tiers, budget=Budget(**limits))
    with pytest.raises((BudgetExceeded, NoTierAnswered)) as caught:
        ask(router, {"small": ConnectionError("down"), "cheap": LOCAL, "dear": DEAR})
    refused = caught.value.exceptions[0] if isinstance(caught.value, NoTierAnswered) else caught.value
    assert re.search(advice, str(refused)), str(refused)


def test_a_tier_without_a_price_is_let_through_and_noted(engine: Any) -> None:
    tiers = [Tier("small", "ollama:a", local=True), Tier("mine", "vllm:b")]
    record = ask(engine(0.9, tiers=tiers, budget=Budget(day=1)), {"mine": DEAR})
    assert record.tier == "mine"
    assert "budget_blind:mine" in record.events


def test_a_tier_without_a_price_is_refused_once_a_limit_is_reached(engine: Any, store: str | None) -> None:
    tiers = [
        Tier("small", "ollama:a", local=True, input_price=0, output_price=0),
        Tier("mid", "openai:b", input_price="1000", output_price="1000"),
        Tier("mine", "vllm:c"),
    ]
    script = {"small": LOCAL, "mid": DEAR, "mine": DEAR}
    budget = Budget(day=1, store=store, answer_tokens=500)
    router = engine(0.9, tiers=tiers, budget=budget)
    assert [ask(router, script).tier for _ in range(3)] == ["mine"] * 3
    assert used(budget) == {"day": 0}
    assert ask(router, script, tier="mid").cost == 1
    record = ask(router, script)
    assert (record.tier, record.degraded) == ("small", True)
    assert [event for event in record.events if event.startswith(("budget_blind", "over_budget"))] == [
        "over_budget:mine"
    ]
    refusing = engine(0.9, tiers=tiers, budget=Budget(day=0, on_limit="raise", store=store, name="other"))
    with pytest.raises(BudgetExceeded, match=r"\$0\.000000 are spent.* what this call costs is not known"):
        ask(refusing, script)


async def test_async_calls_and_streams_keep_to_the_same_limits(engine: Any, store: str | None) -> None:
    router = engine(0.99, budget=Budget(day=2, store=store, answer_tokens=500))
    decided = [(await adrive(Run(router, RouteRequest(text="q", tokens=500)), FakePerformer(SCRIPT))).tier.name]
    for _ in range(2):
        run = Run(router, RouteRequest(text="q", tokens=500))
        shown = [chunk async for chunk in adrive_stream(run, FakePerformer(SCRIPT))]
        assert shown
        assert run.record is not None
        decided.append(str(run.record.tier))
    assert decided == ["frontier", "frontier", "small"]


async def test_many_at_once_never_pass_the_limit_by_more_than_their_holds_miss(engine: Any, store: str | None) -> None:
    router = engine(0.99, budget=Budget(day=20, store=store, answer_tokens=500))

    async def one() -> RouteRecord:
        run = Run(router, RouteRequest(text="q", tokens=500))
        await adrive(run, FakePerformer(SCRIPT))
        assert run.record is not None
        return run.record

    def many() -> None:
        found.extend(ask(router) for _ in range(5))

    found: list[RouteRecord] = []
    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    found += await asyncio.gather(*(one() for _ in range(60)))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sum(record.cost or 0 for record in found) == 20
    assert sum(record.tier == "frontier" for record in found) == 20
    assert len(found) == 100


def test_budgets_are_copied_as_themselves_and_pickled_by_their_settings(store: str | None) -> None:
    budget = Budget(day=2, per_key={"a": Limits(hour="0.5")}, escalations_per_minute=3, store=store, on_limit="raise")
    assert copy.copy(budget) is copy.deepcopy([budget])[0] is budget
    other = pickle.loads(pickle.dumps(budget))  # noqa: S301
    assert repr(other) == repr(budget) == "Budget(day=2, escalations_per_minute=3, per_key=...)"
    assert (other.limits, other.per_key, other.on_limit) == (budget.limits, budget.per_key, "raise")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no limit is set"),
        ({"per_key": {"a": Limits()}}, "no limit is set"),
        ({"day": -1}, "day"),
        ({"hour": "much"}, "hour"),
        ({"escalations_per_minute": 1.5}, "escalations_per_minute"),
        ({"day": 1, "on_limit": "stop"}, "'local' or 'raise'"),
        ({"day": 1, "per_key": 5}, "per_key"),
        ({"day": 1, "per_key": {"a": {"week": 3}}}, r"per_key\['a'\]"),
        ({"day": 1, "answer_tokens": 0}, "answer_tokens"),
        ({"day": 1, "store": "mysql://x"}, "mysql"),
    ],
)
def test_a_budget_that_is_wrong_says_what(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Budget(**settings)


def test_a_router_takes_nothing_else_for_a_budget(engine: Any) -> None:
    with pytest.raises(ConfigError, match=r"Budget\(day=20\)"):
        engine(budget=20)


@pytest.mark.parametrize(
    ("window", "moment", "begin", "end"),
    [
        ("minute", "2026-03-29T01:59:30+00:00", "2026-03-29T01:59:00+00:00", "2026-03-29T02:00:00+00:00"),
        ("hour", "2026-03-29T03:30:00+02:00", "2026-03-29T01:00:00+00:00", "2026-03-29T02:00:00+00:00"),
        ("day", "2026-03-29T01:00:00+02:00", "2026-03-28T00:00:00+00:00", "2026-03-29T00:00:00+00:00"),
        ("month", "2026-12-31T23:59:59+00:00", "2026-12-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("month", "2028-02-29T12:00:00+00:00", "2028-02-01T00:00:00+00:00", "2028-03-01T00:00:00+00:00"),
    ],
)
def test_windows_are_in_utc(window: str, moment: str, begin: str, end: str) -> None:
    found = window_of(window, datetime.fromisoformat(moment))
    assert [datetime.fromtimestamp(second, UTC).isoformat() for second in found] == [begin, end]
