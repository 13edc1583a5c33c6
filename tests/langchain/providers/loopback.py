"""A server on loopback that speaks another provider's wire, and says what a script of replies and faults says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol, Self

from slmroute.testing import Entry, Fault, Reply

Json = dict[str, Any]


@dataclass(frozen=True)
class Billed(Reply):
    """A reply whose prompt was partly written to the provider's cache."""

    cache_write_tokens: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    body: Json = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class Wire(Protocol):
    """How one provider writes its answers."""

    def model(self, asked: Asked) -> str: ...

    def streams(self, asked: Asked) -> bool: ...

    def whole(self, model: str, reply: Reply) -> Json: ...

    def events(self, model: str, reply: Reply) -> Iterator[bytes]: ...

    def error(self, fault: Fault) -> Json: ...

    def error_event(self, fault: Fault) -> bytes: ...


class LoopbackServer:
    """Each model has its entries: one a request, the last one again and again."""

    def __init__(self, wire: Wire) -> None:
        self.requests: list[Asked] = []
        self._wire = wire
        self._scripts: dict[str, list[Entry]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def script(self, model: str, *entries: Entry) -> None:
        self._scripts[model] = list(entries)

    def calls(self) -> list[Asked]:
        return self.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, asked: Asked, to: _Answers) -> None:
        self.requests.append(asked)
        model = self._wire.model(asked)
        script = self._scripts[model]
        entry = script.pop(0) if len(script) > 1 else script[0]
        if callable(entry):
            entry = entry(asked.body)
        streams = self._wire.streams(asked)
        if isinstance(entry, Reply):
            if streams:
                to.stream(self._wire.events(model, entry))
            else:
                to.whole(200, self._wire.whole(model, entry))
        elif entry.error_line_after_chunks is not None and streams:
            to.stream(self._broken(model, entry, entry.error_line_after_chunks))
        else:
            to.whole(entry.status, self._wire.error(entry), entry.headers)

    def _broken(self, model: str, fault: Fault, chunks: int) -> Iterator[bytes]:
        for place, event in enumerate(self._wire.events(model, fault.reply)):
            if place == chunks:
                break
            yield event
        yield self._wire.error_event(fault)


class _Answers(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: LoopbackServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server_of.answer(Asked(self.path.partition("?")[0], json.loads(body), headers), self)

    def whole(self, status: int, content: Json, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the standard library's name
        """Say nothing."""


def _handler(server: LoopbackServer) -> type[_Answers]:
    return type("Answers", (_Answers,), {"server_of": server})


def sse(data: Json, event: str | None = None) -> bytes:
    """Write a server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()
