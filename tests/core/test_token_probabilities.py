"""Which tokens an answer is judged by, and how far they were ahead of others."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.calibrators import FittedCalibrator
from slmroute.confidence import GeometricMean, judged_by, needs_margins
from slmroute.gate import Chunk, Gate
from slmroute.policy import Confidence
from slmroute.request import RouteRequest
from slmroute.steps import Call, ToolCall
from slmroute.tier import Tier
from slmroute.token_probabilities import TokenProbability, deciding, logprobs_of, margins_of, read_tokens

CALL = {"name": "weather", "arguments": {"city": "Rome"}}
WORDS = {
    "plain": json.dumps(CALL),
    "in tags": f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>",
    "called parameters": json.dumps({"name": "weather", "parameters": CALL["arguments"]}),
    "behind prose with braces": f"I {{think}} so. {json.dumps(CALL)}",
    "with other blanks": '{"name":"weather","arguments":{"city" :\n"Rome"}}',
}
MARGINS = FittedCalibrator("platt", {"mean": 1.0, "margin": 1.0}, 0.0)
TEXTS = st.text(st.sampled_from('{}[]":,ab 1\\'), max_size=40)


def letters(text: str) -> list[TokenProbability]:
    return [TokenProbability(letter, -float(place)) for place, letter in enumerate(text)]


def text_of(tokens: Any) -> str:
    return "".join(token.text for token in tokens)


@pytest.mark.parametrize("written", WORDS.values(), ids=WORDS)
def test_a_tool_call_is_judged_by_its_arguments(written: str) -> None:
    kept = text_of(deciding(letters(written), [ToolCall("weather", {"city": "Rome"})]))
    assert json.loads(kept) == {"city": "Rome"}


def test_a_token_that_reaches_into_the_arguments_counts() -> None:
    tokens = [
        TokenProbability(text, -1.0) for text in ('{"name": "weather", "arguments', '": {"ci', 'ty": "Rome"', "}}")
    ]
    assert text_of(deciding(tokens, [ToolCall("weather", {"city": "Rome"})])) == '": {"city": "Rome"}}'


def test_of_several_calls_the_arguments_of_each_count_once() -> None:
    written = json.dumps([CALL, {"name": "time", "arguments": {"city": "Oslo"}}, CALL])
    calls = [ToolCall("weather", {"city": "Rome"}), ToolCall("time", {"city": "Oslo"}), ToolCall("w", {"city": "Rome"})]
    assert text_of(deciding(letters(written), calls)) == '{"city": "Rome"}{"city": "Oslo"}{"city": "Rome"}'


@pytest.mark.parametrize(
    ("written", "calls"),
    [
        ("Rome is warm.", []),
        ("[weather(city='Rome')]", [ToolCall("weather", {"city": "Rome"})]),
        ('{"name": "weather", "arguments": {', [ToolCall("weather", None)]),
        (json.dumps(CALL), [ToolCall("weather", {"city": "Rome"}), ToolCall("weather", {"city": "Rome"})]),
        ("{" * 5000, [ToolCall("weather", {"city": "Rome"})]),
    ],
    ids=["no call", "another notation", "broken", "one is missing", "braces only"],
)
def test_where_arguments_are_not_seen_all_tokens_count(written: str, calls: list[ToolCall]) -> None:
    assert text_of(deciding(letters(written), calls)) == written


@given(TEXTS, TEXTS, st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3))
def test_what_stands_round_a_call_is_left_out_or_all_is_kept(
    before: str, behind: str, arguments: dict[str, Any]
) -> None:
    tokens = letters(f"{before}{json.dumps(arguments)}{behind}")
    kept = deciding(tokens, [ToolCall("tool", arguments)])
    assert kept == tuple(tokens) or json.loads(text_of(kept)) == arguments


def test_tokens_are_read_from_mappings_and_objects_alike() -> None:
    others = [{"token": "Rom", "logprob": -0.5}, {"token": "Oslo", "logprob": -1.5}]
    entry = {"token": "Rom", "logprob": -0.5, "top_logprobs": others}
    expected = TokenProbability("Rom", -0.5, 1.0)
    assert read_tokens([entry]) == (expected,)
    assert read_tokens([SimpleNamespace(token="Rom", logprob=-0.5, top_logprobs=others)]) == (expected,)


@pytest.mark.parametrize("found", [None, "text", 7, [], [{}], [{"token": "a"}], [{"token": "a", "logprob": True}]])
def test_what_holds_no_log_probability_is_none(found: Any) -> None:
    assert read_tokens(found) == ()


def test_margins_are_known_of_all_tokens_or_of_none() -> None:
    known, unknown = TokenProbability("a", -0.1, 2.0), TokenProbability("b", -0.2)
    assert margins_of([known, known]) == (2.0, 2.0)
    assert margins_of([known, unknown]) == ()
    assert logprobs_of([known, unknown]) == (-0.1, -0.2)


def test_only_what_was_fitted_on_margins_is_given_them() -> None:
    assert needs_margins(MARGINS)
    assert not needs_margins(GeometricMean())
    assert not needs_margins(FittedCalibrator("platt", {"mean": 1.0}, 0.0))
    assert judged_by(GeometricMean(), [-0.1], [2.0]) == pytest.approx(math.exp(-0.1))
    assert judged_by(MARGINS, [-0.1], [2.0]) == pytest.approx(1 / (1 + math.exp(-1.9)))
    assert judged_by(MARGINS, [-0.1]) is None


@pytest.mark.parametrize(("margin", "verdict"), [(3.0, "commit"), (-3.0, "abort"), (None, "hold")])
def test_a_stream_is_judged_by_the_margins_of_its_first_tokens(margin: float | None, verdict: str) -> None:
    escalation = Confidence(0.85, calibrator=MARGINS, first_tokens=2)
    request = RouteRequest.from_text("What is the capital of Italy?")
    gate = Gate(Call(Tier("small", "ollama:small"), "text", hold=True, last=False), request, escalation)
    margins = () if margin is None else (margin,)
    assert gate.feed(Chunk(None, "Rome", (-0.1,), margins=margins)) == "hold"
    assert gate.feed(Chunk(None, " it is", (-0.1,), margins=margins)) == verdict


def test_tokens_that_come_with_nothing_do_not_open_a_stream() -> None:
    """Servers send the tokens of a tool call while they still read it."""
    request = RouteRequest.from_text("What is the weather in Rome?")
    gate = Gate(Call(Tier("small", "ollama:small"), "text", hold=True, last=False), request, Confidence(0.85))
    assert [gate.feed(Chunk(None, "", (-0.01,))) for _ in range(40)] == ["hold"] * 40
    assert gate.feed(Chunk(None, tool_call=True)) == "hold"
    assert gate.confidence is None
