"""What must not be shared by event loops, for a client keeps connections of the loop it was used in first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

Kept = TypeVar("Kept")


class PerLoop(Generic[Kept]):
    """Keeps things by name: one for each event loop that asks, and one for whoever asks outside any.

    What belongs to loops that have been closed is let go. Safe to use from many threads.

    Args:
        make: Makes what is kept under a name.
    """

    def __init__(self, make: Callable[[str], Kept]) -> None:
        self._make = make
        self._outside: dict[str, Kept] = {}
        self._inside: dict[asyncio.AbstractEventLoop, dict[str, Kept]] = {}
        self._lock = threading.RLock()

    def __getitem__(self, name: str) -> Kept:
        """Give what is kept under a name here, made now if it is asked for the first time."""
        loop = asyncio._get_running_loop()  # noqa: SLF001  asyncio's own way to ask without an error
        if loop is None:
            kept = self._outside
        else:
            found = self._inside.get(loop)
            kept = self._entered(loop) if found is None else found
        found = kept.get(name)
        if found is None:
            with self._lock:
                found = kept.get(name)
                if found is None:
                    found = kept[name] = self._make(name)
        return found

    def everywhere(self, name: str) -> list[Kept]:
        """Give all that is kept under a name."""
        with self._lock:
            return [kept[name] for kept in (self._outside, *self._inside.values()) if name in kept]

    def _entered(self, loop: asyncio.AbstractEventLoop) -> dict[str, Kept]:
        with self._lock:
            gone = [self._inside.pop(old) for old in list(self._inside) if old.is_closed()]
            if gone:
                # In a thread without a loop: clients that see one when they go try to say goodbye in it.
                threading.Thread(target=gone.clear, name="slmroute-let-go", daemon=True).start()
            return self._inside.setdefault(loop, {})
