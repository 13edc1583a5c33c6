"""What a local server did so far: counted in its thread, read in any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from slmroute.errors import SlmrouteError
from slmroute.local.completion import End

__all__ = ["Counts", "Tally"]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a local server did so far.

    Attributes:
        requests: Requests received, of any kind.
        open: Requests that are being answered now.
        cancelled: Requests whose client hung up before the end of the answer.
        answers: Generations that came to their end.
        loads: How often the model was loaded.
        prompt_tokens: Tokens of the prompts of these answers.
        cached_tokens: Those of them that were still evaluated from an earlier request.
        output_tokens: Tokens generated in these answers.
    """

    requests: int = 0
    open: int = 0
    cancelled: int = 0
    answers: int = 0
    loads: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class Tally:
    """Keeps the counts."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """The counts as they are now."""
        with self._changed:
            return self._counts

    def begin(self) -> None:
        """Count a request."""
        with self._changed:
            self._set(requests=self._counts.requests + 1, open=self._counts.open + 1)

    def end(self, hung_up: bool) -> None:
        """Count the end of a request."""
        with self._changed:
            self._set(open=self._counts.open - 1, cancelled=self._counts.cancelled + hung_up)

    def load(self) -> None:
        """Count a load."""
        with self._changed:
            self._set(loads=self._counts.loads + 1)

    def answer(self, end: End) -> None:
        """Count an answer."""
        with self._changed:
            self._set(
                answers=self._counts.answers + 1,
                prompt_tokens=self._counts.prompt_tokens + end.prompt_tokens,
                cached_tokens=self._counts.cached_tokens + end.cached_tokens,
                output_tokens=self._counts.output_tokens + end.output_tokens,
            )

    def wait_until(self, true: Callable[[Counts], bool], timeout_s: float) -> None:
        """Wait for something to become true of the counts.

        Raises:
            SlmrouteError: It did not in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: true(self._counts), timeout_s):
                raise SlmrouteError(f"wait_until() waited {timeout_s} s in vain: {self._counts}")

    def _set(self, **changes: int) -> None:
        self._counts = replace(self._counts, **changes)
        self._changed.notify_all()
