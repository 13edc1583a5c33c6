"""A dry run as the last tier: routed and priced as the real model, and what cannot be made of its note is said."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from slmroute import Confidence, NothingGenerated, Tier
from slmroute.testing import FakeServer, Reply

SMALL = "llama3.1:8b"
PROMPT = PromptTemplate("A hard one: how many floors has {what}?")
WAYS = ("whole", "awhole", "stream", "astream")
ERROR = r"'dry-run:openai:gpt-4\.1'.*model='openai:gpt"


class Floors(BaseModel):
    """How many floors there are."""

    count: int


def made(bench: Any, server: FakeServer, **settings: Any) -> Any:
    small = Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url})
    return bench(tiers=[small, Tier("frontier", "dry-run:openai:gpt-4.1")], **settings)


async def predicted(llm: Any, way: str) -> Any:
    match way:
        case "whole":
            return llm.structured_predict(Floors, PROMPT, what="it")
        case "awhole":
            return await llm.astructured_predict(Floors, PROMPT, what="it")
        case "stream":
            return list(llm.stream_structured_predict(Floors, PROMPT, what="it"))[-1]
        case _:
            return [part async for part in await llm.astream_structured_predict(Floors, PROMPT, what="it")][-1]


async def chatted(llm: Any, way: str, **kwargs: Any) -> Any:
    tool = FunctionTool.from_defaults(lambda count: count, name="floors", description="How many.")
    match way:
        case "whole":
            return llm.chat_with_tools([tool], user_msg="A hard one.", **kwargs)
        case "awhole":
            return await llm.achat_with_tools([tool], user_msg="A hard one.", **kwargs)
        case "stream":
            return list(llm.stream_chat_with_tools([tool], user_msg="A hard one.", **kwargs))[-1]
        case _:
            stream = await llm.astream_chat_with_tools([tool], user_msg="A hard one.", **kwargs)
            return [chunk async for chunk in stream][-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("required", [False, True])
async def test_tools_are_answered_with_the_note(bench: Any, server: FakeServer, way: str, required: bool) -> None:
    on = made(bench, server)
    answer = await chatted(on.llm, way, tool_required=required)
    assert "dry run" in answer.message.content
    assert on.llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False) == []
    (record,) = on.records
    assert (record.tier, record.escalated, record.degraded) == ("frontier", False, False)
    assert record.attempts[-1].fault is None
    assert record.cost > 0
    assert server.calls() == []


@pytest.mark.parametrize("way", WAYS)
async def test_an_object_is_an_error_that_says_what_to_do(bench: Any, server: FakeServer, way: str) -> None:
    on = made(bench, server)
    with pytest.raises(NothingGenerated, match=ERROR):
        await predicted(on.llm, way)
    (record,) = on.records
    assert (record.tier, record.attempts[-1].usage.source) == ("frontier", "estimated")
    assert record.cost > 0
    assert server.calls() == []


async def test_a_structured_llm_says_the_same(bench: Any, server: FakeServer) -> None:
    structured, asked = made(bench, server).llm.as_structured_llm(Floors), [ChatMessage(content="A hard one.")]
    with pytest.raises(NothingGenerated, match=ERROR):
        structured.chat(asked)
    with pytest.raises(NothingGenerated, match=ERROR):
        await structured.achat(asked)
    with pytest.raises(NothingGenerated, match=ERROR):
        list(structured.stream_chat(asked))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("validate", [True, False])
async def test_a_weak_object_in_hand_is_given(bench: Any, server: FakeServer, way: str, validate: bool) -> None:
    server.script(SMALL, Reply('{"count": 6}', logprobs=[-3.0], input_tokens=100, output_tokens=10))
    on = made(bench, server, classifier=None, escalation=Confidence(0.85), validate=validate)
    assert (await predicted(on.llm, way)).count == 6
    (record,) = on.records
    assert (record.tier, record.escalated, record.degraded) == ("small", True, True)
    assert [attempt.tier for attempt in record.attempts] == ["small", "frontier"]
