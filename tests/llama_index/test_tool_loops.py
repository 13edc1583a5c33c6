"""Tool loops stay on one tier; a history that changes tiers all the same is made fit for the other provider."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from llama_index.core.agent.workflow import CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool

from llama_index_slmroute.loops import WrittenLoops
from llama_index_slmroute.messages import for_tier
from slmroute import Confidence
from slmroute.testing import FakeServer, Fault, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"

pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)
BOTH = Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})])


def calls_then_answers(body: Mapping[str, object]) -> Reply:
    messages: Any = body["messages"]
    if messages[-1]["role"] == "tool":
        return Reply("It is 3.", logprobs=[-0.01] * 3)
    return Reply(tool_calls=[("add", {"a": 1, "b": 2})])


class Once:
    """A classifier that finds its first request hard, and all others easy."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, request: Any) -> float:
        self.seen.append(request.text)
        return float(len(self.seen) == 1)


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
async def test_a_function_agents_loop_stays_on_its_tier(bench: Any, server: FakeServer, streaming: bool) -> None:
    server.script(FRONTIER, calls_then_answers)
    once = Once()
    made = bench(classifier=once)
    result = await FunctionAgent(tools=[add], llm=made.llm, streaming=streaming).run("What is 1+2?")
    assert str(result) == "It is 3."
    assert made.tiers == ["frontier", "frontier"]
    assert [record.reason for record in made.records] == ["classified", "tool_loop"]
    assert len(once.seen) == 1


async def test_an_escalated_loop_stays_up(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply(tool_calls=[("no_such_tool", {})]))
    server.script(FRONTIER, calls_then_answers)
    made = bench()
    await FunctionAgent(tools=[add], llm=made.llm).run("What is 1+2?")
    assert [(record.tier, record.escalated) for record in made.records] == [("frontier", True), ("frontier", False)]


async def test_the_next_question_of_a_conversation_is_decided_anew(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, calls_then_answers)
    server.script(FRONTIER, calls_then_answers)
    made = bench(classifier=Once())
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    agent = FunctionAgent(tools=[add], llm=made.llm)
    await agent.run("What is 1+2?", memory=memory)
    await agent.run("And again?", memory=memory)
    assert made.tiers == ["frontier", "frontier", "small", "small"]
    assert len(server.calls(SMALL)[-1].body["messages"]) == 7  # type: ignore[arg-type]


async def test_a_react_agents_loop_is_judged_by_the_users_question(bench: Any, server: FakeServer) -> None:
    server.script(
        FRONTIER,
        Reply('Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}'),
        Reply("Thought: I can answer now.\nAnswer: It is 3."),
    )
    made = bench()
    await ReActAgent(tools=[add], llm=made.llm).run("A hard sum: 1+2?")
    assert made.tiers == ["frontier", "frontier"]


def reasons_then_answers(body: Mapping[str, object]) -> Reply:
    """Write down a ReAct agent's steps: a tool's call, and an answer once its result is there."""
    if "Observation: 3" in str(body["messages"]):
        return Reply("Thought: I can answer now.\nAnswer: It is 3.")
    return Reply('Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}')


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
async def test_an_escalated_react_loop_stays_up(bench: Any, server: FakeServer, streaming: bool) -> None:
    server.script(SMALL, Reply("Thought: Hm.", logprobs=[-3.0] * 3))
    server.script(FRONTIER, reasons_then_answers)
    made = bench(classifier=None, escalation=Confidence(0.85))
    agent = ReActAgent(tools=[add], llm=made.llm, streaming=streaming)
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    assert str(await agent.run("What is 1+2?", memory=memory)) == "It is 3."
    assert [(record.tier, record.escalated) for record in made.records] == [("frontier", True), ("frontier", False)]
    assert made.records[1].reason == "tool_loop"
    await agent.run("And what is it again?", memory=memory)
    assert made.records[2].escalated


@pytest.mark.parametrize("broken", ["Thought: hm.\nAction: add", ""])
async def test_a_step_of_a_react_agent_that_is_none_is_asked_for_again_on_its_tier(
    bench: Any, server: FakeServer, broken: str
) -> None:
    server.script(FRONTIER, Reply(broken), Reply("Thought: I know.\nAnswer: It is 3."))
    once = Once()
    made = bench(classifier=once, validate=False)
    await ReActAgent(tools=[add], llm=made.llm).run("What is 1+2?")
    assert [(record.tier, record.reason) for record in made.records] == [
        ("frontier", "classified"),
        ("frontier", "tool_loop"),
    ]


async def test_react_loops_at_the_same_time_are_told_apart(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, reasons_then_answers)
    server.script(FRONTIER, reasons_then_answers)
    made = bench()
    questions = [f"A {kind} sum, the {number}th: 1+2?" for number in range(4) for kind in ("hard", "plain")]
    await asyncio.gather(*(ReActAgent(tools=[add], llm=made.llm).run(question) for question in questions))
    assert sorted(made.tiers) == ["frontier"] * 8 + ["small"] * 8
    assert [record.reason for record in made.records].count("tool_loop") == 8


