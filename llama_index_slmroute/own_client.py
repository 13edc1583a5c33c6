"""Clients of an event loop's own, for LLMs whose client would keep the connections of the one it was first used in.

What is sent on the connections of an event loop that is closed may arrive all the same: the provider answers it, and
counts it, while its SDK sees an error and asks again. A bill then has calls that nobody heard of.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.llms import LLM

from slmroute.sdk_client import own_http_client

__all__ = ["keep_to_this_loop"]

_MADE_BY_SDK = "AsyncHttpxClientWrapper"
"""The HTTP client that OpenAI's SDK makes where it is given none."""


def keep_to_this_loop(llm: LLM) -> None:
    """Give an LLM of OpenAI's, a copy of the user's, connections of the running event loop's own.

    Args:
        llm: One that was given an HTTP client or a stand-in stays as it is, as do all outside any event loop, those of
            other providers, and those that make a client for each call.
    """
    private: dict[str, Any] = llm.__pydantic_private__ or {}
    if asyncio._get_running_loop() is None or "_async_http_client" not in private:  # noqa: SLF001  its way to ask
        return
    client = private.get("_aclient")
    if client is None:
        if private["_async_http_client"] is None and getattr(llm, "reuse_client", False):
            private["_async_http_client"] = own_http_client("openai")
    elif type(getattr(client, "_client", None)).__name__ == _MADE_BY_SDK:
        private["_aclient"] = client.copy(http_client=own_http_client("openai"))
