"""What a caller gets: the tier's own answer, with the record of the call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.generic_utils import messages_to_history_str
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, NoEligibleTier, NoTierAnswered, Tier, UnknownTier
from slmroute.testing import FakeServer, Fault, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]
HARD = [ChatMessage(content="A hard one.")]
SURE = Reply("Well, hello there.", input_tokens=20, output_tokens=5, logprobs=[-0.01] * 3)
UNSURE = Reply("Perhaps so.", input_tokens=20, output_tokens=5, logprobs=[-2.0, -2.0])
GOOD = Reply("It is so.", input_tokens=100, output_tokens=10)


def record_of(response: Any) -> dict[str, Any]:
    return response.message.additional_kwargs["slmroute"]


async def test_every_answer_carries_its_record_as_plain_json(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    llm = bench().llm
    for response in (llm.chat(HELLO), await llm.achat(HELLO)):
        record = record_of(response)
        assert json.loads(json.dumps(record)) == record
        assert (record["tier"], record["model"], record["reason"]) == ("small", SMALL, "classified")
        assert record["attempts"][-1]["usage"]["input_tokens"] == 20
        assert record["status"] == "ok"
    assert llm.complete("Hello?").additional_kwargs["slmroute"]["tier"] == "small"
    assert (await llm.acomplete("Hello?")).additional_kwargs["slmroute"]["tier"] == "small"


async def test_a_streams_record_stands_once_on_its_last_chunk(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, GOOD)
    llm = bench().llm
    for messages, tier in ((HELLO, "small"), (HARD, "frontier")):
        streams = [
            list(llm.stream_chat(messages)),
            [chunk async for chunk in await llm.astream_chat(messages)],
        ]
        for chunks in streams:
            marked = ["slmroute" in chunk.message.additional_kwargs for chunk in chunks]
            assert marked == [False] * (len(chunks) - 1) + [True]
            record = record_of(chunks[-1])
            assert record["tier"] == tier
            assert record["ttft_ms"] is not None
            assert record["attempts"][-1]["usage"]["source"] == "reported"
    completions = list(llm.stream_complete("Hello?"))
    assert completions[-1].additional_kwargs["slmroute"]["tier"] == "small"


@pytest.mark.parametrize("messages", [HELLO, HARD], ids=["Ollama", "OpenAI"])
async def test_deltas_and_chunks_are_those_of_the_bare_tier(
    bench: Any, server: FakeServer, messages: list[ChatMessage]
) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, GOOD)
    llm = bench().llm
    tier: Any = llm.tiers[0 if messages is HELLO else 1].model

    def shown(chunks: list[Any]) -> list[tuple[Any, Any]]:
        return [(chunk.delta, chunk.message.content) for chunk in chunks]

    assert shown(list(llm.stream_chat(messages))) == shown(list(tier.stream_chat(messages)))
    bare = [chunk async for chunk in await tier.astream_chat(messages)]
    assert shown([chunk async for chunk in await llm.astream_chat(messages)]) == shown(bare)


def test_usage_that_the_user_asked_for_is_still_shown(server: FakeServer) -> None:
    server.script(FRONTIER, GOOD)
    own = {"stream_options": {"include_usage": True}}
    bare = OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k", max_retries=0, additional_kwargs=own)
    llm = RoutingLLM(tiers=[Tier("small", f"ollama:{SMALL}"), Tier("frontier", bare)], classifier=lambda request: 1.0)
    chunks = list(llm.stream_chat(HELLO))
    assert len(chunks) == len(list(bare.stream_chat(HELLO)))
    assert chunks[-1].raw.usage.total_tokens == 110


def test_the_record_is_never_sent_to_a_tier(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, GOOD)
    made = bench()
    first = made.llm.chat(HELLO)
    last = list(made.llm.stream_chat([*HELLO, first.message, *HELLO]))[-1]
    history = [*HELLO, first.message, *HELLO, last.message, *HARD]
    made.llm.chat(history)
    made.llm.chat(history, tier="small")
    for request in server.requests:
        assert "slmroute" not in json.dumps(dict(request.body))
    assert record_of(ChatResponse(message=first.message))["tier"] == "small"


def test_a_record_is_short_when_it_is_printed(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    llm = bench().llm
    message = llm.chat(HELLO).message
    assert str(message.additional_kwargs) == "{'slmroute': ...}"
    # An engine that prints the history into its prompt must not send the record, nor the place where it stood.
    llm.chat([ChatMessage(content=f"History:\n{messages_to_history_str([*HELLO, message, *HELLO])}\nWhat now?")])
    sent = server.requests[-1].body["messages"][0]["content"]  # type: ignore[index]
    assert sent == "History:\nuser: Hello?\nassistant: Well, hello there.\nuser: Hello?\nWhat now?"


async def test_a_draft_is_never_shown(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, UNSURE)
    server.script(FRONTIER, GOOD)
    llm = bench(escalation=Confidence(0.85)).llm
    shown = [
        str(llm.chat(HELLO).message.content),
        "".join(chunk.delta or "" for chunk in llm.stream_chat(HELLO)),
        "".join([chunk.delta or "" async for chunk in await llm.astream_chat(HELLO)]),
        "".join(chunk.delta or "" for chunk in llm.stream_complete("Hello?")),
    ]
    assert shown == ["It is so."] * 4
    sent = [body["messages"][-1]["content"] for body in bench().bodies(FRONTIER)]
    assert all("Perhaps so." in content and content.startswith("Hello?") for content in sent)


def test_the_record_of_an_escalation_counts_the_draft(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, UNSURE)
    server.script(FRONTIER, GOOD)
    record = record_of(bench(escalation=Confidence(0.85)).llm.chat(HELLO))
    assert record["escalated"] is True
    assert [(attempt["role"], attempt["tier"]) for attempt in record["attempts"]][1:] == [
        ("draft", "small"),
        ("final", "frontier"),
    ]
    assert record["attempts"][1]["fault"] == "low_confidence"
    assert record["attempts"][1]["usage"]["output_tokens"] == 5


async def test_a_call_can_name_its_tier(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, GOOD)
    made = bench()
    assert record_of(made.llm.chat(HELLO, tier="frontier"))["reason"] == "explicit"
    await made.llm.achat(HELLO, tier="frontier")
    list(made.llm.stream_chat(HELLO, tier="frontier"))
    made.llm.complete("Hello?", tier="frontier")
    assert made.tiers == ["frontier"] * 4
    with pytest.raises(UnknownTier, match="Did you mean 'frontier'"):
        made.llm.chat(HELLO, tier="fronteer")


async def test_local_only_never_leaves_local_tiers(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Fault(503))
    server.script(FRONTIER, GOOD)
    made = bench()
    with pytest.raises(Exception, match=r"503|overload|busy"):
        made.llm.chat(HARD, local_only=True)
    with pytest.raises(Exception, match=r"503|overload|busy"):
        await bench(local_only=True).llm.achat(HARD)
    with pytest.raises(NoEligibleTier, match="not local"):
        made.llm.chat(HELLO, local_only=True, tier="frontier")
    assert server.calls(FRONTIER) == []


async def test_a_tier_that_is_down_is_replaced(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Fault(503))
    server.script(FRONTIER, GOOD)
    llm = bench().llm
    assert str(llm.chat(HELLO).message.content) == "It is so."
    assert "".join(chunk.delta or "" for chunk in llm.stream_chat(HELLO)) == "It is so."
    assert str((await llm.achat(HELLO)).message.content) == "It is so."
    assert record_of(llm.chat(HELLO))["attempts"][1]["role"] == "failed"


def test_no_tier_left_is_one_error_with_all_causes(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Fault(503))
    server.script(FRONTIER, Fault(500))
    with pytest.raises(NoTierAnswered) as raised:
        bench().llm.chat(HELLO)
    assert [type(error).__name__ for error in raised.value.exceptions] == ["ResponseError", "InternalServerError"]


async def test_an_error_after_the_first_token_is_raised(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Fault(die_after_chunks=2, reply=Reply("one two three")))
    server.script(FRONTIER, GOOD)
    made = bench()
    shown: list[str] = []

    async def read() -> None:
        async for chunk in await made.llm.astream_chat(HELLO):
            shown.append(chunk.delta or "")  # noqa: PERF401  what came before the error counts

    with pytest.raises(httpx.TransportError):
        shown.extend(chunk.delta or "" for chunk in made.llm.stream_chat(HELLO))
    with pytest.raises(httpx.TransportError):
        await read()
    assert "".join(shown) == "one twoone two"
    assert [record.status for record in made.records] == ["partial", "partial"]
    assert server.calls(FRONTIER) == []


async def test_a_stream_left_early_is_recorded_and_hung_up(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("one two three four five six", chunk_delay_s=0.02))
    made = bench()
    stream = made.llm.stream_chat(HELLO)
    next(chunk for chunk in stream if chunk.delta)
    stream.close()
    astream: Any = await made.llm.astream_chat(HELLO)
    async for _ in astream:
        break
    await astream.aclose()
    assert [(record.status, record.tier) for record in made.records] == [("cancelled", "small")] * 2
    await asyncio.to_thread(server.wait_until, lambda: server.cancelled == 2)


def test_standard_arguments_of_a_call_reach_each_tier_in_its_terms(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, GOOD)
    made = bench()
    for messages in (HELLO, HARD):
        made.llm.chat(messages, temperature=0.4, max_tokens=9, stop=["END"])
    (small,), (frontier,) = made.bodies(SMALL), made.bodies(FRONTIER)
    assert {"temperature": 0.4, "num_predict": 9, "stop": ["END"]}.items() <= small["options"].items()
    assert (frontier["temperature"], frontier["max_tokens"], frontier["stop"]) == (0.4, 9, ["END"])


def test_a_schema_of_a_call_reaches_each_tier_in_its_terms(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply('{"n": 1}'))
    server.script(FRONTIER, Reply('{"n": 1}'))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    made = bench()
    made.llm.chat(HARD, format=schema)
    made.llm.chat(HELLO, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
    assert made.bodies(FRONTIER)[0]["response_format"]["json_schema"]["schema"] == schema
    assert made.bodies(SMALL)[0]["format"] == schema


def test_the_rate_limiter_is_asked_once_a_call(bench: Any, server: FakeServer) -> None:
    class Limiter:
        def __init__(self) -> None:
            self.count = 0

        def acquire(self) -> None:
            self.count += 1

    server.script(SMALL, SURE)
    llm, limiter = bench().llm, Limiter()
    llm.rate_limiter = limiter
    llm.chat(HELLO)
    list(llm.stream_chat(HELLO))
    assert limiter.count == 2


def test_bare_answers_are_read_by_the_last_tier(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    bare = Ollama(model=SMALL, base_url=server.url, context_window=8192).chat(HELLO)
    assert bench().llm.get_tool_calls_from_response(bare, error_on_no_tool_call=False) == []
