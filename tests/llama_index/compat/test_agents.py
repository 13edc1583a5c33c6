"""Agents and workflows: as many calls as with the bare class, and the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Event, StartEvent, StopEvent, Workflow, step

from slmroute.testing import Reply

if TYPE_CHECKING:
    from conftest import Subject

pytestmark = [
    # The workflows of LlamaIndex use Pydantic's older ways inside, and its ReAct agent those of the workflows.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calls_then_answers(body: Mapping[str, object]) -> Reply:
    """Call the tool, and answer once its result is there."""
    messages: Any = body["messages"]
    if messages[-1]["role"] == "tool":
        return Reply("It is 3.", logprobs=[-0.01] * 3)
    return Reply(tool_calls=[("add", {"a": 1, "b": 2})])


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
async def test_a_function_agent(subject: Subject, streaming: bool) -> None:
    subject.says(calls_then_answers)
    agent = FunctionAgent(tools=[add], llm=subject.llm, streaming=streaming)
    result = await agent.run("What is 1+2?")
    assert str(result) == "It is 3."
    assert [call.tool_name for call in result.tool_calls] == ["add"]
    assert len(subject.calls) == 2


async def test_a_function_agents_tokens_can_be_watched(subject: Subject) -> None:
    subject.says(calls_then_answers)
    running = FunctionAgent(tools=[add], llm=subject.llm).run("What is 1+2?")
    shown = [event.delta async for event in running.stream_events() if isinstance(event, AgentStream)]
    assert "".join(shown) == "It is 3."
    assert str(await running) == "It is 3."


async def test_a_function_agent_remembers(subject: Subject) -> None:
    subject.says(calls_then_answers)
    memory = ChatMemoryBuffer.from_defaults(token_limit=10_000)
    agent = FunctionAgent(tools=[add], llm=subject.llm)
    await agent.run("What is 1+2?", memory=memory)
    await agent.run("And again?", memory=memory)
    roles = [message.role.value for message in memory.get_all()]
    assert roles == ["user", "assistant", "tool", "assistant"] * 2
    assert len(subject.calls) == 4


async def test_an_agent_calls_several_tools_at_once(subject: Subject) -> None:
    def both_then_answers(body: Mapping[str, object]) -> Reply:
        messages: Any = body["messages"]
        if messages[-1]["role"] == "tool":
            return Reply("3 and 7.", logprobs=[-0.01] * 2)
        return Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})])

    subject.says(both_then_answers)
    result = await FunctionAgent(tools=[add], llm=subject.llm).run("What are 1+2 and 3+4?")
    assert str(result) == "3 and 7."
    assert sorted(call.tool_output.content for call in result.tool_calls) == ["3", "7"]


@pytest.mark.parametrize("streaming", [True, False], ids=["streaming", "whole"])
async def test_a_react_agent(subject: Subject, streaming: bool) -> None:
    subject.says(
        Reply('Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}', logprobs=[-0.01] * 9),
        Reply("Thought: I can answer now.\nAnswer: It is 3.", logprobs=[-0.01] * 9),
    )
    result = await ReActAgent(tools=[add], llm=subject.llm, streaming=streaming).run("What is 1+2?")
    assert str(result) == "It is 3."
    assert len(subject.calls) == 2


async def test_an_agent_workflow_hands_over(subject: Subject) -> None:
    def hands_over(body: Mapping[str, object]) -> Reply:
        messages: Any = body["messages"]
        names = [tool["function"]["name"] for tool in body.get("tools") or ()]  # type: ignore[union-attr]
        if messages[-1]["role"] == "tool" and messages[-1]["content"] == "3":
            return Reply("It is 3.", logprobs=[-0.01] * 3)
        if "add" in names:
            return Reply(tool_calls=[("add", {"a": 1, "b": 2})])
        return Reply(tool_calls=[("handoff", {"to_agent": "adder", "reason": "it adds"})])

    subject.says(hands_over)
    greeter = FunctionAgent(name="greeter", description="greets", llm=subject.llm, can_handoff_to=["adder"])
    adder = FunctionAgent(name="adder", description="adds", tools=[add], llm=subject.llm)
    workflow = AgentWorkflow(agents=[greeter, adder], root_agent="greeter")
    assert str(await workflow.run("What is 1+2?")) == "It is 3."
    assert len(subject.calls) == 3


async def test_an_agent_workflow_picks_the_agent_for_tools(subject: Subject) -> None:
    subject.says(calls_then_answers)
    workflow = AgentWorkflow.from_tools_or_functions([add], llm=subject.llm)
    assert [type(agent) for agent in workflow.agents.values()] == [FunctionAgent]
    assert str(await workflow.run("What is 1+2?")) == "It is 3."
    assert len(subject.calls) == 2


class Called(Event):
    history: list[ChatMessage]


class ToolLoop(Workflow):
    """A workflow of the user's own with a tool loop in it."""

    def __init__(self, llm: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.llm = llm

    @step
    async def begin(self, event: StartEvent) -> Called:
        return Called(history=[ChatMessage(content=event.question)])

    @step
    async def ask(self, event: Called) -> Called | StopEvent:
        from llama_index.core.tools import FunctionTool

        tool = FunctionTool.from_defaults(add)
        response = await self.llm.achat_with_tools([tool], chat_history=event.history)
        calls = self.llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        if not calls:
            return StopEvent(result=response.message.content)
        results = [
            ChatMessage(
                role="tool", content=str(tool(**call.tool_kwargs)), additional_kwargs={"tool_call_id": call.tool_id}
            )
            for call in calls
        ]
        return Called(history=[*event.history, response.message, *results])


async def test_a_workflow_with_a_tool_loop(subject: Subject) -> None:
    subject.says(calls_then_answers)
    assert await ToolLoop(subject.llm).run(question="What is 1+2?") == "It is 3."
    assert len(subject.calls) == 2
