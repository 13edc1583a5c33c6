"""Odd corners of chat models and graphs, where a router is held against the bare model of its tier."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of
from tests.langchain.test_contracts_graphs import turns

FINAL = "The big answer is forty two."


class City(BaseModel):
    """A city."""

    name: str


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return request.param


def graph_of(*steps: Any) -> Any:
    """A graph whose nodes all start at once."""
    builder = StateGraph(MessagesState)
    for number, step in enumerate(steps):
        builder.add_node(f"node{number}", step)
        builder.add_edge(START, f"node{number}")
    return builder.compile()


def asking(model: Any, is_async: bool, config: Any = None) -> Any:
    def step(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"], config)]}

    async def astep(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    return astep if is_async else step


async def streamed(graph: Any, is_async: bool, **options: Any) -> list[Any]:
    given = {"messages": "What is blue?"}
    if is_async:
        return [each async for each in graph.astream(given, stream_mode="messages", **options)]
    return list(graph.stream(given, stream_mode="messages", **options))


async def test_nodes_side_by_side_show_one_message_each(stage: Stage, is_async: bool) -> None:
    model = stage.escalating()
    graph = graph_of(*(asking(model, is_async) for _ in range(3)))
    messages = [message for message, _ in await streamed(graph, is_async)]
    assert turns(messages) == [("ai", FINAL)] * 3


async def test_subgraphs_show_the_answer_once(stage: Stage, is_async: bool) -> None:
    inner = graph_of(asking(stage.escalating(), is_async))
    messages = [message for _, (message, _) in await streamed(graph_of(inner), is_async, subgraphs=True)]
    assert turns(messages) == [("ai", FINAL)]


async def test_the_tag_nostream_hides_tokens_as_of_a_bare_model(stage: Stage, is_async: bool) -> None:
    seen = []
    for model in (stage.bare_big(), stage.router("big"), stage.escalating()):
        graph = graph_of(asking(model, is_async, {"tags": ["nostream"]}))
        seen.append([message.text for message, _ in await streamed(graph, is_async)])
    assert seen == [[FINAL]] * 3


async def test_structured_answers_in_a_node_show_the_tokens_of_the_answer(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, Reply(chunks=['{"name"', ': "Paris"}']))
    stage.server.script(SMALL, Reply("No JSON."))
    seen = []
    for model in (stage.bare_big(), stage.router("big"), stage.router("small")):
        structured = model.with_structured_output(City, method="json_mode")

        def step(state: MessagesState, structured: Any = structured) -> dict[str, Any]:
            return {"messages": [AIMessage(structured.invoke("Where? In JSON.").name, id="kept")]}

        async def astep(state: MessagesState, structured: Any = structured) -> dict[str, Any]:
            return {"messages": [AIMessage((await structured.ainvoke("Where? In JSON.")).name, id="kept")]}

        messages = [message for message, _ in await streamed(graph_of(astep if is_async else step), is_async)]
        seen.append(turns(messages))
    assert seen == [[("ai", '{"name": "Paris"}'), ("ai", "Paris")]] * 3


async def test_one_failed_call_of_a_batch_leaves_the_others_alone(stage: Stage, is_async: bool) -> None:
    def reply(body: Any) -> Reply | Fault:
        bad = body["messages"][-1]["content"] == "bad"
        return Fault(400, body='{"error": {"message": "Bad."}}') if bad else Reply("Good.")

    stage.server.script(BIG, reply)
    prompts, kinds = ["good", "bad", "good"], []
    for model in (stage.bare_big(), stage.router("big")):
        if is_async:
            found = await model.abatch(prompts, return_exceptions=True)
        else:
            found = model.batch(prompts, return_exceptions=True)
        kinds.append([type(each).__name__ for each in found])
    assert kinds[0] == kinds[1]
    assert kinds[1][::2] == ["AIMessage", "AIMessage"]


async def test_generate_takes_several_conversations(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, lambda body: Reply(str(body["messages"][-1]["content"])))  # type: ignore[index]
    conversations: list[list[Any]] = [[HumanMessage(f"prompt {number}")] for number in range(5)]
    model = stage.router("big")
    result = await model.agenerate(conversations) if is_async else model.generate(conversations)
    assert [generations[0].text for generations in result.generations] == [f"prompt {n}" for n in range(5)]
    assert result.run is not None
    assert len({run.run_id for run in result.run}) == 5
    prompts = [model._convert_input(f"prompt {number}") for number in range(2)]
    again = await model.agenerate_prompt(prompts) if is_async else model.generate_prompt(prompts)
    assert [generations[0].text for generations in again.generations] == ["prompt 0", "prompt 1"]


async def test_no_call_of_agenerate_goes_on_after_it_has_raised(stage: Stage) -> None:
    def reply(body: Any) -> Reply | Fault:
        bad = body["messages"][-1]["content"] == "bad"
        return Fault(400, body='{"error": {"message": "Bad."}}') if bad else Reply("Good.", first_delay_s=0.05)

    stage.server.script(BIG, reply)
    for model in (stage.bare_big(), stage.router("big")):
        with pytest.raises(Exception, match="Bad"):
            await model.agenerate([[HumanMessage("good")], [HumanMessage("bad")]])
        assert stage.server.open == 0


def test_schemas_and_graphs_of_runnables_can_be_drawn(stage: Stage) -> None:
    model = stage.router("big")
    structured = model.with_structured_output(City)
    for runnable in (model, model.bind_tools([City]), structured):
        assert runnable.get_input_schema().model_json_schema()
        assert runnable.get_output_schema().model_json_schema()
        assert len(runnable.get_graph().nodes) == 3
    assert structured.get_name() == "RoutingChatModel"


async def test_an_iterator_that_is_dropped_in_a_loop_ends_its_request(stage: Stage) -> None:
    stage.server.script(BIG, Reply("one two three four five six seven eight nine ten", chunk_delay_s=0.02))
    for chunk in stage.router("big").stream("Count."):
        assert chunk.id
        break
    stage.server.wait_until(lambda: stage.server.cancelled == 1)


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_unicode_comes_through(stage: Stage, ask: ways.Ask) -> None:
    text = "こんにちは 世界 🌍 — naïve Ωμέγα"
    stage.server.script(SMALL, Reply(text))
    answer = await ask(stage.router("small"), text)
    assert answer.text == text
    assert stage.server.calls()[-1].body["messages"][-1]["content"] == text  # type: ignore[index]
    assert record_of(answer)["tier"] == "small"
