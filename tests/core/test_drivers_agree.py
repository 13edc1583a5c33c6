"""The four drivers come to the same decisions and the same records on the same script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.engine import Engine
from slmroute.policy import Confidence, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest, ToolSpec
from slmroute.run import Run
from slmroute.steps import Answer, Call
from slmroute.testing import BreaksOff, FakeClock, FakePerformer, Reply
from slmroute.testing.performer import Move
from slmroute.tier import Tier

NAMES = ("small", "mid", "frontier")
WEATHER = ToolSpec("weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


class Mine(Exception):
    """An error of the user's own."""


@dataclass(frozen=True)
class Scenario:
    """What a router is set to, and what its classifier, its judge and its tiers do."""

    tiers: int
    score: float | str | None
    escalation: str | None
    validate: bool
    failover: bool
    deadline_s: float | None
    request: RouteRequest
    script: dict[str, list[Move]]

    def policy(self) -> Policy:
        names = NAMES[3 - self.tiers :]
        tiers = [
            Tier(name, f"ollama:{name}", input_price=str(place + 1), output_price=str(place + 2))
            for place, name in enumerate(names)
        ]
        return Policy.build(
            tiers,
            classify=self.score != "no classifier",
            escalation=escalation_of(self.escalation),
            validate=self.validate,
            failover=self.failover,
            deadline_s=self.deadline_s,
        )

    def classifier(self) -> Callable[[RouteRequest], Any] | None:
        if self.score == "no classifier":
            return None

        def classify(_request: RouteRequest) -> Any:
            if self.score is None:
                raise ConnectionError
            return self.score

        return classify


def escalation_of(kind: str | None) -> Confidence | None:
    def judge(_request: RouteRequest, answer: Answer) -> float | None:
        if "broken" in answer.text:
            raise ValueError(answer.text)
        return 0.9 if "good" in answer.text else 0.1

    match kind:
        case None:
            return None
        case "judge":
            return Confidence(0.85, judge=judge)
        case "whole":
            return Confidence(0.85, stream="whole")
        case _:
            return Confidence(0.85, first_tokens=2)


@dataclass
class Outcome:
    """What came of one call."""

    record: RouteRecord
    calls: list[Call]
    shown: list[object] = field(default_factory=list)
    text: str | None = None
    error: str | None = None
    open: int = 0


def drive_one(run: Run, performer: FakePerformer) -> Generator[object, None, None]:
    drive(run, performer)
    yield from ()


async def adrive_one(run: Run, performer: FakePerformer) -> Any:
    await adrive(run, performer)
    for nothing in ():
        yield nothing


def outcome(scenario: Scenario, driver: Callable[..., Any], *, is_async: bool) -> Outcome:
    clock = FakeClock()
    performer = FakePerformer(scenario.script, clock)
    engine = Engine(scenario.policy(), scenario.classifier(), clock=clock)
    run = Run(engine, scenario.request)
    shown: list[object] = []
    error = None

    async def read() -> None:
        async for native in driver(run, performer):
            shown.append(native)  # noqa: PERF401  what was shown before an error counts, too

    try:
        if is_async:
            asyncio.run(read())
        else:
            shown.extend(driver(run, performer))
    except Exception as raised:  # noqa: BLE001
        error = repr(raised)
    assert run.record is not None
    text = run.decision.answer.text if run.decision else None
    return Outcome(replace(run.record, call_id=""), performer.calls, shown, text, error, performer.open)


LOGPROBS = st.sampled_from([None, -0.01, -0.3, -3.0])
TEXTS = st.sampled_from(
    [
        "good good good",
        "bad answer this is",
        "broken judge here",
        "",
        "I'm sorry, but I can't help with that.",
        "{}",
        "x",
    ]
)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    if draw(st.integers(0, 4)) == 0:
        arguments = draw(st.sampled_from([{"city": "Rome"}, {}, "{broken"]))
        return Reply(tool_calls=[(draw(st.sampled_from(["weather", "wheather"])), arguments)])
    text = draw(TEXTS)
    logprob = draw(LOGPROBS)
    words = len(text.split())
    return Reply(
        text,
        logprobs=[logprob] * words if logprob is not None and words else None,
        input_tokens=draw(st.sampled_from([None, 0, 40])),
        output_tokens=draw(st.sampled_from([None, 7])),
        finish=draw(st.sampled_from(["stop", "length", "content_filter"])),
        usage=draw(st.booleans()),
        first_delay_s=draw(st.sampled_from([0.0, 0.4, 3.0])),
        chunk_delay_s=draw(st.sampled_from([0.0, 0.2, 1.0])),
    )


