"""The unmodified ``openai`` client against the fake server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI
from pydantic import BaseModel

from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply

HELLO = [{"role": "user", "content": "Where is it?"}]
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}]
USAGE = {"include_usage": True}


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def client(server: FakeServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.openai_url, api_key="canary", max_retries=0) as client:
        yield client


@pytest.fixture
async def aclient(server: FakeServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.openai_url, api_key="canary", max_retries=0) as client:
        yield client


def test_a_completion_has_its_text_its_usage_and_its_end(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply("Paris.", input_tokens=100, output_tokens=10, cached_tokens=40, reasoning_tokens=4))
    answer = client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "Paris."
    assert (answer.model, answer.object, answer.choices[0].finish_reason) == ("m", "chat.completion", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (100, 10, 110)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 40
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 4
    assert server.requests[0].authorized
    assert "canary" not in str(server.requests[0].headers)


async def test_the_asynchronous_client_gets_the_same(server: FakeServer, aclient: AsyncOpenAI) -> None:
    server.script("m", Reply("Paris it is.", input_tokens=100, output_tokens=10))
    answer = await aclient.chat.completions.create(model="m", messages=HELLO)
    stream = await aclient.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=USAGE)
    chunks = [chunk async for chunk in stream]
    assert answer.choices[0].message.content == "Paris it is."
    assert [chunk.choices[0].delta.content for chunk in chunks[:-1]] == ["", "Paris", " it", " is.", None]
    assert answer.usage == chunks[-1].usage
    assert server.bill == {"m": Usage(200, 20)}


def test_a_stream_reports_usage_only_where_it_is_asked_to(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply("one two", input_tokens=5, output_tokens=2))
    plain = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    asked = list(client.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=USAGE))
    assert all(chunk.usage is None for chunk in plain)
    assert [chunk.usage for chunk in asked[:-1]] == [None] * 4
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.total_tokens == 7
    assert len({chunk.id for chunk in asked}) == 1
    assert asked[0].choices[0].delta.role == "assistant"
    assert asked[-2].choices[0].finish_reason == "stop"


def test_usage_can_be_left_out(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply("hi", usage=False))
    assert client.chat.completions.create(model="m", messages=HELLO).usage is None
    chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True, stream_options=USAGE))
    assert all(chunk.usage is None for chunk in chunks)
    assert server.bill == {}


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_come_where_they_are_asked_for(server: FakeServer, client: OpenAI, stream: bool) -> None:
    server.script("m", Reply("simple task", logprobs=[{"simple": -0.1, "complex": -2.5}, -0.2]))
    asked = {"model": "m", "messages": HELLO, "logprobs": True, "top_logprobs": 2}
    if stream:
        chunks = client.chat.completions.create(**asked, stream=True)
        tokens = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    else:
        tokens = client.chat.completions.create(**asked).choices[0].logprobs.content
    assert [(token.token, token.logprob) for token in tokens] == [("simple", -0.1), (" task", -0.2)]
    assert [(top.token, top.logprob) for top in tokens[0].top_logprobs] == [("simple", -0.1), ("complex", -2.5)]
    assert bytes(tokens[1].bytes) == b" task"
    assert client.chat.completions.create(model="m", messages=HELLO).choices[0].logprobs is None


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_the_reason_of_the_end_is_the_script_s(server: FakeServer, client: OpenAI, finish: str) -> None:
    server.script("m", Reply("cut", finish=finish))
    assert client.chat.completions.create(model="m", messages=HELLO).choices[0].finish_reason == finish


def test_tool_calls_have_ids_of_their_own(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply(tool_calls=[("add", {"a": 1}), ("add", '{"a": ')]))
    answers = [client.chat.completions.create(model="m", messages=HELLO, tools=TOOLS).choices[0] for _ in range(2)]
    calls = [call for answer in answers for call in answer.message.tool_calls or ()]
    assert len({call.id for call in calls}) == 4
    assert all(call.id.startswith("call_") for call in calls)
    assert [call.function.arguments for call in calls[:2]] == ['{"a": 1}', '{"a": ']
    assert answers[0].finish_reason == "tool_calls"
    assert answers[0].message.content is None


def test_streamed_tool_calls_come_in_fragments(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("sub", {"a": 3})]))
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    fragments = 0
    for chunk in client.chat.completions.create(model="m", messages=HELLO, tools=TOOLS, stream=True):
        for call in chunk.choices[0].delta.tool_calls or ():
            fragments += 1
            names[call.index] = names.get(call.index, "") + (call.function.name or "")
            arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
    assert names == {0: "add", 1: "sub"}
    assert [json.loads(each) for each in arguments.values()] == [{"a": 1, "b": 2}, {"a": 3}]
    assert fragments > len(names)


def test_structured_output_parses(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply('{"name": "Paris", "people": 2100000}'))
    answer = client.chat.completions.parse(model="m", messages=HELLO, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Paris", people=2_100_000)
    assert server.requests[0].body["response_format"]["type"] == "json_schema"


def test_the_stream_helper_of_the_client_accumulates(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply("one two", logprobs=[-0.1, -0.2]))
    with client.chat.completions.stream(model="m", messages=HELLO, logprobs=True, stream_options=USAGE) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "one two"
    assert [token.logprob for token in final.choices[0].logprobs.content] == [-0.1, -0.2]
    assert final.usage is not None


def test_the_models_are_listed(server: FakeServer, client: OpenAI) -> None:
    server.script("gpt-4.1", Reply("hi"))
    server.script("gpt-4.1-mini", Reply("hi"))
    assert [model.id for model in client.models.list()] == ["gpt-4.1", "gpt-4.1-mini"]
    assert client.models.retrieve("gpt-4.1").id == "gpt-4.1"


def test_the_client_s_own_retries_are_seen_by_the_server(server: FakeServer) -> None:
    server.script("m", Fault(500, headers={"retry-after-ms": "1"}), Reply("hi"))
    with OpenAI(base_url=server.openai_url, api_key="k", max_retries=1) as client:
        assert client.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "hi"
    assert len(server.calls("m")) == 2


CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}


def test_a_well_formed_tool_history_is_taken(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Reply("3"))
    tool = {"role": "tool", "tool_call_id": "call_1", "content": "3"}
    answer = client.chat.completions.create(model="m", messages=[*HELLO, ASKED, tool, *HELLO])
    assert answer.choices[0].message.content == "3"


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([], "messages"),
        ([*HELLO, {"role": "tool", "tool_call_id": "call_1", "content": "3"}], "role 'tool'"),
        ([*HELLO, ASKED, {"role": "tool", "tool_call_id": "add", "content": "3"}], "role 'tool'"),
        ([*HELLO, ASKED], "call_1"),
        ([*HELLO, ASKED, *HELLO], "call_1"),
        ([*HELLO, {**ASKED, "tool_calls": [{**CALL, "id": None}]}], "id"),
    ],
    ids=["empty", "no call", "other id", "no answer", "answered by a user", "no id"],
)
def test_a_history_that_the_real_api_refuses_is_refused(
    server: FakeServer, client: OpenAI, messages: list[object], named: str
) -> None:
    server.script("m", Reply("hi"))
    with pytest.raises(BadRequestError, match=named):
        client.chat.completions.create(model="m", messages=messages)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault(401), "invalid_api_key", "API key"),
        (Fault(404), "model_not_found", "`m` does not exist"),
        (Fault(429), "rate_limit_exceeded", "Rate limit"),
        (Fault(429, code="insufficient_quota"), "insufficient_quota", "quota"),
        (Fault(400, code="context_length_exceeded"), "context_length_exceeded", "maximum context length is 9 tokens"),
        (Fault(400, code="content_filter"), "content_filter", "filtered"),
        (Fault(400, code="unsupported_value"), "unsupported_value", "could not parse"),
        (Fault(503), None, "overloaded"),
        (Fault(500), None, "server had an error"),
    ],
)
def test_errors_have_the_body_of_the_real_api(
    server: FakeServer, client: OpenAI, fault: Fault, code: str | None, words: str
) -> None:
    server.script("m", fault, window=9)
    answer = client.chat.completions.with_raw_response
    with pytest.raises(Exception, match=words) as caught:
        answer.create(model="m", messages=HELLO)
    assert caught.value.code == code
    assert set(caught.value.body) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("reset", [False, True])
def test_what_was_sent_before_a_stream_broke_arrives(server: FakeServer, client: OpenAI, reset: bool) -> None:
    server.script("m", Fault(die_after_chunks=2, reset=reset, reply=Reply("one two three")))
    for _ in range(20):
        stream = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        seen = [next(stream).choices[0].delta.content for _ in range(3)]
        with pytest.raises(httpx.TransportError):
            next(stream)
        assert seen == ["", "one", " two"]
    assert (server.open, server.cancelled, server.bill) == (0, 0, {})


def test_an_answer_that_ends_without_its_end_raises_nothing_in_a_stream(server: FakeServer, client: OpenAI) -> None:
    server.script("m", Fault(end_after_chunks=2))
    chunks = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "The", " quick"]
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    with pytest.raises(json.JSONDecodeError):
        client.chat.completions.create(model="m", messages=HELLO)
