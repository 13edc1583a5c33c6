"""Event streams around a router show the answer's tokens once and a draft's never."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda

from slmroute.testing import Fault, Reply
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:astream_events version='v1'"),
]

FINAL = "The big answer is forty two."
DRAFT = "A small draft it is."


def routers(stage: Stage) -> list[tuple[Any, str]]:
    """A router of each kind with the text that callers are to see; the last one answers from the held small tier."""
    return [(stage.router("big"), FINAL), (stage.router("small"), DRAFT), (stage.cascade(), DRAFT)]


def invoking(model: Any) -> Runnable[Any, Any]:
    """A step that invokes the model, so that only handlers see tokens."""

    async def step(prompt: str) -> AIMessage:
        return await model.ainvoke(prompt)

    return RunnableLambda(step)


async def token_texts(runnable: Any, version: str) -> list[str]:
    events = [event async for event in runnable.astream_events("What is blue?", version=version)]
    return [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("around", ["model", "step"])
async def test_events_of_an_escalated_call_show_the_answer_once(stage: Stage, version: str, around: str) -> None:
    model = stage.escalating()
    runnable = model if around == "model" else invoking(model)
    assert "".join(await token_texts(runnable, version)) == FINAL
    assert stage.models_called == [SMALL, BIG]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("around", ["model", "step"])
async def test_events_of_a_call_that_is_not_escalated_show_its_answer_once(
    stage: Stage, version: str, around: str
) -> None:
    for model, text in routers(stage):
        runnable = model if around == "model" else invoking(model)
        assert "".join(await token_texts(runnable, version)) == text


@pytest.mark.parametrize("around", ["model", "step"])
async def test_every_run_that_starts_in_the_events_ends_in_them(stage: Stage, around: str) -> None:
    for model in (stage.escalating(), stage.router("big")):
        runnable = model if around == "model" else invoking(model)
        events = [event async for event in runnable.astream_events("What is blue?", version="v2")]
        started = [event["run_id"] for event in events if event["event"].endswith("_start")]
        ended = [event["run_id"] for event in events if event["event"].endswith("_end")]
        assert sorted(started) == sorted(ended)
        (model_end,) = [event for event in events if event["event"] == "on_chat_model_end"]
        assert model_end["name"] == "ChatOpenAI"
        assert model_end["data"]["output"].content == FINAL
        (router_end,) = [event for event in events if event["name"] == "RoutingChatModel" and "end" in event["event"]]
        assert record_of(router_end["data"]["output"])["tier"] == "big"


async def test_events_name_the_model_that_answered_and_the_decision(stage: Stage) -> None:
    events = [event async for event in stage.escalating().astream_events("What is blue?", version="v2")]
    (start,) = [event for event in events if event["event"] == "on_chat_model_start"]
    metadata = start["metadata"]
    assert metadata["ls_provider"] == "openai"
    assert metadata["ls_model_name"] == BIG
    assert metadata["slmroute_tier"] == "big"
    assert metadata["slmroute_escalated"] is True


async def test_tool_call_tokens_in_events_are_shown_once(stage: Stage) -> None:
    stage.server.script(BIG, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    for model in (stage.escalating(), stage.router("big")):
        bound = model.bind_tools([add])
        events = [event async for event in bound.astream_events("What is 1+2?", version="v2")]
        chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        assert [call["args"] for call in total.tool_calls] == [{"a": 1, "b": 2}]


async def test_an_invalid_tool_call_that_escalates_is_not_shown(stage: Stage) -> None:
    stage.server.script(SMALL, Reply(tool_calls=[("subtract", {"a": 1})]))
    stage.server.script(BIG, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    bound = stage.router("small").bind_tools([add])
    for runnable in (bound, invoking(bound)):
        events = [event async for event in runnable.astream_events("What is 1+2?", version="v2")]
        chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
        names = {call["name"] for chunk in chunks for call in chunk.tool_call_chunks if call["name"]}
        assert names == {"add"}


def test_the_models_own_third_version_streams_the_answer_once(stage: Stage) -> None:
    for model, text in routers(stage):
        stream = model.stream_events("What is blue?", version="v3")
        assert "".join(stream.text) == text
        assert stream.output.text == text
        assert record_of(stream.output)["status"] == "ok"


async def test_the_models_own_third_version_streams_asynchronously(stage: Stage) -> None:
    for model, text in routers(stage):
        stream = await model.astream_events("What is blue?", version="v3")
        assert "".join([part async for part in stream.text]) == text
        output = await stream
        assert output.text == text
        assert record_of(output)["status"] == "ok"


async def test_the_models_own_third_version_streams_an_escalated_answer_once(stage: Stage) -> None:
    model = stage.escalating()
    stream = model.stream_events("What is blue?", version="v3")
    assert "".join(stream.text) == FINAL
    assert record_of(stream.output)["escalated"] is True
    stream = await model.astream_events("What is blue?", version="v3")
    assert "".join([part async for part in stream.text]) == FINAL
    assert record_of(await stream)["escalated"] is True


async def test_the_models_own_third_version_gives_tool_calls(stage: Stage) -> None:
    stage.server.script(BIG, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    for to in ("small", "big"):
        stage.server.script(SMALL, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
        bound = stage.router(to).bind_tools([add])
        output = bound.stream_events("What is 1+2?", version="v3").output
        assert [(call["name"], call["args"]) for call in output.tool_calls] == [("add", {"a": 1, "b": 2})]
        output = await (await bound.astream_events("What is 1+2?", version="v3"))
        assert [(call["name"], call["args"]) for call in output.tool_calls] == [("add", {"a": 1, "b": 2})]


async def test_a_third_version_stream_whose_tiers_all_fail_raises_as_the_bare_model_does(stage: Stage) -> None:
    stage.server.script(BIG, Fault(400, body='{"error": {"message": "No."}}'))
    errors = []
    for model in (stage.bare_big(), stage.router("big")):
        with pytest.raises(Exception) as caught:  # noqa: PT011  the two are compared
            _ = model.stream_events("What is blue?", version="v3").output
        errors.append(type(caught.value).__name__)
    assert errors[0] == errors[1]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def chosen_texts(model: Any, version: Any, **chosen: Any) -> str:
    """The tokens of a model in a chain, out of the events chosen; a router's own run is a chain's."""
    chain = ChatPromptTemplate.from_template("{q}") | model | StrOutputParser()
    events = [event async for event in chain.astream_events({"q": "What is blue?"}, version=version, **chosen)]
    kinds = ("on_chat_model_stream", "on_chain_stream")
    return "".join(event["data"]["chunk"].text for event in events if event["event"] in kinds)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_events_are_chosen_by_name_type_and_tag_as_with_a_bare_model(stage: Stage, version: str) -> None:
    for model in (stage.bare_big(), stage.router("big"), stage.escalating()):
        named = model.with_config(run_name="writer")
        assert await chosen_texts(named, version, include_names=["writer"]) == FINAL
        assert await chosen_texts(model, version, include_types=["chat_model"]) == FINAL
        # The second tag is what a chain gives its second step, and no step's children.
        for tagged, tag in ((model.with_config(tags=["show"]), "show"), (model, "seq:step:2")):
            assert await tagged_texts(tagged, version, tag) == FINAL


async def tagged_texts(model: Any, version: Any, tag: str) -> str:
    chain = ChatPromptTemplate.from_template("{q}") | model | StrOutputParser()
    events = [
        event async for event in chain.astream_events({"q": "What is blue?"}, version=version, include_tags=[tag])
    ]
    return "".join(event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream")


async def test_events_are_chosen_by_the_name_of_a_model_itself(stage: Stage) -> None:
    for model in (stage.bare_big(name="writer"), stage.router("big", name="writer")):
        assert await chosen_texts(model, "v2", include_names=["writer"]) == FINAL


async def test_a_chain_that_is_left_within_its_events_ends_the_tiers_request(stage: Stage) -> None:
    stage.server.script(BIG, Reply("one " * 200, chunks=["one "] * 200, chunk_delay_s=0.02))
    chain = ChatPromptTemplate.from_template("{q}") | stage.router("big") | StrOutputParser()
    events: Any = chain.astream_events({"q": "What is blue?"}, version="v2")
    async for event in events:
        if event["event"] == "on_chat_model_stream":
            break
    await events.aclose()
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.open == 0, 5)
    assert stage.server.cancelled == 1
