"""Ollama clients that ask for what LlamaIndex's Ollama class does not: log-probabilities, and options of one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

__all__ = ["Asked", "AskingAsyncClient", "AskingClient"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What every chat of a client is to ask for.

    Attributes:
        logprobs: What asks for the log-probability of each token; empty for nothing.
        options: Options of the model to set, over those that are set already.
        num_ctx: Whether the context's length is sent. Another one than before has the server load the model anew, so
            that it goes out only where the user has chosen it.
    """

    logprobs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    num_ctx: bool = True

    def added_to(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Give the arguments of a chat with what is asked for."""
        options = {**cast("Mapping[str, Any]", body.get("options") or {}), **self.options}
        if not self.num_ctx:
            options.pop("num_ctx", None)
        return {**body, "options": options, **self.logprobs}


class AskingClient:
    """Stands for an ``ollama.Client``, and has its chats ask for more.

    Args:
        client: Gives the client, which may be made when first needed.
        asked: What to ask for.
    """

    def __init__(self, client: Callable[[], Any], asked: Asked) -> None:
        self._slmroute_client = client
        self._slmroute_asked = asked

    def chat(self, **body: Any) -> Any:
        """Chat, as the client does."""
        return self._slmroute_client().chat(**self._slmroute_asked.added_to(body))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_slmroute"):  # not there while a copy is being made
            raise AttributeError(name)
        return getattr(self._slmroute_client(), name)


class AskingAsyncClient(AskingClient):
    """Stands for an ``ollama.AsyncClient``, and has its chats ask for more."""

    async def chat(self, **body: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Chat, as the client does."""
        return await self._slmroute_client().chat(**self._slmroute_asked.added_to(body))
