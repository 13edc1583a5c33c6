"""The record of a call: what it cost, what it would have cost, and what happened on the way."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from slmroute.attempt import Attempt
from slmroute.bill import baseline_of
from slmroute.context import current_context, route_context
from slmroute.drive import adrive, drive, drive_stream
from slmroute.engine import Engine
from slmroute.errors import DeadlineExceeded, NoEligibleTier, NoTierAnswered
from slmroute.gate import Chunk
from slmroute.policy import Confidence, Policy
from slmroute.price import PriceBook
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest, ToolSpec, estimate_tokens
from slmroute.run import Run
from slmroute.steps import Answer, Call, Usage
from slmroute.testing import BreaksOff, FakeClock, FakePerformer, Reply
from slmroute.testing.performer import Move
from slmroute.tier import Tier

REQUEST = RouteRequest(text="hello", tokens=1_000, key="team-a", tags=("x", "y"))
SMALL = Tier("small", "ollama:small", input_price="1", output_price="2")
FRONTIER = Tier("frontier", "openai:gpt-4.1", input_price="10", output_price="20")
WEAK = Reply("Lyon.", input_tokens=1_000, output_tokens=100)
GOOD = Reply("Paris.", input_tokens=1_000, output_tokens=200)


def judge(_request: RouteRequest, answer: Answer) -> float:
    return 0.2 if answer.text == "Lyon." else 0.9


JUDGED: dict[str, Any] = {"classify": False, "escalation": Confidence(judge=judge)}


class Router:
    """An engine with a fake clock and scripted tiers."""

    def __init__(self, script: dict[str, Move | list[Move]], *tiers: Tier, **settings: Any) -> None:
        self.clock = FakeClock()
        settings.setdefault("classify", False)
        policy = Policy.build(tiers or (SMALL, FRONTIER), **settings)
        self.engine = Engine(policy, clock=self.clock)
        self.performer = FakePerformer(script, self.clock)

    def run(self, request: RouteRequest = REQUEST) -> RouteRecord:
        run = Run(self.engine, request)
        self.error: Exception | None = None
        try:
            drive(run, self.performer)
        except Exception as error:  # noqa: BLE001
            self.error = error
        assert run.record is not None
        return run.record

    def stream(self, request: RouteRequest = REQUEST, take: int | None = None) -> RouteRecord:
        run = Run(self.engine, request)
        self.error = None
        chunks = drive_stream(run, self.performer)
        try:
            for _ in range(10_000 if take is None else take):
                if next(chunks, None) is None:
                    break
        except Exception as error:  # noqa: BLE001
            self.error = error
        chunks.close()
        assert run.record is not None
        return run.record


def test_a_plain_call() -> None:
    record = Router({"small": Reply("Paris.", input_tokens=1_000, output_tokens=200, first_delay_s=0.5)}).run()
    assert (record.status, record.tier, record.model, record.reason) == ("ok", "small", "small", "cheapest")
    assert (record.key, record.tags) == ("team-a", ("x", "y"))
    assert record.started_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert record.cost == Decimal("0.0014")
    assert record.baseline == Decimal("0.014")
    assert record.saved == Decimal("0.0126")
    assert record.projected is None
    assert (record.total_ms, record.ttft_ms) == (500, None)
    assert not record.escalated
    assert not record.degraded
    assert record.events == ()
    [attempt] = record.attempts
    assert (attempt.role, attempt.price_id, attempt.provider) == ("final", "tier:small", "ollama")


def test_an_escalated_call_pays_for_its_draft_and_may_lose() -> None:
    router = Router(
        {"small": WEAK, "frontier": GOOD}, **{**JUDGED, "escalation": Confidence(judge=judge, pass_draft=False)}
    )
    record = router.run()
    assert [(a.role, a.tier, a.cost) for a in record.attempts] == [
        ("draft", "small", Decimal("0.0012")),
        ("judge", "judge", Decimal(0)),
        ("final", "frontier", Decimal("0.014")),
    ]
    assert record.escalated
    assert record.attempts[0].fault == "low_confidence"
    assert record.saved == Decimal("-0.0012")


def test_the_baseline_does_not_pay_for_the_draft_in_the_prompt() -> None:
    drafted = estimate_tokens("Lyon.") + 60
    frontier = Reply("Paris.", input_tokens=1_000 + drafted, output_tokens=200)
    record = Router({"small": WEAK, "frontier": frontier}, **JUDGED).run()
    assert record.baseline is not None
    # All that the frontier's prompt had beside the request was the draft with its note.
    assert Decimal("0.0139") < record.baseline < Decimal("0.0143")
    assert record.cost is not None
    assert record.cost > record.baseline


@pytest.mark.parametrize("kept", ["cached_tokens", "cache_write_tokens", "audio_input_tokens"])
def test_the_baseline_is_known_where_all_of_the_prompt_was_kept_or_sound(kept: str) -> None:
    tier = Tier("frontier", "openai:gpt-audio" if kept == "audio_input_tokens" else "anthropic:claude-sonnet-4-5")
    book = PriceBook([tier])
    with_draft, without = (Usage(tokens, 5, **{kept: tokens}) for tokens in (1_000, 900))
    final = Attempt("frontier", 0.0, tier, usage=with_draft, draft_tokens=100)
    expected = book.price(tier, without, provider=None, model=None).cost
    assert expected is not None
    assert baseline_of(final, tier, book) == expected


def test_a_weak_answer_given_for_want_of_a_better_one() -> None:
    router = Router({"small": WEAK, "frontier": ConnectionError("down")}, **JUDGED)
    record = router.run()
    assert (record.status, record.tier, record.degraded, record.escalated) == ("ok", "small", True, True)
    assert record.confidence == 0.2
    assert [attempt.role for attempt in record.attempts] == ["final", "judge", "failed"]
    assert record.baseline == Decimal("0.012")
    assert record.saved == Decimal("0.0108")
    assert record.events == ("unavailable:frontier",)


def test_a_failed_call_costs_what_it_cost_and_saves_nothing() -> None:
    router = Router({"small": ConnectionResetError("a"), "frontier": BreaksOff(GOOD, 0, TimeoutError("b"))})
    record = router.run()
    assert isinstance(router.error, NoTierAnswered)
    assert [str(error) for error in router.error.exceptions] == ["a", "b"]
    assert (record.status, record.tier, record.error) == ("error", None, "NoTierAnswered")
    assert (record.cost, record.baseline, record.saved) == (0, 0, 0)
    assert [attempt.error for attempt in record.attempts] == ["ConnectionResetError", "TimeoutError"]


def test_one_failure_alone_is_raised_as_it_is() -> None:
    error = ConnectionResetError("down")
    router = Router({"small": error}, failover=False)
    record = router.run()
    assert router.error is error
    assert record.error == "ConnectionResetError"


def test_a_call_that_nobody_can_answer_is_recorded_too() -> None:
    router = Router({}, failover=False)
    record = router.run(RouteRequest(text="x", local_only=True))
    assert isinstance(router.error, NoEligibleTier)
    assert (record.status, record.attempts, record.error) == ("error", (), "NoEligibleTier")


def test_a_stream_that_breaks_off_after_it_was_shown_is_partial_and_paid_for() -> None:
    error = ConnectionResetError("cut")
    router = Router({"small": BreaksOff(Reply("one two three four"), 2, error), "frontier": GOOD})
    record = router.stream()
    assert router.error is error
    assert (record.status, record.tier, record.error) == ("partial", "small", "ConnectionResetError")
    [attempt] = record.attempts
    assert attempt.usage == Usage(1_000, estimate_tokens("one two"), source="estimated")
    assert attempt.role == "final"
    assert record.cost is not None
    assert record.cost > 0


def test_a_stream_that_breaks_off_unseen_is_replaced_and_paid_for() -> None:
    held = {"classify": False, "escalation": Confidence(judge=judge)}
    router = Router({"small": BreaksOff(Reply("one two three"), 2, ConnectionError()), "frontier": GOOD}, **held)
    record = router.stream()
    assert (record.status, record.tier) == ("ok", "frontier")
    assert record.attempts[0].usage == Usage(1_000, estimate_tokens("one two"), source="estimated")
    assert record.attempts[0].role == "failed"


def test_a_stream_that_is_left_is_cancelled_and_what_came_is_paid_for() -> None:
    record = Router({"small": Reply("one two three four")}).stream(take=1)
    assert (record.status, record.tier, record.error) == ("cancelled", "small", None)
    assert record.attempts[0].error == "GeneratorExit"
    assert record.attempts[0].usage == Usage(1_000, estimate_tokens("one"), source="estimated")


def test_a_draft_that_was_broken_off_is_paid_for_as_far_as_it_came() -> None:
    hopeless = Reply("one two three four", logprobs=[-3.0] * 4, input_tokens=1_000, output_tokens=4)
    escalation = Confidence(0.85, first_tokens=2)
    router = Router({"small": hopeless, "frontier": GOOD}, classify=False, escalation=escalation)
    record = router.stream()
    draft = record.attempts[0]
    assert (draft.role, draft.fault) == ("draft", "aborted")
    assert draft.usage == Usage(1_000, estimate_tokens("one two"), source="estimated")
    assert draft.confidence is not None
    assert draft.confidence < 0.1
    assert (record.tier, record.escalated, router.performer.open) == ("frontier", True, 0)


def test_the_confidence_by_which_a_stream_was_shown_is_recorded() -> None:
    sure = Reply("one two three four", logprobs=[0.0, 0.0, -9.0, -9.0], input_tokens=9, output_tokens=4)
    record = Router({"small": sure}, classify=False, escalation=Confidence(0.85, first_tokens=2)).stream()
    assert (record.tier, record.confidence) == ("small", 1.0)


def test_times_of_a_stream() -> None:
    record = Router({"small": Reply("one two three", chunk_delay_s=2.0)}).stream()
    assert (record.ttft_ms, record.total_ms) == (2_000, 6_000)
    assert record.attempts[0].ttft_ms == 2_000
    held = Router({"small": Reply("one two three", chunk_delay_s=2.0)}, escalation=Confidence(judge=judge)).stream()
    assert (held.ttft_ms, held.attempts[0].ttft_ms) == (6_000, 2_000)


def usage_of(reply: Reply, request: RouteRequest = REQUEST) -> tuple[Usage | None, tuple[str, ...]]:
    record = Router({"small": reply}).run(request)
    return record.attempts[0].usage, record.events


def test_usage_that_is_reported_is_taken() -> None:
    assert usage_of(GOOD) == (Usage(1_000, 200), ())
    full = Reply("Paris.", input_tokens=90, output_tokens=20, cached_tokens=80, reasoning_tokens=15)
    assert usage_of(full) == (Usage(90, 20, 80, 0, 15), ())


def test_usage_that_is_missing_or_cannot_be_true_is_estimated_and_marked() -> None:
    unmetered = ("unmetered:small",)
    told = estimate_tokens("Paris, of course.")
    text = "Paris, of course."
    assert usage_of(Reply(text, usage=False)) == (Usage(1_000, told, source="estimated"), unmetered)
    nothing = Reply(text, input_tokens=0, output_tokens=0)
    assert usage_of(nothing) == (Usage(1_000, told, source="estimated"), unmetered)
    half = Reply(text, input_tokens=0, output_tokens=7)
    assert usage_of(half) == (Usage(1_000, 7, source="estimated"), unmetered)
    negative = Reply(text, input_tokens=-5, output_tokens=-1)
    assert usage_of(negative) == (Usage(1_000, told, source="estimated"), unmetered)
    too_much_cached = Reply(text, input_tokens=10, output_tokens=7, cached_tokens=11)
    assert usage_of(too_much_cached) == (Usage(10, 7, source="estimated"), unmetered)


def test_an_unmetered_tool_call_is_estimated_by_what_it_says() -> None:
    call = Reply(tool_calls=[("weather", {"city": "Rome" * 100})], usage=False)
    usage, _ = usage_of(call, RouteRequest(text="x", tokens=5, tools=(ToolSpec("weather"),)))
    assert usage is not None
    assert usage.output_tokens > 100


def test_an_answer_cut_short_is_marked() -> None:
    for finish in ("length", "max_tokens", "MAX_TOKENS"):
        record = Router({"small": Reply("and and and", finish=finish, input_tokens=9, output_tokens=9)}).run()
        assert record.events == ("truncated:small",)


def test_a_price_that_is_not_known_is_no_zero() -> None:
    unpriced = Tier("small", "ollama:small", local=True)
    record = Router({"small": GOOD}, unpriced, FRONTIER).run()
    assert (record.cost, record.saved, record.baseline) == (None, None, Decimal("0.014"))
    assert record.attempts[0].price_id == "unpriced"
    no_baseline = Router({"small": GOOD}, SMALL, Tier("frontier", object())).run()
    assert (no_baseline.baseline, no_baseline.saved, no_baseline.cost) == (None, None, Decimal("0.0014"))


def test_a_last_tier_paid_by_the_hour_has_no_baseline_unless_it_answered() -> None:
    hourly = Tier("frontier", "ollama:big", local=True, hour_price="36")
    assert Router({"small": GOOD}, SMALL, hourly).run().baseline is None
    answered = Router({"frontier": Reply("Paris.", input_tokens=9, output_tokens=9, first_delay_s=2.0)}, SMALL, hourly)
    record = answered.run(RouteRequest(text="x", tier="frontier"))
    assert record.baseline == record.cost == Decimal("0.02")
    assert record.attempts[0].machine_cost == record.cost


def test_a_record_names_the_tier_that_its_baseline_is_reckoned_with() -> None:
    for reply in (GOOD, Reply("")):
        record = Router({"small": reply, "frontier": GOOD}).run()
        assert record.baseline_tier == record.to_json()["baseline_tier"] == "frontier"


def test_what_would_have_been_saved_at_a_dry_run_is_projected() -> None:
    dry = Tier("frontier", "dry-run:openai:gpt-4.1", input_price="10", output_price="20")
    record = Router({"small": GOOD}, SMALL, dry).run()
    assert (record.saved, record.projected) == (None, Decimal("0.0126"))
    called = Router({"frontier": GOOD}, SMALL, dry).run(RouteRequest(text="x", tier="frontier"))
    assert called.attempts[0].dry_run


def test_no_record_leaks_into_the_next_call() -> None:
    router = Router({"small": [ConnectionError(), GOOD], "frontier": GOOD})
    first, second = router.run(), router.run()
    assert first.call_id != second.call_id
    assert first.events == ("unavailable:small",)
    assert second.events == ()
    assert len(second.attempts) == 1


def test_the_deadline_holds_over_all_tiers_together() -> None:
    slow = Reply("late", first_delay_s=3.0, input_tokens=9, output_tokens=1)
    router = Router(
        {"small": ConnectionError(), "mid": slow, "frontier": slow},
        deadline_s=5.0,
        escalation=Confidence(judge=lambda *_: 0.1),
    )
    record = router.run()
    # The first tier fails at once, the last answers late, but whole: it is taken.
    assert record.status == "ok"
    weak = Router({"small": slow, "frontier": slow}, deadline_s=2.0, escalation=Confidence(judge=lambda *_: 0.1)).run()
    assert (weak.tier, weak.degraded, weak.events) == ("small", True, ("deadline:frontier",))
    assert len(weak.attempts) == 2


def test_a_call_that_runs_out_of_time_says_what_to_change() -> None:
    def fails_late() -> None:
        router.clock.advance(6)
        raise ConnectionError("down")

    router = Router({"small": GOOD, "frontier": GOOD}, deadline_s=5.0)
    router.performer = FakePerformer({"small": GOOD, "frontier": GOOD}, at_step=fails_late)
    record = router.run()
    assert isinstance(router.error, DeadlineExceeded)
    assert "deadline_s=5.0" in str(router.error)
    assert isinstance(router.error.__cause__, ConnectionError)
    assert (record.status, record.error) == ("error", "DeadlineExceeded")
    assert record.events == ("unavailable:small", "deadline:frontier")


def test_a_stream_is_cut_at_the_deadline() -> None:
    slow = Reply("one two three four five", chunk_delay_s=2.0)
    router = Router({"small": slow, "frontier": GOOD}, deadline_s=5.0)
    record = router.stream()
    assert isinstance(router.error, DeadlineExceeded)
    assert (record.status, record.tier, router.performer.open) == ("partial", "small", 0)
    assert record.attempts[0].usage == Usage(1_000, estimate_tokens("one two"), source="estimated")


async def test_the_deadline_cuts_a_tier_that_hangs() -> None:
    class Hangs(FakePerformer):
        async def acall(self, call: Any) -> Answer:
            self.calls.append(call)
            await asyncio.Event().wait()
            return Answer()

    engine = Engine(Policy.build([SMALL, FRONTIER], classify=False, deadline_s=0.05))
    for _ in range(5):
        run = Run(engine, REQUEST)
        with pytest.raises(DeadlineExceeded):
            await adrive(run, Hangs({}))
        assert run.record is not None
        # The prompt has been sent, and the provider counts it.
        assert run.record.attempts[0].usage == Usage(1_000, 0, source="estimated")
        assert run.record.attempts[0].error == "DeadlineExceeded"
    # A server that hangs is as good as down: the next call does not wait for it.
    run = Run(engine, REQUEST)
    assert (await adrive(run, FakePerformer({"frontier": GOOD}))).tier.name == "frontier"


def test_durations_do_not_follow_the_wall_clock() -> None:
    router = Router({"small": Reply("one two", chunk_delay_s=1.0)})

    def jump() -> None:
        router.clock.set_wall(router.clock.now() - timedelta(hours=1))

    router.performer = FakePerformer({"small": Reply("one two", chunk_delay_s=1.0)}, router.clock, at_step=jump)
    assert router.stream().total_ms == 2_000


def scoped(router: Router) -> RouteRecord:
    context = current_context()
    return router.run(RouteRequest(text="x", scope_tier=context.decided.get(router.engine.number)))


def test_the_calls_of_a_scope_stay_where_the_first_one_came_to() -> None:
    router = Router({"small": [WEAK, GOOD], "frontier": GOOD}, **JUDGED)
    with route_context(scope="query"):
        assert [scoped(router).tier for _ in range(3)] == ["frontier"] * 3
    assert scoped(router).reason == "cheapest"


def test_a_scope_does_not_remember_makeshifts_and_single_wishes() -> None:
    router = Router({"small": WEAK, "frontier": [ConnectionError(), GOOD]}, **JUDGED)
    with route_context(scope="query"):
        assert scoped(router).degraded
        assert not current_context().decided
        router.run(RouteRequest(text="x", tier="small"))
        assert not current_context().decided


def test_two_routers_in_one_scope_decide_for_themselves() -> None:
    one, other = Router({"small": GOOD}), Router({"small": WEAK, "frontier": GOOD}, **JUDGED)
    with route_context(scope="query"):
        assert (scoped(one).tier, scoped(other).tier) == ("small", "frontier")
        assert (scoped(one).tier, scoped(other).tier) == ("small", "frontier")


def test_one_router_from_many_threads_and_loops() -> None:
    router = Router({"small": [ConnectionError(), GOOD], "frontier": GOOD})
    performer = FakePerformer({"small": GOOD, "frontier": GOOD})
    barrier = threading.Barrier(16)

    def sync(_thread: int) -> list[RouteRecord | None]:
        barrier.wait()
        runs = [Run(router.engine, REQUEST) for _ in range(20)]
        for run in runs:
            drive(run, performer)
        return [run.record for run in runs]

    def asynchronous(_thread: int) -> list[RouteRecord | None]:
        barrier.wait()
        runs = [Run(router.engine, REQUEST) for _ in range(20)]

        async def all_at_once() -> None:
            await asyncio.gather(*(adrive(run, performer) for run in runs))

        asyncio.run(all_at_once())
        return [run.record for run in runs]

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(work, thread) for thread in range(8) for work in (sync, asynchronous)]
        records = [record for future in futures for record in future.result()]
    assert len({record.call_id for record in records if record is not None}) == 16 * 20
    assert all(record is not None and record.status == "ok" for record in records)


def test_nothing_is_saved_by_a_dry_run_of_any_tier() -> None:
    dry = Tier("small", "dry-run:openai:gpt-4.1-nano", input_price="1", output_price="2")
    record = Router({"small": GOOD, "frontier": GOOD}, dry, FRONTIER).run()
    assert (record.tier, record.saved) == ("small", None)
    assert record.projected == Decimal("0.0126")
    called = Router({"small": GOOD, "frontier": GOOD}, dry, FRONTIER, classify=False).run(
        RouteRequest(text="hello", tokens=1_000, tier="frontier")
    )
    assert (called.saved, called.projected) == (0, None)


def test_a_failed_call_of_a_paid_machine_costs_its_time() -> None:
    machine = Tier("small", "ollama:small", local=True, hour_price="3600")
    slow = BreaksOff(Reply("one two", chunk_delay_s=2.0), 1, ConnectionError("gone"))
    router = Router({"small": slow, "frontier": GOOD}, machine, FRONTIER)
    record = router.stream()
    first = record.attempts[0]
    assert first.error == "ConnectionError"
    assert first.hour_price == Decimal(3600)
    assert first.cost is not None
    assert first.cost >= 2


def test_what_was_generated_beside_the_text_counts_when_a_stream_is_left() -> None:
    run = Run(Router({}).engine, REQUEST)
    with run:
        call = Call(SMALL, "tools")
        attempt = run.begin(call)
        assert isinstance(attempt, Attempt)
        run.saw_chunk(attempt, Chunk(None, tool_call=True, unseen="x" * 400))
    assert run.record is not None
    usage = run.record.attempts[0].usage
    assert usage is not None
    assert usage.output_tokens == estimate_tokens("x" * 400)
    assert run.record.attempts[0].ttft_ms is not None
