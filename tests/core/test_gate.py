"""The stream gate: when tokens may be shown, and when a stream is broken off."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.gate import Chunk, Gate
from slmroute.policy import Confidence
from slmroute.request import RouteRequest
from slmroute.steps import Call
from slmroute.tier import Tier

TIER = Tier("small", "ollama:small")
PLAIN = RouteRequest(text="hello")


def words(*texts: str, logprob: float | None = None) -> list[Chunk]:
    return [Chunk(None, text, () if logprob is None else (logprob,)) for text in texts]


def verdicts(gate: Gate, chunks: list[Chunk]) -> list[str]:
    found = []
    for chunk in chunks:
        found.append(gate.feed(chunk))
        if found[-1] != "hold":
            break
    return found


def gate(request: RouteRequest = PLAIN, escalation: Confidence | None = None, **call: Any) -> Gate:
    return Gate(Call(TIER, hold=escalation is not None, **call), request, escalation)


def test_without_escalation_text_is_shown_at_once() -> None:
    assert verdicts(gate(), words("Par", "is")) == ["commit"]


def test_what_cannot_be_seen_is_held_until_there_is_something() -> None:
    assert verdicts(gate(), words("", " \n", "Paris")) == ["hold", "hold", "commit"]


def test_tool_calls_are_held_whole() -> None:
    call = Chunk(None, tool_call=True)
    assert verdicts(gate(mode="tools"), [call, call, *words("text")]) == ["hold"] * 3


def test_structured_answers_and_forced_tools_are_held_whole() -> None:
    assert verdicts(gate(mode="structured"), words("{", "}")) == ["hold"] * 2
    assert verdicts(gate(RouteRequest(text="x", forced_tool=True), mode="tools"), words("I", " can")) == ["hold"] * 2


@pytest.mark.parametrize("mode", ["text", "tools", "structured"])
def test_the_last_tiers_answer_is_never_held(mode: Any) -> None:
    for first in (Chunk(None, "Paris"), Chunk(None, tool_call=True), Chunk(None, unseen="I wonder")):
        last = Gate(Call(TIER, mode, last=True), PLAIN, Confidence(0.9))
        assert verdicts(last, [Chunk(None), first]) == ["hold", "commit"]


def test_confident_first_tokens_are_shown() -> None:
    found = gate(escalation=Confidence(0.85, first_tokens=3))
    assert verdicts(found, words("Par", "is", ".", " Yes", logprob=-0.01)) == ["hold", "hold", "commit"]
    assert found.confidence == pytest.approx(math.exp(-0.01))


def test_doubtful_first_tokens_are_held_to_be_judged_as_a_whole() -> None:
    doubtful = words(*"abcdef", logprob=math.log(0.5))
    assert verdicts(gate(escalation=Confidence(0.85, first_tokens=3)), doubtful) == ["hold"] * 6


def test_a_hopeless_beginning_is_broken_off() -> None:
    hopeless = words(*"abcdef", logprob=math.log(0.1))
    assert verdicts(gate(escalation=Confidence(0.85, first_tokens=3)), hopeless) == ["hold", "hold", "abort"]


def test_an_answer_without_log_probabilities_is_held() -> None:
    assert verdicts(gate(escalation=Confidence(0.85, first_tokens=2)), words(*"abcdef")) == ["hold"] * 6


def test_a_confident_refusal_is_held() -> None:
    refusal = words("I'm sorry, ", "but I can't ", "help with that.", logprob=-0.001)
    assert verdicts(gate(escalation=Confidence(0.85, first_tokens=3)), refusal) == ["hold"] * 3


def test_with_a_judge_or_by_wish_the_whole_answer_is_held() -> None:
    confident = words(*"abcdef", logprob=-0.001)
    for escalation in (Confidence(stream="whole", first_tokens=2), Confidence(judge=lambda *_: 1.0, first_tokens=2)):
        assert verdicts(gate(escalation=escalation), confident) == ["hold"] * 6


@pytest.mark.parametrize("said", [math.nan, 7.0, -1.0, "much", ValueError("broken")])
def test_a_calibrator_that_cannot_be_trusted_shows_nothing(said: Any) -> None:
    class Odd:
        version = "odd"

        def __call__(self, _logprobs: Any) -> Any:
            if isinstance(said, Exception):
                raise said
            return said

    escalation = Confidence(0.85, calibrator=Odd(), first_tokens=2)
    assert verdicts(gate(escalation=escalation), words(*"abcdef", logprob=-0.001)) == ["hold"] * 6


CHUNKS = st.builds(
    Chunk,
    st.none(),
    st.sampled_from(["", " ", "word", "I'm sorry, but I can't help"]),
    st.lists(st.floats(-5, 0), max_size=3).map(tuple),
    tool_call=st.booleans(),
)


@given(
    st.lists(CHUNKS, max_size=20), st.integers(1, 5), st.booleans(), st.sampled_from(["text", "tools", "structured"])
)
def test_the_same_chunks_give_the_same_verdicts_and_only_doubt_aborts(
    chunks: list[Chunk], first_tokens: int, last: bool, mode: Any
) -> None:
    escalation = Confidence(0.85, first_tokens=first_tokens)
    found = [verdicts(Gate(Call(TIER, mode, hold=not last, last=last), PLAIN, escalation), chunks) for _ in range(2)]
    assert found[0] == found[1]
    if last:
        assert "abort" not in found[0]
    seen = chunks[: len(found[0])]
    if found[0][-1:] == ["abort"]:
        assert sum(len(chunk.logprobs) for chunk in seen) >= first_tokens
