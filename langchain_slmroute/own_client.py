"""Clients of an event loop's own, for models of users that share theirs with all models of a process.

LangChain's classes for OpenAI and Anthropic keep one HTTP client for every model, with connections that break in every
event loop but the one that they were made in. Why that matters, ``slmroute.sdk_client`` says.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from langchain_core.language_models.chat_models import BaseChatModel

from slmroute.sdk_client import own_http_client

__all__ = ["for_this_loop"]

_SHARING: Final = {"langchain_openai": "openai", "langchain_anthropic": "anthropic"}
"""The packages whose models share an HTTP client, and the SDKs that they call with it."""


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
    return model


def _own(client: Any) -> Any:
    """Give a copy of an SDK's client that shares no connection; None where its HTTP client is no shared one."""
    shared = getattr(client, "_client", None)
    sdk = _SHARING.get(type(shared).__module__.partition(".")[0])
    if sdk is None or getattr(shared, "_mounts", None):
        return None
    return client.copy(http_client=own_http_client(sdk))
