"""Clients of an event loop's own, for models of users that keep one whichever loop they are called in.

LangChain's classes for Ollama, Azure and Hugging Face keep a client for each model, those for OpenAI and Anthropic one
for all of a process, with connections that break in every event loop but the one that they were made in. Why that
matters, ``slmroute.sdk_client`` says.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from copy import copy
from typing import Any, Final, cast

from langchain_core.language_models.chat_models import BaseChatModel

from slmroute.sdk_client import certificates, own_http_client

__all__ = ["for_this_loop"]

_SHARING: Final = {"langchain_openai": "openai", "langchain_anthropic": "anthropic", "openai": "openai"}
"""The packages that make a model's HTTP client where it is given none, and the SDKs that call with it."""

_CARRIERS: Final = frozenset({"mounts", "proxy", "transport"})
"""What a user gives Ollama's client to send requests with."""


def for_this_loop(model: BaseChatModel) -> BaseChatModel:
    """Give a model for the running event loop, with connections of its own where it shared those of others.

    Args:
        model: A user's model. One that was given a client, a proxy or a stand-in stays as it is, as do all outside
            any event loop.
    """
    if asyncio._get_running_loop() is None:  # noqa: SLF001  asyncio's own way to ask without an error
        return model
    if getattr(model, "root_async_client", None) is not None:
        root: Any = vars(model)["root_async_client"]
        own = _own(root) if getattr(model, "async_client", None) is root.chat.completions else None
        changes = {} if own is None else {"root_async_client": own, "async_client": own.chat.completions}
        return model.model_copy(update=changes) if changes else model
    if type(model).__module__.partition(".")[0] == "langchain_anthropic":
        own = _own(getattr(model, "_async_client", None))
        if own is not None:
            return model.model_copy(update={"_async_client": own})  # it takes no client: this stands in for its own
    private: dict[str, Any] = model.__pydantic_private__ or {}
    if type(private.get("_async_client")).__module__.partition(".")[0] == "ollama":
        return _with_own_of_ollamas(model, private["_async_client"])
    endpoint: Any = getattr(model, "llm", None)
    if type(getattr(endpoint, "async_client", None)).__module__.partition(".")[0] == "huggingface_hub":
        return model.model_copy(update={"llm": _with_own_of_hugging_faces(endpoint)})
    return model


def _with_own_of_ollamas(model: Any, client: Any) -> BaseChatModel:
    given: dict[str, Any] = {**(model.client_kwargs or {}), **(model.async_client_kwargs or {})}
    patched = set(cast("dict[str, object]", vars(client))) != {"_client"}
    if patched or not given.keys().isdisjoint(_CARRIERS):
        return model
    # The headers are those of the client, for a password may have stood in the model's address.
    shared = client._client  # noqa: SLF001
    kept = {"headers": dict(shared.headers), "timeout": shared.timeout}
    own = type(client)(host=str(shared.base_url), **{"verify": certificates(), **given, **kept})
    copied: Any = model.model_copy()
    copied._async_client = own  # noqa: SLF001
    return copied


def _with_own_of_hugging_faces(endpoint: Any) -> Any:
    own = copy(endpoint.async_client)
    own.exit_stack, own._async_client = AsyncExitStack(), None  # noqa: SLF001  it makes one with the first request
    return endpoint.model_copy(update={"async_client": own})


def _own(client: Any) -> Any:
    """Give a copy of an SDK's client that shares no connection; None where its HTTP client was given to it."""
    shared = getattr(client, "_client", None)
    kind = type(cast("object", shared))
    sdk = _SHARING.get(kind.__module__.partition(".")[0])
    if sdk is None or not kind.__name__.endswith("AsyncHttpxClientWrapper") or getattr(shared, "_mounts", None):
        return None
    return client.copy(http_client=own_http_client(sdk))
