"""A coroutine that goes on in a thread of its own, whether or not anybody still waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress

from slmroute.errors import ClassifierUnavailable

__all__ = ["Background"]


class Background:
    """Runs one coroutine in a daemon thread with an event loop of its own.

    Whoever waits may give up without stopping it; ``cancel`` stops it at once, whatever it waits for.

    Args:
        work: Makes the coroutine.
        name: The thread's name.
    """

    def __init__(self, work: Callable[[], Coroutine[None, None, None]], name: str) -> None:
        self._done = Future[None]()
        # From here on nobody who gives up waiting can cancel it for the others.
        self._done.set_running_or_notify_cancel()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(work),), name=name, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether it has ended; true in a forked process, too, which has this object but not the thread."""
        return self._done.done() or not self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the end.

        Raises:
            TimeoutError: It goes on longer than that.
            Exception: What the coroutine raised.
        """
        self._done.result(timeout_s)

    async def wait_async(self) -> None:
        """Wait for the end without holding up the event loop; a waiter that is cancelled does not stop the work."""
        await asyncio.wrap_future(self._done)

    def cancel(self) -> None:
        """Stop it, and wait until it has let go of everything."""
        if self.over:
            return
        self._ready.wait()
        # The loop is closed when the work ended just now.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    async def _run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(work())
        self._ready.set()
        await asyncio.wait([self._task])
        if self._task.cancelled():
            self._done.set_exception(ClassifierUnavailable("The classifier was closed while its model was loading."))
        elif error := self._task.exception():
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
