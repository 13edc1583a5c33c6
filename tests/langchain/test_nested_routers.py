"""A router may be a tier of a router: its calls are a part of the one call, and handlers hear of each thing once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from langchain_slmroute import RouteCostCallback, RoutingChatModel, route_costs
from slmroute import Tier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

SMALL_COST, BIG_COST = Decimal("0.0000014"), Decimal("0.00028")


def nested(stage: Stage, inner: RoutingChatModel, **settings: Any) -> RoutingChatModel:
    cheap = Tier("cheap", stage.bare_small(), input_price=0, output_price=0)
    return RoutingChatModel(tiers=[cheap, Tier("inner", inner)], classifier=lambda request: 0.9, **settings)


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_call_through_two_routers_counts_once_and_costs_what_it_cost(stage: Stage, ask: ways.Ask) -> None:
    counter = RouteCostCallback()
    with route_costs() as outside, route_costs() as costs:
        answer = await ask(nested(stage, stage.escalating()), "Blue?", {"callbacks": [counter]})
    assert stage.models_called == [SMALL, BIG]
    for counted in (costs, outside, counter.costs):
        assert (counted.calls, counted.cost) == (1, SMALL_COST + BIG_COST)
    assert record_of(answer)["tier"] == "inner"
    assert record_of(answer)["cost"] == format(SMALL_COST + BIG_COST, "f")
    with route_costs() as after:
        stage.router("big").invoke("Blue?")
    assert (after.calls, after.cost) == (1, BIG_COST)


async def test_calls_beside_a_nested_one_count_as_ever(stage: Stage) -> None:
    outer = nested(stage, stage.router("big"))
    with route_costs() as costs:
        chunks = outer.stream("Blue?")
        next(chunks)
        stage.router("small").invoke("Blue?")
        assert costs.calls == 1
        list(chunks)
    assert (costs.calls, costs.cost) == (2, SMALL_COST + BIG_COST)


async def test_a_streamed_call_of_two_routers_that_is_left_counts_once(stage: Stage) -> None:
    outer = nested(stage, stage.router("big"))
    with route_costs() as costs:
        chunks = outer.astream("Blue?")
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
    assert (costs.calls, costs.failures) == (1, 1)


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_call_that_must_stay_local_stays_so_in_a_router_that_is_a_tier(stage: Stage, ask: ways.Ask) -> None:
    inner = Tier("inner", stage.router("big"), local=True)
    outer = RoutingChatModel(tiers=[inner, stage.big()], classifier=None)
    await ask(outer, "Blue?", local_only=True)
    assert stage.models_called == [SMALL]
    await ask(outer, "Blue?")
    assert stage.models_called == [SMALL, BIG]


async def test_a_structured_call_that_must_stay_local_stays_so_in_a_router_that_is_a_tier(stage: Stage) -> None:
    stage.server.script(SMALL, Reply('{"word": "blue"}'))
    outer = RoutingChatModel(
        tiers=[Tier("inner", stage.router("big"), local=True), stage.big()], classifier=None
    ).with_structured_output(Word, method="json_schema")
    assert outer.invoke("Blue?", local_only=True) == Word(word="blue")
    assert await outer.ainvoke("Blue?", local_only=True) == Word(word="blue")
    assert [part async for part in outer.astream("Blue?", local_only=True)][-1] == Word(word="blue")
    assert stage.models_called == [SMALL] * 3


def test_tools_of_a_call_that_must_stay_local_stay_so_in_a_router_that_is_a_tier(stage: Stage) -> None:
    stage.server.script(SMALL, Reply(tool_calls=[("Word", {"word": "blue"})]))
    outer = RoutingChatModel(tiers=[Tier("inner", stage.router("big"), local=True), stage.big()], classifier=None)
    assert outer.bind_tools([Word], local_only=True).invoke("Blue?").tool_calls[0]["args"] == {"word": "blue"}
    assert stage.models_called == [SMALL]


class Heard(BaseCallbackHandler):
    """Counts what it hears."""

    def __init__(self) -> None:
        self.chains = self.answers = 0

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.chains += 1

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.answers += 1


def in_both(stage: Stage, handler: BaseCallbackHandler) -> AIMessage:
    return stage.router(callbacks=[handler]).invoke("Blue?", {"callbacks": [handler]})


def bound_and_given(stage: Stage, handler: BaseCallbackHandler) -> AIMessage:
    return stage.router().with_config(callbacks=[handler]).invoke("Blue?", {"callbacks": [handler]})


def given_twice(stage: Stage, handler: BaseCallbackHandler) -> AIMessage:
    return stage.router().invoke("Blue?", {"callbacks": [handler, handler]})


def in_managers(stage: Stage, handler: BaseCallbackHandler) -> AIMessage:
    router = stage.router(callbacks=CallbackManager([handler]))
    return router.invoke("Blue?", {"callbacks": CallbackManager([handler])})


@pytest.mark.parametrize("ask", [in_both, bound_and_given, given_twice, in_managers])
def test_a_handler_that_is_given_twice_hears_once(stage: Stage, ask: Any) -> None:
    heard, costs, usage = Heard(), RouteCostCallback(), UsageMetadataCallbackHandler()
    for handler in (heard, costs, usage):
        ask(stage, handler)
    assert (heard.chains, heard.answers) == (1, 1)
    assert (costs.costs.calls, costs.costs.cost) == (1, SMALL_COST)
    assert usage.usage_metadata[SMALL]["total_tokens"] == 25


async def test_a_handler_of_a_chain_that_is_the_routers_too_hears_of_the_router_once(stage: Stage) -> None:
    heard = Heard()
    chain = RunnableLambda(lambda prompt: prompt) | stage.router(callbacks=[heard])
    await chain.ainvoke("Blue?", {"callbacks": [heard]})
    assert (heard.chains, heard.answers) == (3, 1)  # the sequence, the lambda and the router


class Word(BaseModel):
    """A word."""

    word: str


class Wrapped(ChatOpenAI):
    """A class whose structured chains are tried again when they fail."""

    def with_structured_output(self, schema: Any = None, **kwargs: Any) -> Any:
        return super().with_structured_output(schema, **kwargs).with_retry(stop_after_attempt=2)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # as bare ChatOpenAI has it
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("how", ["a router", "a chain that is tried again"])
async def test_a_structured_call_s_arguments_reach_the_model_within(stage: Stage, how: str, include_raw: bool) -> None:
    stage.server.script(BIG, Reply('{"word": "blue"}', input_tokens=100, output_tokens=10))
    tier = stage.router("big")
    if how != "a router":
        tier = Wrapped(model=BIG, base_url=stage.server.openai_url, api_key=SecretStr("canary"), max_retries=0)
    router = nested(stage, tier)  # type: ignore[arg-type]
    asked = router.with_structured_output(Word, method="json_schema", include_raw=include_raw)
    asked.invoke("Blue?", stop=["X"], temperature=0.25)
    await asked.ainvoke("Blue?", stop=["X"], temperature=0.25)
    list(asked.stream("Blue?", stop=["X"], temperature=0.25))
    bodies = [call.body for call in stage.server.calls(BIG)]
    assert [(body["stop"], body["temperature"]) for body in bodies] == [(["X"], 0.25)] * 3
