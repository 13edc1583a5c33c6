"""Clients of an event loop's or a forked process's own, for LLMs that keep connections of where they were used first.

Why that matters, ``slmroute.sdk_client`` says.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.llms import LLM

from slmroute.sdk_client import of_its_own, ollama_with_own_connections, own_http_client

__all__ = ["keep_to_this_loop", "keep_to_this_process"]


def keep_to_this_loop(llm: LLM) -> None:
    """Give an LLM of OpenAI's or Anthropic's, a copy of the user's, connections of the running event loop's own.

    Args:
        llm: One that was given an HTTP client or a stand-in stays as it is, as do all outside any event loop, those of
            other providers, and those that make a client for each call.
    """
    if asyncio._get_running_loop() is None:  # noqa: SLF001  asyncio's own way to ask without an error
        return
    private: dict[str, Any] = llm.__pydantic_private__ or {}
    client = private.get("_aclient")
    if client is not None:
        private["_aclient"] = of_its_own(client) or client
    elif getattr(llm, "reuse_client", False) and private.get("_async_http_client", ...) is None:
        private["_async_http_client"] = own_http_client("openai")


def keep_to_this_process(llm: LLM) -> None:
    """Give an LLM, a copy of the user's, connections of a forked process's own for calls that are not asynchronous.

    Args:
        llm: As in ``keep_to_this_loop``, which sees to asynchronous calls; Ollama's are seen to here, both ways.
    """
    private: dict[str, Any] = llm.__pydantic_private__ or {}
    for name in ("_client", "_async_client"):
        if (client := private.get(name)) is not None:
            private[name] = ollama_with_own_connections(client) or of_its_own(client) or client
