"""What must not be shared by event loops and processes: a client's connections are those of where it was used first."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

Kept = TypeVar("Kept")


class PerLoop(Generic[Kept]):
    """Keeps things by name: in each process one for each event loop that asks, and one for whoever asks outside any.

    What belongs to loops that have been closed is let go. Safe to use from many threads.

    Args:
        make: Makes what is kept under a name.
    """

    def __init__(self, make: Callable[[str], Kept]) -> None:
        self._make = make
        # A forked child has its parent's in here, too. It must neither use nor close them: their sockets are shared.
        self._processes: dict[int, _Process[Kept]] = {}

    def __getitem__(self, name: str) -> Kept:
        """Give what is kept under a name here, made now if it is asked for the first time."""
        process = self._here()
        loop = asyncio._get_running_loop()  # noqa: SLF001  asyncio's own way to ask without an error
        if loop is None:
            kept = process.outside
        else:
            found = process.inside.get(loop)
            kept = process.entered(loop) if found is None else found
        found = kept.get(name)
        if found is None:
            with process.lock:
                found = kept.get(name)
                if found is None:
                    found = kept[name] = self._make(name)
        return found

    def everywhere(self, name: str) -> list[Kept]:
        """Give all that is kept under a name in this process."""
        process = self._here()
        with process.lock:
            return [kept[name] for kept in (process.outside, *process.inside.values()) if name in kept]

    def _here(self) -> _Process[Kept]:
        # `setdefault` is atomic, and no lock is used that might have been held when the process was forked.
        pid = os.getpid()
        return self._processes.get(pid) or self._processes.setdefault(pid, _Process())


class _Process(Generic[Kept]):
    """What one process keeps."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.outside: dict[str, Kept] = {}
        self.inside: dict[asyncio.AbstractEventLoop, dict[str, Kept]] = {}

    def entered(self, loop: asyncio.AbstractEventLoop) -> dict[str, Kept]:
        """Begin to keep things for a loop."""
        with self.lock:
            gone = [self.inside.pop(old) for old in list(self.inside) if old.is_closed()]
            if gone:
                # In a thread without a loop: clients that see one when they go try to say goodbye in it.
                threading.Thread(target=gone.clear, name="slmroute-let-go", daemon=True).start()
            return self.inside.setdefault(loop, {})
