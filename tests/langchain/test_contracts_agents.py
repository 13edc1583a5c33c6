"""What an agent's trace holds around a router, and what middleware that asks for a provider makes of one."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, model_fallback
from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent

from slmroute.testing import Fault, Reply
from tests.langchain.stage import BIG, SMALL, Stage, Tracer, record_of

pytestmark = pytest.mark.filterwarnings("ignore:create_react_agent has been moved")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def path_to(run: Any, kind: str) -> list[list[str]]:
    """The ways from a run down to those of a kind, each run as its type and name."""
    here = f"{run.run_type}:{run.name}"
    found = [[here, *path] for child in run.child_runs for path in path_to(child, kind)]
    return [[here], *found] if run.run_type == kind else found


@pytest.mark.parametrize("to", ["small", "big"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_agents_tree_is_graph_node_router_tier(stage: Stage, to: str, asynchronous: bool) -> None:
    tier = {"small": (SMALL, "ollama", "ChatOllama"), "big": (BIG, "openai", "ChatOpenAI")}[to]
    stage.server.script(tier[0], Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Reply("Three."))
    tracer = Tracer()
    agent: Any = create_agent(stage.router(to), [add])
    given, config = {"messages": [("human", "1+2?")]}, {"callbacks": [tracer]}
    result = await agent.ainvoke(given, config) if asynchronous else agent.invoke(given, config)
    (root,) = tracer.roots
    way = ["chain:LangGraph", "chain:model", "chain:RoutingChatModel", f"llm:{tier[2]}"]
    assert path_to(root, "llm") == [way, way]
    tool_ways = path_to(root, "tool")
    assert [each[-2:] for each in tool_ways] == [["chain:tools", "tool:add"]]
    runs = [node.child_runs[0].child_runs[0] for node in root.child_runs if node.name == "model"]
    for run in runs:
        metadata = run.extra["metadata"]
        assert (metadata["ls_model_name"], metadata["ls_provider"]) == tier[:2]
        assert (metadata["slmroute_tier"], metadata["langgraph_node"]) == (to, "model")
    assert result["messages"][-1].id.startswith(f"lc_run--{runs[-1].id}")


def test_the_tree_of_a_bound_router_in_a_prebuilt_agent_is_the_same(stage: Stage) -> None:
    tracer = Tracer()
    agent: Any = create_react_agent(stage.router("big").bind_tools([add]), [add])
    agent.invoke({"messages": [("human", "Blue?")]}, {"callbacks": [tracer]})
    (way,) = path_to(tracer.roots[0], "llm")
    assert [each for each in way if "Sequence" not in each and "call_model" not in each] == [
        "chain:LangGraph",
        "chain:agent",
        "chain:RoutingChatModel",
        "llm:ChatOpenAI",
    ]


def test_middleware_takes_a_router_for_no_providers_own_model(stage: Stage) -> None:
    # Whatever is fit for one provider only would reach every tier.
    asked = (
        model_fallback._supports_anthropic_cache_control,
        model_fallback._supports_fireworks_prompt_cache,
        model_fallback._supports_prompt_cache_key,
    )
    assert any(supports(stage.bare_big()) for supports in asked)
    assert not any(supports(stage.router("big")) for supports in asked)


def test_a_router_stands_on_either_side_of_a_fallback(stage: Stage) -> None:
    stage.server.script(BIG, Fault(500), Fault(500), Reply("Back again."))
    router = stage.router("big", failover=False)
    agent: Any = create_agent(
        stage.bare_big(), [add], middleware=[ModelFallbackMiddleware(router, stage.router("small"))]
    )
    answer = agent.invoke({"messages": [("human", "Blue?")]})["messages"][-1]
    assert record_of(answer)["tier"] == "small"
    assert stage.models_called == [BIG, BIG, SMALL]
    agent = create_agent(router, [add], middleware=[ModelFallbackMiddleware(stage.bare_big())])
    assert agent.invoke({"messages": [("human", "Blue?")]})["messages"][-1].content == "Back again."
