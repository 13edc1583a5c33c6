"""Clients of an event loop's own, for models of users that keep one whichever loop they are called in.

LangChain's classes for Ollama, Azure and Hugging Face keep a client for each model, those for OpenAI and Anthropic one
for all of a process, with connections that break in every event loop but the one that they were made in. Why that
matters, ``slmroute.sdk_client`` says.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from copy import copy
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from slmroute.sdk_client import of_its_own, parts_of, with_own_connections

__all__ = ["for_this_loop"]


def for_this_loop(model: BaseChatModel) -> BaseChatModel:
    """Give a model for the running event loop, with connections of its own where it shared those of others.

    Args:
        model: A user's model. One that was given a client or a stand-in stays as it is, as do all outside any event
            loop.
    """
    if asyncio._get_running_loop() is None:  # noqa: SLF001  asyncio's own way to ask without an error
        return model
    if getattr(model, "root_async_client", None) is not None:
        root: Any = vars(model)["root_async_client"]
        own = of_its_own(root) if getattr(model, "async_client", None) is root.chat.completions else None
        changes = {} if own is None else {"root_async_client": own, "async_client": own.chat.completions}
        return model.model_copy(update=changes) if changes else model
    if any(kind.__module__.startswith("langchain_anthropic.") for kind in type(model).__mro__):
        own = of_its_own(getattr(model, "_async_client", None))
        # It takes no client: this stands in for its own.
        return model if own is None else model.model_copy(update={"_async_client": own})
    private: dict[str, Any] = model.__pydantic_private__ or {}
    if _package_of(private.get("_async_client")) == "ollama":
        return _with_own_of_ollamas(model, private["_async_client"])
    endpoint: Any = getattr(model, "llm", None)
    if _package_of(getattr(endpoint, "async_client", None)) == "huggingface_hub":
        return model.model_copy(update={"llm": _with_own_of_hugging_faces(endpoint)})
    return model


def _package_of(client: object) -> str:
    return type(client).__module__.partition(".")[0]


def _with_own_of_ollamas(model: BaseChatModel, client: Any) -> BaseChatModel:
    http = with_own_connections(client._client) if parts_of(client).keys() == {"_client"} else None  # noqa: SLF001
    if http is None:
        return model
    own: Any = copy(client)
    copied: Any = model.model_copy()
    own._client, copied._async_client = http, own  # noqa: SLF001
    return copied


def _with_own_of_hugging_faces(endpoint: Any) -> Any:
    own = copy(endpoint.async_client)
    own.exit_stack, own._async_client = AsyncExitStack(), None  # noqa: SLF001  it makes one with the first request
    return endpoint.model_copy(update={"async_client": own})
