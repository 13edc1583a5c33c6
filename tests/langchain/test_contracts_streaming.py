"""Streams of one model: no draft, no token twice, the record at the end, and what the settings say of it."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from slmroute import Confidence
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, joined, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

FINAL = "The big answer is forty two."
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen end"


class Tokens(BaseCallbackHandler):
    """Writes down the tokens it is told of."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.told.append(token)


async def chunks_of(model: Any, prompt: Any, is_async: bool, **kwargs: Any) -> list[AIMessageChunk]:
    if is_async:
        return [chunk async for chunk in model.astream(prompt, **kwargs)]
    return list(model.stream(prompt, **kwargs))


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return request.param


async def test_an_escalated_stream_shows_the_answer_and_never_the_draft(stage: Stage, is_async: bool) -> None:
    chunks = await chunks_of(stage.escalating(), "What is blue?", is_async)
    assert joined(chunks).content == FINAL
    assert len(chunks) >= 6
    assert all("draft" not in chunk.text for chunk in chunks)
    assert stage.models_called == [SMALL, BIG]


async def test_each_token_is_told_to_handlers_once_and_drafts_are_not(stage: Stage, is_async: bool) -> None:
    for model, text in ((stage.escalating(), FINAL), (stage.router("big"), FINAL)):
        handler = Tokens()
        await chunks_of(model, "What is blue?", is_async, config={"callbacks": [handler]})
        assert "".join(handler.told) == text


async def test_a_held_answer_that_is_accepted_is_told_once(stage: Stage, is_async: bool) -> None:
    handler = Tokens()
    chunks = await chunks_of(stage.cascade(), "What is blue?", is_async, config={"callbacks": [handler]})
    assert joined(chunks).content == "A small draft it is."
    assert "".join(handler.told) == "A small draft it is."


async def test_a_turn_has_one_message_id_and_it_names_the_run_that_answered(stage: Stage, is_async: bool) -> None:
    for model in (stage.escalating(), stage.cascade(), stage.router("big"), stage.router("small")):
        chunks = await chunks_of(model, "What is blue?", is_async)
        (message_id,) = {chunk.id for chunk in chunks}
        assert message_id is not None
        assert message_id.startswith("lc_run--")


async def test_only_the_last_chunk_carries_the_record_and_says_that_it_is_the_last(
    stage: Stage, is_async: bool
) -> None:
    chunks = await chunks_of(stage.escalating(), "What is blue?", is_async)
    assert [("slmroute" in chunk.response_metadata) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    total = joined(chunks)
    assert record_of(total)["tier"] == "big"
    assert record_of(total)["escalated"] is True
    assert total.response_metadata["model_name"] == BIG
    assert total.response_metadata["finish_reason"] == "stop"
    assert total.usage_metadata is not None
    assert total.usage_metadata["total_tokens"] == 110


async def test_a_streamed_answer_is_the_one_that_invoke_gives(stage: Stage, is_async: bool) -> None:
    for model in (stage.escalating(), stage.cascade(), stage.router("big"), stage.router("small")):
        streamed, whole = joined(await chunks_of(model, "Why?", is_async)), model.invoke("Why?")
        assert streamed.content == whole.content
        assert streamed.usage_metadata == whole.usage_metadata
        assert record_of(streamed).keys() == record_of(whole).keys()


async def test_a_stream_flows_while_the_model_still_writes(stage: Stage, is_async: bool) -> None:
    go_on = threading.Event()
    stage.server.script(BIG, Reply(LONG, hold_after=(3, go_on)))
    model = stage.router("big")
    if is_async:
        chunks = model.astream("Count.")
        seen = [await anext(chunks) for _ in range(4)]
        go_on.set()
        seen += [chunk async for chunk in chunks]
    else:
        chunks = model.stream("Count.")
        seen = [next(chunks) for _ in range(4)]
        go_on.set()
        seen += list(chunks)
    assert joined(seen).content == LONG


async def test_a_confident_beginning_is_shown_while_the_model_still_writes(stage: Stage, is_async: bool) -> None:
    go_on = threading.Event()
    stage.server.script(SMALL, Reply(LONG, logprobs=[-0.01] * 18, hold_after=(16, go_on)))
    model = stage.cascade()
    if is_async:
        chunks = model.astream("Count.")
        seen = [await anext(chunks) for _ in range(16)]
        go_on.set()
        seen += [chunk async for chunk in chunks]
    else:
        chunks = model.stream("Count.")
        seen = [next(chunks) for _ in range(16)]
        go_on.set()
        seen += list(chunks)
    assert joined(seen).content == LONG
    assert record_of(joined(seen))["confidence"] == pytest.approx(0.99, abs=0.001)


async def test_a_hopeless_beginning_is_broken_off_and_the_rest_not_paid_for(stage: Stage, is_async: bool) -> None:
    never = threading.Event()
    stage.server.script(SMALL, Reply(LONG, logprobs=[-3.0] * 18, hold_after=(16, never)))
    total = joined(await chunks_of(stage.cascade(), "Count.", is_async))
    assert total.content == FINAL
    draft = record_of(total)["attempts"][0]
    assert draft["fault"] == "aborted"
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.cancelled == 1)
    never.set()


