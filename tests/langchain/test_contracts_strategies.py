"""What agents and middleware read of a model's own description, and what the swap for a router changes in it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from slmroute import Tier
from slmroute.testing import Reply
from tests.langchain.stage import BIG, SMALL, Stage

MINI = "gpt-4.1-mini"


class Weather(BaseModel):
    """The weather."""

    degrees: int


TEXT = Reply('{"degrees": 21}', input_tokens=10, output_tokens=5)
CALL = Reply(tool_calls=[("Weather", {"degrees": 21})], input_tokens=10, output_tokens=5)


def asked(stage: Stage, model: Any, response_format: Any = Weather) -> dict[str, Any]:
    """The request that an agent makes for its structured answer."""
    agent: Any = create_agent(model, [], response_format=response_format)
    assert agent.invoke({"messages": "How warm?"})["structured_response"] == Weather(degrees=21)
    return dict(stage.server.calls()[-1].body)


def of_openai(stage: Stage, **settings: Any) -> RoutingChatModel:
    mini = ChatOpenAI(model=MINI, base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]
    return stage.router("small", tiers=[Tier("mini", mini), stage.big()], **settings)


def test_the_automatic_strategy_is_the_providers_where_all_tiers_have_it_as_with_the_bare_model(stage: Stage) -> None:
    stage.server.script(BIG, TEXT)
    stage.server.script(MINI, TEXT)
    bare, routed = asked(stage, stage.bare_big()), asked(stage, of_openai(stage))
    assert routed["model"] == MINI
    assert routed["response_format"] == bare["response_format"]
    assert "tools" not in routed


def test_the_automatic_strategy_is_a_forced_tool_where_a_tier_does_not_say_that_it_knows_schemas(stage: Stage) -> None:
    stage.server.script(BIG, CALL)
    routed = asked(stage, stage.router("small"))
    assert routed["model"] == BIG, "Ollama's models cannot be forced to call a tool"
    assert routed["tool_choice"] == "required"
    assert "response_format" not in routed


def test_the_providers_strategy_sends_the_schema_to_every_tier(stage: Stage) -> None:
    stage.server.script(SMALL, TEXT)
    routed = asked(stage, stage.router("small"), ProviderStrategy(Weather))
    assert routed["model"] == SMALL
    assert "degrees" in routed["format"]["properties"]


def test_a_tier_said_to_know_schemas_lets_the_automatic_strategy_be_the_providers(stage: Stage) -> None:
    stage.server.script(SMALL, TEXT)
    small = Tier("small", stage.bare_small(), local=True, abilities=["schema", "tools"])
    routed = asked(stage, stage.router("small", tiers=[small, stage.big()]))
    assert routed["model"] == SMALL
    assert "degrees" in routed["format"]["properties"]


def test_no_tiers_name_makes_a_router_look_like_its_model(stage: Stage) -> None:
    for router in (stage.router(), of_openai(stage)):
        for name in ("model_name", "model", "model_id"):
            assert getattr(router, name, None) is None


REPORTED: Any = {"input_tokens": 900, "output_tokens": 100, "total_tokens": 1000}


def history(provider: str) -> list[Any]:
    """A short conversation whose last answer is reported to have taken a thousand tokens."""
    answer = AIMessage("Hello.", usage_metadata=REPORTED, response_metadata={"model_provider": provider})
    return [HumanMessage("Hello!"), answer, HumanMessage("And?")]


def is_summarised(model: Any, messages: list[Any]) -> bool:
    middleware = SummarizationMiddleware(model, trigger=("tokens", 500), keep=("messages", 1))
    result = create_agent(model, [], middleware=[middleware]).invoke({"messages": messages})
    return "summary" in result["messages"][0].text


def test_a_router_over_one_provider_has_its_answers_reported_tokens_read_as_a_bare_models(stage: Stage) -> None:
    stage.server.script(MINI, TEXT)
    for model in (stage.bare_big(), of_openai(stage)):
        assert model._get_ls_params()["ls_provider"] == "openai"  # type: ignore[typeddict-item]
        assert is_summarised(model, history("openai"))
        assert not is_summarised(model, history("anthropic"))


@pytest.mark.parametrize("provider", ["openai", "ollama"])
def test_over_several_providers_tokens_are_counted_and_no_tiers_report_is_taken_for_them(
    stage: Stage, provider: str
) -> None:
    router = stage.router("small")
    assert router._get_ls_params()["ls_provider"] == "slmroute"  # type: ignore[typeddict-item]
    assert not is_summarised(router, history(provider))
    assert is_summarised(router, [HumanMessage("word " * 600), *history(provider)])


@pytest.mark.parametrize("kind", ["objects", "strings"])
def test_the_provider_of_answers_is_their_tiers(stage: Stage, kind: str) -> None:
    tiers = stage.strings() if kind == "strings" else [stage.small(), stage.big()]
    for to, provider in (("small", "ollama"), ("big", "openai")):
        answer = stage.router(to, tiers=tiers).invoke("Hello!")
        assert answer.response_metadata["model_provider"] == provider
