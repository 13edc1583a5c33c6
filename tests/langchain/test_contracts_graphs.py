"""LangGraph's message streams over a router: one message a turn, its tokens once, no draft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from slmroute.testing import Reply
from tests.langchain.stage import BIG, SMALL, Stage

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

FINAL = "The big answer is forty two."
DRAFT = "A small draft it is."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def graph_of(model: Any, way: str) -> Any:
    """A graph of one node that asks the model in one of four ways."""

    def invoke(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def ainvoke(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def stream(state: MessagesState) -> dict[str, Any]:
        total: Any = None
        for chunk in model.stream(state["messages"]):
            total = chunk if total is None else total + chunk
        return {"messages": [total]}

    async def astream(state: MessagesState) -> dict[str, Any]:
        total: Any = None
        async for chunk in model.astream(state["messages"]):
            total = chunk if total is None else total + chunk
        return {"messages": [total]}

    nodes = {"invoke": invoke, "ainvoke": ainvoke, "stream": stream, "astream": astream}
    builder = StateGraph(MessagesState)
    builder.add_node("model", nodes[way])
    builder.add_edge(START, "model")
    builder.add_edge("model", END)
    return builder.compile()


async def streamed(graph: Any, is_async: bool, prompt: str = "What is blue?") -> list[Any]:
    """Give the messages that the graph streams."""
    given = {"messages": prompt}
    if is_async:
        return [message async for message, _ in graph.astream(given, stream_mode="messages")]
    return [message for message, _ in graph.stream(given, stream_mode="messages")]


def turns(messages: list[Any]) -> list[tuple[str, str]]:
    """Give each message of a stream by its id, in order, as its kind and whole text."""
    found: dict[str, tuple[str, str]] = {}
    for message in messages:
        kind = "tool" if isinstance(message, ToolMessage) else "ai"
        before = found.get(message.id, (kind, ""))[1]
        found[message.id] = (kind, before + message.text)
    return list(found.values())


SYNC, ASYNC = ("invoke", "stream"), ("ainvoke", "astream")


@pytest.mark.parametrize("way", [*SYNC, *ASYNC])
async def test_a_node_shows_an_escalated_answer_once_and_no_draft(stage: Stage, way: str) -> None:
    messages = await streamed(graph_of(stage.escalating(), way), way in ASYNC)
    assert turns(messages) == [("ai", FINAL)]
    assert all(isinstance(message, AIMessageChunk) for message in messages)
    assert len(messages) >= 6
    assert stage.models_called == [SMALL, BIG]


@pytest.mark.parametrize("way", [*SYNC, *ASYNC])
async def test_a_node_shows_an_answer_that_is_not_escalated_once(stage: Stage, way: str) -> None:
    for model, text in ((stage.router("big"), FINAL), (stage.router("small"), DRAFT), (stage.cascade(), DRAFT)):
        messages = await streamed(graph_of(model, way), way in ASYNC)
        assert turns(messages) == [("ai", text)]
        assert len(messages) > 1


@pytest.mark.parametrize("way", [*SYNC, *ASYNC])
async def test_a_bare_model_shows_the_same(stage: Stage, way: str) -> None:
    bare = await streamed(graph_of(stage.bare_big(stream_usage=True), way), way in ASYNC)
    routed = await streamed(graph_of(stage.router("big"), way), way in ASYNC)
    assert [message.text for message in routed if message.text] == [m.text for m in bare if m.text]
    usage = [[m.usage_metadata for m in messages if m.usage_metadata] for messages in (bare, routed)]
    assert usage[0] == usage[1] != []


async def agent_turns(stage: Stage, model: Any, is_async: bool) -> list[tuple[str, str]]:
    return turns(await streamed(create_agent(model, [add]), is_async, "What is 1+2?"))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_agents_stream_has_one_message_a_turn(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, Reply("I add.", tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3."))
    assert await agent_turns(stage, stage.escalating(), is_async) == [
        ("ai", "I add."),
        ("tool", "3"),
        ("ai", "The sum is 3."),
    ]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_agents_stream_of_the_small_tier_has_one_message_a_turn(stage: Stage, is_async: bool) -> None:
    script = (Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3.", logprobs=[-0.01] * 4))
    expected = [("ai", ""), ("tool", "3"), ("ai", "The sum is 3.")]
    for model in (stage.router("small"), stage.cascade()):
        stage.server.script(SMALL, *script)
        stage.server.script(BIG, Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3."))
        assert await agent_turns(stage, model, is_async) == expected


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_the_streamed_message_is_the_one_in_the_state(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, Reply("I add.", tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3."))
    agent = create_agent(stage.escalating(), [add], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    given: Any = {"messages": "What is 1+2?"}
    if is_async:
        messages = [message async for message, _ in agent.astream(given, config, stream_mode="messages")]
    else:
        messages = [message for message, _ in agent.stream(given, config, stream_mode="messages")]
    state = [message for message in agent.get_state(config).values["messages"] if message.type != "human"]
    assert list(dict.fromkeys(message.id for message in messages)) == [message.id for message in state]
    assert [message.response_metadata["slmroute"]["tier"] for message in state if isinstance(message, AIMessage)] == [
        "big",
        "big",
    ]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_metadata_of_the_stream_names_the_tiers_model(stage: Stage, is_async: bool) -> None:
    graph = graph_of(stage.escalating(), "ainvoke" if is_async else "invoke")
    given: Any = {"messages": "What is blue?"}
    if is_async:
        metadata = [found async for _, found in graph.astream(given, stream_mode="messages")]
    else:
        metadata = [found for _, found in graph.stream(given, stream_mode="messages")]
    assert {(each["ls_provider"], each["ls_model_name"], each["slmroute_tier"]) for each in metadata} == {
        ("openai", BIG, "big")
    }
    assert {each["langgraph_node"] for each in metadata} == {"model"}


async def v3_messages(graph: Any, is_async: bool, prompt: str) -> list[Mapping[str, Any]]:
    """Give the messages of a graph's third version of event streams as their texts and names of tools."""
    given = {"messages": prompt}
    found: list[Mapping[str, Any]] = []
    if is_async:
        run = await graph.astream_events(given, version="v3")
        async for message in run.messages:
            output = await message.output
            found.append({"text": output.text, "calls": [call["name"] for call in output.tool_calls]})
    else:
        for message in graph.stream_events(given, version="v3").messages:
            output = message.output
            found.append({"text": output.text, "calls": [call["name"] for call in output.tool_calls]})
    return found


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_graphs_third_version_shows_each_turn_once(stage: Stage, is_async: bool) -> None:
    script = (Reply("I add.", tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3."))
    expected = [{"text": "I add.", "calls": ["add"]}, {"text": "The sum is 3.", "calls": []}]
    for model in (stage.bare_big(), stage.router("big"), stage.escalating()):
        stage.server.script(BIG, *script)
        assert await v3_messages(create_agent(model, [add]), is_async, "What is 1+2?") == expected


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_graphs_third_version_shows_a_held_answer_once(stage: Stage, is_async: bool) -> None:
    assert await v3_messages(create_agent(stage.cascade(), []), is_async, "Blue?") == [{"text": DRAFT, "calls": []}]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_message_is_shown_whole_where_streaming_is_disabled(stage: Stage, way: str) -> None:
    routers = [stage.router("big", disable_streaming=True), stage.escalating(disable_streaming=True)]
    for model in (stage.bare_big(disable_streaming=True), *routers):
        shown = await streamed(graph_of(model, way), way.startswith("a"))
        assert [message.content for message in shown] == [FINAL]
    assert not any(call.body.get("stream") for call in stage.server.calls(BIG))
