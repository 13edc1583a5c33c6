"""Confidence needs log-probabilities: they are asked for where answers are judged by them, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, Tier
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]
WORDS = "one two three four five six seven eight"
SURE = Reply(WORDS, logprobs=[-0.01] * 8)
UNSURE = Reply(WORDS, logprobs=[-3.0] * 8)
GOOD = Reply("It is so.", logprobs=[-0.02] * 3)


class Floors(BaseModel):
    """How many floors."""

    count: int


async def test_ollama_is_asked_through_its_client(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    made = bench(escalation=Confidence(0.85))
    made.llm.chat(HELLO)
    await made.llm.achat(HELLO)
    list(made.llm.stream_chat(HELLO))
    [chunk async for chunk in await made.llm.astream_chat(HELLO)]
    made.llm.complete("Hello?")
    assert [body["logprobs"] for body in made.bodies(SMALL)] == [True] * 5
    assert made.tiers == ["small"] * 5
    assert {round(record.confidence, 2) for record in made.records if record.confidence is not None} == {0.99}


def test_openai_is_asked_by_its_argument(server: FakeServer) -> None:
    server.script("gpt-4.1-mini", GOOD)
    server.script(FRONTIER, GOOD)
    arguments = {"base_url": server.openai_url, "api_key": "k"}
    tiers = [Tier(name, f"openai:{name}", model_args=arguments) for name in ("gpt-4.1-mini", FRONTIER)]
    llm = RoutingLLM(tiers=tiers, classifier=None, escalation=Confidence(0.9))
    record = llm.chat(HELLO).message.additional_kwargs["slmroute"]
    assert (record["tier"], round(record["confidence"], 2)) == ("gpt-4.1-mini", 0.98)
    assert server.calls()[0].body["logprobs"] is True


def test_nobody_is_asked_where_nothing_is_judged_by_them(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, GOOD)
    judged = bench(escalation=Confidence(0.85, judge=lambda request, answer: 0.9))
    for made in (bench(), judged):
        made.llm.chat(HELLO)
        made.llm.chat([ChatMessage(content="A hard one.")])
    assert all("logprobs" not in body for model in (SMALL, FRONTIER) for body in judged.bodies(model))


def test_unsure_answers_escalate_and_sure_ones_do_not(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE, UNSURE, SURE)
    server.script(FRONTIER, GOOD)
    made = bench(classifier=None, escalation=Confidence(0.85))
    for _ in range(3):
        made.llm.chat(HELLO)
    assert made.tiers == ["small", "frontier", "small"]


def test_a_sure_stream_is_shown_before_it_ends(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    made = bench(classifier=None, escalation=Confidence(0.85, first_tokens=4))
    chunks = list(made.llm.stream_chat(HELLO))
    assert "".join(chunk.delta or "" for chunk in chunks) == WORDS
    assert made.records[0].ttft_ms is not None
    assert len(chunks) == 9


async def test_a_hopeless_stream_is_broken_off(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, UNSURE)
    server.script(FRONTIER, GOOD)
    made = bench(classifier=None, escalation=Confidence(0.85, first_tokens=4))
    for shown in (
        [chunk.delta for chunk in made.llm.stream_chat(HELLO)],
        [chunk.delta async for chunk in await made.llm.astream_chat(HELLO)],
    ):
        assert "".join(delta or "" for delta in shown) == "It is so."
    assert [record.attempts[0].fault for record in made.records] == ["aborted", "aborted"]
    assert made.records[0].attempts[0].usage.source == "estimated"


async def test_structured_answers_are_judged_too(bench: Any, server: FakeServer) -> None:
    prompt = PromptTemplate("How many?")
    server.script(SMALL, Reply('{"count": 5}', logprobs=[-3.0]))
    server.script(FRONTIER, Reply('{"count": 6}', logprobs=[-0.01]))
    made = bench(classifier=None, escalation=Confidence(0.85))
    assert made.llm.structured_predict(Floors, prompt) == Floors(count=6)
    assert await made.llm.astructured_predict(Floors, prompt) == Floors(count=6)
    assert list(made.llm.stream_structured_predict(Floors, prompt))[-1].model_dump() == {"count": 6}
    parts = [part async for part in await made.llm.astream_structured_predict(Floors, prompt)]
    assert parts[-1].model_dump() == {"count": 6}
    assert made.tiers == ["frontier"] * 4
    assert all('{"count": 5}' in str(body["messages"]) for body in made.bodies(FRONTIER))
    server.script(SMALL, Reply('{"count": 5}', logprobs=[-0.01]))
    assert made.llm.structured_predict(Floors, prompt) == Floors(count=5)
    assert list(made.llm.stream_structured_predict(Floors, prompt))[-1].model_dump() == {"count": 5}
    assert [record.confidence for record in made.records[-2:]] == [pytest.approx(0.99, abs=0.01)] * 2


def options_of(server: FakeServer) -> list[Any]:
    return [call.body["options"].get("num_ctx") for call in server.calls(SMALL)]  # type: ignore[attr-defined]


async def test_a_tiers_window_is_the_one_num_ctx_of_all_its_calls(server: FakeServer) -> None:
    server.script(SMALL, SURE)
    arguments = {"base_url": server.url}
    for small in (
        Tier("small", f"ollama:{SMALL}", window=2048, model_args=arguments),
        Tier("small", Ollama(model=SMALL, base_url=server.url, context_window=9000), window=2048),
    ):
        llm = RoutingLLM(tiers=[small, Tier("frontier", "dry-run:openai:gpt-4.1")], classifier=None)
        llm.chat(HELLO)
        await llm.achat(HELLO)
        list(llm.stream_chat(HELLO))
        llm.complete("Hello?")
    assert options_of(server) == [2048] * 8


@pytest.mark.parametrize("window", [2048, None])
def test_both_frameworks_ask_for_the_same_context(server: FakeServer, window: int | None) -> None:
    server.script(SMALL, SURE)
    arguments = {"base_url": server.url}
    tiers = [
        Tier("small", f"ollama:{SMALL}", window=window, model_args=arguments),
        Tier("frontier", "dry-run:openai:gpt-4.1"),
    ]
    RoutingLLM(tiers=tiers, classifier=None).chat(HELLO)
    RoutingChatModel(tiers=tiers, classifier=None).invoke("Hello?")
    assert options_of(server) == [window, window]


def test_a_tier_given_as_a_string_leaves_the_context_to_the_server(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    bench(strings=True).llm.chat(HELLO)
    assert options_of(server) == [None]
    assert [request.path for request in server.requests] == ["/api/chat"]


async def test_a_model_objects_window_is_asked_for_once(server: FakeServer) -> None:
    server.script(SMALL, SURE, window=5000)
    mine = Ollama(model=SMALL, base_url=server.url)
    llm = RoutingLLM(tiers=[Tier("small", mine), Tier("frontier", "dry-run:openai:gpt-4.1")], classifier=None)
    await llm.achat(HELLO)
    await llm.achat(HELLO)
    llm.chat(HELLO)
    assert [request.path for request in server.requests] == ["/api/show", *["/api/chat"] * 3]
    assert options_of(server) == [5000] * 3
    assert llm.metadata.context_window == 5000
    assert mine.context_window == -1
