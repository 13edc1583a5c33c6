"""What a tier says and counts that generates nothing, in whichever framework."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from slmroute.request import estimate_tokens

__all__ = ["TYPICAL_ANSWER_TOKENS", "note_of", "prompt_tokens"]

TYPICAL_ANSWER_TOKENS: Final = 400


def note_of(model: str) -> str:
    """Give the text that stands where an answer of the model would."""
    return f"[dry run: {model} would answer here; nothing was generated]"


def prompt_tokens(texts: Iterable[str]) -> int:
    """Estimate the tokens of a prompt from the texts of its messages."""
    return sum(4 + estimate_tokens(text) for text in texts)
