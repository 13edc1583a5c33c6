"""What Ollama servers say of the models of tiers: asked once, when a call needs to know, and not waited for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from slmroute.ollama import ModelFacts, facts_of
from slmroute.per_loop import PerLoop
from slmroute.threads import in_thread

__all__ = ["Served", "ShownFacts"]

PATIENCE_S: Final = 2.0
"""How long an answer may take: what is not known is no reason to hold up a call."""
ASK_AGAIN_S: Final = 60.0
"""How long a server that did not say is left alone."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model of Ollama, and how to reach the server that has it.

    Attributes:
        name: The model's name.
        client: Gives the ``ollama.Client`` to ask with.
        async_client: Gives the ``ollama.AsyncClient`` to ask with.
    """

    name: str
    client: Callable[[], Any]
    async_client: Callable[[], Any]


class ShownFacts:
    """What is known of each tier's model. Safe to use from many threads and event loops.

    Args:
        tell: Told the name of a tier of which something has been learnt.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._facts: dict[str, ModelFacts] = {}
        self._failed_at: dict[str, float] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._loop_locks = PerLoop(lambda _: asyncio.Lock())

    def get(self, tier: str) -> ModelFacts | None:
        """Give what is known of a tier's model, or None."""
        return self._facts.get(tier)

    def is_to_ask(self, tier: str) -> bool:
        """Whether nothing is known of a tier's model, and nobody has asked in vain of late."""
        if tier in self._facts:
            return False
        failed_at = self._failed_at.get(tier)
        return failed_at is None or time.monotonic() - failed_at > ASK_AGAIN_S

    def ask(self, models: Mapping[str, Served]) -> None:
        """Ask the servers of tiers.

        Args:
            models: The tiers' models by the tiers' names.
        """
        for tier, model in models.items():
            with self._lock:
                lock = self._locks.setdefault(tier, threading.Lock())
            with lock:  # whoever else wants to know waits for the same answer
                if self.is_to_ask(tier):
                    self._ask(tier, model)

    async def aask(self, models: Mapping[str, Served]) -> None:
        """Ask the servers of tiers, all at once, without holding up the event loop."""
        await asyncio.gather(*(self._aask(tier, model) for tier, model in models.items()))

    def _ask(self, tier: str, model: Served) -> None:
        try:
            # The model's own client may wait for ever, as it must for answers.
            self._learn(tier, in_thread(lambda: facts_of(model.name, model.client().show(model.name)), PATIENCE_S))
        except _failures():
            self._failed_at[tier] = time.monotonic()

    async def _aask(self, tier: str, model: Served) -> None:
        async with self._loop_locks[tier]:
            if not self.is_to_ask(tier):
                return
            try:
                async with asyncio.timeout(PATIENCE_S):
                    shown = await model.async_client().show(model.name)
                self._learn(tier, facts_of(model.name, shown))
            except _failures():
                self._failed_at[tier] = time.monotonic()

    def _learn(self, tier: str, facts: ModelFacts) -> None:
        self._facts[tier] = facts
        self._failed_at.pop(tier, None)
        self._tell(tier)


def _failures() -> tuple[type[Exception], ...]:
    """What goes wrong where no Ollama answers, one without the model, or something that is none."""
    import httpx
    import ollama

    # A client that was used in another event loop before raises a RuntimeError; one of the user's own may not ask.
    own = (AttributeError, OSError, RuntimeError, TimeoutError, TypeError, ValueError)
    return (ollama.ResponseError, httpx.HTTPError, *own)
