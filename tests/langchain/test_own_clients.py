"""What a user has set on a model's own client stays as it is where it is given an event loop's connections."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from langchain_slmroute.own_client import for_this_loop

KEEP_ALIVE = [(1, 9, 1)]


class Renamed(ChatAnthropic):
    """A class of a user's own."""


def openai(**settings: Any) -> Any:
    return ChatOpenAI(model="gpt-4.1", api_key="canary", **settings)  # type: ignore[arg-type]


def ollama(**settings: Any) -> Any:
    return ChatOllama(model="phi3:mini", base_url="http://name:word@127.0.0.1:9/below", **settings)


def anthropic(**settings: Any) -> Any:
    return Renamed(model_name="claude", api_key="canary", **settings)  # type: ignore[arg-type]


def http_of(model: Any) -> Any:
    return (getattr(model, "root_async_client", None) or model._async_client)._client


@pytest.mark.parametrize("make", [openai, ollama, anthropic])
async def test_only_the_connections_are_others(make: Any) -> None:
    model = make()
    http = http_of(model)
    own = http_of(for_this_loop(model))
    assert own._transport._pool is not http._transport._pool
    assert own._transport._pool._socket_options == http._transport._pool._socket_options
    for name in ("headers", "timeout", "base_url", "event_hooks", "auth", "cookies"):
        assert getattr(own, name) == getattr(http, name)
    assert http_of(model) is http
    await own.aclose()
    assert not http.is_closed


async def test_options_of_sockets_and_hooks_are_kept() -> None:
    async def hook(request: Any) -> None:
        """Do nothing."""

    model = openai(http_socket_options=KEEP_ALIVE)
    http_of(model).event_hooks["request"].append(hook)
    own = http_of(for_this_loop(model))
    assert own._transport._pool._socket_options == KEEP_ALIVE
    assert own.event_hooks["request"][-1] is hook
    http_of(model).event_hooks["request"].remove(hook)  # it is every model's
    await own.aclose()


async def traced(*_: Any, **__: Any) -> None:
    """Stand in for a method."""


async def test_a_client_that_was_given_or_changed_is_called_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model = openai()
    monkeypatch.setattr(model.root_async_client.chat.completions, "create", traced)
    assert for_this_loop(model) is model
    given = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    model = openai(http_async_client=given)
    assert for_this_loop(model) is model
    model = ollama()
    await model._async_client._client.aclose()
    model._async_client._client = given
    assert for_this_loop(model) is model
    await given.aclose()
    model = ollama()
    model._async_client.chat = traced
    assert for_this_loop(model) is model
