from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError
from slmroute.steps import ToolCall
from slmroute.testing import Fault, Reply
from slmroute.testing.script import split_evenly, split_words


@given(st.text())
def test_words_join_to_the_text_again(text: str) -> None:
    pieces = split_words(text)
    assert "".join(pieces) == text
    assert all(pieces)


@given(st.text(), st.integers(1, 40))
def test_even_pieces_join_to_the_text_again(text: str, parts: int) -> None:
    pieces = split_evenly(text, parts)
    assert "".join(pieces) == text
    assert len(pieces) == parts


@given(st.text(), st.lists(st.floats(max_value=0, allow_nan=False), min_size=1, max_size=30))
def test_every_log_probability_gets_a_token(text: str, logprobs: list[float]) -> None:
    tokens = Reply(text, logprobs=logprobs).tokens
    assert tokens is not None
    assert [token.logprob for token in tokens] == logprobs
    assert "".join(token.text for token in tokens) == text


def test_alternatives_are_ranked_and_the_token_s_own_text_is_looked_up() -> None:
    tokens = Reply("simple", logprobs=[{"complex": -0.1, "simple": -2.5}]).tokens
    assert tokens is not None
    assert tokens[0].logprob == -2.5
    assert tokens[0].alternatives == (("complex", -0.1), ("simple", -2.5))


def test_chunks_give_the_text() -> None:
    reply = Reply(chunks=["a b", " c"])
    assert (reply.text, reply.pieces, reply.steps) == ("a b c", ("a b", " c"), 2)


def test_tool_calls_are_pairs_or_tool_call_objects() -> None:
    reply = Reply(tool_calls=[("add", {"a": 1}), ToolCall("sub", {"b": 2}), ToolCall("broken", None)])
    assert reply.calls == (("add", {"a": 1}), ("sub", {"b": 2}), ("broken", "{"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"text": "ab", "chunks": ["a"]}, "chunks="),
        ({"chunks": ["a", "b"], "logprobs": [-1.0]}, "logprobs="),
        ({"text": "a", "logprobs": [{}]}, "logprobs="),
        ({"text": "a", "hold_after": (2, threading.Event())}, "hold_after="),
    ],
)
def test_a_reply_that_contradicts_itself_is_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Reply(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"die_after_chunks": 3, "reply": Reply("one two")}, "die_after_chunks=3"),
        ({"stall_after_chunks": -1}, "stall_after_chunks=-1"),
        ({"garbage": True, "refuse": True}, "refuse=, garbage="),
        ({"die_after_chunks": 1, "error_line_after_chunks": 1}, "several faults"),
    ],
)
def test_a_fault_that_contradicts_itself_is_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Fault(**arguments)  # type: ignore[arg-type]


def test_texts_are_not_in_the_repr() -> None:
    assert "canary" not in repr(Reply("canary", tool_calls=[("add", {"a": "canary"})], chunks=["canary"]))
    assert "canary" not in repr(Fault(400, body="canary", headers={"x": "canary"}, reply=Reply("canary")))
