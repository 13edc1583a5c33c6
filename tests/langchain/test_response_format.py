"""A response format beside tools reaches each tier as its own class would bind it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import AutoStrategy, ProviderStrategy
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_slmroute import RoutingMiddleware
from slmroute import Tier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),  # the bare model's own, when it streams
]


class City(BaseModel):
    """A city."""

    name: str
    population: int


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


PARIS = Reply('{"name": "Paris", "population": 2}')
CALL = Reply(tool_calls=[("add", {"a": 1, "b": 2})])
MINI = "gpt-4.1-mini"


def mini(stage: Stage) -> ChatOpenAI:
    return ChatOpenAI(model=MINI, base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]


def sent(stage: Stage) -> list[dict[str, Any]]:
    return [{key: call.body.get(key) for key in ("tools", "response_format")} for call in stage.server.calls()]


async def answer_of(agent: Any, is_async: bool) -> Any:
    asked = {"messages": "Which city, and what is 1+2?"}
    return (await agent.ainvoke(asked) if is_async else agent.invoke(asked))["structured_response"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_agents_provider_strategy_beside_a_tool_asks_as_the_bare_model(stage: Stage, is_async: bool) -> None:
    for model in (stage.bare_big(), stage.router("big")):
        stage.server.script(BIG, CALL, PARIS)
        agent = create_agent(model, [add], response_format=ProviderStrategy(City))
        assert await answer_of(agent, is_async) == City(name="Paris", population=2)
    bare, routed = sent(stage)[:2], sent(stage)[2:]
    assert routed == bare
    assert routed[0]["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("response_format", [City, AutoStrategy(City)], ids=["schema", "auto"])
async def test_the_automatic_strategy_routes_between_models_of_openai(
    stage: Stage, is_async: bool, response_format: Any
) -> None:
    stage.server.script(MINI, CALL, PARIS)
    stage.server.script(BIG, CALL, PARIS)
    for score, called in ((0.1, MINI), (0.9, BIG)):
        middleware = RoutingMiddleware([Tier("mini", mini(stage))], classifier=lambda request, score=score: score)
        agent = create_agent(stage.bare_big(), [add], response_format=response_format, middleware=[middleware])
        stage.server.script(called, CALL, PARIS)
        assert await answer_of(agent, is_async) == City(name="Paris", population=2)
        assert stage.models_called[-2:] == [called, called]
        assert sent(stage)[-1]["response_format"]["json_schema"]["name"] == "City"


class OfAnotherHouse(ChatOpenAI):
    """A class built on OpenAI's, as those of several other providers are."""

    @property
    def _llm_type(self) -> str:
        return "of-another-house"


async def test_a_class_built_on_openais_is_asked_as_by_itself(stage: Stage) -> None:
    own: Any = OfAnotherHouse(model=BIG, base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]
    for model in (own, stage.router("big", tiers=[stage.small(), Tier("big", own)])):
        stage.server.script(BIG, CALL, PARIS)
        agent = create_agent(model, [add], response_format=ProviderStrategy(City))
        assert await answer_of(agent, is_async=True) == City(name="Paris", population=2)
    assert sent(stage)[2:] == sent(stage)[:2]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_class_bound_as_response_format_is_parsed_as_by_the_bare_model(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, PARIS)
    for model in (stage.bare_big(), stage.router("big")):
        bound: Any = model.bind_tools([add], response_format=City)
        answer = await ask(bound, "Which city?")
        assert answer.additional_kwargs["parsed"] == City(name="Paris", population=2)
    bare, routed = sent(stage)
    assert routed == bare


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_class_bound_as_response_format_reaches_ollama_as_its_format(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, PARIS)
    answer = await ask(stage.router("small").bind_tools([add], response_format=City), "Which city?")
    assert record_of(answer)["tier"] == "small"
    sent_format: Any = stage.server.calls()[-1].body["format"]
    assert set(sent_format["properties"]) == {"name", "population"}
    assert (sent_format["title"], sent_format["description"]) == ("City", "A city.")


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_json_mode_reaches_ollama_as_from_the_bare_model(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, PARIS)
    for model in (stage.bare_small(), stage.router("small")):
        await ask(model.bind(response_format={"type": "json_object"}), "Which city?")
    assert [call.body["format"] for call in stage.server.calls()] == ["json", "json"]


def test_an_answer_that_is_not_of_the_bound_class_escalates(stage: Stage) -> None:
    stage.server.script(SMALL, Reply('{"name": "Paris"}'))
    stage.server.script(BIG, PARIS)
    answer: Any = stage.router("small").bind_tools([add], response_format=City).invoke("Which city?")
    assert record_of(answer)["tier"] == "big"
    assert answer.additional_kwargs["parsed"] == City(name="Paris", population=2)


def test_a_call_of_the_tool_comes_back_in_spite_of_the_format(stage: Stage) -> None:
    stage.server.script(BIG, CALL)
    answer: Any = stage.router("big").bind_tools([add], response_format=City).invoke("1+2?")
    assert [call["name"] for call in answer.tool_calls] == ["add"]


def test_json_mode_beside_a_tool_works_too(stage: Stage) -> None:
    stage.server.script(BIG, PARIS)
    bound = stage.router("big").bind_tools([add], response_format={"type": "json_object"})
    assert "Paris" in bound.invoke("Which city?").text
    assert sent(stage)[0]["response_format"] == {"type": "json_object"}
