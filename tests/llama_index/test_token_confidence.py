"""What an answer's confidence is read from: a tool call's arguments, and margins where the calibrator looks at them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, Tier
from slmroute.testing import FakeServer, Reply
from tests.tool_replies import MARGINS, PLACE, UNSURE_ARGUMENTS, UNSURE_WORDS

HELLO = [ChatMessage(content="Which city?")]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"It rains in {city}."


def cascade(server: FakeServer, wire: str, escalation: Confidence) -> RoutingLLM:
    server.script("gpt-4.1", Reply("Let me think."))
    args: dict[str, Any] = {"base_url": server.openai_url, "api_key": "canary"}
    small = Tier("small", f"{wire}:{model_of(wire)}", model_args={"base_url": server.url} if wire == "ollama" else args)
    return RoutingLLM(
        tiers=[small, Tier("big", "openai:gpt-4.1", model_args=args)], classifier=None, escalation=escalation
    )


def model_of(wire: str) -> str:
    return "llama3.1:8b" if wire == "ollama" else "gpt-4.1-mini"


async def asked(llm: RoutingLLM, way: str) -> dict[str, Any]:
    tools = [FunctionTool.from_defaults(weather)]
    if way == "chat":
        answer = llm.chat_with_tools(tools, "What is the weather in Rome?")
    elif way == "achat":
        answer = await llm.achat_with_tools(tools, "What is the weather in Rome?")
    elif way == "stream_chat":
        answer = list(llm.stream_chat_with_tools(tools, "What is the weather in Rome?"))[-1]
    else:
        chunks = await llm.astream_chat_with_tools(tools, "What is the weather in Rome?")
        answer = [chunk async for chunk in chunks][-1]
    return answer.message.additional_kwargs["slmroute"]


@pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])
@pytest.mark.parametrize("wire", ["ollama", "openai"])
@pytest.mark.parametrize(
    ("logprobs", "tier"), [(UNSURE_WORDS, "small"), (UNSURE_ARGUMENTS, "big")], ids=["words", "args"]
)
async def test_a_tool_call_is_judged_by_its_arguments_alone(
    way: str, wire: str, logprobs: list[float], tier: str
) -> None:
    reply = Reply(tool_calls=[("weather", {"city": "Rome"})], logprobs=logprobs)
    with FakeServer({model_of(wire): reply}) as server:
        record = await asked(cascade(server, wire, Confidence(0.5)), way)
    assert record["tier"] == tier
    assert record["attempts"][0]["confidence"] == pytest.approx(math.exp(logprobs[PLACE]), abs=1e-4)


@pytest.mark.parametrize("wire", ["ollama", "openai"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("other", "tier"), [(-4.0, "small"), (-0.2, "big")], ids=["ahead", "close"])
def test_a_calibrator_fitted_on_margins_is_given_them(wire: str, streamed: bool, other: float, tier: str) -> None:
    with FakeServer({model_of(wire): Reply("Rome", logprobs=[{"Rome": -0.1, "Oslo": other}])}) as server:
        llm = cascade(server, wire, Confidence(0.85, calibrator=MARGINS))
        answer = list(llm.stream_chat(HELLO))[-1] if streamed else llm.chat(HELLO)
        wanted = [call.body.get("top_logprobs") for call in server.calls() if call.model == model_of(wire)]
    assert answer.message.additional_kwargs["slmroute"]["tier"] == tier
    assert wanted == [2]


@pytest.mark.parametrize("wire", ["ollama", "openai"])
def test_nobody_else_asks_for_other_tokens(wire: str) -> None:
    with FakeServer({model_of(wire): Reply("Rome", logprobs=[-0.1])}) as server:
        cascade(server, wire, Confidence(0.5)).chat(HELLO)
        assert not server.calls()[0].body.get("top_logprobs")
