"""Requests that got no whole answer: those count that their provider has worked on, or may have."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import ollama
import openai
import pytest
import requests
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from slmroute.testing import FakeServer, Fault, Reply
from slmroute.unanswered import given_up, handled, may_count


def late(again: str = "0") -> openai.APITimeoutError:
    return openai.APITimeoutError(request=httpx.Request("POST", "http://x", headers={"x-stainless-retry-count": again}))


def refused(status: int, cause: Exception) -> openai.APIStatusError:
    answer = httpx.Response(status, request=httpx.Request("POST", "http://x"))
    error = openai.APIStatusError("no", response=answer, body=None)
    error.__cause__ = cause
    return error


def test_an_answer_that_came_too_late_may_have_been_counted() -> None:
    wrapped = late()
    wrapped.__cause__ = httpx.ReadTimeout("late")
    assert may_count(httpx.ReadTimeout("late")) == may_count(wrapped) == 1
    for error in (
        httpx.ConnectTimeout("late"),
        httpx.ReadError("broken"),
        ConnectionError(),
        refused(503, ValueError()),
    ):
        assert may_count(error) == 0


def test_errors_that_are_each_other_s_cause_are_looked_at_once() -> None:
    own = ConnectionError("down")
    own.__cause__ = own
    assert may_count(own) == 0
    first, second = ConnectionError("one"), httpx.ReadTimeout("late")
    first.__cause__, second.__cause__ = second, first
    assert may_count(first) == may_count(second) == 1


def fail(error: Exception) -> None:
    raise error


def test_what_was_handled_as_a_call_began_is_no_cause_of_its_error() -> None:
    try:
        fail(httpx.ReadTimeout("another's"))
    except httpx.ReadTimeout:
        outside = handled()
        with pytest.raises(ConnectionError) as refused:
            fail(ConnectionError("refused"))
        with pytest.raises(httpx.ReadTimeout) as own:
            fail(httpx.ReadTimeout("its own"))
    assert may_count(refused.value) == 1
    assert may_count(refused.value, outside=outside) == 0
    assert may_count(own.value, outside=outside) == 1


@pytest.mark.parametrize(("told", "requests"), [("0", 1), ("2", 3), ("-1", 1), ("many", 1), ("", 1)])
def test_what_a_client_sent_again_is_counted_too(told: str, requests: int) -> None:
    assert may_count(late(told)) == 0
    error = late(told)
    error.__cause__ = httpx.ReadTimeout("late")
    assert may_count(error) == requests
    assert may_count(error, 2) == requests + 2
    assert may_count(httpx.ReadTimeout("late")) == 1


def test_a_body_that_is_no_json_was_worked_on_unless_it_is_an_error_s() -> None:
    broken = json.JSONDecodeError("no", "{", 1)
    assert may_count(broken) == may_count(refused(200, broken)) == 1
    assert may_count(refused(502, broken)) == 0


def fetch(url: str) -> object:
    return httpx.post(url, json=BODY).json()


async def afetch(url: str) -> object:
    async with httpx.AsyncClient() as client:
        return (await client.post(url, json=BODY)).json()


def fetch_by_requests(url: str) -> object:
    return requests.post(url, json=BODY, timeout=30).json()


async def fetch_by_aiohttp(url: str) -> object:
    aiohttp = pytest.importorskip("aiohttp")
    async with aiohttp.ClientSession() as session, session.post(url, json=BODY) as response:
        return await response.json()


async def asked(client: Callable[[str], Any], url: str) -> object:
    return await client(url) if inspect.iscoroutinefunction(client) else await asyncio.to_thread(client, url)


BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLIENTS: list[Callable[[str], Any]] = [fetch, afetch, fetch_by_requests, fetch_by_aiohttp]


@pytest.mark.parametrize(
    ("fault", "counts"),
    [
        (Fault(die_after_chunks=2), 1),
        (Fault(die_after_chunks=2, reset=False), 1),
        (Fault(end_after_chunks=2), 1),
        (Fault(garbage=True), 1),
        (Fault(die_before_first=True), 0),
        (Fault(die_before_first=True, reset=False), 0),
        (Fault(refuse=True), 0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("client", CLIENTS)
async def test_every_client_tells_an_answer_that_broke_off_from_none(
    client: Callable[[str], Any], fault: Fault, counts: int
) -> None:
    with FakeServer({"m": fault}) as server, pytest.raises(Exception) as caught:  # noqa: PT011  whatever it makes of it
        await asked(client, f"{server.openai_url}/chat/completions")
    assert may_count(caught.value) == counts


HI: Any = [{"role": "user", "content": "hi"}]


async def stream_openai(host: str) -> list[object]:
    async with openai.AsyncOpenAI(base_url=f"{host}/v1", api_key="canary", max_retries=0) as client:
        return [each async for each in await client.chat.completions.create(model="m", messages=HI, stream=True)]


async def stream_ollama(host: str) -> list[object]:
    return [each async for each in await ollama.AsyncClient(host).chat("m", HI, stream=True)]


def stream_hugging_face(host: str) -> list[object]:
    hub: Any = pytest.importorskip("huggingface_hub")
    client = hub.InferenceClient(base_url=f"{host}/v1", api_key="canary")
    return list(client.chat_completion(HI, stream=True))


def stream_anthropic(host: str) -> list[object]:
    anthropic: Any = pytest.importorskip("anthropic")
    client = anthropic.Anthropic(base_url=host, api_key="canary", max_retries=0)
    return list(client.messages.create(model="m", max_tokens=9, messages=HI, stream=True))


def google_client(host: str) -> Any:
    genai: Any = pytest.importorskip("google.genai")
    return genai.Client(api_key="canary", http_options={"base_url": host})


def stream_google(host: str) -> list[object]:
    client = google_client(host)
    return list(client.models.generate_content_stream(model="m", contents="hi"))


async def astream_google(host: str) -> list[object]:
    client = google_client(host)
    return [each async for each in await client.aio.models.generate_content_stream(model="m", contents="hi")]


STREAMS = {
    stream_openai: b'data: {"error": {"message": "no"}}\n\n',
    stream_ollama: b'{"error": "no"}\n',
    stream_hugging_face: b'data: {"error": "no"}\n\n',
    stream_anthropic: b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n',
    stream_google: b'data: {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}\n\n',
    astream_google: b'data: {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}\n\n',
}


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.parametrize(("status", "counts"), [(200, 1), (503, 0)])
@pytest.mark.parametrize("client", STREAMS)
async def test_an_error_in_an_answer_that_began_well_is_told_from_one_that_is_the_answer(
    client: Callable[[str], Any], status: int, counts: int
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d .\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" % status)
        writer.write(STREAMS[client])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011  whatever it makes of it
            await asked(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    package = type(caught.value).__module__.partition(".")[0]
    assert package in ("anthropic", "google", "huggingface_hub", "ollama", "openai")
    assert may_count(caught.value) == counts


async def test_the_body_of_an_error_may_break_off_as_it_likes() -> None:
    async def error(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(error, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.RemoteProtocolError) as caught:
                await client.post(f"http://127.0.0.1:{port}/")
    assert may_count(caught.value) == 0


async def interrupted(work: Awaitable[object], when: Awaitable[object]) -> asyncio.CancelledError:
    task = asyncio.ensure_future(work)
    await when
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return caught.value


async def test_what_is_given_up_while_it_waits_for_another_s_connection_has_not_left() -> None:
    lock = asyncio.Lock()
    places = {"__name__": "httpcore._synchronization"}, {"__name__": "httpcore._async.connection"}
    exec("async def __aenter__(lock): await lock.acquire()", places[0])  # noqa: S102  stands for httpcore
    exec("async def handle_async_request(enter, lock): await enter(lock)", places[1])  # noqa: S102  the same
    exec("async def _response_closed(enter, lock): await enter(lock)", places[1])  # noqa: S102  the same
    await lock.acquire()
    for function, counts in (("handle_async_request", 0), ("_response_closed", 1)):
        waiting: Any = places[1][function]
        error = await interrupted(waiting(places[0]["__aenter__"], lock), asyncio.sleep(0))
        assert given_up(error) == counts


@pytest.mark.parametrize("counts", [None, 0, 2])
async def test_what_was_sent_before_a_round_that_waits_to_connect_counts(
    counts: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting, again = asyncio.Event(), 0

    async def ask(url: str) -> object:
        nonlocal again
        again += 1
        if again == 2:
            monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", never)
        return await afetch(url)

    async def never(*_: object, **__: object) -> object:
        connecting.set()
        return await asyncio.get_running_loop().create_future()

    with FakeServer({"m": [Fault(die_after_chunks=2), Reply("Paris.")]}) as server:
        rounds = AsyncRetrying(stop=stop_after_attempt(3), retry=retry_if_exception_type(httpx.HTTPError))
        error = await interrupted(rounds(ask, f"{server.openai_url}/chat/completions"), connecting.wait())
    assert given_up(error, counts) == (1 if counts is None else counts)
