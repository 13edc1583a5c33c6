"""The tokens of an answer with their probabilities, as providers send them, and which of them it is judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from slmroute.confidence import Calibrator, needs_margins
from slmroute.item import item
from slmroute.steps import ToolCall

__all__ = ["ALTERNATIVES", "TokenProbability", "asking", "deciding", "logprobs_of", "margins_of", "read_tokens"]

ALTERNATIVES: Final = 2
"""How many of the likeliest tokens of each place are asked for where margins are: the two that it is between."""

_DECODER: Final = json.JSONDecoder()
_MOST_OBJECTS: Final = 200
"""How many places of a tool call's text are tried: a bound for texts that are full of braces."""


@dataclass(frozen=True, slots=True)
class TokenProbability:
    """A generated token.

    Attributes:
        text: The token's text; empty where it is not told.
        logprob: Its natural log-probability.
        margin: How far it was ahead of the likeliest other one, in log-probability, where that is told.
    """

    text: str = field(repr=False)
    logprob: float
    margin: float | None = None


def asking(how: Mapping[str, Any], calibrator: Calibrator, model: object) -> Mapping[str, Any]:
    """Give the arguments of a call that ask for log-probabilities, and for margins where the calibrator needs them.

    Args:
        how: What asks the provider for log-probabilities; empty where there are none to be had.
        calibrator: What judges by them.
        model: The framework's model: where its user has it ask for alternatives already, it asks for as many.
    """
    if how and needs_margins(calibrator) and not getattr(model, "top_logprobs", None):
        return {**how, "top_logprobs": ALTERNATIVES}
    return how


def read_tokens(entries: object) -> tuple[TokenProbability, ...]:
    """Read a list of tokens, as Ollama and OpenAI send it; entries without a log-probability are left out.

    Args:
        entries: Mappings or objects with ``token``, ``logprob`` and perhaps ``top_logprobs``; anything else is none.
    """
    return tuple(token for entry in _listed(entries) if (token := _read(entry)) is not None)


def deciding(tokens: Sequence[TokenProbability], calls: Sequence[ToolCall]) -> tuple[TokenProbability, ...]:
    """Give the tokens that an answer is judged by.

    A tool call is good or bad by its arguments: the words round them are the same in every call, and would make it look
    surer than it is. So of an answer that calls tools these are the tokens of the arguments, or all where the tokens'
    texts do not show them as JSON.

    Args:
        tokens: All tokens of the answer.
        calls: The tools that it calls.
    """
    if not calls or not tokens:
        return tuple(tokens)
    spans = _spans_of("".join(token.text for token in tokens), calls)
    if spans is None:
        return tuple(tokens)
    kept: list[TokenProbability] = []
    start = 0
    for token in tokens:
        end = start + len(token.text)
        if any(start < until and end > since for since, until in spans):
            kept.append(token)
        start = end
    return tuple(kept)


def logprobs_of(tokens: Sequence[TokenProbability]) -> tuple[float, ...]:
    """Give the log-probability of each token."""
    return tuple(token.logprob for token in tokens)


def margins_of(tokens: Sequence[TokenProbability]) -> tuple[float, ...]:
    """Give the margin of each token; none where one of them is not known."""
    margins = [token.margin for token in tokens if token.margin is not None]
    return tuple(margins) if len(margins) == len(tokens) else ()


def _read(entry: object) -> TokenProbability | None:
    logprob = item(entry, "logprob")
    if not isinstance(logprob, int | float) or isinstance(logprob, bool):
        return None
    text = item(entry, "token")
    likely = [(item(other, "token"), item(other, "logprob")) for other in _listed(item(entry, "top_logprobs"))]
    others = [float(value) for name, value in likely if name != text and isinstance(value, int | float)]
    margin = logprob - max(others) if others else None
    return TokenProbability(text if isinstance(text, str) else "", float(logprob), margin)


def _listed(found: object) -> Sequence[object]:
    return cast("Sequence[object]", found) if isinstance(found, Sequence) and not isinstance(found, str | bytes) else ()


def _spans_of(text: str, calls: Sequence[ToolCall]) -> list[tuple[int, int]] | None:
    """Find the arguments of each call in what the model wrote; None where one of them is not there."""
    spans: list[tuple[int, int]] = []
    found = list(_objects_in(text))
    for call in calls:
        # An object is used once: two calls may have the same arguments.
        place = next((place for place, (value, _) in enumerate(found) if value == call.arguments), None)
        if place is None:
            return None
        spans.append(found.pop(place)[1])
    return spans


def _objects_in(text: str) -> Iterator[tuple[object, tuple[int, int]]]:
    """Find the JSON objects of a text, those within others too, with where they stand."""
    start = -1
    for _ in range(_MOST_OBJECTS):
        start = text.find("{", start + 1)
        if start < 0:
            return
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        yield value, (start, end)
