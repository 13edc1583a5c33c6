"""Clients of an event loop's or a forked process's own, for models of users that keep one wherever they are called.

LangChain's classes for Ollama, Azure and Hugging Face keep a client for each model, those for OpenAI and Anthropic one
for all of a process, with connections that break in every event loop but the one that they were made in, and that a
forked process shares with its parent. Why that matters, ``slmroute.sdk_client`` says.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from copy import copy
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from slmroute.sdk_client import of_its_own, ollama_with_own_connections

__all__ = ["for_this_loop", "for_this_process"]


def for_this_loop(model: BaseChatModel) -> BaseChatModel:
    """Give a model for the running event loop, with connections of its own where it shared those of others.

    Args:
        model: A user's model. One that was given a client or a stand-in stays as it is, as do all outside any event
            loop.
    """
    if asyncio._get_running_loop() is None:  # noqa: SLF001  asyncio's own way to ask without an error
        return model
    endpoint: Any = getattr(model, "llm", None)
    if _package_of(getattr(endpoint, "async_client", None)) == "huggingface_hub":
        return model.model_copy(update={"llm": _with_own_of_hugging_faces(endpoint)})
    return _with_own(model, "async_")


def for_this_process(model: BaseChatModel) -> BaseChatModel:
    """Give a model for a forked process, with connections of its own for calls that are not asynchronous.

    Hugging Face's client sees to it by itself.

    Args:
        model: As in ``for_this_loop``, which sees to asynchronous calls.
    """
    return _with_own(model, "")


def _with_own(model: BaseChatModel, way: str) -> BaseChatModel:
    """Give a copy whose client for one way of calling has connections of its own, or the model itself."""
    if getattr(model, f"root_{way}client", None) is not None:
        root: Any = vars(model)[f"root_{way}client"]
        own = of_its_own(root) if getattr(model, f"{way}client", None) is root.chat.completions else None
        changes = {} if own is None else {f"root_{way}client": own, f"{way}client": own.chat.completions}
        return model.model_copy(update=changes) if changes else model
    name = f"_{way}client"
    if any(kind.__module__.startswith("langchain_anthropic.") for kind in type(model).__mro__):
        own = of_its_own(getattr(model, name, None))
        # It takes no client: this stands in for its own.
        return model if own is None else model.model_copy(update={name: own})
    own = ollama_with_own_connections((model.__pydantic_private__ or {}).get(name))
    if own is None:
        return model
    copied = model.model_copy()
    setattr(copied, name, own)
    return copied


def _package_of(client: object) -> str:
    return type(client).__module__.partition(".")[0]


def _with_own_of_hugging_faces(endpoint: Any) -> Any:
    own = copy(endpoint.async_client)
    own.exit_stack, own._async_client = AsyncExitStack(), None  # noqa: SLF001  it makes one with the first request
    return endpoint.model_copy(update={"async_client": own})