async def test_streaming_inside_a_chain(stage: Stage, is_async: bool) -> None:
    for model in (stage.escalating(), stage.router("big")):
        chain = ChatPromptTemplate.from_template("What is {colour}?") | model | StrOutputParser()
        handler = Tokens()
        given, config = {"colour": "blue"}, {"callbacks": [handler]}
        parts = [part async for part in chain.astream(given, config)] if is_async else list(chain.stream(given, config))
        assert "".join(parts) == FINAL
        assert len([part for part in parts if part]) == 6
        assert "".join(handler.told) == FINAL


@pytest.mark.parametrize("kind", ["router", "tier"])
async def test_an_early_close_ends_the_request(stage: Stage, is_async: bool, kind: str) -> None:
    never = threading.Event()
    stage.server.script(BIG, Reply(LONG, hold_after=(3, never)))
    model = stage.router("big") if kind == "router" else stage.bare_big()
    if is_async:
        stream = model.astream("Count.")
        await anext(stream)
        await stream.aclose()
    else:
        stream = model.stream("Count.")
        next(stream)
        stream.close()
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.cancelled == 1)
    never.set()


@pytest.mark.parametrize("ask", ["model", "chain", "structured"])
def test_an_event_loop_that_ends_before_a_stream_closes_it_once(
    stage: Stage, caplog: pytest.LogCaptureFixture, ask: str
) -> None:
    stage.server.script(BIG, Reply('{"count": 6, "more": "of it all the way, and further on"}'))
    held: list[Any] = []

    async def begin() -> None:
        model = stage.router("big")
        asked = {
            "model": model,
            "chain": model | StrOutputParser(),
            "structured": model.with_structured_output({"title": "Floors", "type": "object"}, method="json_mode"),
        }[ask]
        held.append(asked.astream("A hard one, as json."))
        async for _ in held[0]:
            break

    asyncio.run(begin())
    assert caplog.messages == []


async def test_a_cancelled_task_ends_the_request_and_is_recorded(stage: Stage) -> None:
    records: list[Any] = []
    never = threading.Event()
    stage.server.script(BIG, Reply("Never.", hold=never))
    model = stage.router("big", hooks=[records.append])
    task = asyncio.create_task(model.ainvoke("Count."))
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.cancelled == 1)
    never.set()
    assert model.shared.engine.hooks.flush()
    assert [record.status for record in records] == ["cancelled"]


async def test_a_stream_that_breaks_after_a_shown_token_raises_and_glues_nothing_on(
    stage: Stage, is_async: bool
) -> None:
    stage.server.script(SMALL, Fault(die_after_chunks=3, reply=Reply(LONG)))
    model, seen = stage.router("small"), []

    async def read() -> None:
        if is_async:
            async for chunk in model.astream("Count."):
                seen.append(chunk.text)  # noqa: PERF401  what came before it broke is looked at
        else:
            for chunk in model.stream("Count."):
                seen.append(chunk.text)  # noqa: PERF401  the same

    with pytest.raises(Exception) as caught:  # noqa: PT011  httpx's own, which differs with the moment it breaks
        await read()
    assert type(caught.value).__module__.startswith("http")
    assert "".join(seen).startswith("one")
    assert stage.models_called == [SMALL]


async def test_a_stream_that_breaks_before_a_shown_token_moves_on(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, Fault(503))
    total = joined(await chunks_of(stage.router("small"), "Count.", is_async))
    assert total.content == FINAL
    assert record_of(total)["tier"] == "big"


