"""Reading a label out of a model's reply: by the first token's probabilities, by its text only where there are none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from slmroute.classify.few_shot_prompt import COMPLEX, SIMPLE
from slmroute.errors import ClassifierUnsure
from slmroute.request import estimate_tokens
from slmroute.steps import Usage

if TYPE_CHECKING:
    from ollama import ChatResponse

__all__ = ["TEXT_ONLY", "log_odds", "prompt_tokens", "usage_of"]

TEXT_ONLY = math.log(9)
"""The log-odds given to a label that came without probabilities: 0.9 against 0.1."""

LEAST_MASS = 0.05
"""How probable the two labels must be together, for their ratio to mean anything: a model that is about to write prose
gives them less."""

SHORTEST_PIECE = 3
"""The first token of a label that a vocabulary splits has at least this many letters."""

ROUNDING = 1e-3


def log_odds(response: ChatResponse, low: str = SIMPLE, high: str = COMPLEX) -> float:
    """Read how much more likely one label was than the other.

    Of the most probable tokens in the first place, those that are a label in any case and with any space around it are
    added up. A label that is not among them was at most as likely as the least of them, and gets that much.

    Args:
        response: The answer of Ollama to a few-shot prompt.
        low: The one label.
        high: The other.

    Returns:
        The natural logarithm of the ratio of their probabilities. Where the server sends no probabilities (Ollama
        before 0.12.11) and the text is exactly a label, plus or minus ``TEXT_ONLY``.

    Raises:
        ClassifierUnsure: It is neither. What the model said is not in the message.
    """
    if not response.logprobs:
        return from_text(response.message.content or "", low, high)
    first = response.logprobs[0]
    listed = {entry.token: entry.logprob for entry in (first, *(first.top_logprobs or ()))}
    if not all(math.isfinite(logprob) and logprob <= ROUNDING for logprob in listed.values()):
        raise not_trusted("its log-probabilities are not numbers below zero")
    low_mass, high_mass = mass_of(low, listed), mass_of(high, listed)
    if low_mass + high_mass < LEAST_MASS:
        raise not_trusted(f"it answers with something else than {low!r} or {high!r}")
    chances = [math.exp(logprob) for logprob in listed.values()]
    unlisted = max(min(*chances, 1 - sum(chances)), 1e-9)
    return math.log(high_mass or unlisted) - math.log(low_mass or unlisted)


def mass_of(label: str, listed: Mapping[str, float]) -> float:
    """Add up the probabilities of the tokens that are this label, or of its beginnings where it is no single token."""
    bare = [(token.strip().lower(), math.exp(logprob)) for token, logprob in listed.items()]
    whole = sum_of(chance for token, chance in bare if token == label)
    return whole or sum_of(chance for token, chance in bare if len(token) >= SHORTEST_PIECE and label.startswith(token))


def sum_of(chances: Iterable[float]) -> float:
    """Add floats up to a float."""
    return sum(chances, 0.0)


def from_text(content: str, low: str, high: str) -> float:
    """Read a reply without probabilities: exactly a label, or not to be trusted."""
    # A label is short: a huge reply is not worth the work of cleaning it.
    label = content.strip().lower() if len(content) < 100 else ""
    if label == high:
        return TEXT_ONLY
    if label == low:
        return -TEXT_ONLY
    raise not_trusted(f"it sends no log-probabilities and its text is neither {low!r} nor {high!r}")


def not_trusted(why: str) -> ClassifierUnsure:
    """Make the error for a reply that cannot be read."""
    return ClassifierUnsure(
        f"What the small model says cannot be trusted here: {why}. Use another model=, or, for a few-shot "
        "classifier, examples= that it follows."
    )


def usage_of(response: ChatResponse, messages: Sequence[Mapping[str, str]]) -> Usage:
    """Read the tokens of a reply; Ollama leaves a count out that is zero, and some versions that of a cached prompt."""
    told = Usage(response.prompt_eval_count or 0, response.eval_count or 0)
    return told if told.plausible else Usage(prompt_tokens(messages), max(told.output_tokens, 1), source="estimated")


def prompt_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    """Estimate the tokens of a prompt."""
    return sum(estimate_tokens(message["content"]) for message in messages)
