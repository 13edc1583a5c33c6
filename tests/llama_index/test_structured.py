"""Structured answers: whichever class a tier is of, what does not parse escalates, and what comes has a record."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from llama_index.core.base.llms.types import CompletionResponseGen
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from slmroute import Tier, route_costs
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
PROMPT = PromptTemplate("How many floors has {what}?")
SIX = Reply('{"count": 6}', input_tokens=100, output_tokens=10)
ASKED = [ChatMessage(content="How many floors?")]


class Floors(BaseModel):
    """How many floors there are."""

    count: int


class Plain(CustomLLM):
    """A user's own LLM, without function calls and without a word to callbacks."""

    text: str
    fails: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="plain")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        if self.fails:
            raise ValueError("my own mistake")
        return CompletionResponse(text=self.text)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        yield CompletionResponse(text=self.text, delta=self.text)


def with_plain(bench: Any, server: FakeServer, **plain: Any) -> Any:
    frontier = OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k", max_retries=0)
    tiers = [Tier("small", Plain(**plain), local=True), Tier("frontier", frontier)]
    return bench(tiers=tiers, classifier=None)


async def all_ways(llm: Any) -> list[Any]:
    """Ask for an object in each of the four ways; of a stream the last counts."""
    streamed = list(llm.stream_structured_predict(Floors, PROMPT, what="it"))
    astreamed = [part async for part in await llm.astream_structured_predict(Floors, PROMPT, what="it")]
    return [
        llm.structured_predict(Floors, PROMPT, what="it"),
        await llm.astructured_predict(Floors, PROMPT, what="it"),
        streamed[-1],
        astreamed[-1],
    ]


@pytest.mark.parametrize("text", ["Not JSON.", '{"count": "many"}', ""])
async def test_a_users_own_class_whose_answer_does_not_parse_escalates(
    bench: Any, server: FakeServer, text: str
) -> None:
    server.script(FRONTIER, SIX)
    made = with_plain(bench, server, text=text)
    assert [found.count for found in await all_ways(made.llm)] == [6] * 4
    assert [(record.tier, record.escalated) for record in made.records] == [("frontier", True)] * 4
    assert {record.attempts[0].fault for record in made.records} == {"bad_json"}


async def test_a_users_own_class_whose_answer_parses_is_kept(bench: Any, server: FakeServer) -> None:
    made = with_plain(bench, server, text='{"count": 7}')
    assert made.llm.structured_predict(Floors, PROMPT, what="it").count == 7
    assert (await made.llm.astructured_predict(Floors, PROMPT, what="it")).count == 7
    assert made.tiers == ["small", "small"]
    assert server.calls() == []


def test_an_error_of_a_users_own_class_is_not_taken_for_an_answer(bench: Any, server: FakeServer) -> None:
    made = with_plain(bench, server, text="", fails=True)
    with pytest.raises(ValueError, match="my own mistake"):
        made.llm.structured_predict(Floors, PROMPT, what="it")
    assert server.calls() == []


async def test_the_answers_of_a_structured_llm_carry_their_records(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SIX)
    made = bench()
    structured = made.llm.as_structured_llm(Floors)
    answers = [
        structured.chat(ASKED),
        await structured.achat(ASKED),
        list(structured.stream_chat(ASKED))[-1],
        [chunk async for chunk in await structured.astream_chat(ASKED)][-1],
    ]
    for answer, record in zip(answers, made.records, strict=True):
        assert answer.raw.count == 6
        assert answer.message.additional_kwargs["slmroute"]["call_id"] == record.call_id
        assert answer.message.additional_kwargs["slmroute"]["tier"] == "small"
    assert structured.complete("How many?").additional_kwargs["slmroute"]["tier"] == "small"
    assert (await structured.acomplete("How many?")).additional_kwargs["slmroute"]["tier"] == "small"


