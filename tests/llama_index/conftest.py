from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiosqlite
import httpx
import numpy as np
import pytest
from llama_index.core import Settings
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from llama_index_slmroute import RoutingLLM
from slmroute import RouteRecord, Tier
from slmroute.testing import FakeServer

WORD = re.compile(r"[a-z0-9]+")
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class HashEmbedding(BaseEmbedding):
    """Embeds a text by its words, each hashed to a place: enough to retrieve by, and nothing to download."""

    size: int = 512

    def _embed(self, text: str) -> list[float]:
        vector = np.zeros(self.size)
        for word in WORD.findall(text.lower()):
            vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % self.size] += 1
        return (vector / (np.linalg.norm(vector) or 1)).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embed(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._embed(query)


@pytest.fixture
def embedding() -> HashEmbedding:
    return HashEmbedding(embed_batch_size=50)


@pytest.fixture(autouse=True)
def databases_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the databases that LlamaIndex's default memory leaves open.

    Left to the garbage collector they would tell an event loop of their end, and that loop may be closed by then.
    """
    made: list[aiosqlite.Connection] = []
    init = aiosqlite.Connection.__init__

    def note(self: aiosqlite.Connection, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(aiosqlite.Connection, "__init__", note)
    yield
    if made:
        loop = asyncio.new_event_loop()
        for connection in made:
            loop.run_until_complete(connection.close())
        loop.close()


@pytest.fixture(autouse=True)
def default_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give back the global settings of LlamaIndex as they were found."""
    for name in ("_llm", "_embed_model", "_callback_manager", "_prompt_helper", "_node_parser", "_transformations"):
        monkeypatch.setattr(Settings, name, None)
    Settings.embed_model = HashEmbedding()
    return


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture(autouse=True)
async def closed_clients(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Any]]:
    """Close what LlamaIndex leaves open; gives the clients made so far."""
    made: list[Any] = []

    def noted(kind: type[Any]) -> None:
        init = kind.__init__

        def note(self: Any, *args: object, **kwargs: object) -> None:
            # Reading the machine's certificates takes longer than most tests, and nothing here is encrypted.
            init(self, *args, **{"verify": NO_CERTIFICATES, **kwargs})
            made.append(self)

        monkeypatch.setattr(kind, "__init__", note)

    noted(httpx.Client)
    noted(httpx.AsyncClient)
    yield made
    for client in made:
        if isinstance(client, httpx.Client):
            client.close()
        else:
            await client.aclose()


SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
KEY = "canary-of-a-key"


class Records(list[RouteRecord]):
    """A ledger that keeps records in memory, at once."""

    def write(self, record: RouteRecord) -> None:
        self.append(record)


@dataclass
class Bench:
    """A router with a small tier on Ollama and a frontier on OpenAI, both of them the server."""

    server: FakeServer
    llm: RoutingLLM
    records: Records

    @property
    def tiers(self) -> list[str | None]:
        return [record.tier for record in self.records]

    def bodies(self, model: str) -> list[Any]:
        return [call.body for call in self.server.calls(model)]


def object_tiers(server: FakeServer) -> list[Tier]:
    return [
        Tier("small", Ollama(model=SMALL, base_url=server.url, context_window=8192), local=True),
        Tier("frontier", OpenAI(model=FRONTIER, api_base=server.openai_url, api_key=KEY, max_retries=0)),
    ]


def string_tiers(server: FakeServer) -> list[Tier]:
    return [
        Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url}),
        Tier("frontier", f"openai:{FRONTIER}", model_args={"base_url": server.openai_url, "api_key": KEY}),
    ]


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(server: FakeServer) -> MakeBench:
    """Make a router that starts where it is told: at the small tier, unless the text says "hard"."""

    def make(*, strings: bool = False, **settings: Any) -> Bench:
        records = Records()
        given = {
            "tiers": string_tiers(server) if strings else object_tiers(server),
            "classifier": lambda request: float("hard" in request.text),
            "ledger": records,
            **settings,
        }
        return Bench(server, RoutingLLM(**given), records)

    return make