ERRORS = st.sampled_from([ConnectionError("down"), TimeoutError("late"), Mine("mine")])
BREAKS = st.builds(BreaksOff, replies(), st.integers(0, 3), ERRORS)
REQUESTS = st.builds(
    RouteRequest,
    text=st.just("hello there"),
    tokens=st.just(50),
    tools=st.sampled_from([(), (WEATHER,)]),
    forced_tool=st.booleans(),
    schema=st.sampled_from([None, {"type": "object"}]),
    tier=st.sampled_from([None, None, None, "frontier"]),
    pin=st.sampled_from([None, None, "mid", "someone else's"]),
)


def scenarios(moves: st.SearchStrategy[Move], escalations: list[str | None], deadlines: list[float | None]) -> Any:
    return st.builds(
        Scenario,
        tiers=st.sampled_from([2, 3]),
        score=st.sampled_from([0.1, 0.5, 0.9, None, "no classifier", 7.0]),
        escalation=st.sampled_from(escalations),
        validate=st.booleans(),
        failover=st.booleans(),
        deadline_s=st.sampled_from(deadlines),
        request=REQUESTS,
        script=st.fixed_dictionaries({name: st.lists(moves, min_size=1, max_size=2) for name in NAMES}),
    )


def assert_sound(found: Outcome) -> None:
    record = found.record
    assert found.open == 0
    asked = [attempt for attempt in record.attempts if attempt.role in ("draft", "final", "failed")]
    assert [attempt.tier for attempt in asked] == [call.tier.name for call in found.calls]
    finals = [attempt for attempt in asked if attempt.role == "final"]
    assert len(finals) == (1 if record.status in ("ok", "partial") else 0)
    if record.status == "ok":
        assert found.error is None
        assert record.tier == finals[0].tier
    else:
        assert found.error is not None
        assert record.error is not None
    # No classifier or judge here has a price or takes tokens; all tiers have prices.
    assert record.cost is not None
    assert record.baseline is not None
    assert record.saved == record.baseline - record.cost
    assert record.cost == sum(attempt.cost or 0 for attempt in record.attempts)
    if found.shown and record.status == "ok":
        assert found.text is not None
        assert "".join(piece for piece in found.shown if isinstance(piece, str)) == found.text


ANYTHING = scenarios(st.one_of(replies(), ERRORS, BREAKS), [None, "first tokens", "whole", "judge"], [None, 1.0, 5.0])


@given(ANYTHING)
@settings(max_examples=100, deadline=None)
def test_whole_answers_agree_sync_and_async(scenario: Scenario) -> None:
    sync = outcome(scenario, drive_one, is_async=False)
    assert sync == outcome(scenario, adrive_one, is_async=True)
    assert_sound(sync)


@given(ANYTHING)
@settings(max_examples=100, deadline=None)
def test_streams_agree_sync_and_async(scenario: Scenario) -> None:
    sync = outcome(scenario, drive_stream, is_async=False)
    assert sync == outcome(scenario, adrive_stream, is_async=True)
    assert_sound(sync)


def timeless(found: Outcome) -> object:
    """What must be alike whether an answer comes in chunks or not."""
    attempts = tuple(replace(attempt, started_ms=0.0, ttft_ms=None, total_ms=0.0) for attempt in found.record.attempts)
    record = replace(found.record, attempts=attempts, ttft_ms=None, total_ms=0.0)
    calls = [replace(call, hold=False) for call in found.calls]
    return record, calls, found.text, found.error


@given(scenarios(st.one_of(replies(), ERRORS), ["whole", "judge"], [None]))
@settings(max_examples=100, deadline=None)
def test_a_stream_that_is_held_whole_agrees_with_a_whole_answer(scenario: Scenario) -> None:
    whole = outcome(scenario, drive_one, is_async=False)
    streamed = outcome(scenario, drive_stream, is_async=False)
    assert timeless(whole) == timeless(streamed)


@given(ANYTHING, st.sampled_from([drive_one, drive_stream]))
@settings(max_examples=50, deadline=None)
def test_the_same_script_gives_the_same_record_again(scenario: Scenario, driver: Callable[..., Any]) -> None:
    assert outcome(scenario, driver, is_async=False) == outcome(scenario, driver, is_async=False)
