"""Tells the user's hooks of every call, without letting them break it or hold it up."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from typing import Final

from slmroute.errors import ConfigError
from slmroute.record import Hook, RouteRecord

__all__ = ["HookRunner"]

GRACE_S: Final = 0.02
"""A quick hook has run when the call returns; a slow one goes on in the background."""
LONGEST_QUEUE: Final = 1_000

logger = logging.getLogger("slmroute.hooks")


class HookRunner:
    """Runs hooks one record after the other in a daemon thread, which starts with the first record.

    A hook that raises is logged once, by its name and the error's class. When hooks fall behind by a thousand records,
    further ones are dropped and counted.

    Args:
        hooks: Callables that take a ``RouteRecord``.

    Raises:
        ConfigError: One of them is not callable, or is a coroutine function.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        import inspect

        for hook in hooks:
            if not callable(hook):
                raise ConfigError(f"hooks= holds {type(hook).__name__}, which cannot be called with a RouteRecord.")
            if inspect.iscoroutinefunction(hook):
                raise ConfigError(
                    f"hooks= holds the coroutine function {_name(hook)!r}: hooks run in a thread of their own, so "
                    "write it as a plain function."
                )
        self.dropped = 0
        self._hooks = tuple(hooks)
        self._failed: set[int] = set()
        self._queue: queue.Queue[tuple[RouteRecord, threading.Event]] = queue.Queue(LONGEST_QUEUE)
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> tuple[type[HookRunner], tuple[tuple[Hook, ...]]]:
        return (HookRunner, (self._hooks,))

    def tell(self, record: RouteRecord) -> None:
        """Hand a record to the hooks; returns once they have run, or after a moment if they are slow."""
        if not self._hooks:
            return
        self._ensure_thread()
        behind = not self._queue.empty()
        done = threading.Event()
        try:
            self._queue.put_nowait((record, done))
        except queue.Full:
            self.dropped += 1
            return
        if not behind:
            done.wait(GRACE_S)

    def _ensure_thread(self) -> None:
        with self._start:
            if self._thread is None or not self._thread.is_alive():  # it does not survive a fork
                self._thread = threading.Thread(target=self._run, name="slmroute-hooks", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            record, done = self._queue.get()
            for hook in self._hooks:
                self._run_one(hook, record)
            done.set()

    def _run_one(self, hook: Hook, record: RouteRecord) -> None:
        try:
            hook(record)
        except Exception as error:  # noqa: BLE001  a hook must never break a call
            if id(hook) not in self._failed:
                self._failed.add(id(hook))
                logger.warning("hook %s failed with %s; it is not reported again", _name(hook), type(error).__name__)


def _name(hook: object) -> str:
    return str(getattr(hook, "__qualname__", type(hook).__qualname__))
