"""A server on loopback that speaks OpenAI's wire and Ollama's, and says what a script tells it to."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, cast

from slmroute.errors import ConfigError
from slmroute.http_connection import Connection, Exchange, Request, close_all
from slmroute.steps import Usage
from slmroute.testing import ollama_wire, openai_wire
from slmroute.testing.answering import JSON_TYPE, Holds, send_error, send_fault, send_reply
from slmroute.testing.books import GENERATING, Account, Books, Received
from slmroute.testing.models import ScriptedModel, ScriptedModels
from slmroute.testing.ollama_wire import OllamaWire
from slmroute.testing.openai_wire import OpenAIWire
from slmroute.testing.script import Entry, Fault, Reply, Script
from slmroute.testing.wire import Json, Wire, encode, usage_of

__all__ = ["FakeServer"]

HOST = "127.0.0.1"

BACKLOG = 1024


class FakeServer:
    """A server on loopback that speaks OpenAI's wire and Ollama's, and says what a script tells it to.

    It is a real HTTP server in a thread of its own, so that unmodified clients work against it: their chat calls
    (streamed or not, with tools, log-probabilities and structured output), lists of models, and errors. It refuses
    what the real servers refuse: models it does not have (404), and histories that are malformed (400).

    It keeps its own books of what it received and what it reported, for tests to check a client's against.

    Args:
        replies: The script of each model. More can be given with ``script``.

    Example:
        >>> import json, urllib.request
        >>> from slmroute.testing import FakeServer, Fault, Reply
        >>> with FakeServer({"phi3:mini": Reply("Paris.", input_tokens=7, output_tokens=2)}) as server:
        ...     server.script("gpt-4.1", Fault(503), Reply("Paris, of course."))
        ...     body = {"model": "phi3:mini", "stream": False, "messages": [{"role": "user", "content": "Where?"}]}
        ...     with urllib.request.urlopen(f"{server.url}/api/chat", json.dumps(body).encode()) as response:
        ...         json.load(response)["message"]["content"]
        'Paris.'
        >>> server.requests[0].model, server.bill["phi3:mini"].output_tokens
        ('phi3:mini', 2)

        With the clients: ``OpenAI(base_url=server.openai_url, api_key="any")``, ``ollama.Client(host=server.url)``,
        ``ChatOpenAI(base_url=server.openai_url, ...)``, ``ChatOllama(base_url=server.url, ...)``.
    """

    def __init__(self, replies: Mapping[str, Script] | None = None) -> None:
        self._models = ScriptedModels()
        self._books = Books()
        self._ids = itertools.count(1)
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._errors: list[BaseException] = []
        for name, script in (replies or {}).items():
            self.script(name, *((script,) if isinstance(script, Reply | Fault) or callable(script) else script))

    @property
    def url(self) -> str:
        """The address of the Ollama server.

        Raises:
            ConfigError: The server was not started.
        """
        if self._port is None:
            raise ConfigError("FakeServer has no address before it runs: use it as `with FakeServer(...) as server:`.")
        return f"http://{HOST}:{self._port}"

    @property
    def openai_url(self) -> str:
        """The base URL of OpenAI's API, as its clients take it."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[Received]:
        """Every request received so far, in order of arrival."""
        return self._books.requests

    @property
    def bill(self) -> dict[str, Usage]:
        """The tokens that were reported to clients, added up for each model they were reported of.

        What is not reported is not on it, but in ``untold``.
        """
        return self._books.bill

    @property
    def untold(self) -> dict[str, tuple[Usage, ...]]:
        """The tokens of the answers that did not report them, for each model, one entry an answer.

        A real provider has them on its bill, and a client can only estimate them. They are those of replies with
        ``usage=False``, of streams that did not ask OpenAI's wire for usage, and of answers that began with HTTP status
        200 and broke off, whoever broke them off. Of a stream that broke off they are as many as were sent.
        """
        return self._books.untold

    @property
    def cancelled(self) -> int:
        """How many answers ended because the client hung up."""
        return self._books.cancelled

    @property
    def open(self) -> int:
        """How many requests are being answered now."""
        return self._books.open

    def calls(self, model: str | None = None) -> list[Received]:
        """Give the requests that asked a model to generate: no lists of models, no loading.

        Args:
            model: Only those to this model.
        """
        return [each for each in self.requests if each.generates and model in (None, each.model)]

    def script(
        self,
        model: str,
        *entries: Entry,
        window: int = 8192,
        capabilities: Sequence[str] = ("completion", "tools"),
    ) -> None:
        """Tell a model what to say: each entry once in order, and the last one again and again.

        Args:
            model: The model's name; it is added where the server does not have it.
            entries: Replies, faults, and callables from a request's body to one of them.
            window: The model's context window in tokens, as ``/api/show`` tells it.
            capabilities: What the model can do, as ``/api/show`` tells it.

        Raises:
            ConfigError: There is no entry.
        """
        self._models.put(model, ScriptedModel(entries, window, tuple(capabilities)))
        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._listen_or_refuse(), self._loop).result()

    def wait_until(self, true: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Wait for something to become true of the server, for example ``lambda: server.cancelled == 1``.

        A coroutine waits with ``await asyncio.to_thread(server.wait_until, ...)``.

        Args:
            true: Asked after each change of the books.
            timeout_s: How many seconds to wait.

        Raises:
            SlmrouteError: It did not become true in time.
        """
        self._books.wait_until(true, timeout_s)

    def __enter__(self) -> Self:
        """Start the server.

        Raises:
            ConfigError: It runs already.
        """
        if self._thread is not None:
            raise ConfigError("FakeServer runs already: enter it once, or make another one.")
        started = Future[None]()
        thread = threading.Thread(target=asyncio.run, args=(self._serve(started),), name="FakeServer", daemon=True)
        thread.start()
        started.result()
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server; connections that are still open are broken.

        Raises:
            BaseException: What a callable in a script raised; the first of them.
        """
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None
        if self._errors:
            raise self._errors[0]

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._holds = Holds()
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        try:
            self._bind(0 if self._port is None else self._port)
            await self._listen_or_refuse()
        except BaseException as error:
            started.set_exception(error)
            raise
        started.set_result(None)
        await self._stop.wait()
        await close_all(self._listener, self._connections)
        self._reserved.close()

    def _bind(self, port: int) -> None:
        """Take the port without listening: connections are refused, and nobody else can have it."""
        # Named, for asyncio turns Nagle off only on sockets that say they are TCP.
        self._reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((HOST, port))
        self._port = cast("tuple[str, int]", self._reserved.getsockname())[1]

    async def _listen_or_refuse(self) -> None:
        if self._models.refusing:
            self._refuse()
        elif self._listener is None:
            self._listener = await self._loop.create_server(self._connection, sock=self._reserved, backlog=BACKLOG)

    def _refuse(self) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        self._bind(cast("int", self._port))
        for connection in tuple(self._connections):
            connection.close_when_idle()

    def _connection(self) -> Connection:
        return Connection(self._receive, self._connections, self._errors.append)

    def _receive(self, connection: Connection, request: Request) -> tuple[Exchange, Coroutine[None, None, None]]:
        body = json_object(request.content)
        self._books.begin(Received.read(request.method, request.path, body or {}, request.headers))
        exchange = Exchange(connection, request, self._books.end)
        return exchange, self._answer(exchange, body)

    async def _answer(self, exchange: Exchange, body: Json | None) -> None:
        request = exchange.request
        if body is None:
            exchange.send(400, malformed(request.path), JSON_TYPE)
        elif request.path in GENERATING and request.method == "POST":
            await self._generate(exchange, body)
        elif request.path == "/api/show" and request.method == "POST":
            self._show(exchange, body)
        elif request.method in ("GET", "HEAD"):
            self._get(exchange, request.path)
        else:
            exchange.send(404, no_route(request), JSON_TYPE)

    async def _generate(self, exchange: Exchange, body: Json) -> None:
        path = exchange.request.path
        name, model = self._named(body)
        openai = path == "/v1/chat/completions"
        if model is None:
            exchange.send(404, openai_wire.not_found(name) if openai else ollama_wire.not_found(name), JSON_TYPE)
            return
        chat = path == "/api/chat"
        if not openai and not body.get("messages" if chat else "prompt"):
            exchange.send(200, ollama_wire.loaded(name, body, chat), JSON_TYPE)
            return
        wire = OpenAIWire(name, body, self._ids, model.window) if openai else OllamaWire(name, body, chat)
        complaint = wire.complaint()
        if complaint is not None:
            send_error(exchange, wire, complaint)
            return
        await self._perform(exchange, wire, name, model, body)

    async def _perform(self, exchange: Exchange, wire: Wire, name: str, model: ScriptedModel, body: Json) -> None:
        entry = self._models.take(model)
        if self._models.refusing:
            self._refuse()
        if callable(entry):
            entry = entry(body)
            if isinstance(entry, Fault) and entry.refuse:
                raise ConfigError("Fault(refuse=) must stand in the script itself: a callable is asked too late.")
        account = Account(self._books, name)
        if isinstance(entry, Fault):
            await send_fault(exchange, wire, entry, usage_of(entry.reply, body), account)
        else:
            await send_reply(exchange, wire, entry, usage_of(entry, body), account, self._holds)

    def _named(self, body: Json) -> tuple[str, ScriptedModel | None]:
        name = body.get("model") or body.get("name")
        return (name, self._models.find(name)) if isinstance(name, str) else ("", None)

    def _show(self, exchange: Exchange, body: Json) -> None:
        name, model = self._named(body)
        if model is None:
            exchange.send(404, ollama_wire.not_found(name), JSON_TYPE)
        else:
            exchange.send(200, ollama_wire.model_card(model.window, model.capabilities), JSON_TYPE)

    def _get(self, exchange: Exchange, path: str) -> None:
        names = self._models.names
        model = path.removeprefix("/v1/models/")
        if path == "/":
            exchange.send(200, b"Ollama is running", {"content-type": "text/plain; charset=utf-8"})
        elif path == "/api/version":
            exchange.send(200, encode({"version": ollama_wire.VERSION}), JSON_TYPE)
        elif path == "/api/tags":
            exchange.send(200, ollama_wire.model_list(names), JSON_TYPE)
        elif path == "/v1/models":
            exchange.send(200, openai_wire.model_list(names), JSON_TYPE)
        elif model != path and model in names:
            exchange.send(200, encode(openai_wire.model_entry(model)), JSON_TYPE)
        else:
            exchange.send(404, openai_wire.not_found(model) if model != path else no_route(exchange.request), JSON_TYPE)


def json_object(content: bytes) -> Json | None:
    """Read a request's body; empty where there is none, None where it is no JSON object."""
    if not content:
        return {}
    try:
        value: object = json.loads(content)
    except ValueError:
        return None
    return cast("Json", value) if isinstance(value, dict) else None


def malformed(path: str) -> bytes:
    """Write the error for a body that is no JSON object."""
    if path.startswith("/v1"):
        return openai_wire.error("We could not parse the JSON body of your request.")
    return ollama_wire.error("invalid character in the request: expected a JSON object")


def no_route(request: Request) -> bytes:
    """Write the error for a path that the server does not have."""
    if request.path.startswith("/v1"):
        return openai_wire.error(f"Invalid URL ({request.method} {request.path})")
    return ollama_wire.error(f"no route {request.method} {request.path}")
