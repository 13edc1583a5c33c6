"""What a tier's reply has used, read from the real classes of the providers whose counts are unlike OpenAI's chats."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from google.genai import types
from langchain_google_genai.chat_models import _response_to_result
from llama_index.core.llms import ChatMessage, ChatResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel
from tenacity import wait_none

from langchain_slmroute.messages import answer_of
from llama_index_slmroute import RoutingLLM
from llama_index_slmroute.answers import usage_of
from slmroute import RouteRecord, Tier, Usage
from slmroute.request import estimate_tokens
from slmroute.testing import FakeServer, Reply

HELLO = [ChatMessage(content="Hello?")]
REPORTED = {
    "input_tokens": 10_000,
    "input_tokens_details": {"cached_tokens": 9_000},
    "output_tokens": 100,
    "output_tokens_details": {"reasoning_tokens": 60},
    "total_tokens": 10_100,
}


class Floors(BaseModel):
    """How many floors there are."""

    count: int


MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Paris.", "annotations": []}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-4.1-2025-04-14",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [MESSAGE],
    "usage": REPORTED,
}
EVENTS = [
    {
        "type": "response.output_text.delta",
        "sequence_number": 0,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Paris.",
        "logprobs": [],
    },
    {"type": "response.completed", "sequence_number": 1, "response": RESPONSE},
]


def responses_wire(request: httpx.Request) -> httpx.Response:
    assert request.url.path.endswith("/responses")
    if not json.loads(request.content).get("stream"):
        return httpx.Response(200, json=RESPONSE)
    sent = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS)
    return httpx.Response(200, text=sent, headers={"content-type": "text/event-stream"})


def responses_of(wire: Callable[[httpx.Request], httpx.Response], **settings: Any) -> OpenAIResponses:
    transport = httpx.MockTransport(wire)
    return OpenAIResponses(
        model="gpt-4.1",
        api_key="k",
        http_client=httpx.Client(transport=transport),
        async_http_client=httpx.AsyncClient(transport=transport),
        **settings,
    )


@pytest.fixture
def routed() -> tuple[RoutingLLM, list[RouteRecord]]:
    records: list[RouteRecord] = []
    responses = responses_of(responses_wire)
    tiers = [Tier("small", "ollama:a", local=True), Tier("frontier", responses)]
    return RoutingLLM(tiers=tiers, classifier=lambda _: 0.9, hooks=[records.append]), records


async def test_what_openais_responses_report_is_billed_in_streams_and_not(
    routed: tuple[RoutingLLM, list[RouteRecord]],
) -> None:
    llm, records = routed
    llm.chat(HELLO)
    await llm.achat(HELLO)
    assert list(llm.stream_chat(HELLO))[-1].message.content == "Paris."
    assert [chunk async for chunk in await llm.astream_chat(HELLO)][-1].message.content == "Paris."
    llm.complete("Hello?")
    assert len(list(llm.stream_complete("Hello?"))) >= 1
    assert await asyncio.to_thread(llm.engine.hooks.flush)
    used = Usage(10_000, 100, cached_tokens=9_000, reasoning_tokens=60)
    assert [record.attempts[-1].usage for record in records] == [used] * 6
    assert {str(record.cost) for record in records} == {"0.0073"}
    assert [record.events for record in records] == [()] * 6


@pytest.mark.parametrize("way", ["structured_predict", "astructured_predict"])
@pytest.mark.parametrize("text", ['{"count": 6}', "Paris."])
async def test_objects_of_openais_responses_are_billed_and_escalate_where_they_do_not_parse(
    bench: Any, server: FakeServer, way: str, text: str
) -> None:
    message = {**MESSAGE, "content": [{"type": "output_text", "text": text, "annotations": []}]}
    responses = responses_of(lambda request: httpx.Response(200, json={**RESPONSE, "output": [message]}))
    server.script("gpt-4.1", Reply('{"count": 7}', input_tokens=100, output_tokens=10))
    made = bench(tiers=[Tier("first", responses), bench().llm.tiers[1]], classifier=None)
    found = getattr(made.llm, way)(Floors, PromptTemplate("How many floors?"))
    found = await found if inspect.isawaitable(found) else found
    first = made.records[0].attempts[0]
    if text == "Paris.":  # its class keeps what it could not parse to itself
        assert (found.count, made.tiers, first.fault) == (7, ["frontier"], "bad_json")
        assert first.usage.source == "estimated"
    else:
        assert (found.count, made.tiers) == (6, ["first"])
        assert first.usage == Usage(10_000, 100, cached_tokens=9_000, reasoning_tokens=60)


def test_a_stream_of_openais_responses_that_is_not_read_is_closed() -> None:
    class Body(httpx.SyncByteStream):
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            for event in EVENTS:
                yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()

        def close(self) -> None:
            self.closed = True

    body = Body()
    responses = responses_of(lambda _: httpx.Response(200, stream=body, headers={"content-type": "text/event-stream"}))
    llm = RoutingLLM(tiers=[Tier("small", "ollama:a"), Tier("frontier", responses)], classifier=lambda _: 0.9)
    stream = llm.stream_chat(HELLO)
    next(stream)
    gc.disable()  # which would close it some time
    try:
        stream.close()
        assert body.closed
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "counts",
    [
        {"candidates_token_count": 20, "thoughts_token_count": 1_500, "cached_content_token_count": 400},
        {"candidates_token_count": 20, "thoughts_token_count": 1_500, "tool_use_prompt_token_count": 300},
        {"candidates_token_count": 20},
        {"thoughts_token_count": 1_500},  # the answer was cut short before it began
    ],
)
def test_what_gemini_thinks_and_its_tools_read_is_counted_as_in_langchain(counts: dict[str, Any]) -> None:
    part = {"content": {"role": "model", "parts": [{"text": "42"}]}, "finish_reason": "STOP"}
    reply = types.GenerateContentResponse.model_validate(
        {"candidates": [part], "usage_metadata": {"prompt_token_count": 1_000, **counts}}
    )
    assert reply.usage_metadata is not None
    # As LlamaIndex's GoogleGenAI makes it, whose package is not among the tests'.
    plain = {"prompt_tokens": 1_000, "completion_tokens": counts.get("candidates_token_count")}
    raw = {**part, "usage_metadata": reply.usage_metadata.model_dump()}
    found = usage_of([ChatResponse(message=ChatMessage(), raw=raw, additional_kwargs=plain)])
    message: Any = _response_to_result(reply).generations[0].message
    assert found == answer_of(message, "google_genai").usage
    assert found is not None
    thought = counts.get("thoughts_token_count", 0)
    assert (found.output_tokens, found.reasoning_tokens) == (counts.get("candidates_token_count", 0) + thought, thought)


@pytest.mark.parametrize("ask", ["chat", "achat"])
async def test_what_was_asked_for_again_in_vain_is_estimated_each_time(
    server: FakeServer, bench: Any, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("llama_index.llms.openai.utils.wait_random_exponential", lambda **_: wait_none())
    server.script("llama3.1:8b", Reply("Well, hello there."))
    server.script("gpt-4.1", Reply("Too late.", hold=threading.Event()))
    # OpenAI's client asks again, and so does LlamaIndex's class: each round is a request and its repeats.
    for retries, requests in ((0, 1), (1, 2), (2, 2 * 3)):
        late = OpenAI(model="gpt-4.1", api_base=server.openai_url, api_key="k", timeout=0.04, max_retries=retries)
        made = bench(tiers=[bench().llm.tiers[0], Tier("frontier", late)], classifier=lambda _: 0.9)
        before = len(server.calls("gpt-4.1"))
        answer = getattr(made.llm, ask)(HELLO)
        if inspect.isawaitable(answer):
            await answer
        (failed,) = [attempt for attempt in made.records[-1].attempts if attempt.role == "failed"]
        assert len(server.calls("gpt-4.1")) - before == requests
        assert failed.usage.input_tokens == requests * estimated(HELLO)


def estimated(messages: list[ChatMessage]) -> int:
    return sum(4 + estimate_tokens(message.content or "") for message in messages)
