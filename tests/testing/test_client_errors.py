"""What each unmodified client raises for each fault: the table that the list of availability errors is built on."""

from __future__ import annotations

import builtins
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import httpx
import ollama
import openai
import pytest
from langchain_core import exceptions as langchain
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama as LlamaOllama
from llama_index.llms.openai import OpenAI as LlamaOpenAI

from slmroute.testing import FakeServer, Fault

pytestmark = pytest.mark.usefixtures("closed_clients")

MODEL = "gpt-4.1"
PATIENCE_S = 0.1
MESSAGES = [{"role": "user", "content": "hello"}]
CHAT = [ChatMessage(content="hello")]

Raised = type[Exception] | tuple[type[Exception], int]
"""The exact class, or the class and the status it carries."""


@dataclass(frozen=True)
class Row:
    """What comes of a fault: not streamed, and streamed."""

    fault: Fault
    openai: tuple[Raised, Raised]
    ollama: tuple[Raised, Raised]


def both(raised: Raised) -> tuple[Raised, Raised]:
    return raised, raised


def status(number: int, openai_class: type[Exception], code: str | None = None) -> Row:
    return Row(Fault(number, code=code), both((openai_class, number)), both((ollama.ResponseError, number)))


LOST = (openai.APIConnectionError, httpx.ReadError)
CLOSED = (openai.APIConnectionError, httpx.RemoteProtocolError)
STALLED = (openai.APITimeoutError, httpx.ReadTimeout)

TABLE: dict[str, Row] = {
    "refused": Row(Fault(refuse=True), both(openai.APIConnectionError), (builtins.ConnectionError, httpx.ConnectError)),
    "400 too long": status(400, openai.BadRequestError, "context_length_exceeded"),
    "400": status(400, openai.BadRequestError),
    "401": status(401, openai.AuthenticationError),
    "403": status(403, openai.PermissionDeniedError),
    "404": status(404, openai.NotFoundError),
    "408": status(408, openai.APIStatusError),
    "429": status(429, openai.RateLimitError),
    "500": status(500, openai.InternalServerError),
    "503": status(503, openai.InternalServerError),
    "reset before the first byte": Row(
        Fault(die_before_first=True), both(openai.APIConnectionError), both(httpx.ReadError)
    ),
    "closed before the first byte": Row(
        Fault(die_before_first=True, reset=False), both(openai.APIConnectionError), both(httpx.RemoteProtocolError)
    ),
    "reset before the first chunk": Row(Fault(die_after_chunks=0), LOST, both(httpx.ReadError)),
    "reset in mid-stream": Row(Fault(die_after_chunks=2), LOST, both(httpx.ReadError)),
    "closed in mid-stream": Row(Fault(die_after_chunks=2, reset=False), CLOSED, both(httpx.RemoteProtocolError)),
    "stalled before the first chunk": Row(Fault(stall_after_chunks=0), STALLED, both(httpx.ReadTimeout)),
    "stalled in mid-stream": Row(Fault(stall_after_chunks=2), STALLED, both(httpx.ReadTimeout)),
    "error in the stream": Row(
        Fault(error_line_after_chunks=2),
        ((openai.InternalServerError, 500), openai.APIError),
        ((ollama.ResponseError, 500), (ollama.ResponseError, -1)),
    ),
    "garbage": Row(Fault(garbage=True), both(json.JSONDecodeError), both(json.JSONDecodeError)),
}

LANGCHAIN_KINDS: dict[str, type[Exception]] = {
    "refused": langchain.ModelConnectionError,
    "400 too long": langchain.ContextOverflowError,
    "401": langchain.ModelAuthenticationError,
    "403": langchain.ModelPermissionDeniedError,
    "404": langchain.ModelNotFoundError,
    "429": langchain.ModelRateLimitError,
    "500": langchain.ModelAPIError,
    "503": langchain.ModelAPIError,
}


async def raised_by(
    call: Callable[[], object],
    acall: Callable[[], Awaitable[object]],
    stream: Callable[[], Iterator[object]],
    astream: Callable[[], Awaitable[AsyncIterator[object]] | AsyncIterator[object]],
) -> tuple[list[Exception], list[Exception]]:
    """Make a call in the four ways there are; gives what the two plain and the two streamed ones raised."""

    async def read() -> None:
        opened = astream()
        parts = await opened if isinstance(opened, Awaitable) else opened
        async for _ in parts:
            pass

    plain: list[Exception] = []
    streamed: list[Exception] = []
    for sync, errors in ((call, plain), (lambda: list(stream()), streamed)):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is looked at afterwards
            sync()
        errors.append(caught.value)
    for coroutine, errors in ((acall, plain), (read, streamed)):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - as above
            await coroutine()
        errors.append(caught.value)
    return plain, streamed


