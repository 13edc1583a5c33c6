"""Tiers that are down, overloaded, refused, too small or spent: what the caller gets, and that it always ends."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import openai
import pytest

from slmroute.drive import adrive, drive, drive_stream
from slmroute.engine import Engine
from slmroute.errors import Misconfigured, ModelMissing, NoEligibleTier, NoTierAnswered, PromptTooLong
from slmroute.policy import Confidence, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest, ToolSpec
from slmroute.run import Run
from slmroute.steps import Answer
from slmroute.testing import BreaksOff, FakeClock, FakePerformer, Reply
from slmroute.testing.performer import Move
from slmroute.tier import Tier

NAMES = ("small", "mid", "frontier")
REQUEST = RouteRequest(text="hello", tokens=100)
DOWN = ConnectionResetError("down")


def said(text: str) -> Reply:
    return Reply(text, input_tokens=100, output_tokens=2)


def status(code: int, message: str = "no", **headers: str) -> openai.APIStatusError:
    request = httpx.Request("POST", "https://api.example.com", headers={"authorization": "Bearer sk-canary"})
    return openai.APIStatusError(message, response=httpx.Response(code, headers=headers, request=request), body=None)


class Router:
    """An engine on a fake clock with three scripted tiers."""

    def __init__(self, script: dict[str, Move | list[Move]], **settings: Any) -> None:
        self.clock = FakeClock()
        self.script = script
        settings.setdefault("classify", False)
        tiers = [Tier(name, f"openai:{name}", local=name != "frontier") for name in NAMES]
        self.engine = Engine(Policy.build(tiers, **settings), clock=self.clock)
        self.performer = FakePerformer(script, self.clock)

    def call(self, request: RouteRequest = REQUEST) -> RouteRecord:
        run = Run(self.engine, request)
        drive(run, self.performer)
        assert run.record is not None
        return run.record

    @property
    def called(self) -> list[str]:
        return [call.tier.name for call in self.performer.calls]


def all_fail(error: Exception = DOWN) -> dict[str, Move | list[Move]]:
    return dict.fromkeys(NAMES, error)


@pytest.mark.parametrize(
    "error", [DOWN, TimeoutError(), httpx.ConnectError("no"), status(500), status(503), status(429)]
)
def test_a_tier_that_is_down_or_overloaded_is_replaced(error: Exception) -> None:
    router = Router({"small": error, "mid": said("Paris.")})
    record = router.call()
    assert record.tier == "mid"
    assert router.called == ["small", "mid"]
    assert [attempt.error for attempt in record.attempts] == [type(error).__name__, None]


def test_when_all_are_down_each_is_asked_once_and_every_cause_comes_out() -> None:
    errors = {name: ConnectionResetError(name) for name in NAMES}
    router = Router(dict(errors))
    with pytest.raises(NoTierAnswered) as caught:
        router.call()
    assert router.called == list(NAMES)
    assert list(caught.value.exceptions) == [errors[name] for name in NAMES]


def test_when_all_breakers_are_open_the_call_still_ends_and_still_tries() -> None:
    router = Router(all_fail())
    for _ in range(30):
        with pytest.raises(NoTierAnswered):
            router.call()
    # Five failures opened each breaker; from then on every tier was forced, once a call, and none twice.
    assert len(router.called) == 30 * 3
    router.performer = FakePerformer({**router.script, "mid": said("Back again.")})
    assert router.call().tier == "mid"
    # The breaker of the one that answered is closed again.
    assert router.call().events == ("breaker_open:small",)


def test_a_breaker_spares_a_dead_tier_until_a_probe_finds_it_alive() -> None:
    router = Router({"small": [*[DOWN] * 5, said("Paris.")], "mid": said("From mid.")})
    tiers = [router.call().tier for _ in range(8)]
    assert tiers == ["mid"] * 8
    assert router.called.count("small") == 5
    router.clock.advance(31)
    assert router.call().tier == "small"
    assert router.call().events == ()


def test_of_a_thousand_callers_one_probes_a_tier_that_may_be_back() -> None:
    router = Router({"small": DOWN, "mid": said("From mid.")})
    for _ in range(5):
        router.call()
    router.clock.advance(31)
    entered = threading.Barrier(1 + 40)
    leave = threading.Event()
    probes: list[str] = []

    class Performer(FakePerformer):
        def call(self, call: Any) -> Answer:
            if call.tier.name == "small":
                probes.append(threading.current_thread().name)
                leave.wait()
            return Answer(text="Paris.")

    def work(_thread: int) -> list[str | None]:
        entered.wait()
        tiers = []
        for _ in range(25):
            run = Run(router.engine, REQUEST)
            drive(run, Performer({}))
            tiers.append(run.record.tier if run.record else None)
        return tiers

    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(work, thread) for thread in range(40)]
        entered.wait()
        # All but the prober's thread can end while the probe is still out.
        while sum(future.done() for future in futures) < 39:
            leave.wait(0.005)
        assert len(probes) == 1
        leave.set()
        tiers = [tier for future in futures for tier in future.result()]
    assert len(tiers) == 1_000
    assert tiers.count("small") >= 1


@pytest.mark.parametrize(
    ("header", "waits_s"),
    [("20", 20), ("86400", 60), ("date", 45), ("soon", None), ("-1", None), (None, None)],
)
def test_an_overloaded_tier_is_left_alone_as_long_as_it_asks(header: str | None, waits_s: int | None) -> None:
    router = Router({"small": said("ok"), "mid": said("From mid.")})
    if header == "date":
        header = format_datetime(router.clock.now() + timedelta(seconds=45), usegmt=True)
    error = status(429, **({} if header is None else {"retry-after": header}))
    router.performer = FakePerformer({"small": [error, said("Paris.")], "mid": said("From mid.")})
    assert router.call().events == ("overloaded:small",)
    if waits_s is None:
        assert router.call().tier == "small"
        return
    router.clock.advance(waits_s - 1)
    assert router.call().events == ("breaker_open:small",)
    router.clock.advance(1)
    assert router.call().tier == "small"


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        (401, Misconfigured, r"'small' was refused by its provider \(HTTP 401\).*api_key"),
        (403, Misconfigured, r"'small' was refused by its provider \(HTTP 403\).*api_key"),
        (404, ModelMissing, r"'small': its provider does not know the model 'small'.*\(HTTP 404\).*model="),
    ],
    ids=str,
)
def test_refused_credentials_and_names_are_not_hidden_by_another_tier(
    code: int, kind: type[Exception], told: str
) -> None:
    router = Router({"small": status(code, "Incorrect API key"), "mid": said("hidden")})
    for _ in range(6):
        with pytest.raises(kind, match=told) as caught:
            router.call()
        assert "sk-canary" not in str(caught.value)
    # It is no outage: the breaker stays closed, so that nothing hides it later either.
    assert router.called == ["small"] * 6


@pytest.mark.parametrize(("code", "told"), [(401, "was refused"), (404, "does not know the model")])
def test_refused_credentials_and_names_do_not_throw_away_a_weak_answer_and_are_told_of_once(
    code: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    router = Router({"small": said("Perhaps."), "mid": DOWN, "frontier": status(code)}, escalation=Confidence(0.85))
    for _ in range(2):
        record = router.call()
        assert (record.tier, record.degraded, record.events[-1]) == ("small", True, "misconfigured:frontier")
    assert [all(part in said for part in ("'frontier'", told, f"HTTP {code}")) for said in caplog.messages] == [True]


def test_a_draft_that_was_broken_off_is_asked_for_again_where_the_tier_above_refuses_its_key() -> None:
    hopeless = Reply("so " * 60, logprobs=[-6.0] * 60, input_tokens=100, output_tokens=60)
    router = Router({"small": hopeless, "mid": DOWN, "frontier": status(401)}, escalation=Confidence(0.85))
    run = Run(router.engine, REQUEST)
    assert "".join(map(str, drive_stream(run, router.performer))) == hopeless.text
    assert router.called == ["small", "mid", "frontier", "small"]


def test_beside_a_weak_answer_refused_credentials_do_not_bar_the_tiers_above() -> None:
    script: dict[str, Move | list[Move]] = {"small": said("Perhaps."), "mid": status(403), "frontier": said("Sure.")}
    record = Router(script, escalation=Confidence(0.85)).call()
    assert (record.tier, record.degraded, record.events) == ("frontier", False, ("misconfigured:mid",))


@pytest.mark.parametrize("failover", [True, False])
def test_refused_credentials_are_raised_where_all_there_is_is_wrong_on_its_face(
    failover: bool, caplog: pytest.LogCaptureFixture
) -> None:
    router = Router({"small": said(""), "mid": status(401), "frontier": said("hidden")}, failover=failover)
    with pytest.raises(Misconfigured, match="'mid'"):
        router.call()
    assert caplog.messages == []


def test_a_prompt_that_was_too_long_goes_to_another_tier_and_is_no_outage() -> None:
    too_long = status(400, "This model's maximum context length is 4096 tokens")
    router = Router({"small": too_long, "mid": said("Paris.")})
    for _ in range(6):
        record = router.call()
        assert (record.tier, record.events[0]) == ("mid", "too_long:small")
    assert router.called.count("small") == 6


def test_a_prompt_that_is_known_to_fit_nowhere_is_not_sent_anywhere() -> None:
    tiers = [Tier("small", "openai:a", window=1_000), Tier("frontier", "openai:b", window=2_000)]
    run = Run(Engine(Policy.build(tiers, classify=False)), RouteRequest(text="x", tokens=3_000))
    performer = FakePerformer({})
    with pytest.raises(PromptTooLong):
        drive(run, performer)
    assert performer.calls == []


def test_a_model_that_was_not_pulled_is_named_and_the_call_still_answered(caplog: pytest.LogCaptureFixture) -> None:
    import ollama

    tiers = [Tier("small", "ollama:phi3:mini"), Tier("frontier", "openai:gpt-4.1")]
    missing = ollama.ResponseError("model 'phi3:mini' not found", 404)
    engine = Engine(Policy.build(tiers, classify=False))
    run = Run(engine, REQUEST)
    assert drive(run, FakePerformer({"small": missing, "frontier": said("Paris.")})).tier.name == "frontier"
    assert ["ollama pull phi3:mini" in said for said in caplog.messages] == [True]
    with pytest.raises(NoTierAnswered) as caught:
        drive(Run(engine, REQUEST), FakePerformer({"small": missing, "frontier": DOWN}))
    assert isinstance(caught.value.exceptions[0], ModelMissing)
    assert "ollama pull phi3:mini" in str(caught.value.exceptions[0])
    assert len(caplog.messages) == 1  # it is said once


def weak(_request: RouteRequest, answer: Answer) -> float:
    return 0.2 if answer.text.startswith("weak") else 0.9


def test_with_the_frontier_down_the_best_weak_answer_is_given_and_marked() -> None:
    script: dict[str, Move | list[Move]] = {"small": said("weak"), "mid": DOWN, "frontier": DOWN}
    record = Router(script, escalation=Confidence(judge=weak)).call()
    assert (record.status, record.tier, record.degraded) == ("ok", "small", True)
    assert [attempt.role for attempt in record.attempts] == ["final", "judge", "failed", "failed"]


def test_a_call_that_must_stay_local_never_leaves() -> None:
    router = Router({"small": DOWN, "mid": DOWN, "frontier": said("elsewhere")})
    for _ in range(10):
        with pytest.raises(NoTierAnswered):
            router.call(RouteRequest(text="x", local_only=True))
    assert "frontier" not in router.called
    with pytest.raises(NoEligibleTier, match="local_only=True"):
        router.call(RouteRequest(text="x", local_only=True, tier="frontier"))


def test_a_weak_local_answer_is_not_improved_elsewhere_when_the_call_must_stay_local() -> None:
    script: dict[str, Move | list[Move]] = {name: said("weak") for name in NAMES}
    router = Router(script, escalation=Confidence(judge=weak))
    record = router.call(RouteRequest(text="x", local_only=True))
    assert router.called == ["small", "mid"]
    assert record.tier == "mid"


def test_tiers_that_lack_what_the_call_needs_are_not_asked() -> None:
    tiers = [
        Tier("small", "ollama:a", abilities=[]),
        Tier("mid", "ollama:b", abilities=["tools"]),
        Tier("frontier", "openai:c"),
    ]
    performer = FakePerformer({"mid": DOWN, "frontier": said("Paris.")})
    engine = Engine(Policy.build(tiers, classify=False))
    drive(Run(engine, RouteRequest(text="x", tools=(ToolSpec("f"),))), performer)
    assert [call.tier.name for call in performer.calls] == ["mid", "frontier"]


class Mine(Exception):
    """An error of the user's own."""


