"""Asking the classifier and the judge: two of the places where anything may go wrong without failing the call."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable
from numbers import Real
from typing import cast

from slmroute.classify.protocol import Classification, ClassifierLike
from slmroute.price import UNPRICED, Priced, token_price
from slmroute.request import RouteRequest
from slmroute.run import Attempt, Run
from slmroute.steps import Classify, Judge, Scored, Usage, Verdict
from slmroute.tier import Money, money

__all__ = ["ajudge", "ascore", "judge", "score"]


def score(run: Run, step: Classify) -> Scored:
    """Ask the classifier; a score that cannot be had or trusted is None."""
    attempt = _begin_scoring(run)
    if attempt is None:
        return Scored(None)
    try:
        found = _classify(run.engine.classifier, step.request)
    except Exception as error:  # noqa: BLE001  a classifier, the user's own included, must never fail a call
        return _not_scored(run, attempt, error)
    except BaseException:
        run.engine.classifier_breaker.release()
        raise
    return _scored(run, attempt, found)


async def ascore(run: Run, step: Classify) -> Scored:
    """Ask the classifier without holding up the event loop; the deadline cuts it."""
    attempt = _begin_scoring(run)
    if attempt is None:
        return Scored(None)
    try:
        async with asyncio.timeout(run.remaining_s):
            found = await _aclassify(run.engine.classifier, step.request)
    except Exception as error:  # noqa: BLE001  see ``score``
        return _not_scored(run, attempt, error)
    except BaseException:
        run.engine.classifier_breaker.release()
        raise
    return _scored(run, attempt, found)


def _classify(classifier: ClassifierLike | None, request: RouteRequest) -> object:
    for name in ("classify", "score"):
        method = getattr(classifier, name, None)
        if method is not None:
            return method(request)
    assert callable(classifier)  # noqa: S101  checked when the router was made
    return classifier(request)


async def _aclassify(classifier: ClassifierLike | None, request: RouteRequest) -> object:
    for name in ("aclassify", "ascore"):
        method = getattr(classifier, name, None)
        if method is not None:
            return await method(request)
    return await asyncio.to_thread(_classify, classifier, request)


def _begin_scoring(run: Run) -> Attempt | None:
    now = run.engine.clock.monotonic()
    if not run.engine.classifier_breaker.admit(now):
        run.events.append("classifier_unavailable")
        return None
    return Attempt(run.engine.classifier_version or "classifier", now, role="classifier")


def _scored(run: Run, attempt: Attempt, found: object) -> Scored:
    given = found if isinstance(found, Classification) else Classification(cast("float", found))
    if given.usage is not None:
        attempt.usage, attempt.model, attempt.provider = given.usage, given.model, given.provider
        attempt.priced = _classifier_price(run, given.usage)
    value: object = given.score
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= (number := float(value)) <= 1:
        return _not_scored(run, attempt, ValueError())
    run.engine.classifier_breaker.success()
    run.note(attempt)
    run.score = number
    return Scored(number)


def _not_scored(run: Run, attempt: Attempt, error: Exception) -> Scored:
    run.engine.classifier_breaker.failure(run.engine.clock.monotonic())
    run.events.append("classifier_unavailable")
    attempt.error = type(error).__name__
    run.note(attempt)
    return Scored(None)


def _classifier_price(run: Run, usage: Usage) -> Priced:
    input_price: Money | None = getattr(run.engine.classifier, "input_price", None)
    output_price: Money | None = getattr(run.engine.classifier, "output_price", None)
    if input_price is None or output_price is None:
        return UNPRICED
    setting = "the classifier's price"
    return Priced(token_price(usage, money(input_price, setting), money(output_price, setting)), "classifier")


def judge(run: Run, step: Judge) -> Verdict:
    """Ask how confident one may be in an answer."""
    attempt = _begin_judging(run)
    try:
        value = _confidence(run, step)
        if inspect.isawaitable(value):
            value = _wait_for(value)
    except Exception as error:  # noqa: BLE001  a broken judge never throws away a good answer
        return _not_judged(run, attempt, error)
    return _judged(run, attempt, step, value)


async def ajudge(run: Run, step: Judge) -> Verdict:
    """Ask the same without holding up the event loop; the deadline cuts a judge of the user's."""
    attempt = _begin_judging(run)
    try:
        async with asyncio.timeout(run.remaining_s):
            if attempt is None or inspect.iscoroutinefunction(run.engine.policy.judge):
                value = _confidence(run, step)
            else:
                value = await asyncio.to_thread(_confidence, run, step)
            if inspect.isawaitable(value):
                value = await value
    except Exception as error:  # noqa: BLE001  see ``judge``
        return _not_judged(run, attempt, error)
    return _judged(run, attempt, step, value)


def _begin_judging(run: Run) -> Attempt | None:
    """An attempt for the record where the user's judge is asked; reading log-probabilities is none."""
    if run.engine.policy.judge is None:
        return None
    return Attempt("judge", run.engine.clock.monotonic(), role="judge")


def _confidence(run: Run, step: Judge) -> float | Awaitable[float | None] | None:
    if run.engine.policy.judge is not None:
        return run.engine.policy.judge(step.request, step.answer)
    return run.engine.calibrator(step.answer.logprobs) if step.answer.logprobs else None


def _judged(run: Run, attempt: Attempt | None, step: Judge, value: object) -> Verdict:
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1):
        return _not_judged(run, attempt, ValueError())
    confidence = None if value is None else float(value)
    if attempt is not None:
        run.note(attempt)
    run.attempt_of(step.answer).confidence = confidence
    return Verdict(confidence)


def _not_judged(run: Run, attempt: Attempt | None, error: Exception) -> Verdict:
    run.events.append("judge_unavailable")
    if attempt is not None:
        attempt.error = type(error).__name__
        run.note(attempt)
    return Verdict(None, broken=True)


def _wait_for(value: Awaitable[float | None]) -> float | None:
    """Run an async judge from synchronous code, in a thread of its own because a loop may already run in this one."""
    outcome: list[float | None] = []
    error: list[BaseException] = []

    async def wait() -> None:
        outcome.append(await value)

    def run() -> None:
        try:
            asyncio.run(wait())
        except BaseException as raised:  # noqa: BLE001  handed to the thread that waits
            error.append(raised)

    thread = threading.Thread(target=run, name="slmroute-judge")
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return outcome[0]