def assert_raised(errors: list[Exception], expected: Raised, *, exact: bool = True) -> None:
    kind, code = expected if isinstance(expected, tuple) else (expected, None)
    for error in errors:
        assert type(error) is kind if exact else isinstance(error, kind), repr(error)
        assert code is None or getattr(error, "status_code", None) == code


@pytest.fixture(params=list(TABLE))
def row(request: pytest.FixtureRequest, server: FakeServer) -> Row:
    row = TABLE[request.param]
    server.script(MODEL, row.fault)
    return row


async def test_openai(server: FakeServer, row: Row) -> None:
    ask = {"model": MODEL, "messages": MESSAGES}
    options = {"base_url": server.openai_url, "api_key": "k", "max_retries": 0, "timeout": PATIENCE_S}
    with openai.OpenAI(**options) as client:
        async with openai.AsyncOpenAI(**options) as aclient:
            plain, streamed = await raised_by(
                lambda: client.chat.completions.create(**ask),
                lambda: aclient.chat.completions.create(**ask),
                lambda: client.chat.completions.create(**ask, stream=True),
                lambda: aclient.chat.completions.create(**ask, stream=True),
            )
    assert_raised(plain, row.openai[0])
    assert_raised(streamed, row.openai[1])


async def test_ollama(server: FakeServer, row: Row) -> None:
    with ollama.Client(host=server.url, timeout=PATIENCE_S) as client:
        async with ollama.AsyncClient(host=server.url, timeout=PATIENCE_S) as aclient:
            plain, streamed = await raised_by(
                lambda: client.chat(MODEL, messages=MESSAGES),
                lambda: aclient.chat(MODEL, messages=MESSAGES),
                lambda: client.chat(MODEL, messages=MESSAGES, stream=True),
                lambda: aclient.chat(MODEL, messages=MESSAGES, stream=True),
            )
    assert_raised(plain, row.ollama[0])
    assert_raised(streamed, row.ollama[1])


async def test_chat_openai(server: FakeServer, row: Row, request: pytest.FixtureRequest) -> None:
    model = ChatOpenAI(model=MODEL, base_url=server.openai_url, api_key="k", max_retries=0, timeout=PATIENCE_S)
    plain, streamed = await raised_by(
        lambda: model.invoke("hello"),
        lambda: model.ainvoke("hello"),
        lambda: model.stream("hello"),
        lambda: model.astream("hello"),
    )
    # It raises subclasses of openai's errors, which are langchain's own at the same time.
    assert_raised(plain, row.openai[0], exact=False)
    assert_raised(streamed, row.openai[1], exact=False)
    name = request.node.callspec.params["row"]
    if name in LANGCHAIN_KINDS:
        assert_raised([*plain, *streamed], LANGCHAIN_KINDS[name], exact=False)


async def test_chat_ollama(server: FakeServer, row: Row) -> None:
    model = ChatOllama(model=MODEL, base_url=server.url, client_kwargs={"timeout": PATIENCE_S})
    plain, streamed = await raised_by(
        lambda: model.invoke("hello"),
        lambda: model.ainvoke("hello"),
        lambda: model.stream("hello"),
        lambda: model.astream("hello"),
    )
    # It streams on the wire whatever it is asked for.
    assert_raised([*plain, *streamed], row.ollama[1])


async def test_llama_index_openai(server: FakeServer, row: Row) -> None:
    llm = LlamaOpenAI(model=MODEL, api_base=server.openai_url, api_key="k", max_retries=0, timeout=PATIENCE_S)
    plain, streamed = await raised_by(
        lambda: llm.chat(CHAT), lambda: llm.achat(CHAT), lambda: llm.stream_chat(CHAT), lambda: llm.astream_chat(CHAT)
    )
    assert_raised(plain, row.openai[0])
    assert_raised(streamed, row.openai[1])


async def test_llama_index_ollama(server: FakeServer, row: Row) -> None:
    llm = LlamaOllama(model=MODEL, base_url=server.url, request_timeout=PATIENCE_S, context_window=4096)
    plain, streamed = await raised_by(
        lambda: llm.chat(CHAT), lambda: llm.achat(CHAT), lambda: llm.stream_chat(CHAT), lambda: llm.astream_chat(CHAT)
    )
    assert_raised(plain, row.ollama[0])
    assert_raised(streamed, row.ollama[1])
