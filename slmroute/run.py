"""One call in progress: what has been done so far, and the record that comes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from types import TracebackType
from typing import Self

from slmroute.attempt import Attempt
from slmroute.availability import retry_after_s
from slmroute.bill import baseline_of, price_of
from slmroute.context import current_context
from slmroute.costs import Within, around, current_collectors
from slmroute.draft import with_draft
from slmroute.engine import Engine
from slmroute.flow import route
from slmroute.gate import Chunk
from slmroute.overheard import Heard, listening
from slmroute.price import total_of
from slmroute.record import RouteRecord, Status
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.steps import CUT_SHORT, Answer, Call, Decision, Failure, Reject, Reply, Step, summed
from slmroute.taken import by_answer, by_answers, without_answer
from slmroute.tier import Tier
from slmroute.unanswered import given_up, may_count

__all__ = ["Run"]


class Run(AbstractContextManager["Run"]):
    """Drives the flow of one call and keeps its books. Leaving the context settles the record, whatever happened.

    Args:
        engine: The router's engine.
        request: The call.
        tiers: The policy's tiers with what the adapter has found out about them.

    Attributes:
        around: The call of another router's tier that this one is made in, or None.
        aside: Opens what the classifier and the judge are asked in; the adapter may set it.
        overheard: The calls of models that are made there, as far as they are heard of.
    """

    def __init__(self, engine: Engine, request: RouteRequest, tiers: Sequence[Tier] | None = None) -> None:
        self._collectors = current_collectors()
        self.around = around(self._collectors)
        if self.around is not None and self.around.local_only:
            request = replace(request, local_only=True)
        self.engine = engine
        self.policy = engine.policy
        self.request = request
        self.context = current_context()
        self.aside: Callable[[Heard], AbstractContextManager[object]] = listening
        self.overheard: Heard = []
        self.attempts: list[Attempt] = []
        self.events: list[str] = []
        self.record: RouteRecord | None = None
        self.decision: Decision | None = None
        self.score: float | None = None
        self._flow = route(engine.policy, request, tiers)
        self._open: Attempt | None = None
        self._reason: str | None = None
        self._started_at = engine.clock.now()
        self._started = engine.clock.monotonic()
        self._first_shown: float | None = None
        self._guard = engine.guard(request, self._started_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._flow.close()
        if self._open is not None:
            self._break_off(self._open, error)
        self._settle(error)

    def advance(self, reply: Reply = None) -> Step | None:
        """Send what came of the last step; gives the next one for a driver, or None when there is a decision."""
        try:
            step = self._flow.send(reply)
            while isinstance(step, Reject):
                self.attempt_of(step.answer).fault = step.fault
                step = self._flow.send(None)
        except StopIteration as stop:
            self.decision, step = stop.value, None
        if isinstance(reply, Failure):
            self.engine.warn_of(reply.error)  # it was not raised
        return step

    def know(self, tiers: Sequence[Tier]) -> None:
        """Decide by what the adapter has found out about the tiers since; only before the first step."""
        self._flow = route(self.policy, self.request, tiers)

    @property
    def open(self) -> Attempt | None:
        """The attempt that is running, if there is one."""
        return self._open

    @property
    def shown_tier(self) -> str | None:
        """The tier whose answer the caller has begun to see, if there is one."""
        return next((attempt.name for attempt in self.attempts if attempt.shown), None)

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the deadline, negative when it has passed; None without one."""
        if self.policy.deadline_s is None:
            return None
        return self._started + self.policy.deadline_s - self.engine.clock.monotonic()

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline has passed."""
        remaining = self.remaining_s
        return remaining is not None and remaining <= 0

    def begin(self, call: Call) -> Attempt | Failure:
        """Open an attempt at a tier, or say why it is not to be called now."""
        return self._begin(call, None if self._guard is None else self._guard.hold(call))

    async def abegin(self, call: Call) -> Attempt | Failure:
        """Open an attempt at a tier, without holding up the event loop where a budget is counted elsewhere."""
        return self._begin(call, None if self._guard is None else await self._guard.ahold(call))

    def _begin(self, call: Call, refused: Failure | None) -> Attempt | Failure:
        self._reason = call.reason or self._reason
        if self.out_of_time:
            self.events.append(f"deadline:{call.tier.name}")
            return Failure("deadline")
        if refused is not None:
            return refused
        now = self.engine.clock.monotonic()
        breaker = self.engine.breakers[call.tier.name]
        permit = breaker.force() if call.forced else breaker.admit(now)
        if permit is None:
            self.events.append(f"breaker_open:{call.tier.name}")
            return Failure("not_admitted")
        provider, _, model = (call.tier.spec or "").partition(":")
        attempt = Attempt(
            call.tier.name,
            now,
            call.tier,
            permit,
            provider=provider or None,
            model=model or None,
            draft_tokens=estimate_tokens(with_draft("", call.draft)) if call.draft else 0,
            within=Within(self.engine, self.around, local_only=self.request.local_only),
        )
        if (machine := self.engine.machines.get(attempt.name)) is not None:
            attempt.machine_mark = machine.begin(now)
        self.attempts.append(attempt)
        self._open = attempt
        return attempt

    def saw_chunk(self, attempt: Attempt, chunk: Chunk) -> None:
        """Note a chunk of a stream: the first one for its time, all for what must be estimated if it breaks off."""
        attempt.take(chunk)
        if attempt.first_token is None and (chunk.text or chunk.tool_call or chunk.unseen):
            attempt.first_token = self.engine.clock.monotonic()

    def show(self, attempt: Attempt) -> None:
        """Note that the caller sees this attempt's answer from now on."""
        attempt.shown = True
        if self._first_shown is None:
            self._first_shown = self.engine.clock.monotonic()

    def answered(self, attempt: Attempt, answer: Answer) -> Answer:
        """Close an attempt with its answer; gives the answer with its usage estimated where it was not reported."""
        own = by_answer(attempt, self.request, answer, self.events)
        usage = summed(by_answers(attempt, self.request, attempt.answers[:-1], self.events), own)
        if usage is not answer.usage or attempt.shown:
            answer = replace(answer, usage=usage, shown=attempt.shown)
        self._close(attempt)
        if attempt.permit is not None:
            attempt.permit.success()
        if answer.finish in CUT_SHORT:
            self.events.append(f"truncated:{attempt.name}")
        attempt.answer = answer
        attempt.usage = answer.usage
        attempt.last_usage = own
        attempt.role = "draft"
        attempt.provider = answer.provider or attempt.provider
        attempt.model = answer.model or attempt.model
        return answer

    def failed(self, attempt: Attempt, error: Exception) -> Failure:
        """Close an attempt with an error of its tier's client.

        Raises:
            Exception: That error, when it is the user's own.
        """
        assert attempt.tier is not None  # noqa: S101  attempts that ``begin`` opened have one
        assert attempt.permit is not None  # noqa: S101  the same
        failure = self.engine.failure(attempt.tier, error)
        if failure is None:
            raise error
        if failure.kind in ("unavailable", "overloaded"):
            attempt.permit.failure(self.engine.clock.monotonic(), retry_after_s(error, self.engine.clock.now()))
        self._fail(attempt, type(error).__name__, sent=may_count(error, attempt.waited, outside=attempt.outside))
        self.events.append(f"{failure.kind}:{attempt.name}")
        return replace(failure, shown=attempt.shown)

    def cut(self, attempt: Attempt, error: Exception | None = None) -> Failure:
        """Close an attempt that the deadline cut, with the error that came of it if it was interrupted."""
        now = self.engine.clock.monotonic()
        slow = not attempt.shown and now - attempt.started >= (self.policy.deadline_s or 0.0) / 2
        if slow and attempt.permit is not None:
            # It had most of the time there was: a server that hangs is as good as down.
            attempt.permit.failure(now)
        self._fail(attempt, "DeadlineExceeded", sent=given_up(error, attempt.waited))
        self.events.append(f"deadline:{attempt.name}")
        return Failure("deadline", shown=attempt.shown)

    def note(self, attempt: Attempt) -> None:
        """Add an attempt that is no tier's: a classifier's or a judge's."""
        attempt.ended = self.engine.clock.monotonic()
        self.attempts.append(attempt)

    def unshown(self) -> Attempt | None:
        """Give the attempt whose answer was decided on, when it was held so far and is to be shown now."""
        if self.decision is None or self.decision.answer.shown:
            return None
        attempt = self.attempt_of(self.decision.answer)
        self.show(attempt)
        return attempt

    def _close(self, attempt: Attempt) -> None:
        attempt.ended = self.engine.clock.monotonic()
        if attempt.machine_mark is not None:
            attempt.busy_s = self.engine.machines[attempt.name].end(attempt.machine_mark, attempt.ended)
        self._open = None

    def _fail(self, attempt: Attempt, error: str, *, sent: int) -> None:
        """Close an attempt without an answer; ``sent`` is how often its prompt may be counted all the same."""
        self._close(attempt)
        if attempt.permit is not None:
            attempt.permit.release()
        attempt.error = error
        attempt.usage = without_answer(attempt, self.request, sent, self.events)

    def _break_off(self, attempt: Attempt, error: BaseException | None) -> None:
        """Close an attempt that was still running when the call was given up or the user's own error passed through."""
        name = type(error).__name__ if error is not None else "Closed"
        self._fail(attempt, name, sent=may_count(error, attempt.waited, outside=attempt.outside))

    def _settle(self, error: BaseException | None) -> None:
        if self.record is not None:
            return
        for attempt in self.attempts:
            if attempt.tier is not None:
                attempt.priced = price_of(attempt, attempt.tier, self.engine.prices)
        final = self._final()
        if final is not None:
            final.role = "final"
        attempts = tuple(attempt.record(self._started) for attempt in self.attempts)
        if self._guard is not None:
            counted = sum((attempt.within.counted for attempt in self.attempts), Decimal(0))
            self.engine.count(self._guard.settle(attempts, counted), self.around)
            self.events += self._guard.events
        last_tier = self.policy.tiers[-1]
        cost = total_of(attempt.priced.cost for attempt in self.attempts)
        baseline = Decimal(0) if final is None else baseline_of(final, last_tier, self.engine.prices)
        gain = None if cost is None or baseline is None else baseline - cost
        projected = last_tier.dry_run or any(a.tier is not None and a.tier.dry_run and a.usage for a in self.attempts)
        now = self.engine.clock.monotonic()
        decision = self.decision
        self.record = RouteRecord(
            call_id=os.urandom(16).hex(),
            started_at=self._started_at,
            status=self._status(error, final),
            key=self.request.key,
            tags=self.request.tags,
            tier=final.name if final else None,
            model=final.model if final else None,
            reason=self._reason,
            score=self.score,
            confidence=final.confidence if final else None,
            escalated=decision.escalated if decision else any(a.fault and a is not final for a in self.attempts),
            degraded=decision.degraded if decision else False,
            classifier_version=self.engine.classifier_version,
            calibrator_version=self.engine.calibrator_version,
            events=tuple(self.events),
            attempts=attempts,
            cost=cost,
            baseline=baseline,
            baseline_tier=last_tier.name,
            saved=None if projected else gain,
            projected=gain if projected else None,
            price_version=self.engine.prices.version,
            ttft_ms=None if self._first_shown is None else (self._first_shown - self._started) * 1000,
            total_ms=(now - self._started) * 1000,
            error=type(error).__name__ if error is not None and not isinstance(error, GeneratorExit) else None,
        )
        self._remember_scope()
        for collector in self._collectors:
            collector.add(self.record)
        self.engine.publish(self.record, self.around)

    def _final(self) -> Attempt | None:
        """The attempt whose answer the caller got, or had begun to get."""
        if self.decision is not None:
            return self.attempt_of(self.decision.answer)
        return next((attempt for attempt in self.attempts if attempt.shown), None)

    def _status(self, error: BaseException | None, final: Attempt | None) -> Status:
        if error is None and self.decision is not None:
            return "ok"
        if isinstance(error, Exception):
            return "partial" if final is not None else "error"
        return "cancelled"

    def attempt_of(self, answer: Answer) -> Attempt:
        """Find the attempt that gave an answer."""
        return next(attempt for attempt in self.attempts if attempt.answer is answer)

    def _remember_scope(self) -> None:
        decision = self.decision
        # A tier that the caller named, or that alone could do what one call needed, says nothing of the scope's others.
        chosen = decision is not None and decision.reason not in ("explicit", "only")
        if self.context.scope is not None and decision and chosen and not decision.degraded:
            begun_with, order = self.request.scope_tier, self.policy.names
            self.context.decide(self.engine.number, decision.tier.name, begun_with, order)
