"""Nothing is lost of a router when something is bound to it, nor of a call when loops and threads change."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of
from tests.langchain.test_contracts_runs import Tracer
from tests.langchain.test_contracts_streaming import Tokens

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class City(BaseModel):
    """A city."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


BINDINGS: dict[str, Any] = {
    "bind": lambda model: model.bind(stop=["END"]),
    "bind_tools": lambda model: model.bind_tools([add]),
    "with_structured_output": lambda model: model.with_structured_output(City),
}


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke], ids=ways.name_of)
async def test_what_is_bound_keeps_name_tags_metadata_callbacks_and_cache(
    stage: Stage, binding: str, ask: ways.Ask
) -> None:
    stage.server.script(BIG, Reply('{"name": "Paris"}'))
    tracer = Tracer()
    settings: Any = {"name": "Mine", "tags": ["team-a"], "metadata": {"who": "me"}, "callbacks": [tracer]}
    bound = BINDINGS[binding](stage.router("big", cache=InMemoryCache(), **settings))
    for _ in range(2):
        await ask(bound, "Where?")
    assert stage.models_called == [BIG]
    roots = [run for root in tracer.roots for run in (root, *root.child_runs) if run.name == "Mine"]
    assert len(roots) == 2
    for run in (roots[0], *roots[0].child_runs):
        assert "team-a" in (run.tags or [])
        assert (run.extra or {})["metadata"]["who"] == "me"


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.batch, ways.abatch], ids=ways.name_of)
async def test_tokens_of_a_draft_are_not_told_where_ollamas_class_tells_tokens_although_nobody_streams(
    stage: Stage, ask: ways.Ask
) -> None:
    bare, routed, kept = Tokens(), Tokens(), Tokens()
    await ask(stage.bare_small(), "Why?", {"callbacks": [bare]})
    assert "".join(bare.told) == "A small draft it is.", "else the relay need not watch calls that stream nothing"
    await ask(stage.escalating(), "Why?", {"callbacks": [routed]})
    assert "draft" not in "".join(routed.told)
    stage.script_small()
    await ask(stage.cascade(), "Why?", {"callbacks": [kept]})
    assert "".join(kept.told) == "A small draft it is."


def test_a_call_within_a_running_loop_is_routed(stage: Stage) -> None:
    async def within() -> AIMessage:
        return stage.escalating().invoke("Why?")

    answer = asyncio.run(within())
    assert record_of(answer)["tier"] == "big"
    assert stage.models_called == [SMALL, BIG]


def test_an_asynchronous_classifier_and_judge_serve_synchronous_calls_too(stage: Stage) -> None:
    async def score(request: object) -> float:
        await asyncio.sleep(0)
        return 0.1

    async def judge(request: object, answer: object) -> float:
        await asyncio.sleep(0)
        return 0.0

    from slmroute import Confidence

    model = stage.router(classifier=score, escalation=Confidence(0.5, judge=judge))
    record = record_of(model.invoke("Why?"))
    assert (record["score"], record["tier"], record["escalated"]) == (0.1, "big", True)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_plain_graph_with_a_checkpointer_keeps_records_and_conversations(stage: Stage, is_async: bool) -> None:
    model = stage.escalating()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", anode if is_async else node)
    builder.add_edge(START, "model")
    graph = builder.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for prompt in ("Why?", "And why that?"):
        given: Any = {"messages": prompt}
        await graph.ainvoke(given, config) if is_async else graph.invoke(given, config)
    messages = graph.get_state(config).values["messages"]
    assert [message.type for message in messages] == ["human", "ai", "human", "ai"]
    assert [record_of(message)["tier"] for message in messages if isinstance(message, AIMessage)] == ["big", "big"]
    assert len({message.id for message in messages}) == 4
    assert "slmroute" not in str([call.body for call in stage.server.calls()])


def test_answers_are_pickled_and_copied_with_their_records(stage: Stage) -> None:
    answer = stage.escalating().invoke("Why?")
    again = pickle.loads(pickle.dumps(answer))  # noqa: S301  written here
    assert record_of(again) == record_of(answer)
    assert record_of(answer.model_copy(deep=True)) == record_of(answer)
    assert AIMessage.model_validate_json(answer.model_dump_json()).response_metadata["slmroute"] == record_of(answer)


def test_tools_are_bound_as_they_are_then_where_a_bare_model_does_so(stage: Stage) -> None:
    def changed(bind: Any) -> Any:
        described = StructuredTool.from_function(add, name="described", description="As it was.")
        schema = {"title": "sum", "description": "As it was.", **City.model_json_schema()}
        sent = convert_to_openai_tool(add)
        bound = bind([described, schema, sent])
        described.description = schema["description"] = sent["function"]["description"] = "As it is now."
        described.args_schema = City
        return bound.invoke("1+2?")

    for to, bare in (("small", stage.bare_small()), ("big", stage.bare_big())):
        changed(bare.bind_tools)
        changed(stage.router(to).bind_tools)
        alone, routed = stage.server.calls()[-2:]
        assert routed.body["tools"] == alone.body["tools"]
        assert [each["function"]["description"] for each in routed.body["tools"]][::2] == [
            "As it was.",
            "As it is now.",
        ]
