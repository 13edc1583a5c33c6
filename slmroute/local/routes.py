"""What the server does at each address."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import socket
import time
from contextlib import aclosing
from typing import ClassVar, Protocol, cast
from urllib.parse import urlsplit

from slmroute.http_connection import Exchange
from slmroute.local import ollama_answer, ollama_request, openai_wire
from slmroute.local.completion import Ask, Json, Piece, Refused, Times
from slmroute.local.engine import Engine
from slmroute.local.llama_wire import members
from slmroute.local.model_file import ModelFile
from slmroute.local.ollama_answer import OllamaAnswer
from slmroute.local.openai_wire import OpenAIAnswer
from slmroute.local.process import RunnerProcess

__all__ = ["Routes"]

ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""What is escaped in JSON: two halves of a surrogate pair, one half only, or something else."""

JSON_TYPE = {"content-type": "application/json; charset=utf-8"}
TEXT_TYPE = {"content-type": "text/plain"}

GETS = frozenset({"/", "/api/version", "/api/tags", "/api/ps", "/v1/models"})
POSTS = frozenset({"/api/chat", "/api/generate", "/api/show", "/v1/chat/completions"})

UNSUPPORTED = frozenset(
    {
        "/api/pull",
        "/api/push",
        "/api/create",
        "/api/copy",
        "/api/delete",
        "/api/embed",
        "/api/embeddings",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/responses",
    }
)
"""What Ollama has and this server has not."""


class Answer(Protocol):
    """How a generation is answered on one of the wires."""

    @property
    def model(self) -> str: ...
    @property
    def ask(self) -> Ask: ...
    @property
    def stream(self) -> bool: ...

    media_type: ClassVar[str]

    @property
    def opening(self) -> bytes: ...
    def frame(self, piece: Piece) -> bytes: ...
    def closing(self, piece: Piece, times: Times) -> bytes: ...
    def whole(self, piece: Piece, times: Times) -> bytes: ...
    def error_frame(self, message: str) -> bytes: ...


