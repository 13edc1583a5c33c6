"""What a fake server saw and said, kept by the server itself, to check what a client reports against."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from slmroute.errors import SlmrouteError
from slmroute.steps import Usage

__all__ = ["GENERATING", "Account", "Books", "Received"]

GENERATING = frozenset({"/v1/chat/completions", "/api/chat", "/api/generate"})
"""The paths on which a model is asked to generate."""

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"})


@dataclass(frozen=True, slots=True)
class Received:
    """A request that the server received.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        path: The path without the query.
        model: The model it names, or None.
        body: The JSON object in it; empty when there is none.
        headers: Its headers, names in lower case, without those that carry credentials.
        authorized: Whether it carried credentials.
    """

    method: str
    path: str
    model: str | None
    body: Mapping[str, object] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    authorized: bool

    @classmethod
    def read(cls, method: str, path: str, body: Mapping[str, object], headers: Mapping[str, str]) -> Received:
        """Note a request, but not its credentials."""
        model = body.get("model") or body.get("name")
        return cls(
            method=method,
            path=path,
            model=model if isinstance(model, str) else None,
            body=body,
            headers={name: value for name, value in headers.items() if name not in SECRET_HEADERS},
            authorized=any(headers.get(name) for name in SECRET_HEADERS),
        )

    @property
    def generates(self) -> bool:
        """Whether it asks a model to generate, and not for a list, or to be loaded."""
        return self.path in GENERATING and bool(self.body.get("messages") or self.body.get("prompt"))


class Books:
    """The books of a server: written in its thread, read in any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Received] = []
        self._bill: dict[str, Usage] = {}
        self._untold: dict[str, list[Usage]] = {}
        self._cancelled = 0
        self._open = 0

    @property
    def requests(self) -> list[Received]:
        """All requests in order of arrival."""
        with self._changed:
            return list(self._requests)

    @property
    def bill(self) -> dict[str, Usage]:
        """The tokens reported for each model, added up."""
        with self._changed:
            return dict(self._bill)

    @property
    def untold(self) -> dict[str, tuple[Usage, ...]]:
        """The tokens of each model's answers that were not reported."""
        with self._changed:
            return {model: tuple(usages) for model, usages in self._untold.items()}

    @property
    def cancelled(self) -> int:
        """How many answers ended because the client hung up."""
        with self._changed:
            return self._cancelled

    @property
    def open(self) -> int:
        """How many requests are being answered now."""
        with self._changed:
            return self._open

    def begin(self, received: Received) -> None:
        """Note a request."""
        with self._changed:
            self._requests.append(received)
            self._open += 1
            self._changed.notify_all()

    def end(self, hung_up: bool) -> None:
        """Note the end of an answer."""
        with self._changed:
            self._open -= 1
            self._cancelled += hung_up
            self._changed.notify_all()

    def charge(self, model: str, usage: Usage) -> None:
        """Add what was reported to the bill."""
        with self._changed:
            old = self._bill.get(model, Usage())
            self._bill[model] = Usage(
                input_tokens=old.input_tokens + usage.input_tokens,
                output_tokens=old.output_tokens + usage.output_tokens,
                cached_tokens=old.cached_tokens + usage.cached_tokens,
                reasoning_tokens=old.reasoning_tokens + usage.reasoning_tokens,
            )
            self._changed.notify_all()

    def owe(self, model: str, usage: Usage) -> None:
        """Note what an answer took that did not report it."""
        with self._changed:
            self._untold.setdefault(model, []).append(usage)
            self._changed.notify_all()

    def wait_until(self, true: Callable[[], bool], timeout_s: float) -> None:
        """Wait for something to become true of the books.

        Raises:
            SlmrouteError: It did not in time.
        """
        with self._changed:
            if not self._changed.wait_for(true, timeout_s):
                raise SlmrouteError(
                    f"wait_until() waited {timeout_s} s in vain: {len(self._requests)} requests received, "
                    f"{self._open} open, {self._cancelled} cancelled."
                )


@dataclass(frozen=True, slots=True)
class Account:
    """The part of the books that one answer is written to.

    Attributes:
        books: The books.
        model: The model that answers.
    """

    books: Books
    model: str

    def settle(self, usage: Usage, told: Usage | None) -> None:
        """Write an answer down before its last byte is sent: what it took, and what of that it tells."""
        if told is None:
            self.books.owe(self.model, usage)
        else:
            self.books.charge(self.model, told)

    def break_off(self, usage: Usage, chunks: int | None) -> None:
        """Write down an answer that breaks off, a stream after some of its chunks."""
        sent = usage.output_tokens if chunks is None else min(chunks, usage.output_tokens)
        self.books.owe(self.model, replace(usage, output_tokens=sent, reasoning_tokens=0))
