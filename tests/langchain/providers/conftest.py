from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
from huggingface_hub import close_session
from langchain_anthropic._client_utils import _get_default_async_httpx_client, _get_default_httpx_client
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_slmroute import RoutingChatModel
from slmroute import Tier
from tests.langchain.providers.providers import PROVIDERS, Provider

WARNED_OF_BARE = (
    "Inheritance class AiohttpClientSession:DeprecationWarning",
    "Pydantic serializer warnings:UserWarning",
    "coroutine 'ClientResponse.json' was never awaited:RuntimeWarning",
)
"""What the clients themselves warn of, whoever uses them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for warning in WARNED_OF_BARE:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{warning}"))


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """What the clients leave behind is to be warned of here, and in no later test."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the machine's own may help, or be sent."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")


@pytest.fixture(autouse=True)
async def closed_sessions(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Any]]:
    """Close what the other clients leave open: see ``closed_clients``, which does so for those over httpx."""
    made: list[Any] = []

    def noted(kind: type) -> None:
        init = kind.__init__

        def note(self: Any, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **kwargs)
            made.append(self)

        monkeypatch.setattr(kind, "__init__", note)

    for kind in (aiohttp.ClientSession, httpx2.Client, httpx2.AsyncClient):
        noted(kind)
    # These are kept for all who ask the same address, and Hugging Face's for all there are.
    _get_default_httpx_client.cache_clear()
    _get_default_async_httpx_client.cache_clear()
    close_session()
    yield made
    close_session()
    for client in made:
        if isinstance(client, httpx2.Client):
            client.close()
        else:
            await (client.aclose() if isinstance(client, httpx2.AsyncClient) else client.close())


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


@pytest.fixture
def server(provider: Provider) -> Iterator[Any]:
    with provider.serve() as running:
        yield running


@pytest.fixture(params=["string", "object"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


class Spare(BaseChatModel):
    """Stands in when the provider fails."""

    @property
    def _llm_type(self) -> str:
        return "spare"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("The spare one.", usage_metadata=usage))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


@pytest.fixture
def routed(provider: Provider, server: Any, kind: str) -> RoutingChatModel:
    """A router that asks the provider first."""
    return over(provider.tier(kind, server.url))


def over(tier: Tier, **settings: Any) -> RoutingChatModel:
    return RoutingChatModel(tiers=[tier, Tier("spare", Spare())], classifier=None, **settings)
