"""One connection of a small server: HTTP/1.1 with keep-alive, just as much of it as model clients use."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

__all__ = ["Connection", "Exchange", "Request", "close_all"]

HEAD_END = b"\r\n\r\n"

ROUNDS_TO_TAKE_UP = 3
"""The rounds of the loop in which a connection that was accepted becomes one of ours."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        path: The path without the query.
        headers: The headers, their names in lower case.
        content: The body.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)


class Exchange:
    """One request and its answer, which ends once: with its last byte, or when either side breaks it off.

    Args:
        connection: Where the request came from.
        request: The request.
        ended: Called once, before the last byte is written, with whether it was the client that ended it.
    """

    def __init__(self, connection: Connection, request: Request, ended: Callable[[bool], None]) -> None:
        self.request = request
        self._connection = connection
        self._ended = ended
        self._open = True

    def end(self, *, hung_up: bool = False) -> None:
        """Note that the answer is over; only the first time counts."""
        if self._open:
            self._open = False
            self._ended(hung_up)

    def send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        """Answer at once."""
        self.end()
        body = b"" if self.request.method == "HEAD" else content
        self._connection.write(self._head(status, {"content-length": str(len(content)), **headers}) + body)

    async def open(self, headers: Mapping[str, str], length: int | None = None) -> None:
        """Begin an answer with HTTP status 200, of a known length in bytes, or else in chunks."""
        framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        await self._write(self._head(200, framing | dict(headers)))

    async def write(self, content: bytes) -> None:
        """Write a part of an answer that has a length."""
        await self._write(content)

    async def write_chunk(self, content: bytes) -> None:
        """Write a chunk of an answer that comes in chunks."""
        if content:
            await self._write(chunked(content))

    def finish(self, content: bytes = b"") -> None:
        """Write the last chunk."""
        self.end()
        self._connection.write((chunked(content) if content else b"") + b"0\r\n\r\n")

    def die(self, *, reset: bool) -> None:
        """Break the connection."""
        self.end()
        self._connection.die(reset=reset)

    async def _write(self, content: bytes) -> None:
        self._connection.write(content)
        await self._connection.written()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        reason = HTTPStatus(status).phrase if status in {each.value for each in HTTPStatus} else "Unknown"
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        if self._connection.last:
            lines.append("connection: close")
        return "\r\n".join(lines).encode("latin-1") + HEAD_END


class Connection(asyncio.Protocol):
    """One connection: requests in, one after the other, and each answered by a task that a hang-up cancels.

    Args:
        answer: Makes the exchange for a request, and the coroutine that answers it.
        connections: The open connections, kept up to date.
        failed: Called with what an answering coroutine raised.
    """

    def __init__(
        self,
        answer: Callable[[Connection, Request], tuple[Exchange, Coroutine[None, None, None]]],
        connections: set[Connection],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.last = False
        self._answer = answer
        self._connections = connections
        self._failed = failed
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._busy = False
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection up."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and answer when they make a request."""
        self._buffer += data
        self._next()

    def eof_received(self) -> bool:
        """Take the client's hanging up for what it is."""
        self._cancel()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it by position
        """Let go."""
        self._writable.set()
        self._connections.discard(self)
        self._cancel()

    def pause_writing(self) -> None:
        """Wait for a client that reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def write(self, content: bytes) -> None:
        """Send bytes."""
        if content:
            self._transport.write(content)

    async def written(self) -> None:
        """Wait until there is room for more; in any case, the loop gets to see whether the client hung up."""
        await asyncio.sleep(0)
        await self._writable.wait()

    def close_when_idle(self) -> None:
        """Close now, or after the answer that is under way."""
        self.last = True
        if not self._busy:
            self._transport.close()

    def die(self, *, reset: bool) -> None:
        """Break the connection, by a reset or by closing it in order."""
        if not reset:
            self._transport.close()
            return
        raw = cast("socket.socket", self._transport.get_extra_info("socket"))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> asyncio.Task[None] | None:
        """Stop at once, because the server closes; gives the task that is to be waited for."""
        self._closing = True
        task = self._task
        self._cancel()
        self._transport.abort()
        return task

    def _cancel(self) -> None:
        # Once: the end of the stream and the loss of the connection both come, and the second would break into what the
        # task does to clean up.
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()

    def _next(self) -> None:
        if self._busy or self._transport.is_closing():
            return
        try:
            request = self._parse()
        except ValueError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._transport.close()
            return
        if request is None:
            return
        self._busy = True
        if request.headers.get("connection", "").lower() == "close":
            self.last = True
        exchange, coroutine = self._answer(self, request)
        self._task = asyncio.get_running_loop().create_task(coroutine)
        # A callback, because a task that is cancelled before its first step runs none of its own code.
        self._task.add_done_callback(lambda task: self._done(exchange, task))

    def _done(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._task = None
        self._busy = False
        if task.cancelled():
            exchange.end(hung_up=not self._closing)
            return
        exchange.end()
        error = task.exception()
        if error is not None:
            self._failed(error)
            self._transport.abort()
        elif self.last:
            self._transport.close()
        else:
            self._next()

    def _parse(self) -> Request | None:
        head_end = self._buffer.find(HEAD_END)
        if head_end < 0:
            return None
        first, *lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if "transfer-encoding" in headers:
            raise ValueError("A request must say how long it is.")
        end = head_end + len(HEAD_END) + int(headers.get("content-length", 0))
        if len(self._buffer) < end:
            return None
        content = bytes(self._buffer[head_end + len(HEAD_END) : end])
        del self._buffer[:end]
        method, target, _ = first.split(" ", 2)
        return Request(method, target.partition("?")[0], headers, content)


async def close_all(listener: asyncio.Server | None, connections: set[Connection]) -> None:
    """Close a server: listen no more, break every connection, and wait until all are gone.

    Args:
        listener: What listens, if anything does.
        connections: The open connections, which keep the set up to date.
    """
    if listener is not None:
        # At once, asyncio would lose sight of a connection that it has accepted and not taken up yet.
        for each in listener.sockets:
            with suppress(NotImplementedError):  # there is nothing to take away in Windows' loop
                asyncio.get_running_loop().remove_reader(each.fileno())
        for _ in range(ROUNDS_TO_TAKE_UP):
            await asyncio.sleep(0)
        listener.close()
    tasks = [connection.abort() for connection in connections]
    await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
    while connections:  # noqa: ASYNC110 - the loop closes what was aborted in its next rounds
        await asyncio.sleep(0)


def chunked(content: bytes) -> bytes:
    """Frame a chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)
