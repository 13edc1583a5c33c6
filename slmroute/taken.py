"""The tokens that an attempt at a tier has taken: as reported, and estimated where nothing was or it cannot be true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from slmroute.attempt import Attempt
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.steps import MOST_TOKENS, Answer, Usage, summed, with_told

__all__ = ["by_answer", "by_answers", "without_answer"]


def by_answer(attempt: Attempt, request: RouteRequest, answer: Answer, events: list[str]) -> Usage:
    """Give the tokens of an answer; what is missing or cannot be true is estimated, and marked so.

    Args:
        attempt: The attempt.
        request: The call.
        answer: The answer.
        events: Noted here where it is estimated.
    """
    told = answer.usage
    silent = not answer.text and not answer.tool_calls
    if told is not None and (told.source != "reported" or (told.plausible and (silent or told.output_tokens))):
        return told
    events.append(f"unmetered:{attempt.name}")
    calls = (f"{call.name} {call.arguments}" for call in answer.tool_calls)
    guess = _estimate(attempt, request, " ".join((answer.text, *calls)).strip())
    if told is None:
        return guess
    wrote = told.output_tokens if 0 < told.output_tokens < MOST_TOKENS else guess.output_tokens
    return replace(with_told(guess, told), output_tokens=wrote)


def by_answers(attempt: Attempt, request: RouteRequest, answers: Sequence[Answer], events: list[str]) -> Usage | None:
    """Give the tokens of several answers; None where there are none."""
    return reduce(summed, (by_answer(attempt, request, answer, events) for answer in answers), None)


def without_answer(attempt: Attempt, request: RouteRequest, sent: int, events: list[str]) -> Usage | None:
    """Give the tokens of an attempt that has not answered: those of its requests that have been, and of the last one.

    Args:
        attempt: The attempt.
        request: The call.
        sent: How many requests may be counted though nothing, or not all, came of them.
        events: Noted here where an answer's tokens are estimated.
    """
    taken = by_answers(attempt, request, attempt.answers, events)
    if taken is not None and attempt.held:
        return taken  # the stream's request has ended
    begun = attempt.first_token is not None or attempt.text or attempt.told.usage is not None
    if not (sent or begun):
        return taken
    guess = _estimate(attempt, request, "".join(attempt.text))
    return summed(taken, attempt.told.put_into(guess, sent))  # what came before it broke off is paid for


def _estimate(attempt: Attempt, request: RouteRequest, text: str) -> Usage:
    return Usage(request.tokens + attempt.draft_tokens, estimate_tokens(text), source="estimated")
