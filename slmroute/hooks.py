"""Tells the user's hooks of every call, without letting them break it or hold it up."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Iterable, Sequence
from contextvars import Context, copy_context
from typing import Final

from slmroute.errors import ConfigError
from slmroute.record import Hook, RouteRecord

__all__ = ["HookRunner"]

LONGEST_QUEUE: Final = 1_000
IDLE_S: Final = 5.0
"""The thread ends when there was nothing to tell for so long, so that routers that are gone leave none behind."""
EXIT_S: Final = 1.0
"""How long a program that ends waits for hooks that are still to be told."""

logger = logging.getLogger("slmroute.hooks")


class HookRunner:
    """Runs hooks one record after the other in a daemon thread; no call ever waits for them.

    They see the context variables of the call, such as the trace that it belongs to.

    A hook that raises is logged once, by its name and the error's class. When hooks fall behind by a thousand records,
    further ones are dropped and counted.

    Args:
        hooks: Callables that take a ``RouteRecord``.

    Attributes:
        dropped: How many records the hooks were not told of.

    Raises:
        ConfigError: One of them is not callable, or is a coroutine function.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        import inspect

        if not isinstance(hooks, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"hooks={_name(hooks)} must be a list of callables: hooks=[{_name(hooks)}].")
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
        self._at_exit = False
        self._prepare()

    def __reduce__(self) -> tuple[type[HookRunner], tuple[tuple[Hook, ...]]]:
        return (HookRunner, (self._hooks,))

    def tell(self, record: RouteRecord) -> None:
        """Hand a record to the hooks and return at once."""
        if not self._hooks:
            return
        if self._pid != os.getpid():  # forked: what the other process queued and locked is its own
            self._prepare()
        if self._queue.qsize() >= LONGEST_QUEUE:
            self.dropped += 1
            return
        self._queue.put((record, copy_context()))
        self._ensure_thread()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until the hooks have been told of everything so far.

        Args:
            timeout_s: How many seconds to wait.

        Returns:
            Whether they have.
        """
        if not self._hooks or self._pid != os.getpid():
            return True
        with self._lock:
            if self._thread is None and self._queue.empty():
                return True
        told = threading.Event()
        self._queue.put(told)
        self._ensure_thread()
        return told.wait(timeout_s)

    def _prepare(self) -> None:
        # Both can be entered again by a finaliser that runs in between; queue.Queue and Lock would wait for themselves.
        self._queue: queue.SimpleQueue[tuple[RouteRecord, Context] | threading.Event] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            thread = threading.Thread(target=self._run, name="slmroute-hooks", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down
                self.dropped += 1
                return
            self._thread = thread
            if not self._at_exit:
                self._at_exit = True
                atexit.register(_flush_at_exit, weakref.ref(self))

    def _run(self) -> None:
        while True:
            try:
                told = self._queue.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            if isinstance(told, threading.Event):
                told.set()
                continue
            for hook in self._hooks:
                self._run_one(hook, *told)

    def _run_one(self, hook: Hook, record: RouteRecord, context: Context) -> None:
        try:
            context.run(hook, record)
        except Exception as error:  # noqa: BLE001  a hook must never break a call
            if id(hook) not in self._failed:
                self._failed.add(id(hook))
                logger.warning("hook %s failed with %s; it is not reported again", _name(hook), type(error).__name__)


def _flush_at_exit(runner: weakref.ref[HookRunner]) -> None:
    alive = runner()
    if alive is not None:
        alive.flush(EXIT_S)


def _name(hook: object) -> str:
    return str(getattr(hook, "__qualname__", type(hook).__qualname__))
