"""Caches: what was answered once costs nothing again, and no router is ever answered for by another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_ollama import ChatOllama

from slmroute import Confidence, Tier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

WHOLE = (ways.invoke, ways.ainvoke, ways.generate, ways.agenerate)


@pytest.fixture
def global_cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@pytest.mark.parametrize("ask", WHOLE, ids=ways.name_of)
@pytest.mark.parametrize("own", [False, True], ids=["global", "own"])
async def test_a_cached_answer_calls_nothing_and_costs_nothing(
    stage: Stage, ask: ways.Ask, own: bool, request: pytest.FixtureRequest
) -> None:
    settings = {"cache": InMemoryCache()} if own else {}
    if not own:
        request.getfixturevalue("global_cache")
    model = stage.router("big", **settings)
    first, second = [await ask(model, "What is blue?") for _ in range(2)]
    assert stage.models_called == [BIG]
    assert second.content == first.content
    (paid,) = [each for each in record_of(first)["attempts"] if each["role"] == "final"]
    (free,) = [each for each in record_of(second)["attempts"] if each["role"] == "final"]
    assert float(paid["cost"]) > 0
    assert free["usage"]["source"] == "cached"
    assert float(free["cost"]) == float(record_of(second)["cost"]) == 0
    assert float(record_of(second)["saved"]) == 0


@pytest.mark.usefixtures("global_cache")
@pytest.mark.parametrize("ask", WHOLE, ids=ways.name_of)
async def test_an_escalated_call_is_cached_whole(stage: Stage, ask: ways.Ask, global_cache: Any) -> None:
    model = stage.escalating()
    first, second = [await ask(model, "What is blue?") for _ in range(2)]
    assert stage.models_called == [SMALL, BIG]
    assert len(global_cache._cache) == 2
    assert second.content == first.content
    assert record_of(second)["escalated"] is True
    assert float(record_of(second)["cost"]) == 0
    # The record of the first call is not what the cache kept.
    assert record_of(second)["call_id"] != record_of(first)["call_id"]


@pytest.mark.usefixtures("global_cache")
async def test_usage_handlers_count_a_cached_answer_as_they_do_for_a_bare_model(stage: Stage) -> None:
    counts = []
    for model in (stage.bare_big(), stage.router("big")):
        handler = UsageMetadataCallbackHandler()
        for _ in range(2):
            await ways.ainvoke(model, "What is blue?", {"callbacks": [handler]})
        counts.append(handler.usage_metadata[BIG]["total_tokens"])
    assert len(stage.server.calls()) == 1, "the tier and the bare model are the same model to the cache"
    assert counts[0] == counts[1]


@pytest.mark.usefixtures("global_cache")
@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_two_routers_never_share_an_entry(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script("a", Reply("From a."))
    stage.server.script("b", Reply("From b."))
    answers = []
    for name in ("a", "b"):
        small = Tier("small", ChatOllama(model=name, base_url=stage.server.url), local=True)
        answers.append(await ask(stage.router("small", tiers=[small, stage.big()]), "What is blue?"))
    assert [answer.text for answer in answers] == ["From a.", "From b."]


@pytest.mark.usefixtures("global_cache")
async def test_two_models_of_a_class_that_says_nothing_of_itself_share_nothing(stage: Stage) -> None:
    bare = [ChatOllama(model=name, base_url=stage.server.url) for name in ("a", "b")]
    assert bare[0]._get_llm_string() == bare[1]._get_llm_string(), "else the router's own entries can go"
    stage.server.script("a", Reply("From a.", logprobs=[-1.0]))
    stage.server.script("b", Reply("From b."))
    tiers = [Tier("a", bare[0], local=True), Tier("b", bare[1], local=True)]
    model = stage.cascade(tiers=tiers, escalation=Confidence(0.85, pass_draft=False))
    for ask in (ways.invoke, ways.ainvoke):
        assert (await ask(model, "What is blue?")).text == "From b."
    assert stage.models_called == ["a", "b"]
    hotter = Tier("b", ChatOllama(model="b", base_url=stage.server.url, temperature=1.5), local=True)
    await stage.router("small", tiers=[hotter, stage.big()]).ainvoke("What is blue?")
    assert stage.models_called == ["a", "b", "b"]


def test_routers_that_look_alike_have_different_keys(stage: Stage) -> None:
    routers = [stage.router("small", tiers=stage.strings()) for _ in range(2)]
    assert len({router._get_llm_string() for router in routers}) == 2
    assert routers[0]._get_llm_string() == routers[0]._get_llm_string()
    assert routers[0]._get_llm_string() != routers[0]._get_llm_string(temperature=0.5)
    assert "canary" not in routers[0]._get_llm_string()
    other = routers[0].model_copy(update={"tiers": [stage.small(), stage.big()]})
    assert other._get_llm_string() != routers[0]._get_llm_string()


async def test_a_routers_own_cache_leaves_its_tiers_models_as_they_are(stage: Stage) -> None:
    tier = stage.big()
    model = stage.router("big", tiers=[stage.small(), tier], cache=InMemoryCache())
    for _ in range(2):
        await model.ainvoke("What is blue?")
    assert stage.models_called == [BIG]
    assert tier.model.cache is None  # type: ignore[attr-defined]
    tier.model.invoke("What is blue?")  # type: ignore[attr-defined]
    assert stage.models_called == [BIG, BIG]


async def test_a_tier_that_is_not_to_be_cached_is_not(stage: Stage, global_cache: Any) -> None:
    model = stage.router("big", tiers=[stage.small(), stage.big(cache=False)])
    for _ in range(2):
        await model.ainvoke("What is blue?")
    assert stage.models_called == [BIG, BIG]
    uncached = stage.router("big", cache=False)
    for _ in range(2):
        await uncached.ainvoke("What is blue?")
    assert stage.models_called == [BIG] * 4


async def test_a_router_with_cache_true_needs_a_global_cache_as_a_bare_model_does(stage: Stage) -> None:
    for model in (stage.bare_big(cache=True), stage.router("big", cache=True)):
        with pytest.raises(ValueError, match="no cache found"):
            await model.ainvoke("What is blue?")
