"""Errors of ours are LangChain's, too, where a bare model would have raised one of those: middleware goes by them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, SummarizationMiddleware
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
)
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tracers.base import BaseTracer
from langchain_openai import ChatOpenAI

from slmroute import Tier
from slmroute.errors import Misconfigured, NoTierAnswered, PromptTooLong, SlmrouteError
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens.",
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
        "param": "messages",
    }
}


def openai_model(stage: Stage, name: str) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]


def retrying(model: Any) -> Any:
    middleware = ModelRetryMiddleware(max_retries=2, initial_delay=0.001, on_failure="error")
    return create_agent(model, [], middleware=[middleware])


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.parametrize(("status", "kind"), [(401, ModelAuthenticationError), (403, ModelPermissionDeniedError)])
async def test_refused_keys_are_of_the_class_that_a_bare_model_raises(
    stage: Stage, ask: ways.Ask, status: int, kind: type[Exception]
) -> None:
    stage.server.script(BIG, Fault(status))
    with pytest.raises(kind):
        await ask(stage.bare_big(), "Blue?")
    with pytest.raises(Misconfigured, match="Tier 'big' was refused") as error:
        await ask(stage.router("big"), "Blue?")
    assert isinstance(error.value, kind)
    assert isinstance(error.value, PermissionError)
    assert isinstance(error.value.__cause__, kind)
    assert type(error.value).__name__ == "Misconfigured"


def test_an_agent_asks_once_where_asking_again_is_in_vain(stage: Stage) -> None:
    stage.server.script(BIG, Fault(401))
    for model in (stage.bare_big(), stage.router("big")):
        with pytest.raises(ModelAuthenticationError):
            retrying(model).invoke({"messages": [("human", "Blue?")]})
    assert stage.models_called == [BIG, BIG]


def test_an_agent_asks_again_where_that_may_help(stage: Stage) -> None:
    stage.server.script(SMALL, Fault(503))
    stage.server.script(BIG, Fault(500), Reply("Back again."))
    answer = retrying(stage.router("small")).invoke({"messages": [("human", "Blue?")]})["messages"][-1]
    assert answer.content == "Back again."


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_prompt_that_is_too_long_for_every_tier_is_a_context_overflow(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Fault(400, body={"error": "the prompt is over the context size: prompt is too long"}))
    stage.server.script(BIG, Fault(400, body=TOO_LONG))
    with pytest.raises(ContextOverflowError) as error:
        await ask(stage.router("small"), "Blue?")
    assert isinstance(error.value, NoTierAnswered)
    assert len(error.value.exceptions) == 2
    tiers = [Tier("small", stage.bare_small(), window=100), Tier("big", stage.bare_big(), window=200)]
    with pytest.raises(ContextOverflowError) as error:
        await ask(stage.router("small", tiers=tiers), "word " * 8_000)
    assert isinstance(error.value, PromptTooLong)


def test_summarising_recovers_from_a_prompt_that_is_too_long_as_with_a_bare_model(stage: Stage) -> None:
    def over(body: Any) -> Reply | Fault:
        return Fault(400, body=TOO_LONG) if len(str(body["messages"])) > 7_000 else Reply("Short summary.")

    stage.server.script(BIG, over)
    stage.server.script("mid", over)
    stage.server.script("main", Reply("Answer."))
    tiers = [Tier("mid", openai_model(stage, "mid")), Tier("big", stage.bare_big())]
    history: list[BaseMessage] = []
    for turn in range(10):
        history += [HumanMessage(f"q{turn}" * 150), AIMessage(f"a{turn}" * 150)]
    for model in (stage.bare_big(), stage.router("small", tiers=tiers)):
        middleware = SummarizationMiddleware(
            model=model, trigger=("messages", 5), keep=("messages", 2), trim_tokens_to_summarize=None
        )
        agent: Any = create_agent(openai_model(stage, "main"), [], middleware=[middleware])
        assert agent.invoke({"messages": [*history, HumanMessage("last")]})["messages"][-1].content == "Answer."


async def test_several_causes_of_one_class_are_of_that_class(stage: Stage) -> None:
    tiers = [Tier("mid", openai_model(stage, "mid")), Tier("big", stage.bare_big())]
    stage.server.script("mid", Fault(429))
    stage.server.script(BIG, Fault(429))
    with pytest.raises(ModelRateLimitError) as error:
        await stage.router("small", tiers=tiers).ainvoke("Blue?")
    assert isinstance(error.value, NoTierAnswered)
    assert error.value.is_retryable


async def test_causes_that_langchain_has_no_class_for_leave_the_error_as_it_is(stage: Stage) -> None:
    stage.server.script(SMALL, Fault(503))
    stage.server.script(BIG, Fault(429))
    with pytest.raises(NoTierAnswered) as error:
        await stage.router("small").ainvoke("Blue?")
    assert not isinstance(error.value, ModelError)


def test_structured_answers_and_tracers_are_told_the_same_error(stage: Stage) -> None:
    class Tracer(BaseTracer):
        told: list[str | None] = []  # noqa: RUF012

        def _persist_run(self, run: Any) -> None:
            self.told.append(run.error)

    stage.server.script(BIG, Fault(401))
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}
    with pytest.raises(ModelAuthenticationError) as error:
        stage.router("big").with_structured_output(schema).invoke("Blue?", {"callbacks": [Tracer()]})
    assert isinstance(error.value, Misconfigured)
    assert "was refused by its provider" in str(Tracer.told)


def test_errors_of_both_kinds_are_pickled_and_split(stage: Stage) -> None:
    stage.server.script(BIG, Fault(401))
    with pytest.raises(SlmrouteError) as error:
        stage.router("big").invoke("Blue?")
    again = pickle.loads(pickle.dumps(error.value))  # noqa: S301  written a moment ago
    assert isinstance(again, Misconfigured)
    assert isinstance(again, ModelAuthenticationError)
    assert str(again) == str(error.value)
    stage.server.script("mid", Fault(429))
    stage.server.script(BIG, Fault(429))
    tiers = [Tier("mid", openai_model(stage, "mid")), Tier("big", stage.bare_big())]
    with pytest.raises(NoTierAnswered) as group:
        stage.router("small", tiers=tiers).invoke("Blue?")
    matching, rest = group.value.split(ModelRateLimitError)
    assert (matching is group.value or len(matching.exceptions) == 2, rest) == (True, None)  # type: ignore[union-attr]
