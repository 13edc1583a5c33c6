"""Asking the classifier and the judge: two of the places where anything may go wrong without failing the call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from numbers import Real
from typing import Final

from slmroute.attempt import Attempt
from slmroute.classify.protocol import Classification, ClassifierLike, aasked, asked
from slmroute.confidence import judged_by
from slmroute.errors import ClassifierUnavailable, ClassifierUnsure, ModelMissing
from slmroute.overheard import ModelCall
from slmroute.policy import Judgement
from slmroute.price import FREE, UNPRICED, Priced, own_prices, token_price, total_of
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.run import Run
from slmroute.shared_score import SharedScore
from slmroute.steps import Answer, Classify, Judge, Scored, Usage, Verdict, summed
from slmroute.threads import in_thread

__all__ = ["ajudge", "ascore", "asking", "judge", "score"]

JUDGE_AT_LEAST_S: Final = 1.0
"""What a judge has even where the deadline has come, in seconds: an answer is in hand, and it is known to be late."""


def asking(run: Run) -> AbstractContextManager[object]:
    """Give what the classifier or the judge is asked in: the models that they call are overheard."""
    run.overheard = []
    return run.aside(run.overheard)


def score(run: Run, step: Classify) -> Scored:
    """Ask the classifier, or take the score of the call that decides for the scope just now.

    A score that cannot be had or trusted is None.
    """
    shared = SharedScore.of(run)
    while shared is not None and not shared.is_of(run):
        taken_over = _taken_over(run, shared.wait(_share_s(run)))
        if taken_over is not None:
            return taken_over
        shared = SharedScore.of(run) if shared.given_up else None
    if shared is None:
        return _score(run, step)
    scored = None
    try:
        scored = _score(run, step)
        return scored
    finally:
        shared.tell(scored)


async def ascore(run: Run, step: Classify) -> Scored:
    """Do what ``score`` does without holding up the event loop; the classifier may take half of the time there is."""
    shared = SharedScore.of(run)
    while shared is not None and not shared.is_of(run):
        taken_over = _taken_over(run, await shared.await_(_share_s(run)))
        if taken_over is not None:
            return taken_over
        shared = SharedScore.of(run) if shared.given_up else None
    if shared is None:
        return await _ascore(run, step)
    scored = None
    try:
        scored = await _ascore(run, step)
        return scored
    finally:
        shared.tell(scored)


def _taken_over(run: Run, scored: Scored | None) -> Scored | None:
    if scored is None:
        return None
    if scored.score is None:
        run.events.append("classifier_unavailable")
    run.score = scored.score
    return replace(scored, shared=True)


def _score(run: Run, step: Classify) -> Scored:
    attempt = _begin_scoring(run)
    if attempt is None:
        return Scored(None)
    try:
        found = _asked_in_time(run, step.request)
    except Exception as error:  # noqa: BLE001  a classifier, the user's own included, must never fail a call
        return _not_scored(run, attempt, error)
    except BaseException as error:
        _given_up(run, attempt, run.engine.classifier, error)
        raise
    return _scored(run, attempt, found)


def _asked_in_time(run: Run, request: RouteRequest) -> object:
    """Ask the classifier, and go on without it when it has taken half of the time there is."""
    share_s, classifier = _share_s(run), _classifier(run)
    found = asked(classifier, request) if share_s is None else in_thread(lambda: asked(classifier, request), share_s)
    if isinstance(found, float) or not inspect.isawaitable(found):
        return found
    return _wait_for(found, _share_s(run))


async def _ascore(run: Run, step: Classify) -> Scored:
    attempt = _begin_scoring(run)
    if attempt is None:
        return Scored(None)
    try:
        async with asyncio.timeout(_share_s(run)):
            found = await aasked(_classifier(run), step.request)
    except Exception as error:  # noqa: BLE001  as in ``_score``
        return _not_scored(run, attempt, error)
    except BaseException as error:
        _given_up(run, attempt, run.engine.classifier, error)
        raise
    return _scored(run, attempt, found)


def _classifier(run: Run) -> ClassifierLike:
    assert run.engine.classifier is not None  # noqa: S101  the flow asks for it only where there is one
    return run.engine.classifier


def _share_s(run: Run) -> float | None:
    """Seconds that the classifier may take: a tier must still have time to answer."""
    return None if run.remaining_s is None else max(run.remaining_s / 2, 0.0)


def _begin_scoring(run: Run) -> Attempt | None:
    now = run.engine.clock.monotonic()
    permit = run.engine.classifier_breaker.admit(now)
    if permit is None:
        run.events.append("classifier_unavailable")
        return None
    return Attempt(run.engine.classifier_version or "classifier", now, permit=permit, role="classifier")


def _scored(run: Run, attempt: Attempt, found: object) -> Scored:
    given = found if isinstance(found, Classification) else None
    _note_spent(run, attempt, run.engine.classifier, given)
    score = _probability(found if given is None else given.score)
    if score is None:
        return _not_scored(run, attempt, ClassifierUnsure())
    _end(run, attempt, alive=True)
    run.score = score
    return Scored(score)


def _not_scored(run: Run, attempt: Attempt, error: Exception) -> Scored:
    # What goes wrong with one request says nothing of the next: only a classifier that is not there is left alone.
    gone = isinstance(error, (ClassifierUnavailable, ModelMissing, *run.engine.availability_errors))
    run.events.append("classifier_unavailable")
    spent = getattr(error, "spent", None)
    _note_spent(run, attempt, run.engine.classifier, spent if isinstance(spent, Classification) else None)
    _end(run, attempt, error, alive=False if gone and not isinstance(error, ClassifierUnsure) else None)
    return Scored(None)


def _given_up(run: Run, attempt: Attempt | None, asked: object, error: BaseException) -> None:
    """Add an attempt to the record that the caller gave up; what it had taken by then is counted."""
    if attempt is not None:
        _note_spent(run, attempt, asked, None)
    _end(run, attempt, error)


def _end(run: Run, attempt: Attempt | None, error: BaseException | None = None, *, alive: bool | None = None) -> None:
    """Add an attempt to the record, and note for the classifier's health whether it is there, where that is known."""
    if attempt is None:
        return
    if error is not None:
        attempt.error = type(error).__name__
    if attempt.permit is not None:
        if alive:
            attempt.permit.success()
        elif alive is None:
            attempt.permit.release()
        else:
            attempt.permit.failure(run.engine.clock.monotonic())
    run.note(attempt)


