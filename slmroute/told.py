"""What the chunks of a stream tell of the tokens that it takes: at once, at its end, or again and again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from slmroute.steps import Usage, greatest, summed, with_told

__all__ = ["Told"]


@dataclass(slots=True)
class Told:
    """What a stream has told so far.

    Attributes:
        usage: Its tokens, which are mostly the prompt's while it lasts; None where nothing was told.
        finished: Whether the provider has said that the answer has ended.
        closing: Whether ``usage`` was told then or later, and so is of the whole answer.
    """

    usage: Usage | None = None
    finished: bool = False
    closing: bool = False

    def take(self, usage: Usage | None, *, so_far: bool, finished: bool) -> None:
        """Note what a chunk tells; see ``Chunk``."""
        self.finished = self.finished or finished
        if usage is not None:
            self.usage = (greatest if so_far else summed)(self.usage, usage)
            self.closing = self.finished

    def put_into(self, guess: Usage, requests: int = 1) -> Usage:
        """Put what was told into an estimate of all that was taken.

        Args:
            guess: The estimate of one request.
            requests: How many were sent; of those before the last nothing came but that their prompt may be counted.
        """
        usage = guess if self.usage is None else with_told(guess, self.usage, closing=self.closing)
        before = guess.input_tokens * (requests - 1)
        return usage if before <= 0 else replace(usage, input_tokens=usage.input_tokens + before, source="estimated")
