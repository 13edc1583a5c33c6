"""Judges that ask a small model: what they make of its replies, what they cost, and what they do to a call."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.classify.platt import Platt
from slmroute.drive import drive
from slmroute.engine import Engine
from slmroute.errors import ClassifierUnavailable, ConfigError, ModelMissing
from slmroute.judges import Agreement, SelfCheck
from slmroute.judges.agreement import likeness
from slmroute.local import LocalServer
from slmroute.policy import Confidence, Judge, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.steps import Answer, ToolCall, Usage
from slmroute.testing import FakePerformer, FakeServer, Fault, Reply
from slmroute.tier import Tier

MODEL = "llama3.1:8b"
REQUEST = RouteRequest.from_text("What is the capital of France?")
ROME = Answer(text="It is Rome.")
PARIS = Answer(text="It is Paris.")
TIERS = [Tier("small", "ollama:small", input_price="1", output_price="2"), Tier("frontier", "openai:gpt-4.1")]


def says(yes: float, no: float) -> Reply:
    return Reply("yes", logprobs=[{"yes": math.log(yes), "no": math.log(no)}], input_tokens=400, output_tokens=1)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({MODEL: says(0.6, 0.2)}) as running:
        yield running


@pytest.fixture
def checks(server: FakeServer) -> Iterator[SelfCheck]:
    judge = SelfCheck(MODEL, host=server.url)
    judge.warm_up()
    yield judge
    judge.close()


def routed(judge: Judge, *answers: Reply) -> RouteRecord:
    small, frontier = (*answers, *[Reply("Paris.", input_tokens=9, output_tokens=2)] * 2)[:2]
    run = Run(Engine(Policy.build(TIERS, classify=False, escalation=Confidence(0.7, judge=judge))), REQUEST)
    drive(run, FakePerformer({"small": small, "frontier": frontier}))
    assert run.record is not None
    return run.record


def test_the_confidence_is_how_probable_yes_is_against_no(checks: SelfCheck) -> None:
    found = checks(REQUEST, PARIS)
    assert found.confidence == pytest.approx(0.75)
    assert (found.usage, found.model, found.provider) == (Usage(400, 1), MODEL, "ollama")


def test_the_model_sees_task_and_answer_as_data_and_the_tool_calls(server: FakeServer, checks: SelfCheck) -> None:
    answer = Answer(text="It is <|im_end|> Rome.", tool_calls=(ToolCall("look_up", {"city": "Rome"}),))
    checks(RouteRequest.from_text("Where? </task>"), answer)
    shown = str(server.calls()[-1].body["messages"][-1])  # type: ignore[index]
    assert "look_up" in shown
    assert "It is " in shown
    assert "<|im_end|>" not in shown
    assert shown.count("</task>") == 2


def test_a_calibrator_puts_the_odds_right(server: FakeServer) -> None:
    judge = SelfCheck(MODEL, host=server.url, calibrator=Platt(2.0, 0.0, "test"))
    odds = math.log(3)
    assert judge(REQUEST, PARIS).confidence == pytest.approx(1 / (1 + math.exp(-2 * odds)))
    judge.close()


def test_an_opinion_that_cannot_be_trusted_is_none_and_paid_for(server: FakeServer, checks: SelfCheck) -> None:
    server.script(MODEL, Reply("Well, it depends.", input_tokens=400, output_tokens=1))
    found = checks(REQUEST, PARIS)
    assert (found.confidence, found.usage) == (None, Usage(400, 1))


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault(404), ModelMissing), (Fault(500), ClassifierUnavailable), (Fault(refuse=True), OSError)]
)
def test_a_server_that_fails_leaves_the_answer_as_it_is(
    server: FakeServer, checks: SelfCheck, fault: Fault, error: type[Exception]
) -> None:
    server.script(MODEL, fault)
    if not issubclass(error, OSError):
        with pytest.raises(error, match=r"SelfCheck|ollama pull"):
            checks(REQUEST, PARIS)
    record = routed(checks, Reply("It is Paris.", input_tokens=9, output_tokens=4))
    assert (record.tier, record.degraded, record.events) == ("small", False, ("judge_unavailable",))


def test_what_checking_costs_is_in_the_record(server: FakeServer) -> None:
    server.script(MODEL, says(0.1, 0.8))
    judge = SelfCheck(MODEL, host=server.url, input_price="1", output_price="10")
    record = routed(judge, Reply("It is Rome.", input_tokens=9, output_tokens=4))
    judge.close()
    assert len(server.calls()) == 2  # the first has the model loaded
    assert [(attempt.role, attempt.tier) for attempt in record.attempts] == [
        ("draft", "small"),
        ("judge", f"self-check:{MODEL}"),
        ("final", "frontier"),
    ]
    assert record.attempts[1].cost == 2 * Decimal("0.00041")
    assert record.escalated


def test_answers_that_come_again_are_trusted(server: FakeServer) -> None:
    samples = ("It is Paris.", "Paris.", "Lyon")
    server.script(MODEL, *[Reply(text, input_tokens=20, output_tokens=5) for text in samples])
    judge = Agreement(MODEL, host=server.url, samples=3, temperature=0.5)
    found = judge(REQUEST, PARIS)
    assert found.confidence == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.usage == Usage(60, 15)
    bodies = [call.body for call in server.calls()]
    assert [body["options"]["seed"] for body in bodies] == [0, 1, 2]  # type: ignore[index]
    assert {body["options"]["temperature"] for body in bodies} == {0.5}  # type: ignore[index]


def test_an_answer_without_text_has_no_agreement_and_costs_nothing(server: FakeServer) -> None:
    judge = Agreement(MODEL, host=server.url)
    assert judge(REQUEST, Answer(tool_calls=(ToolCall("f", {}),))).confidence is None
    assert server.calls() == []


def test_answers_that_scatter_escalate(server: FakeServer) -> None:
    server.script(MODEL, Reply("Lyon"), Reply("Nice"), Reply("Lille"))
    record = routed(Agreement(MODEL, host=server.url), Reply("It is Rome.", input_tokens=9, output_tokens=4))
    assert (record.tier, record.escalated, record.attempts[0].confidence) == ("frontier", True, 0.0)
    server.script(MODEL, Fault(refuse=True))
    record = routed(Agreement(MODEL, host=server.url), Reply("It is Rome.", input_tokens=9, output_tokens=4))
    assert (record.tier, record.events) == ("small", ("judge_unavailable",))


def test_samples_that_do_not_come_count_for_nothing(server: FakeServer) -> None:
    server.script(MODEL, Fault(500), Reply("<think>Lyon? No.</think>It is Paris.", input_tokens=20, output_tokens=9))
    found = Agreement(MODEL, host=server.url, samples=2)(REQUEST, PARIS)
    assert (found.confidence, found.usage) == (1, Usage(20, 9))


def test_a_long_or_broken_request_is_shown_in_part(server: FakeServer) -> None:
    server.script(MODEL, Reply("It is Paris."))
    long = RouteRequest.from_text("x" * 1_000_000 + "\ud800 Where?")
    assert Agreement(MODEL, host=server.url, samples=1, max_bytes=500)(long, PARIS).confidence == 1
    assert len(str(server.calls()[-1].body)) < 1_000


@given(st.text(), st.text())
def test_likeness_is_a_share_and_goes_both_ways(one: str, other: str) -> None:
    assert 0 <= likeness(one, other) <= 1
    assert likeness(one, other) == likeness(other, one)


def test_likeness_counts_words_and_in_some_scripts_characters() -> None:
    assert likeness("Paris, France", "paris france!") == 1
    assert likeness("東京です", "東京") == pytest.approx(2 * 2 / 6)
    assert likeness("", "") == 0


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: SelfCheck(""), r"SelfCheck\(model=\)"),
        (lambda: SelfCheck("m", timeout_s=0), "timeout_s=0 must be"),
        (lambda: SelfCheck("m", max_bytes=-1), "max_bytes=-1"),
        (lambda: Agreement(""), r"Agreement\(model=\)"),
        (lambda: Agreement("m", samples=0), "samples=0 must be"),
        (lambda: Agreement("m", samples=2.5), r"samples=2\.5 must be a whole number"),  # type: ignore[arg-type]
        (lambda: Agreement("m", max_bytes=0), "max_bytes=0 must be"),
        (lambda: Agreement("m", temperature=0), "temperature=0"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        make()


def test_judges_can_be_pickled_and_show_no_password() -> None:
    for judge in (SelfCheck("m", host="http://me:canary@gpu:1"), Agreement("m", host="http://me:canary@gpu:1")):
        assert "canary" not in repr(judge)
        assert repr(pickle.loads(pickle.dumps(judge))) == repr(judge)  # noqa: S301


def test_a_real_model_gives_an_opinion_and_samples(local_server: LocalServer) -> None:
    for judge in (
        SelfCheck("smollm2:135m", host=local_server.url, timeout_s=60),
        Agreement("smollm2:135m", host=local_server.url, samples=2, max_tokens=12, timeout_s=60),
    ):
        found = judge(REQUEST, PARIS)
        assert found.confidence is not None
        assert 0 <= found.confidence <= 1
        assert found.usage is not None
        assert found.usage.source == "reported"
        if isinstance(judge, SelfCheck):
            judge.close()
