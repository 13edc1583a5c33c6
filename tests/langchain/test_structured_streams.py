"""Streams of structured answers: growing parts, as from the bare tier, and none of a draft's."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage

from langchain_slmroute import RouteCostCallback
from slmroute import Tier, route_costs
from slmroute.testing import Fault, Reply
from tests.langchain.stage import BIG, SMALL, Stage, record_of
from tests.langchain.test_structured import METHODS, SCHEMAS, VALUES, Weather, WeatherDict, bad, expected, name_of

# What ChatOpenAI itself warns of when it streams a Pydantic object.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


class Essay(TypedDict):
    """An essay."""

    text: str


CHUNKS = ['{"degrees"', ": 21,", ' "sunny"', ": true}"]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return request.param


async def parts_of(structured: Any, is_async: bool, config: Any = None) -> list[Any]:
    if is_async:
        return [part async for part in structured.astream("How is it? Answer in JSON.", config)]
    return list(structured.stream("How is it? Answer in JSON.", config))


def good(method: str | None, name: str) -> Reply:
    tokens: Any = {"input_tokens": 100, "output_tokens": 10}
    if method == "function_calling":
        return Reply(tool_calls=[(name, VALUES)], **tokens)
    return Reply(chunks=CHUNKS, logprobs=[-0.01] * 4, **tokens)


def merged(parts: list[Any]) -> dict[str, Any]:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("to", ["small", "big"])
async def test_the_parts_are_those_of_the_bare_tier(
    stage: Stage, kind: str, method: str, to: str, is_async: bool
) -> None:
    schema: Any = SCHEMAS[kind]
    name, bare = (SMALL, stage.bare_small()) if to == "small" else (BIG, stage.bare_big(stream_usage=True))
    options: Any = {"method": method}
    stage.server.script(name, good(method, name_of(schema)))
    alone = await parts_of(bare.with_structured_output(schema, **options), is_async)
    routed = await parts_of(stage.router(to).with_structured_output(schema, **options), is_async)
    assert routed == alone
    assert routed[-1] == expected(kind)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("to", ["small", "big"])
async def test_the_parts_with_raw_join_to_what_invoke_gives(stage: Stage, method: str, to: str, is_async: bool) -> None:
    stage.server.script(SMALL, good(method, "WeatherDict"))
    stage.server.script(BIG, good(method, "WeatherDict"))
    options: Any = {"method": method, "include_raw": True}
    parts = await parts_of(stage.router(to).with_structured_output(WeatherDict, **options), is_async)
    assert parts[-1] == {"parsing_error": None}  # as from the bare tier
    total = merged(parts)
    assert total["parsed"] == VALUES
    assert total["parsing_error"] is None
    assert record_of(total["raw"])["tier"] == to
    assert total["raw"].usage_metadata["total_tokens"] == 110


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("whose", ["router", "tier"])
async def test_a_message_that_comes_whole_stays_one_in_the_sum_of_the_parts(
    stage: Stage, method: str, whose: str, is_async: bool
) -> None:
    stage.server.script(BIG, good(method, "WeatherDict"))
    options: Any = {"method": method, "include_raw": True}
    bare = stage.bare_big(disable_streaming=True)
    alone = await parts_of(bare.with_structured_output(WeatherDict, **options), is_async)
    whole = {"disable_streaming": True} if whose == "router" else {"tiers": [stage.small(), Tier("big", bare)]}
    parts = await parts_of(stage.router("big", **whole).with_structured_output(WeatherDict, **options), is_async)
    if (whose, method) != ("router", "function_calling"):
        assert list(parts[0]) == list(alone[0]) == ["raw"]
        assert sorted(list(part) for part in parts) == sorted(list(part) for part in alone)
    total = merged(parts)
    assert type(total["raw"]) is type(merged(alone)["raw"]) is AIMessage
    # Of a tool call that comes whole LangChain's own parsers make nothing in a stream.
    assert total.get("parsed") == (None if (whose, method) == ("tier", "function_calling") else VALUES)
    assert record_of(total["raw"])["tier"] == "big"


async def test_partial_dictionaries_grow_while_the_last_tier_still_writes(stage: Stage, is_async: bool) -> None:
    go_on = threading.Event()
    stage.server.script(BIG, Reply(chunks=CHUNKS, hold_after=(3, go_on)))
    structured: Any = stage.router("big").with_structured_output(WeatherDict, method="json_schema")
    seen: list[Any] = []
    if is_async:
        stream = structured.astream("How is it?")
        while {"degrees": 21} not in seen:
            seen.append(await anext(stream))
        go_on.set()
        seen += [part async for part in stream]
    else:
        stream = structured.stream("How is it?")
        while {"degrees": 21} not in seen:
            seen.append(next(stream))
        go_on.set()
        seen += list(stream)
    assert seen[-1] == VALUES


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("include_raw", [False, True])
async def test_no_part_of_an_invalid_draft_is_shown(
    stage: Stage, method: str | None, kind: str, include_raw: bool, is_async: bool
) -> None:
    name = name_of(SCHEMAS[kind])
    stage.server.script(SMALL, bad(method, name))
    stage.server.script(BIG, good(method, name))
    options: Any = {"method": method, "include_raw": include_raw}
    parts = await parts_of(stage.router("small").with_structured_output(SCHEMAS[kind], **options), is_async)
    assert "hot" not in str(parts)
    if include_raw:
        total = merged(parts)
        assert total["parsed"] == expected(kind)
        assert record_of(total["raw"])["escalated"] is True
    else:
        assert parts[-1] == expected(kind)
    assert stage.models_called == [SMALL, BIG]


@pytest.mark.parametrize("wrong", ["schema", "text"])
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_when_every_answer_is_invalid_the_stream_ends_as_the_bare_last_tiers(
    stage: Stage, wrong: str, include_raw: bool, method: str, is_async: bool
) -> None:
    reply = bad(method) if wrong == "schema" else Reply("It is sunny.")
    stage.server.script(SMALL, reply)
    stage.server.script(BIG, reply)
    outcomes: list[Any] = []
    for model in (stage.bare_big(stream_usage=True), stage.router("small")):
        structured = model.with_structured_output(Weather, method=method, include_raw=include_raw)  # type: ignore[arg-type]
        try:
            parts = await parts_of(structured, is_async)
        except Exception as error:  # noqa: BLE001  what both do is compared
            outcomes.append(type(error).__name__)
        else:
            error = merged(parts).get("parsing_error") if include_raw else None
            outcomes.append(parts if error is None and not include_raw else type(error).__name__)
    # OpenAI's client parses by itself and raises although the raw message was asked for; the router gives both.
    assert outcomes[0] == outcomes[1]


async def test_usage_and_costs_of_a_stream_are_counted_once(stage: Stage, is_async: bool) -> None:
    for method in METHODS:
        stage.server.script(SMALL, Reply("No JSON.", input_tokens=20, output_tokens=5))
        stage.server.script(BIG, good(method, "Weather"))
        usage, costs = UsageMetadataCallbackHandler(), RouteCostCallback()
        structured = stage.router("small").with_structured_output(Weather, method=method)
        await parts_of(structured, is_async, {"callbacks": [usage, costs]})
        assert {name: each["total_tokens"] for name, each in usage.usage_metadata.items()} == {SMALL: 25, BIG: 110}
        assert costs.costs.total_tokens == 135


async def test_an_asynchronous_stream_that_is_closed_early_ends_the_request(stage: Stage) -> None:
    never = threading.Event()
    stage.server.script(BIG, Reply(chunks=CHUNKS, hold_after=(3, never)))
    stream: Any = stage.router("big").with_structured_output(WeatherDict, method="json_schema").astream("How is it?")
    await anext(stream)
    await stream.aclose()
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.cancelled == 1)
    never.set()


def test_a_synchronous_stream_that_is_closed_early_is_read_to_its_end_by_langchain(stage: Stage) -> None:
    stage.server.script(BIG, Reply(chunks=CHUNKS))
    for model in (stage.bare_big(), stage.router("big")):
        stream: Any = model.with_structured_output(WeatherDict, method="json_schema").stream("How is it?")
        next(stream)
        stream.close()
    assert (len(stage.server.calls()), stage.server.cancelled) == (2, 0)


async def test_a_tier_that_breaks_off_unseen_is_replaced(stage: Stage, is_async: bool) -> None:
    stage.server.script(SMALL, Fault(die_after_chunks=2, reply=Reply(chunks=CHUNKS)))
    stage.server.script(BIG, good("json_schema", "Weather"))
    structured = stage.router("small").with_structured_output(Weather, method="json_schema")
    assert (await parts_of(structured, is_async))[-1] == Weather(degrees=21, sunny=True)


async def test_event_streams_show_the_answers_tokens_and_none_of_the_drafts(stage: Stage) -> None:
    stage.server.script(SMALL, Reply('{"degrees": "hot"}'))
    stage.server.script(BIG, good("json_schema", "Weather"))
    structured = stage.router("small").with_structured_output(Weather, method="json_schema")
    events = [event async for event in structured.astream_events("How is it?", version="v2")]
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    assert "".join(chunk.text for chunk in chunks) == "".join(CHUNKS)  # type: ignore[union-attr]


@pytest.mark.parametrize("method", METHODS)
async def test_a_stream_that_is_left_is_charged_for_what_was_written(stage: Stage, method: str) -> None:
    never, essay = threading.Event(), {"text": "word " * 400}
    written = json.dumps(essay)
    pieces = [written[at : at + 10] for at in range(0, len(written), 10)]
    calls = method == "function_calling"
    whole = Reply(tool_calls=[("Essay", essay)], hold_after=(1, never))
    stage.server.script(BIG, whole if calls else Reply(chunks=pieces, hold_after=(150, never)))
    structured: Any = stage.router("big").with_structured_output(Essay, method=method)
    with route_costs() as costs:
        stream, text = structured.astream("Write an essay in JSON."), ""
        while len(text) < 1000:
            text = (await anext(stream)).get("text", "")
        await stream.aclose()
    never.set()
    assert costs.failures == 1
    assert 0.8 < costs.output_tokens / (len(text) / 4) < 1.25
