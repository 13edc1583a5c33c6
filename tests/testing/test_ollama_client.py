"""The unmodified ``ollama`` client against the fake server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import ollama
import pytest

from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply

HELLO = [{"role": "user", "content": "Where is it?"}]
CITY = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def client(server: FakeServer) -> Iterator[ollama.Client]:
    with ollama.Client(host=server.url) as client:
        yield client


@pytest.fixture
async def aclient(server: FakeServer) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=server.url) as client:
        yield client


def test_a_chat_has_its_text_its_counts_and_its_end(server: FakeServer, client: ollama.Client) -> None:
    server.script("phi3:mini", Reply("Paris.", input_tokens=25, output_tokens=3))
    answer = client.chat("phi3:mini", messages=HELLO)
    assert answer.message.content == "Paris."
    assert (answer.model, answer.done, answer.done_reason) == ("phi3:mini", True, "stop")
    assert (answer.prompt_eval_count, answer.eval_count) == (25, 3)
    assert answer.total_duration
    assert server.bill == {"phi3:mini": Usage(25, 3)}


def test_a_streamed_chat_ends_with_its_counts(server: FakeServer, client: ollama.Client) -> None:
    server.script("m", Reply("Paris it is.", input_tokens=25, output_tokens=3))
    parts = list(client.chat("m", messages=HELLO, stream=True))
    assert [part.message.content for part in parts] == ["Paris", " it", " is.", ""]
    assert [part.done for part in parts] == [False, False, False, True]
    assert (parts[0].eval_count, parts[-1].eval_count) == (None, 3)


async def test_the_asynchronous_client_gets_the_same(server: FakeServer, aclient: ollama.AsyncClient) -> None:
    server.script("m", Reply("Paris it is."))
    answer = await aclient.chat("m", messages=HELLO)
    parts = [part async for part in await aclient.chat("m", messages=HELLO, stream=True)]
    assert answer.message.content == "".join(part.message.content or "" for part in parts) == "Paris it is."
    generated = await aclient.generate("m", prompt="Where?")
    assert generated.response == "Paris it is."


def test_generating_from_a_prompt(server: FakeServer, client: ollama.Client) -> None:
    server.script("m", Reply("Paris it is."))
    assert client.generate("m", prompt="Where is it?").prompt_eval_count == 3
    parts = list(client.generate("m", prompt="Where?", stream=True))
    assert [part.response for part in parts] == ["Paris", " it", " is.", ""]


def test_counts_that_are_zero_or_left_out_are_absent(server: FakeServer, client: ollama.Client) -> None:
    server.script("m", Reply("hi", input_tokens=0, output_tokens=2), Reply("hi", usage=False))
    answer = client.chat("m", messages=HELLO)
    assert (answer.prompt_eval_count, answer.eval_count) == (None, 2)
    answer = client.chat("m", messages=HELLO)
    assert (answer.prompt_eval_count, answer.eval_count) == (None, None)
    assert server.bill == {"m": Usage(0, 2)}


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_come_where_they_are_asked_for(
    server: FakeServer, client: ollama.Client, stream: bool
) -> None:
    server.script("m", Reply("simple task", logprobs=[{"simple": -0.1, "complex": -2.5}, -0.2]))
    asked = client.chat("m", messages=HELLO, logprobs=True, top_logprobs=2, stream=stream)
    parts = list(asked) if stream else [asked]
    tokens = [token for part in parts for token in part.logprobs or ()]
    assert [(token.token, token.logprob) for token in tokens] == [("simple", -0.1), (" task", -0.2)]
    assert [(top.token, top.logprob) for top in tokens[0].top_logprobs or ()] == [("simple", -0.1), ("complex", -2.5)]
    assert client.generate("m", prompt="x", logprobs=True).logprobs[0].logprob == -0.1
    assert client.chat("m", messages=HELLO).logprobs is None
    with pytest.raises(ollama.ResponseError, match="top_logprobs") as caught:
        client.chat("m", messages=HELLO, logprobs=True, top_logprobs=21)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_objects_without_ids(server: FakeServer, client: ollama.Client, stream: bool) -> None:
    server.script("m", Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", '{"a": 3}')]))
    answer = client.chat("m", messages=HELLO, tools=[add], stream=stream)
    calls = [call for part in (answer if stream else [answer]) for call in part.message.tool_calls or ()]
    assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
        ("add", {"a": 1, "b": 2}),
        ("add", {"a": 3}),
    ]
    raw = httpx.post(f"{server.url}/api/chat", json={"model": "m", "messages": HELLO, "stream": False}).json()
    assert set(raw["message"]["tool_calls"][0]) == {"function"}


@pytest.mark.parametrize("stream", [False, True])
def test_broken_arguments_come_out_as_text(server: FakeServer, client: ollama.Client, stream: bool) -> None:
    server.script("m", Reply(tool_calls=[("add", '{"a": ')]))
    answer = client.chat("m", messages=HELLO, tools=[add], stream=stream)
    parts = list(answer) if stream else [answer]
    assert "".join(part.message.content or "" for part in parts) == '{"name": "add", "parameters": {"a": '
    assert not any(part.message.tool_calls for part in parts)


def test_structured_output_is_what_the_script_says(server: FakeServer, client: ollama.Client) -> None:
    server.script("m", Reply('{"name": "Paris"}'))
    assert client.chat("m", messages=HELLO, format=CITY).message.content == '{"name": "Paris"}'
    assert server.requests[0].body["format"] == CITY


def test_loading_and_unloading_take_no_reply_from_the_script(server: FakeServer, client: ollama.Client) -> None:
    server.script("m", Reply("one"), Reply("two"))
    assert client.chat("m", messages=[]).done_reason == "load"
    assert client.generate("m", keep_alive=0).done_reason == "unload"
    assert client.chat("m", messages=HELLO).message.content == "one"
    assert len(server.calls("m")) == 1
    assert len(server.requests) == 3


def test_the_models_are_listed_and_shown(server: FakeServer, client: ollama.Client) -> None:
    server.script("phi3:mini", Reply("hi"), window=4096, capabilities=["completion"])
    assert [model.model for model in client.list().models] == ["phi3:mini"]
    card = client.show("phi3:mini")
    assert card.capabilities == ["completion"]
    assert card.modelinfo is not None
    assert card.modelinfo["llama.context_length"] == 4096
    with pytest.raises(ollama.ResponseError, match="model 'no' not found"):
        client.show("no")


def test_the_server_says_that_it_runs(server: FakeServer) -> None:
    assert httpx.get(server.url).text == "Ollama is running"
    assert httpx.get(f"{server.url}/api/version").json()["version"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]},
    ],
    ids=["content", "arguments"],
)
def test_a_history_that_the_real_server_refuses_is_refused(server: FakeServer, message: dict[str, object]) -> None:
    server.script("m", Reply("hi"))
    response = httpx.post(f"{server.url}/api/chat", json={"model": "m", "messages": [message]})
    assert response.status_code == 400
    assert response.json()["error"].startswith("json: cannot unmarshal")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(404), "model 'm' not found"),
        (Fault(400, code="context_length_exceeded"), "the input length exceeds the context length"),
        (Fault(503), "server busy, please try again.  maximum pending requests exceeded"),
        (Fault(500), "llama runner process has terminated"),
        (Fault(499), "unexpected error"),
    ],
)
def test_errors_have_the_words_of_the_real_server(
    server: FakeServer, client: ollama.Client, fault: Fault, words: str
) -> None:
    server.script("m", fault)
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat("m", messages=HELLO)
    assert caught.value.status_code == fault.status
    assert caught.value.error.startswith(words)


def test_the_systemone_endpoint_is_not_served(server: FakeServer, client: ollama.Client) -> None:
    server.script("m", Reply("hi"))
    response = httpx.post(f"{server.url}/v1/systemone", json={"model": "m"})
    assert response.status_code == 404


@pytest.mark.parametrize("reset", [False, True])
async def test_what_was_sent_before_a_stream_broke_arrives(
    server: FakeServer, aclient: ollama.AsyncClient, reset: bool
) -> None:
    server.script("m", Fault(die_after_chunks=2, reset=reset, reply=Reply("one two three")))
    for _ in range(20):
        stream = aiter(await aclient.chat("m", messages=HELLO, stream=True))
        seen = [(await anext(stream)).message.content for _ in range(2)]
        with pytest.raises(httpx.TransportError):
            await anext(stream)
        assert seen == ["one", " two"]
    assert (server.open, server.cancelled, server.bill) == (0, 0, {})


def test_an_answer_that_ends_without_its_end_raises_nothing_in_a_stream(
    server: FakeServer, client: ollama.Client
) -> None:
    server.script("m", Fault(end_after_chunks=2))
    parts = list(client.chat("m", messages=HELLO, stream=True))
    assert [(part.message.content, part.done) for part in parts] == [("The", False), (" quick", False)]
