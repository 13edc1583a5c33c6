"""What a router knows of a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.request import RouteRequest, ToolSpec, estimate_tokens, judged_text

ANY_TEXT = st.text(alphabet=st.characters(codec=None), max_size=400)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("a", 1, 1),
        ("The quick brown fox jumps over the lazy dog.", 9, 12),
        ("La réponse est évidente, n'est-ce pas ?", 8, 12),
        ("今天天气很好。我们去公园吧。", 12, 16),
        ("\ud800", 1, 1),
    ],
)
def test_tokens_are_estimated(text: str, low: int, high: int) -> None:
    assert low <= estimate_tokens(text) <= high


@given(ANY_TEXT)
def test_any_text_has_an_estimate_that_grows_with_it(text: str) -> None:
    tokens = estimate_tokens(text)
    assert tokens >= bool(text)
    assert estimate_tokens(text * 3) >= tokens


def test_ten_megabytes_are_estimated_by_their_beginning() -> None:
    text = "今天 weather " * 1_000_000
    assert estimate_tokens(text) == pytest.approx(4.25e6, rel=0.1)


def test_what_a_call_needs() -> None:
    assert RouteRequest(text="x").needs == frozenset()
    full = RouteRequest(
        text="x", tools=(ToolSpec("f"),), forced_tool=True, schema={}, modalities=frozenset({"image", "audio"})
    )
    assert full.needs == {"tools", "tool_choice", "schema", "images", "audio"}
    assert RouteRequest(text="x", modalities=frozenset({"file", "video"})).needs == {"files", "video"}


def test_the_text_is_in_no_repr() -> None:
    request = RouteRequest(text="SECRET", schema={"title": "SECRET"}, tools=(ToolSpec("SECRET"),))
    assert "SECRET" not in repr(request)


def test_a_request_made_by_hand_has_its_estimate() -> None:
    request = RouteRequest.from_text("The quick brown fox")
    assert (request.text, request.turns, request.tokens) == ("The quick brown fox", 1, 4)


def test_the_last_turn_is_judged_and_a_short_one_with_the_end_of_the_one_before() -> None:
    long = "Explain in detail how the migration of the billing database can be done without downtime, step by step."
    assert judged_text([]) == ""
    assert judged_text(["one"]) == "one"
    assert judged_text(["one", long]) == long
    assert judged_text(["zero", long, "And in French?"]) == f"{long}\n\nAnd in French?"
    assert judged_text(["x" * 10_000, "go on"]) == "x" * 1_000 + "\n\ngo on"