class BubblesUp(Exception):
    """Like LangGraph's control flow: an exception that is none of the clients'."""


@pytest.mark.parametrize("error", [Mine(), BubblesUp(), ValueError(), KeyError("x"), status(400), status(422)])
def test_what_is_no_outage_passes_through_untouched(error: Exception) -> None:
    router = Router({"small": error, "mid": said("hidden")})
    for _ in range(6):
        with pytest.raises(type(error)) as caught:
            router.call()
        assert caught.value is error
    assert router.called == ["small"] * 6


async def test_a_cancelled_call_is_cancelled() -> None:
    class Hangs(FakePerformer):
        async def acall(self, call: Any) -> Answer:
            self.calls.append(call)
            started.set()
            await asyncio.Event().wait()
            return Answer()

    started = asyncio.Event()
    router = Router({})
    run = Run(router.engine, REQUEST)
    task = asyncio.create_task(adrive(run, Hangs({})))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.record is not None
    assert run.record.status == "cancelled"


def shown(router: Router, request: RouteRequest = REQUEST) -> tuple[list[object], RouteRecord]:
    run = Run(router.engine, request)
    chunks = list(drive_stream(run, router.performer))
    assert run.record is not None
    return chunks, run.record


def test_a_tier_that_dies_before_its_first_chunk_is_replaced_unseen() -> None:
    router = Router({"small": BreaksOff(said("one two"), 0, DOWN), "mid": said("three four")})
    chunks, record = shown(router)
    assert chunks == ["three", " four"]
    assert (record.status, record.tier) == ("ok", "mid")


