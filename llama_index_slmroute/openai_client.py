"""OpenAI clients whose streams can be ended: LlamaIndex's OpenAI class drops one that is not read to its end.

Such a stream holds on to itself, so that its request goes on, and is paid for, until Python collects its garbage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from llama_index.core.llms import LLM

__all__ = ["Streams", "WatchedAsyncClient", "WatchedClient", "aclose_streams", "close_streams"]

_WAYS: Final = frozenset({"chat", "completions"})
"""The parts of a client that lead to the methods that open streams."""

Streams = list[Any]


class WatchedClient:
    """Stands for an OpenAI client, or a part of one, and notes the streams that it opens.

    Args:
        client: Gives the client, which may be made when first needed.
        streams: Where they are noted.
    """

    def __init__(self, client: Callable[[], Any], streams: Streams) -> None:
        self._slmroute_client = client
        self._slmroute_streams = streams

    def create(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the client's own method does."""
        return self._noted(self._slmroute_client().create(*args, **kwargs))

    def _noted(self, answer: Any) -> Any:
        if hasattr(answer, "close"):
            self._slmroute_streams.append(answer)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_slmroute"):  # not there while a copy is being made
            raise AttributeError(name)
        if name in _WAYS:
            return type(self)(lambda: getattr(self._slmroute_client(), name), self._slmroute_streams)
        return getattr(self._slmroute_client(), name)


class WatchedAsyncClient(WatchedClient):
    """Stands for an asynchronous OpenAI client, and notes the streams that it opens."""

    async def create(self, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do what the client's own method does."""
        return self._noted(await self._slmroute_client().create(*args, **kwargs))


def close_streams(llm: LLM) -> None:
    """End the streams that an LLM has opened with a watched client; those that were read to their end are ended."""
    for stream in _streams(llm, "_client"):
        stream.close()


async def aclose_streams(llm: LLM) -> None:
    """Do what ``close_streams`` does for those of an asynchronous client."""
    for stream in _streams(llm, "_aclient"):
        await stream.close()


def _streams(llm: LLM, name: str) -> Streams:
    private: dict[str, Any] = llm.__pydantic_private__ or {}
    client = cast("object", private.get(name))
    return client._slmroute_streams if isinstance(client, WatchedClient) else []  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
