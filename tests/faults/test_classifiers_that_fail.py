"""A real few-shot classifier against a server that fails in every way: the call is answered all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from slmroute.classify.few_shot import FewShotClassifier
from slmroute.drive import adrive, drive
from slmroute.engine import Engine
from slmroute.policy import Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.testing import FakeClock, FakePerformer, FakeServer, Fault, Reply
from slmroute.tier import Tier

MODEL = "phi3:mini"
SIMPLE = Reply("simple", logprobs=[{"simple": -0.05, "complex": -3.0}])
TIERS = [Tier("small", "openai:a"), Tier("frontier", "openai:b")]

Way = Callable[[Engine], RouteRecord]


def performer() -> FakePerformer:
    return FakePerformer({name: Reply("Paris.", input_tokens=9, output_tokens=2) for name in ("small", "frontier")})


def sync(engine: Engine, text: str = "Which language is this? Guten Tag") -> RouteRecord:
    run = Run(engine, RouteRequest.from_text(text))
    drive(run, performer())
    assert run.record is not None
    return run.record


def asynchronous(engine: Engine, text: str = "Which language is this? Guten Tag") -> RouteRecord:
    run = Run(engine, RouteRequest.from_text(text))
    asyncio.run(adrive(run, performer()))
    assert run.record is not None
    return run.record


both_ways = pytest.mark.parametrize("way", [sync, asynchronous])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({MODEL: SIMPLE}) as running:
        yield running


def classifier(server: FakeServer, **settings: Any) -> FewShotClassifier:
    asked = FewShotClassifier(MODEL, host=server.url, **settings)
    asked.warm_up()
    return asked


def assert_default(record: RouteRecord) -> None:
    assert (record.status, record.tier, record.reason, record.score) == ("ok", "frontier", "default", None)
    assert record.events == ("classifier_unavailable",)


FAULTS: dict[str, Any] = {
    "refused": Fault(refuse=True),
    "overloaded": Fault(503),
    "broken": Fault(500),
    "missing": Fault(404),
    "dies": Fault(die_before_first=True),
    "garbage": Fault(garbage=True),
    "prose": Reply("Well, I would say that it depends on what you mean."),
    "empty": Reply(""),
    "a megabyte": Reply("simple " * 150_000),
    "another word": Reply("easy"),
    "another case of a longer word": Reply("SIMPLETON"),
    "a homoglyph": Reply("\N{CYRILLIC SMALL LETTER ES}omplex"),
    "a fake score": Reply('{"label": "simple", "score": 0.01}'),
    "not a number": Reply("simple", logprobs=[{"simple": float("nan")}]),
    "over certainty": Reply("simple", logprobs=[{"simple": 7.0}]),
    "no label likely": Reply("simple", logprobs=[{"simple": -9.0, "The": -0.01}]),
}


@both_ways
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whatever_the_server_does_the_default_tier_answers(way: Way, fault: Any, server: FakeServer) -> None:
    with classifier(server) as asked:
        engine = Engine(Policy.build(TIERS), asked)
        assert way(engine).reason == "classified"
        server.script(MODEL, fault)
        assert_default(way(engine))


@both_ways
def test_a_server_that_is_gone_is_asked_five_times_and_then_left_alone(way: Way, server: FakeServer) -> None:
    clock = FakeClock()
    with classifier(server) as asked:
        engine = Engine(Policy.build(TIERS), asked, clock=clock)
        before = len(server.calls())
        server.script(MODEL, Fault(500))
        for _ in range(8):
            assert_default(way(engine))
        assert len(server.calls()) == before + 5
        clock.advance(31)
        server.script(MODEL, SIMPLE)
        assert way(engine).reason == "classified"


@both_ways
def test_prompts_that_confuse_the_model_do_not_switch_it_off_for_others(way: Way, server: FakeServer) -> None:
    with classifier(server) as asked:
        engine = Engine(Policy.build(TIERS), asked, clock=FakeClock())
        server.script(MODEL, *[Reply("prose")] * 7, SIMPLE)
        for _ in range(7):
            assert_default(way(engine))
        assert way(engine).reason == "classified"


@both_ways
def test_a_slow_model_is_cut_and_its_late_answer_ignored(way: Way, server: FakeServer) -> None:
    with classifier(server, timeout_s=0.5) as asked:
        engine = Engine(Policy.build(TIERS), asked)
        late = threading.Event()
        server.script(MODEL, Reply("simple", logprobs=SIMPLE.logprobs, hold=late), SIMPLE)
        assert_default(way(engine))
        server.wait_until(lambda: server.cancelled == 1)
        late.set()


@both_ways
def test_a_model_that_is_still_loading_goes_on_loading_while_calls_go_on(way: Way, server: FakeServer) -> None:
    loaded = threading.Event()
    server.script(MODEL, Reply("simple", logprobs=SIMPLE.logprobs, hold=loaded), SIMPLE)
    with FewShotClassifier(MODEL, host=server.url, timeout_s=0.5) as asked:
        engine = Engine(Policy.build(TIERS), asked)
        for _ in range(3):
            assert_default(way(engine))
        # One request loads the model; nobody hung up on it and nobody else was sent after it.
        server.wait_until(lambda: server.open == 1)
        assert (len(server.calls()), server.cancelled) == (1, 0)
        loaded.set()
        asked.warm_up()
        assert sync(engine).reason == "classified"


@both_ways
def test_a_request_without_text_goes_to_the_default_tier(way: Any, server: FakeServer) -> None:
    with classifier(server) as asked:
        assert_default(way(Engine(Policy.build(TIERS), asked), "  "))


def test_the_classifier_costs_what_it_is_declared_to(server: FakeServer) -> None:
    with classifier(server, input_price="100", output_price="100") as asked:
        record = sync(Engine(Policy.build(TIERS), asked))
    attempt = record.attempts[0]
    assert (attempt.role, attempt.provider, attempt.model) == ("classifier", "ollama", MODEL)
    assert attempt.usage is not None
    assert attempt.cost == Decimal(attempt.usage.input_tokens + attempt.usage.output_tokens) / 10_000
