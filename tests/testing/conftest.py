from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from slmroute.testing import FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture
async def closed_clients(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Close what the frameworks leave open, so that a socket that is left over is known to be the server's."""
    made: list[httpx.Client | httpx.AsyncClient] = []

    def noted(kind: type[httpx.Client | httpx.AsyncClient]) -> None:
        init = kind.__init__

        def note(self: httpx.Client | httpx.AsyncClient, *args: object, **kwargs: object) -> None:
            init(self, *args, **kwargs)  # type: ignore[arg-type]
            made.append(self)

        monkeypatch.setattr(kind, "__init__", note)

    noted(httpx.Client)
    noted(httpx.AsyncClient)
    yield
    for client in made:
        if isinstance(client, httpx.Client):
            client.close()
        else:
            await client.aclose()
    # ChatOpenAI shares clients by address, and a later server may get the port of this one.
    shared = sys.modules.get("langchain_openai.chat_models._client_utils")
    if shared is not None:
        shared._cached_sync_httpx_client.cache_clear()
        shared._cached_async_httpx_client.cache_clear()