async def test_a_code_act_loop_stays_on_its_tier(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply("<execute>\nadd(1, 2)\n</execute>"), Reply("It is 3."))
    made = bench()
    agent = CodeActAgent(code_execute_fn=lambda code: "3", llm=made.llm, tools=[add])
    assert str(await agent.run("A hard sum: 1+2?")) == "It is 3."
    assert [(record.tier, record.reason) for record in made.records] == [
        ("frontier", "classified"),
        ("frontier", "tool_loop"),
    ]


def test_of_a_loop_no_text_is_kept_and_not_without_end() -> None:
    loops = WrittenLoops()
    for number in range(2_000):
        loops.note([ChatMessage(content=f"canary {number}")], "Action: add", "small")
    assert "canary" not in repr(vars(loops))

    def going_on(number: int) -> list[ChatMessage]:
        step = ChatMessage(role="assistant", content="Action: add")
        return [ChatMessage(content=f"canary {number}"), step, ChatMessage(content="Observation: 3")]

    assert (loops.tier(going_on(0)), loops.tier(going_on(1_999))) == (None, "small")


def loop(made: Any, tier: str) -> list[ChatMessage]:
    """A history in which a tier has called a tool twice at once, and both results are there."""
    asked = ChatMessage(content="What are 1+2 and 3+4?")
    called = made.llm.chat_with_tools([TOOL], chat_history=[asked], tier=tier, allow_parallel_tool_calls=True)
    calls = made.llm.get_tool_calls_from_response(called)
    results = [
        ChatMessage(role="tool", content=str(add(**call.tool_kwargs)), additional_kwargs={"tool_call_id": call.tool_id})
        for call in calls
    ]
    return [asked, called.message, *results]


@pytest.mark.parametrize(("before", "after"), [("small", "frontier"), ("frontier", "small")])
def test_a_loop_can_change_its_tier(bench: Any, server: FakeServer, before: str, after: str) -> None:
    server.script(SMALL, BOTH)
    server.script(FRONTIER, BOTH)
    made = bench()
    history = loop(made, before)
    for model in (SMALL, FRONTIER):
        server.script(model, Reply("3 and 7."))
    dumped = [message.model_dump() for message in history]
    assert made.llm.chat_with_tools([TOOL], chat_history=history, tier=after).message.content == "3 and 7."
    assert [message.model_dump() for message in history] == dumped
    sent = server.requests[-1].body["messages"]
    check = openai_history if after == "frontier" else ollama_history
    check(sent)


def openai_history(sent: Any) -> None:
    calls = sent[1]["tool_calls"]
    ids = [call["id"] for call in calls]
    assert len(set(ids)) == 2
    assert all(ids)
    assert [message["tool_call_id"] for message in sent[2:]] == ids
    assert [call["function"]["arguments"] for call in calls] == ['{"a": 1, "b": 2}', '{"a": 3, "b": 4}']


def ollama_history(sent: Any) -> None:
    assert [call["function"]["arguments"] for call in sent[1]["tool_calls"]] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert [message["content"] for message in sent[2:]] == ["3", "7"]


async def test_an_agents_loop_survives_its_tier_going_down(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Fault(503))
    server.script(FRONTIER, calls_then_answers)
    made = bench()
    assert str(await FunctionAgent(tools=[add], llm=made.llm).run("What is 1+2?")) == "It is 3."
    assert made.tiers == ["small", "frontier"]


async def test_an_agents_loop_survives_its_frontier_going_down(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Fault(503))
    server.script(SMALL, calls_then_answers)
    made = bench()
    assert str(await FunctionAgent(tools=[add], llm=made.llm).run("A hard sum: 1+2?")) == "It is 3."
    assert made.tiers == ["frontier", "small"]
    assert made.records[-1].degraded is True


def test_older_histories_with_calls_beside_the_blocks_are_understood() -> None:
    beside = [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    message = ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": beside})
    (for_ollama,) = for_tier([message], tool_ids=False)
    assert [block.tool_kwargs for block in for_ollama.blocks if not isinstance(block, TextBlock)] == [{"a": 1}]
    assert "tool_calls" not in for_ollama.additional_kwargs
    (for_openai,) = for_tier([message], tool_ids=True)
    assert for_openai.additional_kwargs == {"tool_calls": beside}


def test_text_of_the_user_that_looks_like_an_observation_is_judged(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply("Noted."))
    made = bench()
    history = [ChatMessage(role="assistant", content="Yes?"), ChatMessage(content="Observation: it is hard.")]
    made.llm.chat(history)
    assert made.tiers == ["frontier"]


def test_a_tool_call_whose_arguments_do_not_fit_escalates(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply(tool_calls=[("add", {"a": "one"})]))
    server.script(FRONTIER, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    made = bench(escalation=Confidence(0.85))
    response = made.llm.chat_with_tools([TOOL], user_msg="1+2?")
    assert made.llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"a": 1, "b": 2}
    assert made.records[0].attempts[1].fault == "tool_arguments"