def test_a_structured_llms_stream_has_its_record_once(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply('{"count": 6, "names": ["a", "b"]}'))
    chunks = list(bench().llm.as_structured_llm(Floors).stream_chat(ASKED))
    assert len(chunks) > 1
    marked = ["slmroute" in chunk.message.additional_kwargs for chunk in chunks]
    assert marked == [False] * (len(chunks) - 1) + [True]


async def test_a_structured_llms_calls_are_counted_once(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SIX)
    made, counter = bench(), TokenCountingHandler()
    made.llm.callback_manager = CallbackManager([counter])
    structured = made.llm.as_structured_llm(Floors)
    for ask in (structured.chat, structured.achat):
        counter.reset_counts()
        answer = ask(ASKED)
        if inspect.isawaitable(answer):
            await answer
        assert [(each.prompt_token_count, each.completion_token_count) for each in counter.llm_token_counts] == [
            (100, 10)
        ]


async def test_a_structured_llms_stream_counts_where_it_was_begun(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SIX)
    structured = bench().llm.as_structured_llm(Floors)
    with route_costs() as costs:
        stream, astream = structured.stream_chat(ASKED), await structured.astream_chat(ASKED)
    assert list(stream)
    assert [chunk async for chunk in astream]
    assert costs.calls == 2


class Twice(Plain):
    """Comes to its object in two calls, of which the second only estimates its tokens."""

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        tokens = {"prompt_tokens": 100, "completion_tokens": 10}
        source = "estimated" if prompt == "again" else "reported"
        return CompletionResponse(text=self.text, raw={"usage": tokens, "usage_source": source})

    def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        self.complete("first")
        return output_cls.model_validate_json(self.complete("again").text)


def test_tokens_of_which_some_are_estimated_are_not_said_to_be_reported(bench: Any, server: FakeServer) -> None:
    tiers = [Tier("small", Twice(text='{"count": 7}'), local=True), bench().llm.tiers[1]]
    made = bench(tiers=tiers, classifier=None)
    assert made.llm.structured_predict(Floors, PROMPT, what="it").count == 7
    usage = made.records[0].attempts[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.source) == (200, 20, "estimated")


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # the bare class's
async def test_a_stream_of_objects_has_as_many_as_the_bare_class_gives(bench: Any, server: FakeServer) -> None:
    reply = Reply('{"count": 6}', chunks=['{"count"', ": 6", "}"], input_tokens=100, output_tokens=10)
    server.script(FRONTIER, reply)
    made = bench(classifier=lambda _: 1.0)
    bare = made.llm.tiers[-1].model

    async def streams(llm: Any) -> list[list[Any]]:
        structured = llm.as_structured_llm(Floors)
        return [
            list(llm.stream_structured_predict(Floors, PROMPT, what="it")),
            [part async for part in await llm.astream_structured_predict(Floors, PROMPT, what="it")],
            [chunk.raw for chunk in structured.stream_chat(ASKED)],
            [chunk.raw async for chunk in await structured.astream_chat(ASKED)],
        ]

    expected = [[part.model_dump() for part in parts] for parts in await streams(bare)]
    assert [[part.model_dump() for part in parts] for parts in await streams(made.llm)] == expected
    usages = [record.attempts[-1].usage for record in made.records]
    assert [(usage.input_tokens, usage.source) for usage in usages] == [(100, "reported")] * 4


async def test_a_stream_of_a_users_own_class_has_no_further_chunk(bench: Any, server: FakeServer) -> None:
    made = with_plain(bench, server, text="Seven.")
    streams = [
        list(made.llm.stream_chat(ASKED)),
        [chunk async for chunk in await made.llm.astream_chat(ASKED)],
        list(made.llm.stream_complete("How many?")),
        [chunk async for chunk in await made.llm.astream_complete("How many?")],
    ]
    assert [[chunk.delta for chunk in chunks] for chunks in streams] == [["Seven."]] * 4
    for chunks, record in zip(streams, made.records, strict=True):
        carried = getattr(chunks[-1], "message", chunks[-1]).additional_kwargs["slmroute"]
        assert carried["call_id"] == record.call_id
