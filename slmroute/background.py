"""A thread that works off a queue, for what must not hold up a call: it starts late and ends in order.

It is the core of the ledger's writer and of budgets that are shared through a server.
"""

from __future__ import annotations

import atexit
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["AT_EXIT_S", "Background"]

AT_EXIT_S: Final = 3.0
"""How long the end of a process waits for what is still in a queue."""

T = TypeVar("T")


class Background(Generic[T]):
    """Works off what it is given, in order and in batches, in a daemon thread that starts with the first item.

    ``put`` takes no lock that anything else holds for long, and may be called while the garbage collector runs. What
    waits when the interpreter ends is worked off first, for ``AT_EXIT_S`` at most. It belongs to the process that made
    it: a forked child must make its own and leave this one alone, which it does by itself.

    Args:
        name: The thread's name.
        work: Called with each batch, in the thread. It must not raise.
        end: Called in the thread when it ends.
        late: Told how many items are left, perhaps none, when the end was waited for in vain.
        batch: How many items are worked off at once at most.
        linger_s: How long a batch is waited for.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[T]], object],
        end: Callable[[], object],
        late: Callable[[int], object],
        *,
        batch: int = 1,
        linger_s: float = 0.0,
    ) -> None:
        self.pid = os.getpid()
        self.stopping = threading.Event()
        self.give_up_at: float | None = None
        self._name = name
        self._work = work
        self._end = end
        self._late = late
        self._batch = batch
        self._linger_s = linger_s
        self._queue: queue.SimpleQueue[T | _Mark] = queue.SimpleQueue()
        self._lock = threading.RLock()  # reentrant, for the garbage collector may run within it
        self._thread: threading.Thread | None = None
        self._busy = 0
        self._marks = 0

    @property
    def waiting(self) -> int:
        """How many items are not worked off yet."""
        return self._queue.qsize() - self._marks + self._busy

    @property
    def out_of_time(self) -> bool:
        """Whether whoever waits for the end waits no longer."""
        return self.give_up_at is not None and time.monotonic() >= self.give_up_at

    def put(self, item: T) -> None:
        """Take an item, without waiting for anything."""
        self._queue.put(item)
        if self._thread is None:
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything taken so far is worked off.

        Returns:
            Whether it is; False when time ran out first.
        """
        if self._thread is None or not self._thread.is_alive():
            return self.waiting == 0
        return self._mark().wait(timeout_s)

    def stop(self) -> None:
        """Have the thread work off what waits and end, without waiting for it."""
        if self.pid == os.getpid() and not self.stopping.is_set():
            self.stopping.set()
            self._mark()

    def finish(self, timeout_s: float = AT_EXIT_S) -> None:
        """Have the thread work off what waits and end, and wait for it, but not for longer than this."""
        if self.pid != os.getpid():
            return
        if self.give_up_at is None:
            self.give_up_at = time.monotonic() + timeout_s
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
            if thread.is_alive():
                self._late(self.waiting)

    def _mark(self) -> _Mark:
        """Put a mark behind all that waits; it is set once that is worked off."""
        mark = _Mark()
        with self._lock:
            self._marks += 1
        self._queue.put(mark)
        return mark

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            if not threading.main_thread().is_alive():  # the interpreter is ending: no thread would be waited for
                self.give_up_at = time.monotonic() + AT_EXIT_S
                self._turn()
                self._end()
                return
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
            atexit.register(self.finish)
            if (util := sys.modules.get("multiprocessing.util")) is not None:
                util.Finalize(None, self.finish, exitpriority=10)  # its children run no `atexit`

    def _run(self) -> None:
        try:
            while not (self.stopping.is_set() and self._queue.empty()):
                self._turn()
        finally:
            self._end()
            atexit.unregister(self.finish)

    def _turn(self) -> None:
        items, marks = self._gather()
        if items:
            self._work(items)
        self._busy = 0
        for mark in marks:
            mark.set()

    def _gather(self) -> tuple[list[T], list[_Mark]]:
        """Take what waits, up to a batch; a mark ends the waiting for more."""
        items: list[T] = []
        marks: list[_Mark] = []
        until: float | None = None
        while len(items) < self._batch:
            try:
                if marks:
                    found = self._queue.get_nowait()
                else:
                    found = self._queue.get(timeout=None if until is None else max(until - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if isinstance(found, _Mark):
                marks.append(found)
                with self._lock:
                    self._marks -= 1
            else:
                items.append(found)
                self._busy = len(items)
            until = until or time.monotonic() + self._linger_s
        return items, marks


class _Mark(threading.Event):
    """Set once everything that stands before it in the queue is worked off."""