def test_a_tier_that_dies_in_the_midst_of_its_answer_is_never_followed_by_another() -> None:
    router = Router({"small": BreaksOff(said("one two"), 1, DOWN), "mid": said("three four")})
    run = Run(router.engine, REQUEST)
    chunks = drive_stream(run, router.performer)
    assert next(chunks) == "one"
    with pytest.raises(ConnectionResetError) as caught:
        next(chunks)
    assert caught.value is DOWN
    assert router.called == ["small"]
    assert run.record is not None
    assert run.record.status == "partial"


def test_a_held_draft_that_dies_is_never_seen() -> None:
    script: dict[str, Move | list[Move]] = {"small": BreaksOff(said("weak draft"), 1, DOWN), "mid": said("good")}
    assert shown(Router(script, escalation=Confidence(judge=weak)))[0] == ["good"]


def test_a_rejected_draft_is_never_seen() -> None:
    script: dict[str, Move | list[Move]] = {
        "small": said("weak draft"),
        "mid": said("weak too"),
        "frontier": said("good"),
    }
    chunks, record = shown(Router(script, escalation=Confidence(judge=weak)))
    assert chunks == ["good"]
    assert record.escalated


@pytest.mark.parametrize("order", [["small", "mid", "frontier"], ["mid"], ["frontier", "small"]])
def test_under_any_outage_somebody_answers(order: list[str]) -> None:
    for down in order:
        script: dict[str, Move | list[Move]] = {name: said(name) for name in NAMES}
        router = Router({**script, down: DOWN}, escalation=Confidence(judge=lambda *_: 0.9))
        for _ in range(8):
            record = router.call()
            assert record.status == "ok"
            assert record.tier != down
