"""Agents and graphs run on a router as on a chat model, and tool loops stay on their tier."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import create_react_agent
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from slmroute import Tier
from slmroute.testing import Fault, Reply
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:create_react_agent has been moved"),
]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


CALL = Reply(tool_calls=[("add", {"a": 1, "b": 2})], input_tokens=20, output_tokens=5)
SUM = Reply("The sum is 3.", input_tokens=20, output_tokens=5)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return request.param


async def run(agent: Any, prompt: Any, is_async: bool, config: Any = None) -> dict[str, Any]:
    given = prompt if isinstance(prompt, Command) else {"messages": prompt}
    return await agent.ainvoke(given, config) if is_async else agent.invoke(given, config)


def kinds(messages: list[Any]) -> list[str]:
    return [message.type for message in messages]


def tiers_of(messages: list[Any]) -> list[str]:
    return [record_of(message)["tier"] for message in messages if isinstance(message, AIMessage)]


MAKERS = {
    "create_agent": lambda model: create_agent(model, [add]),
    "create_react_agent": lambda model: create_react_agent(model, [add]),
    "bound beforehand": lambda model: create_react_agent(model.bind_tools([add]), [add]),
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("to", ["small", "big"])
async def test_an_agent_calls_its_tool_and_answers(stage: Stage, maker: str, to: str, is_async: bool) -> None:
    name = SMALL if to == "small" else BIG
    bare: Any = stage.bare_small() if to == "small" else stage.bare_big()
    results = []
    for model in (bare, stage.router(to)):
        stage.server.script(name, CALL, SUM)
        results.append((await run(MAKERS[maker](model), "What is 1+2?", is_async))["messages"])
    assert kinds(results[0]) == kinds(results[1]) == ["human", "ai", "tool", "ai"]
    assert [message.text for message in results[0]] == [message.text for message in results[1]]
    assert tiers_of(results[1]) == [to, to]
    requests = [call.body for call in stage.server.calls()]
    assert requests[0] == requests[2]
    assert len(requests[1]["messages"]) == len(requests[3]["messages"])  # type: ignore[arg-type]


async def test_usage_of_an_agents_run_is_counted_once(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, CALL, SUM)
    with get_usage_metadata_callback() as counted:
        await run(create_agent(stage.router("small"), [add]), "What is 1+2?", is_async)
    assert {name: usage["total_tokens"] for name, usage in counted.usage_metadata.items()} == {SMALL: 50}


async def test_a_tool_loop_stays_on_the_tier_that_asked_for_the_tool(stage: Stage, is_async: bool) -> None:
    scores = iter([0.9, 0.1, 0.9, 0.1])
    stage.server.script(BIG, CALL, CALL, SUM)
    agent = create_agent(stage.router(classifier=lambda request: next(scores)), [add])
    messages = (await run(agent, "What is 1+2?", is_async))["messages"]
    assert tiers_of(messages) == ["big", "big", "big"]
    reasons = [record_of(message)["reason"] for message in messages if isinstance(message, AIMessage)]
    assert reasons == ["classified", "tool_loop", "tool_loop"]


async def test_a_loop_that_escalated_stays_where_it_went(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, Reply(tool_calls=[("subtract", {})]))
    stage.server.script(BIG, CALL, SUM)
    messages = (await run(create_agent(stage.router("small"), [add]), "What is 1+2?", is_async))["messages"]
    assert tiers_of(messages) == ["big", "big"]
    assert stage.models_called == [SMALL, BIG, BIG]


async def test_the_next_question_is_classified_anew(stage: Stage, is_async: bool) -> None:
    scores = iter([0.9, 0.1])
    stage.server.script(BIG, CALL, SUM)
    agent = create_agent(stage.router(classifier=lambda request: next(scores)), [add], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    await run(agent, "What is 1+2?", is_async, config)
    messages = (await run(agent, "Thank you!", is_async, config))["messages"]
    assert tiers_of(messages) == ["big", "big", "small"]
    assert kinds(messages) == ["human", "ai", "tool", "ai", "human", "ai"]


async def test_a_pin_survives_a_checkpointer_and_another_router_of_the_same_tiers(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, CALL, SUM)
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "1"}}

    @tool
    def approve(amount: int) -> str:
        """Ask a human."""
        return str(interrupt(amount))

    stage.server.script(BIG, Reply(tool_calls=[("approve", {"amount": 5})]), Reply("It is approved."))
    await run(create_agent(stage.router("big"), [approve], checkpointer=saver), "Pay 5.", is_async, config)
    later = create_agent(stage.router("small"), [approve], checkpointer=saver)
    messages = (await run(later, Command(resume="yes"), is_async, config))["messages"]
    assert tiers_of(messages) == ["big", "big"]
    assert record_of(messages[-1])["reason"] == "tool_loop"


async def test_a_loop_whose_tier_went_down_goes_on_at_another(stage: Stage, is_async: bool) -> None:
    for first, second, model in ((SMALL, BIG, stage.router("small")), (BIG, SMALL, stage.router("big"))):
        stage.server.script(first, CALL, Fault(500))
        stage.server.script(second, SUM)
        messages = (await run(create_agent(model, [add]), "What is 1+2?", is_async))["messages"]
        assert kinds(messages) == ["human", "ai", "tool", "ai"]
        assert messages[-1].text == "The sum is 3."
        assert len(set(tiers_of(messages))) == 2


class Weather(BaseModel):
    """The weather."""

    degrees: int
    sunny: bool


STRUCTURED = Reply('{"degrees": 21, "sunny": true}')
STRUCTURED_CALL = Reply(tool_calls=[("Weather", {"degrees": 21, "sunny": True})])


@pytest.mark.parametrize("to", ["small", "big"])
async def test_a_tool_strategy_gives_the_structured_response(stage: Stage, to: str, is_async: bool) -> None:
    stage.server.script(SMALL, STRUCTURED_CALL)
    stage.server.script(BIG, STRUCTURED_CALL)
    agent = create_agent(stage.router(to), [add], response_format=ToolStrategy(Weather))
    result = await run(agent, "How is it?", is_async)
    assert result["structured_response"] == Weather(degrees=21, sunny=True)
    assert stage.models_called == [BIG], "a forced choice goes where it can be forced"


async def test_a_tool_strategy_works_with_tiers_that_cannot_be_forced(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, Reply("It is sunny."))
    stage.server.script("llama3.1:8b", STRUCTURED_CALL)
    mid = stage.bare_small().model_copy(update={"model": "llama3.1:8b"})
    model = stage.router("small", tiers=[stage.small(), Tier("mid", mid, local=True)])
    result = await run(create_agent(model, [], response_format=ToolStrategy(Weather)), "How is it?", is_async)
    assert result["structured_response"] == Weather(degrees=21, sunny=True)
    assert stage.models_called == [SMALL, "llama3.1:8b"]


@pytest.mark.parametrize("to", ["small", "big"])
async def test_a_provider_strategy_reaches_each_tier_in_its_own_form(stage: Stage, to: str, is_async: bool) -> None:
    stage.server.script(SMALL, STRUCTURED)
    stage.server.script(BIG, STRUCTURED)
    agent = create_agent(stage.router(to), [], response_format=ProviderStrategy(Weather))
    result = await run(agent, "How is it?", is_async)
    assert result["structured_response"] == Weather(degrees=21, sunny=True)
    (call,) = stage.server.calls()
    assert "degrees" in str(call.body["format"] if to == "small" else call.body["response_format"])
    assert ("response_format" in call.body) is (to == "big")


async def test_an_invalid_structured_answer_of_a_provider_strategy_escalates(stage: Stage, is_async: bool) -> None:
    for wrong in ("It is sunny.", '{"degrees": "hot", "sunny": true}', '{"degrees": 21}', "[]"):
        stage.server.script(SMALL, Reply(wrong))
        stage.server.script(BIG, STRUCTURED)
        agent = create_agent(stage.router("small"), [], response_format=ProviderStrategy(Weather))
        result = await run(agent, "How is it?", is_async)
        assert result["structured_response"] == Weather(degrees=21, sunny=True)
        assert stage.models_called[-2:] == [SMALL, BIG]


async def test_a_schema_alone_is_given_the_strategy_that_all_tiers_can_follow(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, STRUCTURED_CALL)
    stage.server.script(BIG, STRUCTURED_CALL)
    result = await run(create_agent(stage.router("big"), [add], response_format=Weather), "How is it?", is_async)
    assert result["structured_response"] == Weather(degrees=21, sunny=True)
    names = [each["function"]["name"] for each in stage.server.calls()[0].body["tools"]]  # type: ignore[union-attr, index]
    assert names == ["add", "Weather"]


async def test_summarization_by_fraction_reads_the_routers_window(stage: Stage, is_async: bool) -> None:
    small = Tier("small", stage.bare_small(), local=True, window=200)
    model = stage.router("small", tiers=[small, stage.big()])
    middleware = SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("messages", 1))
    history = [HumanMessage(f"Message {number}: " + "word " * 20) for number in range(6)]
    result = await run(create_agent(model, [], middleware=[middleware]), history, is_async)
    assert kinds(result["messages"]) == ["human", "human", "ai"]
    assert "summary" in result["messages"][0].text
    assert len(stage.server.calls()) == 2


async def test_the_model_call_limit_counts_routed_calls_once(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, CALL)
    limit = ModelCallLimitMiddleware(run_limit=3, exit_behavior="end")
    await run(create_agent(stage.escalating(), [add], middleware=[limit]), "What is 1+2?", is_async)
    assert stage.models_called == [SMALL, BIG, BIG, BIG]


async def test_a_human_may_stand_in_the_loop(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, CALL, SUM)
    middleware = HumanInTheLoopMiddleware(interrupt_on={"add": True})
    agent = create_agent(stage.router("big"), [add], middleware=[middleware], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    stopped = await run(agent, "What is 1+2?", is_async, config)
    assert stopped["__interrupt__"]
    resume: Any = Command(resume={"decisions": [{"type": "approve"}]})
    messages = (await run(agent, resume, is_async, config))["messages"]
    assert messages[-1].text == "The sum is 3."
    assert tiers_of(messages) == ["big", "big"]


async def test_the_fallback_middleware_takes_over_when_no_tier_answers(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, Fault(500))
    stage.server.script(BIG, Fault(500))
    stage.server.script("other", SUM)
    other = stage.bare_big().model_copy(update={"model_name": "other"})
    agent = create_agent(stage.router("small"), [add], middleware=[ModelFallbackMiddleware(other)])
    messages = (await run(agent, "What is 1+2?", is_async))["messages"]
    assert messages[-1].text == "The sum is 3."
    assert stage.models_called == [SMALL, BIG, "other"]


async def test_a_router_may_be_the_fallback_middlewares_model(stage: Stage, is_async: bool) -> None:
    stage.server.script("other", Fault(500))
    other = stage.bare_big().model_copy(update={"model_name": "other"})
    agent = create_agent(other, [add], middleware=[ModelFallbackMiddleware(stage.router("small"))])
    messages = (await run(agent, "Hello!", is_async))["messages"]
    assert record_of(messages[-1])["tier"] == "small"


async def test_settings_of_a_middleware_reach_the_tier(stage: Stage, is_async: bool) -> None:
    from langchain.agents.middleware import wrap_model_call

    @wrap_model_call
    def sync_settings(request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={"temperature": 0.3, "max_tokens": 7}))

    @wrap_model_call
    async def async_settings(request: Any, handler: Any) -> Any:
        return await handler(request.override(model_settings={"temperature": 0.3, "max_tokens": 7}))

    middleware = async_settings if is_async else sync_settings
    for to in ("small", "big"):
        await run(create_agent(stage.router(to), [add], middleware=[middleware]), "Hello!", is_async)
    small, big = stage.server.calls()
    assert small.body["options"] == {"temperature": 0.3, "num_predict": 7}
    assert big.body["temperature"] == 0.3
