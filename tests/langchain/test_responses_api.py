"""Drafts of tiers whose class chooses OpenAI's other interface by the call, which takes no ``logprobs``."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel
from langchain_slmroute.dialects import logprob_kwargs
from slmroute import Confidence, NoTierAnswered, Tier


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def openai(model: str) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url="http://127.0.0.1:9", api_key="canary", max_retries=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "bound"),
    [
        ("gpt-6-mini", lambda routed: routed.bind_tools([add])),
        ("gpt-4.1-mini", lambda routed: routed.bind_tools([{"type": "web_search"}])),
        ("gpt-4.1-mini", lambda routed: routed.bind(reasoning={"effort": "low"})),
        ("gpt-4.1-mini", lambda routed: routed),
    ],
    ids=["gpt-6 with tools", "built-in tool", "argument", "neither"],
)
def test_a_draft_is_asked_for_in_a_form_that_the_interface_takes(model: str, bound: Any) -> None:
    tiers = [Tier("small", openai(model)), Tier("big", openai("gpt-4.1"))]
    routed = bound(RoutingChatModel(tiers=tiers, classifier=None, escalation=Confidence(0.85)))
    with pytest.raises(NoTierAnswered) as caught:  # nothing listens there: the request was made, and could not be sent
        routed.invoke("hi")
    assert [type(each).__name__ for each in caught.value.exceptions] == ["OpenAIConnectionError"] * 2


def test_log_probabilities_are_asked_for_where_they_can_be_had() -> None:
    assert logprob_kwargs(openai("gpt-4.1-mini"), {})["logprobs"] is True
    assert not logprob_kwargs(openai("gpt-4.1-mini"), {"reasoning": {"effort": "low"}})
    assert not logprob_kwargs(openai("gpt-6-mini"), {"tools": [{"type": "function"}]})
