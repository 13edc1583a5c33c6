"""The performer that plays tiers without a framework."""

from __future__ import annotations

import doctest

import pytest

from slmroute.errors import ConfigError
from slmroute.steps import ABORTED, Call, ToolCall, Usage
from slmroute.testing import BreaksOff, FakeClock, FakePerformer, Reply, performer
from slmroute.tier import Tier

CALL = Call(Tier("small", "ollama:small"))


def test_its_example_runs() -> None:
    assert doctest.testmod(performer).attempted > 0
    assert doctest.testmod(performer).failed == 0


async def test_moves_come_in_order_and_the_last_again_and_again() -> None:
    plays = FakePerformer({"small": [Reply("one"), Reply("two")]})
    texts = [plays.call(CALL).text, (await plays.acall(CALL)).text, plays.call(CALL).text]
    assert texts == ["one", "two", "two"]
    assert plays.calls == [CALL] * 3


async def test_a_reply_is_the_same_whole_and_in_chunks() -> None:
    reply = Reply("one two", tool_calls=[("f", {"x": 1})], logprobs=[-0.1, -0.2], input_tokens=9, cached_tokens=4)
    plays = FakePerformer({"small": reply})
    whole = plays.call(CALL)
    assert (whole.text, whole.logprobs, whole.finish) == ("one two", (-0.1, -0.2), "stop")
    assert whole.tool_calls == (ToolCall("f", {"x": 1}),)
    assert whole.usage == Usage(9, 3, 4)
    chunks = list(plays.stream(CALL))
    assert [(chunk.text, chunk.logprobs, chunk.tool_call) for chunk in chunks] == [
        ("one", (-0.1,), False),
        (" two", (-0.2,), False),
        ("", (), True),
    ]
    assert plays.collect(plays.calls[-1], [chunk.native for chunk in chunks]) == whole
    assert [chunk async for chunk in plays.astream(CALL)] == chunks


def test_what_was_broken_off_has_neither_usage_nor_end() -> None:
    plays = FakePerformer({"small": Reply("one two", input_tokens=9)})
    stream = plays.stream(CALL)
    first = next(stream)
    assert plays.open == 1
    stream.close()
    assert plays.open == 0
    answer = plays.collect(CALL, [first.native])
    assert (answer.text, answer.usage, answer.finish) == ("one", None, None)
    assert answer.finish != ABORTED


async def test_it_raises_at_once_or_in_the_midst() -> None:
    plays = FakePerformer({"small": BreaksOff(Reply("one two"), 1, ConnectionError("cut"))})
    for ask in (plays.call, lambda call: list(plays.stream(call))):
        with pytest.raises(ConnectionError, match="cut"):
            ask(CALL)
    with pytest.raises(ConnectionError, match="cut"):
        await plays.acall(CALL)
    stream = plays.astream(CALL)
    assert (await anext(stream)).text == "one"
    with pytest.raises(ConnectionError, match="cut"):
        await anext(stream)
    assert plays.open == 0


def test_delays_move_the_clock_and_nothing_waits() -> None:
    clock, steps = FakeClock(), []
    began = clock.monotonic()
    plays = FakePerformer(
        {"small": Reply("one two", first_delay_s=100.0, chunk_delay_s=10.0)}, clock, lambda: steps.append("step")
    )
    plays.call(CALL)
    list(plays.stream(CALL))
    assert clock.monotonic() - began == 120
    assert len(steps) == 3


def test_a_tier_without_a_move_is_named() -> None:
    with pytest.raises(ConfigError, match="no move for tier 'small'"):
        FakePerformer({}).call(CALL)