@pytest.mark.parametrize("setting", [True, "tool_calling"])
async def test_disable_streaming_gives_the_answer_whole(stage: Stage, is_async: bool, setting: Any) -> None:
    model: Any = stage.router("big", disable_streaming=setting)
    bare: Any = stage.bare_big(disable_streaming=setting)
    if setting == "tool_calling":
        model, bare = model.bind_tools([add]), bare.bind_tools([add])
    for each in (model, bare):
        chunks = await chunks_of(each, "What is blue?", is_async)
        assert [chunk.content for chunk in chunks] == [FINAL]
    assert [call.body.get("stream", False) for call in stage.server.calls()] == [False, False]


async def test_disable_streaming_for_tools_streams_where_there_are_none(stage: Stage, is_async: bool) -> None:
    chunks = await chunks_of(stage.router("big", disable_streaming="tool_calling"), "What is blue?", is_async)
    assert len(chunks) > 1


async def test_streaming_has_invoke_stream_from_its_tier(stage: Stage) -> None:
    model = stage.router("big", streaming=True)
    handler = Tokens()
    for ask in (ways.invoke, ways.ainvoke):
        answer = await ask(model, "What is blue?", {"callbacks": [handler]})
        assert answer.content == FINAL
        assert isinstance(answer, AIMessage)
        assert answer.usage_metadata is not None
    assert [call.body.get("stream") for call in stage.server.calls()] == [True, True]
    assert "".join(handler.told) == FINAL * 2


@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_output_version_is_respected_as_by_a_bare_model(stage: Stage, is_async: bool, version: str) -> None:
    bare = joined(await chunks_of(stage.bare_big(output_version=version, stream_usage=True), "Why?", is_async))
    for kind in ("objects", "strings"):
        tiers = stage.strings() if kind == "strings" else [stage.small(), stage.big()]
        model = stage.router("big", tiers=tiers, output_version=version)
        streamed = joined(await chunks_of(model, "Why?", is_async))
        assert streamed.content == bare.content
        assert model.invoke("Why?").content == stage.bare_big(output_version=version).invoke("Why?").content
        assert streamed.response_metadata.get("output_version") == bare.response_metadata.get("output_version")


async def test_contents_in_blocks_stay_one_block_when_an_answer_was_held(stage: Stage, is_async: bool) -> None:
    model = stage.escalating(output_version="v1")
    total = joined(await chunks_of(model, "Why?", is_async))
    assert [block["type"] for block in total.content] == ["text"]  # type: ignore[index]
    assert total.text == FINAL


@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_stop_reaches_the_tier_in_every_way_of_asking(stage: Stage, ask: ways.Ask) -> None:
    await ask(stage.router("small"), "Count.", stop=["END"])
    await ask(stage.router("big"), "Count.", stop=["END"])
    small, big = stage.server.calls()
    assert small.body["options"]["stop"] == ["END"]  # type: ignore[index]
    assert big.body["stop"] == ["END"]


@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_stop_that_was_bound_or_is_a_setting_reaches_drafts_and_answers(stage: Stage, ask: ways.Ask) -> None:
    for model in (stage.escalating(stop=["END"]), stage.escalating()):
        await ask(model, "Count.", **({} if model.stop else {"stop": ["END"]}))
        small, big = stage.server.calls()[-2:]
        assert small.body["options"]["stop"] == ["END"]  # type: ignore[index]
        assert big.body["stop"] == ["END"]


def test_stop_beside_tools_reaches_the_tier(stage: Stage) -> None:
    for to in ("small", "big"):
        stage.router(to).bind_tools([add]).bind(stop=["END"]).invoke("Count.")
    small, big = stage.server.calls()
    assert small.body["options"]["stop"] == ["END"]  # type: ignore[index]
    assert big.body["stop"] == ["END"]
    assert small.body["tools"]
    assert big.body["tools"]


def test_a_whole_answer_may_be_asked_to_be_held(stage: Stage) -> None:
    stage.server.script(SMALL, Reply(LONG, logprobs=[-0.01] * 17 + [-30.0]))
    total = joined(list(stage.cascade(escalation=Confidence(0.85, stream="whole")).stream("Count.")))
    assert total.content == FINAL


def test_chunks_come_in_order(stage: Stage) -> None:
    stage.server.script(BIG, Reply(LONG))
    texts = [chunk.text for chunk in stage.escalating().stream("Count.") if chunk.text]
    assert all(LONG.index(a.strip()) < LONG.index(b.strip()) for a, b in pairwise(texts))


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
