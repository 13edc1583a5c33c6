"""RoutingMiddleware routes an agent's calls around the model the agent already has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel, RoutingMiddleware
from slmroute import Confidence, Tier
from slmroute.errors import ConfigError
from slmroute.testing import FakeServer, Reply


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({"phi3:mini": Reply("Small answer.")}) as running:
        running.script("gpt-4.1", Reply("", tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3."))
        yield running


def small(server: FakeServer) -> Tier:
    return Tier("small", "ollama:phi3:mini", model_args={"base_url": server.url}, local=True)


def frontier(server: FakeServer) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4.1", base_url=server.openai_url, api_key="canary", max_retries=0)


def routes(messages: list[object]) -> list[str]:
    return [m.response_metadata["slmroute"]["tier"] for m in messages if isinstance(m, AIMessage)]


def test_simple_calls_stay_on_the_small_tier(server: FakeServer) -> None:
    middleware = RoutingMiddleware([small(server)], classifier=lambda request: 0.1)
    agent = create_agent(frontier(server), [add], middleware=[middleware])
    messages = agent.invoke({"messages": "Which language is this?"})["messages"]
    assert messages[-1].content == "Small answer."
    assert routes(messages) == ["small"]
    assert [request.model for request in server.calls()] == ["phi3:mini"]


async def test_complex_calls_reach_the_agents_own_model_and_tool_loops_stay_there(server: FakeServer) -> None:
    scores = iter([0.9, 0.1])
    middleware = RoutingMiddleware([small(server)], classifier=lambda request: next(scores))
    agent = create_agent(frontier(server), [add], middleware=[middleware])
    messages = (await agent.ainvoke({"messages": "Add 1 and 2."}))["messages"]
    assert messages[-1].content == "The sum is 3."
    assert routes(messages) == ["frontier", "frontier"]
    assert messages[-1].response_metadata["slmroute"]["reason"] == "tool_loop"


def test_weak_answers_escalate_to_the_agents_own_model(server: FakeServer) -> None:
    server.script("gpt-4.1", Reply("A better answer."))
    middleware = RoutingMiddleware([small(server)], classifier=None, escalation=Confidence(0.85))
    agent = create_agent(frontier(server), [], middleware=[middleware])
    messages = agent.invoke({"messages": "Which language is this?"})["messages"]
    assert messages[-1].content == "A better answer."
    assert messages[-1].response_metadata["slmroute"]["escalated"] is True


def test_the_agents_own_model_is_priced_as_given(server: FakeServer) -> None:
    server.script("gpt-4.1", Reply("Answer.", input_tokens=1_000_000, output_tokens=200_000))
    middleware = RoutingMiddleware([small(server)], rules=[lambda request: "frontier"], agent_prices=("3", "5"))
    agent = create_agent(frontier(server), [], middleware=[middleware])
    record = agent.invoke({"messages": "Anything."})["messages"][-1].response_metadata["slmroute"]
    assert record["cost"] == "4"


def test_routers_for_different_models_share_their_health(server: FakeServer) -> None:
    middleware = RoutingMiddleware([small(server)], threshold=0.5)
    one, other = frontier(server), frontier(server)
    first, second = middleware.router_for(one), middleware.router_for(other)
    assert first.tiers[-1].model is one
    assert second.tiers[-1].model is other
    assert first.shared.engine.breakers["small"] is second.shared.engine.breakers["small"]


def test_without_tiers_the_error_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="needs one tier or more"):
        RoutingMiddleware([])


def test_an_agent_that_routes_already_is_refused(server: FakeServer) -> None:
    router = RoutingChatModel(tiers=[small(server), Tier("frontier", frontier(server))])
    agent = create_agent(router, [], middleware=[RoutingMiddleware([small(server)])])
    with pytest.raises(ConfigError, match="use one of the two"):
        agent.invoke({"messages": "Anything."})
