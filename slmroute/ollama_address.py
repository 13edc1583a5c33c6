"""Where an Ollama is, and the ``ollama`` clients that talk to it."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from slmroute.errors import ConfigError, ServerUnreachable

if TYPE_CHECKING:
    import httpx
    import ollama

__all__ = ["OllamaAddress", "server_url"]

DEFAULT_PORT = 11434


class Chat(Protocol):
    """The client's ``chat``, whose own annotations name types that are not known."""

    def chat(self, **body: object) -> ollama.ChatResponse:
        """Send one chat."""
        ...


class AsyncChat(Protocol):
    """The same of the asynchronous client."""

    async def chat(self, **body: object) -> ollama.ChatResponse:
        """Send one chat."""
        ...


def server_url(host: str | None = None) -> str:
    """Give the address of an Ollama as its client reads it.

    Args:
        host: As in ``OLLAMA_HOST``: ``"gpu-box"``, ``"gpu-box:8080"``, ``"https://..."``; None for ``OLLAMA_HOST``
            itself, and port 11434 of this machine where that is not set.

    Returns:
        Scheme, host, port and path; a user name or password in it is left out, as the client leaves it out.

    Raises:
        ConfigError: It is not an address.
    """
    given = host or os.environ.get("OLLAMA_HOST") or "127.0.0.1"
    setting = "host" if host else "OLLAMA_HOST"
    scheme, separator, rest = given.partition("://")
    if not separator:
        scheme, rest = "http", given
    ports = {"http": 80, "https": 443} if separator else {"http": DEFAULT_PORT}
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        name, port = parts.hostname or "127.0.0.1", parts.port or ports[scheme]
        if not name.isprintable() or " " in name:
            raise ValueError  # noqa: TRY301 - told as all that is no address is
    except (KeyError, ValueError):
        # The value stays out of the message, for it may hold a password.
        raise ConfigError(f'{setting}= is not an address: write for example "http://127.0.0.1:11434".') from None
    with suppress(AddressValueError):
        name = f"[{IPv6Address(name).compressed}]"
    path = parts.path.strip("/")
    return f"{scheme}://{name}:{port}" + (f"/{path}" if path else "")


class OllamaAddress:
    """Where an Ollama is, and clients for it.

    A client is made for each use: 0.1 ms, as the certificates are read once. It has no event loop, thread or process to
    be bound to, and nothing stays open between calls.

    Args:
        host: See ``server_url``.
    """

    def __init__(self, host: str | None = None) -> None:
        self.url = server_url(host)
        self._certificates: ssl.SSLContext | None = None

    @contextmanager
    def client(self, timeout: float | httpx.Timeout | None) -> Generator[ollama.Client]:
        """Make a client and close it at the end; ``timeout`` is httpx's, in seconds."""
        import ollama

        client = ollama.Client(self.url, timeout=timeout, verify=self._verify())
        try:
            yield client
        finally:
            client.close()

    @asynccontextmanager
    async def aclient(self, timeout_s: float | None = None) -> AsyncGenerator[ollama.AsyncClient]:
        """Make an asynchronous client and close it at the end; without ``timeout_s`` it waits until cancelled."""
        import ollama

        client = ollama.AsyncClient(self.url, timeout=timeout_s, verify=self._verify())
        try:
            yield client
        finally:
            await client.close()

    def chat(self, body: Mapping[str, object], timeout_s: float) -> ollama.ChatResponse:
        """Send one chat; ``body`` holds the arguments of the client's ``chat``."""
        with self.client(timeout_s) as client:
            return cast("Chat", client).chat(**body)

    async def achat(self, body: Mapping[str, object], timeout_s: float | None = None) -> ollama.ChatResponse:
        """Send one chat asynchronously."""
        async with self.aclient(timeout_s) as client:
            return await cast("AsyncChat", client).chat(**body)

    def unreachable(self) -> ServerUnreachable:
        """Make the error for a server that is not there."""
        return ServerUnreachable(
            f"No Ollama answers at {self.url} (setting host= / OLLAMA_HOST). Start it with `ollama serve`, or, without "
            "Ollama, `slmroute serve`."
        )

    def __getstate__(self) -> dict[str, object]:
        return {"url": self.url, "_certificates": None}

    def _verify(self) -> ssl.SSLContext:
        if self._certificates is None:
            import httpx

            self._certificates = httpx.create_ssl_context()
        return self._certificates