def _probability(value: object) -> float | None:
    """Read a number in [0, 1]; whatever else a classifier or a judge says is not to be trusted."""
    if not isinstance(value, float) and (isinstance(value, bool) or not isinstance(value, Real)):
        return None
    number = float(value)
    return number if 0 <= number <= 1 else None


def _note_spent(
    run: Run, attempt: Attempt, asked: object, given: Classification | Judgement | None, judged: Answer | None = None
) -> None:
    """Note the tokens that a classifier or a judge took, where it called models, and what they cost.

    It tells so itself, or the calls were overheard: the fuller account holds. What it tells and cannot be true is
    estimated by what it was asked.
    """
    if not run.overheard and (given is None or given.usage is None):
        return
    calls = [call for call in run.overheard if call.taken is not None]
    if given is not None and given.usage is not None:
        told = ModelCall.told(given.usage, given.model, given.provider)
        if told is None:
            run.events.append(f"unmetered:{attempt.name}")
            if not calls:
                tokens = run.request.tokens + (0 if judged is None else estimate_tokens(judged.text))
                calls = [ModelCall.guessed(max(tokens, 1), given.usage, given.model, given.provider)]
        elif not calls or _tokens(told.taken) > sum(_tokens(call.taken) for call in calls):
            calls = [told]
    if not calls:
        return
    own = own_prices(asked, f"the {attempt.role}'s price")
    prices: list[Priced] = []
    for call in calls:
        attempt.usage, attempt.model, attempt.provider = summed(attempt.usage, call.taken), call.model, call.provider
        prices.append(_priced(run, attempt, call, call.own_prices if call.own else own))
    cost = total_of(priced.cost for priced in prices)
    attempt.priced = UNPRICED if cost is None else Priced(cost, prices[-1].price_id)


