"""What the chunks of a stream tell of the tokens that it takes: at once, at its end, or again and again."""

from __future__ import annotations

from dataclasses import dataclass

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

    def put_into(self, guess: Usage) -> Usage:
        """Put what was told into an estimate of all that the stream took."""
        return guess if self.usage is None else with_told(guess, self.usage, closing=self.closing)