class Routes:
    """Answers requests.

    Args:
        file: The model.
        engine: What runs it.
        loopback: Whether only this machine is to be answered. Then requests must name it, too: a web page can make a
            browser send requests here under the name of its own site, but not under ours.
    """

    def __init__(self, file: ModelFile, engine: Engine, *, loopback: bool) -> None:
        self._file = file
        self._engine = engine
        self._loopback = loopback

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        openai = request.path.startswith("/v1")
        try:
            if self._loopback and not names_this_machine(request.headers.get("host", "")):
                exchange.send(403, b"", TEXT_TYPE)
            elif request.path in POSTS:
                await self._post(exchange)
            elif request.path in GETS or request.path.startswith("/v1/models/"):
                self._get(exchange)
            else:
                self._no_route(exchange)
        except Refused as error:
            body = openai_wire.error(error.status, error.message) if openai else ollama_answer.error(error.message)
            exchange.send(error.status, body, JSON_TYPE)

    def _get(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if exchange.request.method not in ("GET", "HEAD"):
            exchange.send(405, b"405 method not allowed", TEXT_TYPE)
        elif path == "/":
            exchange.send(200, b"Ollama is running", TEXT_TYPE)
        elif path == "/api/version":
            exchange.send(200, ollama_answer.encode({"version": ollama_answer.VERSION}), JSON_TYPE)
        elif path == "/api/tags":
            exchange.send(200, ollama_answer.tags(self._file), JSON_TYPE)
        elif path == "/api/ps":
            expires_at = None if self._engine.runner is None else self._engine.expires_at
            num_ctx = self._engine.settings.num_ctx
            exchange.send(200, ollama_answer.process_list(self._file, num_ctx, expires_at), JSON_TYPE)
        elif path == "/v1/models":
            exchange.send(200, openai_wire.model_list(self._file), JSON_TYPE)
        else:
            name = path.removeprefix("/v1/models/")
            self._require(name)
            exchange.send(200, openai_wire.model_of(self._file, name), JSON_TYPE)

    async def _post(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method != "POST":
            exchange.send(405, b"405 method not allowed", TEXT_TYPE)
            return
        body = json_object(request.content)
        if request.path == "/api/show":
            name = ollama_request.model_name(body, also="name")
            if not name:
                raise Refused(400, "model is required")
            self._require(name)
            exchange.send(200, ollama_answer.show(self._file, self._engine.settings.num_ctx), JSON_TYPE)
        elif request.path == "/v1/chat/completions":
            await self._openai_chat(exchange, body)
        else:
            await self._ollama(exchange, body, chat=request.path == "/api/chat")

    async def _ollama(self, exchange: Exchange, body: Json, *, chat: bool) -> None:
        ollama_request.alternatives(body)
        name = ollama_request.model_name(body)
        if not name and chat:
            raise Refused(400, "model is required")
        self._require(name)
        keep_alive_s = ollama_request.keep_alive_s(body)
        if not body.get("messages" if chat else "prompt"):
            await self._load_or_put_out(exchange, name, keep_alive_s, chat=chat)
            return
        read = ollama_request.chat_ask if chat else ollama_request.generate_ask
        stream = body.get("stream") is not False
        answer = OllamaAnswer(name, read(body, self._file), chat, stream)
        await self._generate(exchange, answer, keep_alive_s)

    async def _openai_chat(self, exchange: Exchange, body: Json) -> None:
        ollama_request.alternatives(body)
        name = ollama_request.model_name(body)
        if not name:
            raise Refused(400, "model is required")
        self._require(name)
        include_usage = members(body.get("stream_options")).get("include_usage") is True
        ask = openai_wire.openai_ask(body, self._file)
        answer = OpenAIAnswer(name, ask, body.get("stream") is True, include_usage)
        await self._generate(exchange, answer, None)

    async def _load_or_put_out(self, exchange: Exchange, name: str, keep_alive_s: float | None, *, chat: bool) -> None:
        if keep_alive_s == 0:
            self._engine.put_out()
            reason = "unload"
        else:
            async with self._engine.use(keep_alive_s):
                reason = "load"
        exchange.send(200, ollama_answer.loaded(name, reason, chat=chat), JSON_TYPE)

    async def _generate(self, exchange: Exchange, answer: Answer, keep_alive_s: float | None) -> None:
        started_ns = time.monotonic_ns()
        async with self._engine.use(keep_alive_s) as runner:
            loaded_ns = time.monotonic_ns()

            def times() -> Times:
                return Times(time.monotonic_ns() - started_ns, loaded_ns - started_ns)

            if answer.stream:
                await self._stream(exchange, answer, runner, times)
            else:
                await self._send(exchange, answer, runner, times)

    async def _stream(self, exchange: Exchange, answer: Answer, runner: RunnerProcess, times: Clock) -> None:
        opened = False
        try:
            async with aclosing(self._engine.generate(runner, answer.ask)) as pieces:
                async for piece in pieces:
                    if not opened:
                        opened = True
                        await exchange.open({"content-type": answer.media_type})
                        await exchange.write_chunk(answer.opening)
                    if piece.end is None:
                        await exchange.write_chunk(answer.frame(piece))
                    else:
                        exchange.finish(answer.closing(piece, times()))
        except Refused as error:
            if not opened:
                raise
            exchange.finish(answer.error_frame(error.message))

    async def _send(self, exchange: Exchange, answer: Answer, runner: RunnerProcess, times: Clock) -> None:
        parts: list[Piece] = []
        async with aclosing(self._engine.generate(runner, answer.ask)) as pieces:
            async for piece in pieces:
                parts.append(piece)  # noqa: PERF401 - an asynchronous comprehension could not be broken off cleanly
        exchange.send(200, answer.whole(joined(parts), times()), JSON_TYPE)

    def _require(self, name: str) -> None:
        if not self._file.answers_to(name):
            raise Refused(404, f"model '{name}' not found")

    def _no_route(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path not in UNSUPPORTED:
            exchange.send(404, b"404 page not found", TEXT_TYPE)
            return
        raise Refused(
            501,
            f"{path.rpartition('/')[2]} is not supported: slmroute serve has one model, {self._file.name}, and is no "
            "replacement for Ollama. Start it with --model FILE for another model, or install Ollama: "
            "https://ollama.com",
        )


class Clock(Protocol):
    """Tells the times of a request until now."""

    def __call__(self) -> Times: ...


def names_this_machine(host: str) -> bool:
    """Tell whether a request's ``host`` is one that no name server of somebody else can give out."""
    name = urlsplit(f"//{host}").hostname or ""
    if name in ("", "localhost", socket.gethostname().lower()) or name.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def joined(parts: list[Piece]) -> Piece:
    """Put the pieces of an answer together."""
    return Piece(
        text="".join(part.text for part in parts),
        thinking="".join(part.thinking for part in parts),
        calls=[call for part in parts for call in part.calls],
        logprobs=[entry for part in parts for entry in part.logprobs],
        end=parts[-1].end,
    )


def json_object(content: bytes) -> Json:
    """Read a request's body.

    Raises:
        Refused: It is empty, or no JSON object.
    """
    if not content.strip():
        raise Refused(400, "missing request body")
    try:
        text = ESCAPES.sub(whole_character, content.decode("utf-8", "replace"))
        value: object = json.loads(text, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError):
        raise Refused(400, "invalid character in the request: expected a JSON object") from None
    if not isinstance(value, dict):
        raise Refused(400, "json: cannot unmarshal the request into a Go value of type api.ChatRequest")
    return cast("Json", value)


def whole_character(escape: re.Match[str]) -> str:
    """Replace half a surrogate pair, which is no character and can be sent nowhere, as Go does."""
    return "\\ufffd" if escape["half"] else escape[0]


def finite(number: str) -> float:
    """Read a number, as Go does: it knows none that is infinite, and no NaN."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value
