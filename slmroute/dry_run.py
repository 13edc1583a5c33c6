"""What a tier says and counts that generates nothing, in whichever framework."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slmroute.errors import NothingGenerated
from slmroute.request import estimate_tokens

__all__ = ["TYPICAL_ANSWER_TOKENS", "no_object", "note_of", "prompt_tokens"]

TYPICAL_ANSWER_TOKENS: Final = 400


def note_of(model: str) -> str:
    """Give the text that stands where an answer of the model would."""
    return f"[dry run: {model} would answer here; nothing was generated]"


def no_object(model: str) -> NothingGenerated:
    """Give the error that stands where an object of the model would."""
    return NothingGenerated(
        f"'dry-run:{model}' generates nothing, so that there is no object to give: take 'dry-run:' away, as in "
        f"model={model!r}, or keep the call on another tier."
    )


def prompt_tokens(texts: Iterable[str]) -> int:
    """Estimate the tokens of a prompt from the texts of its messages."""
    return sum(4 + estimate_tokens(text) for text in texts)
