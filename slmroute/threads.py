"""Work that must not hold its caller up longer than it is worth, done in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

__all__ = ["in_thread"]

Done = TypeVar("Done")


def in_thread(work: Callable[[], Done], timeout_s: float | None = None) -> Done:
    """Do work in a thread of its own, in the caller's context, and wait for it.

    Args:
        work: What to do. When its time is up it goes on, and what comes of it is ignored.
        timeout_s: Seconds to wait, or None to wait for the end.

    Returns:
        What it gave.

    Raises:
        TimeoutError: It took longer.
        BaseException: Whatever the work raised.
    """
    outcome = Future[Done]()

    def act() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  handed to the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=copy_context().run, args=(act,), name="slmroute-wait", daemon=True).start()
    return outcome.result(timeout_s)
