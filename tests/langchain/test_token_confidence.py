"""What an answer's confidence is read from: a tool call's arguments, and margins where the calibrator looks at them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from langchain_core.tools import tool

from langchain_slmroute import RoutingChatModel
from slmroute import Confidence, Tier
from slmroute.testing import FakeServer, Reply
from tests.langchain import ways
from tests.tool_replies import MARGINS, PLACE, UNSURE_ARGUMENTS, UNSURE_WORDS


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"It rains in {city}."


def cascade(server: FakeServer, wire: str, escalation: Confidence, **settings: Any) -> RoutingChatModel:
    server.script("big", Reply("Let me think."))
    args: dict[str, Any] = {"base_url": server.openai_url, "api_key": "canary"}
    own = {"base_url": server.url} if wire == "ollama" else args
    small = Tier("small", f"{wire}:small", model_args={**own, **settings})
    return RoutingChatModel(
        tiers=[small, Tier("big", "openai:big", model_args=args)], classifier=None, escalation=escalation
    )


@pytest.mark.parametrize("way", ways.CORE, ids=ways.name_of)
@pytest.mark.parametrize("wire", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("logprobs", "tier"), [(UNSURE_WORDS, "small"), (UNSURE_ARGUMENTS, "big")], ids=["words", "args"]
)
async def test_a_tool_call_is_judged_by_its_arguments_alone(
    way: ways.Ask, wire: str, logprobs: list[float], tier: str
) -> None:
    with FakeServer({"small": Reply(tool_calls=[("weather", {"city": "Rome"})], logprobs=logprobs)}) as server:
        model = cascade(server, wire, Confidence(0.5)).bind_tools([weather])
        message = await way(model, "What is the weather in Rome?")
    record = message.response_metadata["slmroute"]
    assert record["tier"] == tier
    expected = math.exp(logprobs[PLACE])
    assert record["attempts"][0]["confidence"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("way", ways.CORE, ids=ways.name_of)
@pytest.mark.parametrize("wire", ["ollama", "openai"])
@pytest.mark.parametrize(("other", "tier"), [(-4.0, "small"), (-0.2, "big")], ids=["ahead", "close"])
async def test_a_calibrator_fitted_on_margins_is_given_them(way: ways.Ask, wire: str, other: float, tier: str) -> None:
    reply = Reply("Rome", logprobs=[{"Rome": -0.1, "Oslo": other}])
    with FakeServer({"small": reply}) as server:
        message = await way(cascade(server, wire, Confidence(0.85, calibrator=MARGINS)), "Which city?")
        asked = [call.body.get("top_logprobs") for call in server.calls() if call.model == "small"]
    assert message.response_metadata["slmroute"]["tier"] == tier
    assert asked == [2]


@pytest.mark.parametrize("wire", ["ollama", "openai"])
def test_nobody_else_asks_for_other_tokens_and_more_that_the_user_asks_for_stand(wire: str) -> None:
    reply = Reply("Rome", logprobs=[-0.1])
    with FakeServer({"small": reply}) as server:
        cascade(server, wire, Confidence(0.5)).invoke("Which city?")
        cascade(server, wire, Confidence(0.5, calibrator=MARGINS), logprobs=True, top_logprobs=5).invoke("Which city?")
        asked = [call.body.get("top_logprobs") for call in server.calls() if call.model == "small"]
    assert asked == [None, 5]
