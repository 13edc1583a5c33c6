"""``generate`` gives what callers read beside the messages; a router's limiter and its tiers' handlers are heeded."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.outputs import Generation
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_slmroute import RoutingChatModel
from slmroute import Tier
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

PROMPTS: list[Any] = [[HumanMessage("Blue?")], [HumanMessage("Red?")]]


async def results(model: Any) -> list[Any]:
    return [model.generate(PROMPTS), await model.agenerate(PROMPTS)]


async def test_generate_adds_up_the_tokens_as_a_bare_model_does(stage: Stage) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain's own adding up warns of tokens that are None
        (bare, *_) = await results(stage.bare_big())
    for result in await results(stage.router("big")):
        assert result.llm_output["model_name"] == bare.llm_output["model_name"] == BIG
        told = {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220}
        assert result.llm_output["token_usage"] == told
        assert bare.llm_output["token_usage"].items() >= told.items()
        for generations, bares in zip(result.generations, bare.generations, strict=True):
            assert generations[0].generation_info.items() >= bares[0].generation_info.items()
            assert "slmroute" not in generations[0].generation_info
            assert record_of(generations[0].message)["tier"] == "big"


class Several(ChatOpenAI):
    """Answers as a server that is asked for ``n`` choices."""

    def _create_chat_result(self, response: Any, generation_info: Any = None) -> Any:
        told = response.model_dump()
        (first,) = told["choices"]
        others = [{**first, "index": 1, "message": {**first["message"], "content": "Another."}}]
        return super()._create_chat_result({**told, "choices": [first, *others]}, generation_info)


@pytest.mark.parametrize("cached", [False, True])
async def test_generate_gives_every_choice_of_an_answer_and_counts_its_tokens_once(stage: Stage, cached: bool) -> None:
    cache = InMemoryCache() if cached else None
    several = Several(model=BIG, base_url=stage.server.openai_url, api_key=SecretStr("canary"), cache=cache, n=2)
    router = stage.escalating(tiers=[stage.small(), Tier("big", several)])
    for result in [*await results(router), *await results(router)]:
        for generations in result.generations:
            assert [each.text for each in generations] == ["The big answer is forty two.", "Another."]
            assert record_of(generations[0].message)["escalated"]
        if not cached:
            assert result.llm_output["token_usage"]["total_tokens"] == 220
    assert [len(each) for result in await results(stage.router()) for each in result.generations] == [1] * 4


class Texts(BaseCache):
    """Keeps the texts of answers and nothing else."""

    def __init__(self) -> None:
        self.kept: dict[str, list[str]] = {}

    def lookup(self, prompt: str, llm_string: str) -> list[Generation] | None:
        return [Generation(text=text) for text in self.kept[prompt]] if prompt in self.kept else None

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        self.kept[prompt] = [f"{prompt} {place} {each.text}" for place, each in enumerate(return_val)]

    def clear(self, **kwargs: Any) -> None:
        self.kept.clear()


async def test_choices_out_of_a_cache_of_texts_are_those_of_their_own_answer(stage: Stage) -> None:
    several = Several(model=BIG, base_url=stage.server.openai_url, api_key=SecretStr("canary"), cache=Texts(), n=2)
    router = stage.router("big", tiers=[stage.small(), Tier("big", several)])
    await results(router)
    for model in (several, router):
        for result in await results(model):
            for (first, other), prompt in zip(result.generations, ("Blue?", "Red?"), strict=True):
                assert prompt in first.text
                assert prompt in other.text


async def test_generate_by_ollama_tells_why_it_ended(stage: Stage) -> None:
    for result in await results(stage.router("small")):
        assert result.generations[1][0].generation_info["done_reason"] == "stop"
        assert result.llm_output["model_name"] == SMALL


async def test_generate_by_several_models_names_none(stage: Stage) -> None:
    model = stage.router(classifier=lambda request: 0.9 if "Red" in request.text else 0.1)
    for result in await results(model):
        assert "model_name" not in result.llm_output
        assert result.llm_output["token_usage"]["total_tokens"] == 135


class Limiter(BaseRateLimiter):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire(blocking=blocking)


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.generate, ways.agenerate], ids=ways.name_of)
async def test_an_answer_out_of_a_cache_asks_no_limiter(stage: Stage, ask: ways.Ask) -> None:
    for make in (stage.bare_big, stage.escalating):
        limiter = Limiter()
        model = make(cache=InMemoryCache(), rate_limiter=limiter)
        await ask(model, "Blue?")
        await ask(model, "Blue?")
        assert limiter.asked == 1


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_the_limiters_of_a_router_and_its_tiers_are_both_asked(stage: Stage, ask: ways.Ask) -> None:
    own, tiers = Limiter(), Limiter()
    model = stage.escalating(tiers=[stage.small(rate_limiter=tiers), stage.big(rate_limiter=tiers)], rate_limiter=own)
    await ask(model, "Blue?")
    assert own.asked == 1
    assert tiers.asked == 2


async def test_structured_answers_ask_the_limiter_once(stage: Stage) -> None:
    limiter = Limiter()
    schema = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}
    model: RoutingChatModel = stage.router("big", rate_limiter=limiter, validate=False)
    model.with_structured_output(schema, include_raw=True).invoke("Blue?")
    await model.with_structured_output(schema, include_raw=True).ainvoke("Blue?")
    assert limiter.asked == 2


class Heard(BaseCallbackHandler):
    """Reads tokens and counts ends."""

    def __init__(self) -> None:
        self.text = ""
        self.ended = 0

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.text += token

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ended += 1


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_handlers_of_a_tiers_own_model_hear_no_token_of_a_draft(stage: Stage, ask: ways.Ask) -> None:
    heard = Heard()
    await ask(stage.escalating(tiers=[stage.small(callbacks=[heard]), stage.big()]), "Blue?")
    assert (heard.text, heard.ended) == ("", 1)
    shown = Heard()
    stage.script_small()
    await ask(stage.cascade(tiers=[stage.small(callbacks=[shown]), stage.big()]), "Blue?", {"callbacks": [shown]})
    assert (shown.text, shown.ended) == ("A small draft it is.", 1)