def _tokens(usage: Usage | None) -> int:
    return 0 if usage is None or usage.source == "cached" else usage.input_tokens + usage.output_tokens


def _priced(run: Run, attempt: Attempt, call: ModelCall, own: tuple[Decimal, Decimal] | None) -> Priced:
    usage = call.taken
    if usage is None or usage.source == "cached":
        return FREE
    if own is not None:
        return Priced(token_price(usage, *own), attempt.role)
    return run.engine.prices.price_of(usage, call.provider or "", call.model or "", asked_for=call.asked_for)


def judge(run: Run, step: Judge) -> Verdict:
    """Ask how confident one may be in an answer."""
    attempt = _begin_judging(run)
    try:
        value = _confidence(run, step)
        if inspect.isawaitable(value):
            value = _wait_for(value, _time_to_judge_s(run))
    except Exception as error:  # noqa: BLE001  a broken judge never throws away a good answer
        return _not_judged(run, attempt, error)
    except BaseException as error:
        _given_up(run, attempt, run.policy.judge, error)
        raise
    return _judged(run, attempt, step, value)


async def ajudge(run: Run, step: Judge) -> Verdict:
    """Ask the same without holding up the event loop; the deadline cuts a judge of the user's."""
    attempt = _begin_judging(run)
    try:
        async with asyncio.timeout(_time_to_judge_s(run)):
            if run.policy.judge is None or inspect.iscoroutinefunction(run.policy.judge):
                value = _confidence(run, step)
            else:
                value = await asyncio.to_thread(_confidence, run, step)
            if inspect.isawaitable(value):
                value = await value
    except Exception as error:  # noqa: BLE001  see ``judge``
        return _not_judged(run, attempt, error)
    except BaseException as error:
        _given_up(run, attempt, run.policy.judge, error)
        raise
    return _judged(run, attempt, step, value)


def _time_to_judge_s(run: Run) -> float | None:
    """How long a judge may take: until the deadline, or a moment where the answer came late, for one is in hand.

    Reading log-probabilities takes no time that a limit could cut.
    """
    remaining_s = run.remaining_s
    return None if run.policy.judge is None or remaining_s is None else max(remaining_s, JUDGE_AT_LEAST_S)


def _begin_judging(run: Run) -> Attempt | None:
    """An attempt for the record where the user's judge is asked; reading log-probabilities is none."""
    if run.policy.judge is None:
        return None
    return Attempt(run.engine.calibrator_version or "judge", run.engine.clock.monotonic(), role="judge")


def _confidence(run: Run, step: Judge) -> object:
    if run.policy.judge is not None:
        return run.policy.judge(step.request, step.answer)
    answer = step.answer
    return judged_by(run.engine.calibrator, answer.logprobs, answer.margins) if answer.logprobs else None


def _judged(run: Run, attempt: Attempt | None, step: Judge, value: object) -> Verdict:
    judged = value if isinstance(value, Judgement) else None
    if attempt is not None:
        _note_spent(run, attempt, run.policy.judge, judged, step.answer)
    if judged is not None:
        value = judged.confidence
    confidence = None if value is None else _probability(value)
    if value is not None and confidence is None:
        return _not_judged(run, attempt, ValueError())
    _end(run, attempt)
    run.attempt_of(step.answer).confidence = confidence
    return Verdict(confidence)


def _not_judged(run: Run, attempt: Attempt | None, error: Exception) -> Verdict:
    run.events.append("judge_unavailable")
    if attempt is not None:
        _note_spent(run, attempt, run.policy.judge, None)
    _end(run, attempt, error)
    return Verdict(None, broken=True)


def _wait_for(value: Awaitable[object], timeout_s: float | None) -> object:
    """Run an awaitable from synchronous code, in a thread of its own because a loop may already run in this one."""

    async def wait() -> object:
        async with asyncio.timeout(timeout_s):
            return await value

    return in_thread(lambda: asyncio.run(wait()))
