"""The whole decision about one call, as one pure generator.

``route`` yields what it wants done (``steps``) and is sent what came of it; the drivers in ``drive`` do the work, sync
or async, streamed or not, in LangChain or LlamaIndex. There is no clock, no randomness and no input or output here, so
the same replies always lead to the same decision.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import NoReturn, assert_never

from slmroute.draft import with_draft
from slmroute.errors import DeadlineExceeded, NoEligibleTier, NoTierAnswered, PromptTooLong, SlmrouteError
from slmroute.policy import Policy
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.steps import (
    ABORTED,
    CONTENT_FILTER,
    LOW_CONFIDENCE,
    Answer,
    Call,
    Classify,
    Decision,
    Failure,
    Judge,
    Mode,
    Reject,
    Reply,
    Scored,
    Step,
    Verdict,
)
from slmroute.tier import Tier
from slmroute.validate import fault_of

__all__ = ["eligible_tiers", "route"]

Flow = Generator[Step, Reply, Decision]


def route(policy: Policy, request: RouteRequest, tiers: Sequence[Tier] | None = None) -> Flow:
    """Decide one call.

    Args:
        policy: What to decide by.
        request: The call.
        tiers: The policy's tiers with what the adapter has found out of their abilities and windows.

    Yields:
        ``Classify``, ``Call``, ``Judge`` and ``Reject`` steps, to be sent ``Scored``, ``Answer`` or ``Failure``,
        ``Verdict``, and None.

    Returns:
        The decision, once there is an answer.

    Raises:
        UnknownTier: The caller or a rule named a tier that the policy does not have.
        NoEligibleTier: No tier can do what the call needs.
        DeadlineExceeded: Time ran out and there was no answer.
        BudgetExceeded: The budget forbids the tiers that are left, and no answer is in hand.
        NoTierAnswered: Several tiers were tried and all failed. When only one was tried, its error as it is.
    """
    tiers = tuple(tiers or policy.tiers)
    start = yield from _choose_start(policy, request, eligible_tiers(policy, request, tiers))
    return (yield from _Climb(policy, request, start).run())


def eligible_tiers(policy: Policy, request: RouteRequest, tiers: Sequence[Tier]) -> tuple[Tier, ...]:
    """Give the tiers that can do what a call needs, cheapest first.

    To be forced to call a tool is the one need that is let go where no tier that may answer can be.

    Raises:
        UnknownTier: The caller named a tier that the policy does not have.
        NoEligibleTier: There is none, or the one the caller named is not among them; the message says what each lacks.
        PromptTooLong: The same, where the prompt's length alone is in the way.
    """
    if request.tier is not None:
        policy.tier(request.tier)
    lacks: dict[str, tuple[str, ...]] = {}
    needed = request.needs
    # Where no tier can be forced to call a tool, it is asked to, and its answer is looked at.
    for needs in (needed, needed - {"tool_choice"}) if "tool_choice" in needed else (needed,):
        lacks = {tier.name: _lacks(tier, request, needs) for tier in tiers}
        able = tuple(tier for tier in tiers if not lacks[tier.name])
        if able and (request.tier is None or not lacks[request.tier]):
            return able
    wanted = [request.tier] if request.tier is not None else list(lacks)
    reasons = "; ".join(f"{name}: {', '.join(lacks[name])}" for name in wanted)
    if all(reason.startswith("window") for name in wanted for reason in lacks[name]):
        raise PromptTooLong(
            f"The prompt has about {request.tokens} tokens and fits in no tier that may answer ({reasons}). "
            "Shorten it, or add a tier with a larger window=."
        )
    raise NoEligibleTier(
        f"No tier can answer this call ({reasons}). Add a tier that can, or set abilities= where a tier can after all."
    )


def _lacks(tier: Tier, request: RouteRequest, needs: frozenset[str]) -> tuple[str, ...]:
    lacks = [f"no {need}" for need in sorted(tier.lacks(needs))] if needs else []
    if request.local_only and not tier.local:
        lacks.append("not local, and local_only=True")
    if tier.window is not None and request.tokens > tier.window:
        lacks.append(f"window of {tier.window} tokens")
    return tuple(lacks)


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a call begins, and why."""

    able: tuple[Tier, ...]
    tier: Tier
    reason: str
    score: float | None = None


def _choose_start(policy: Policy, request: RouteRequest, able: tuple[Tier, ...]) -> Generator[Step, Reply, _Start]:
    names = policy.names

    def start(name: str, reason: str, score: float | None = None) -> _Start:
        # What the named tier cannot do, the next one up does; where none above can, the best there is.
        above = names[names.index(name) :]
        return _Start(able, next((tier for tier in able if tier.name in above), able[-1]), reason, score)

    for name, reason in ((request.tier, "explicit"), (request.pin, "tool_loop"), (request.scope_tier, "scope")):
        # A history may come from a router with other tiers; a pin that means nothing here is none.
        if name is not None and name in names:
            return start(name, reason)
    for rule in policy.rules:
        if (named := rule(request)) is not None:
            return start(policy.tier(named, "a rule's tier").name, "rule")
    if not policy.classify:
        return _Start(able, able[0], "cheapest")
    if len(able) == 1:
        return _Start(able, able[0], "only")
    scored = yield Classify(request)
    assert isinstance(scored, Scored)  # noqa: S101  the driver's promise
    if scored.score is None:
        return start(policy.default_tier, "default")
    return start(policy.tier_for(scored.score).name, "scope" if scored.shared else "classified", scored.score)


@dataclass(frozen=True, slots=True)
class _Weak:
    """An answer that was not good enough, kept in case nothing better comes."""

    answer: Answer
    tier: Tier
    rank: tuple[bool, float, int]
    confidence: float | None


class _Climb:
    """From the first tier upwards until an answer is good enough, and over to other tiers where one fails."""

    def __init__(self, policy: Policy, request: RouteRequest, start: _Start) -> None:
        self.policy = policy
        self.request = request
        self.start = start
        self.ranks = policy.ranks
        self.untried = list(start.able)
        self.passed_over: list[Tier] = []
        self.broken_off: list[Tier] = []
        self.weak: list[_Weak] = []
        self.errors: list[Exception] = []
        self.draft: str | None = None
        self.escalated = False
        # Who names a tier wants its answer as it is.
        self.escalates = start.reason != "explicit"

    def run(self) -> Flow:
        tier: Tier | None = self.start.tier
        while tier is not None:
            reply = yield self._call(tier)
            if isinstance(reply, Answer):
                confidence, accepted = yield from self._judge(tier, reply)
                if accepted:
                    return self._decision(reply, tier, confidence)
                # Who has a tier run dry does not want the one above it to be paid.
                tier = None if tier.dry_run else self._above(tier)
            else:
                assert isinstance(reply, Failure)  # noqa: S101  the driver's promise
                tier = self._after_failure(tier, reply)
        if self.weak:
            best = max(self.weak, key=lambda weak: weak.rank)
            return self._decision(best.answer, best.tier, best.confidence, degraded=True)
        self._give_up()

    def _call(self, tier: Tier) -> Call:
        forced = tier in self.passed_over or not self.policy.failover
        for waiting in (self.passed_over, self.untried):
            if tier in waiting:
                waiting.remove(tier)
        may_rise = self.escalates and self._above(tier) is not None
        return Call(
            tier,
            _mode(self.request),
            draft=self.draft if self._fits(tier) else None,
            hold=self.policy.escalation is not None and may_rise,
            forced=forced,
            last=not self.escalates or not (may_rise or self._has_sound()),
            reason=self.start.reason,
        )

    def _fits(self, tier: Tier) -> bool:
        """Whether the draft has room beside the prompt: it must not be the reason why a better tier cannot answer."""
        if self.draft is None or tier.window is None:
            return True
        return self.request.tokens + estimate_tokens(with_draft("", self.draft)) <= tier.window

    def _judge(self, tier: Tier, answer: Answer) -> Generator[Step, Reply, tuple[float | None, bool]]:
        """Take an answer or keep it as a weak one; gives its confidence and whether it was taken."""
        if tier.dry_run:
            # Its note stands for a good answer. Only where it cannot be what was demanded is a weak one the better.
            demanded = self.request.schema is not None or bool(self.request.forced_tool)
            return None, not (demanded and self._has_sound())
        fault = ABORTED if answer.finish == ABORTED else fault_of(answer, self.request, self.policy.validate)
        if fault is not None:
            yield Reject(answer, fault)
        # What a content filter withheld is no reason to have another tier say it.
        if answer.shown or not self.escalates or answer.finish == CONTENT_FILTER:
            return None, True
        # A refusal by the best model there is stands: it is no reason to fall back on a weaker one's answer.
        if self._above(tier) is None and (fault in (None, "refusal") or not self._has_sound()):
            return None, True
        if fault == ABORTED:
            self.escalated = True
            # Half an answer is none. Should those above fail, this tier is asked once more and heard to the end.
            self.broken_off.append(tier)
            return None, False
        confidence = None
        if fault is None:
            if self.policy.escalation is None:
                return None, True
            verdict = yield Judge(self.request, tier, answer)
            assert isinstance(verdict, Verdict)  # noqa: S101  the driver's promise
            confidence = verdict.confidence
            if verdict.broken or (confidence is not None and confidence >= self.policy.escalation.threshold):
                return confidence, True
            if self.policy.escalation.pass_draft and answer.text.strip():
                self.draft = answer.text
            yield Reject(answer, LOW_CONFIDENCE)
        self.escalated = True
        rank = (fault is None, -1.0 if confidence is None else confidence, self.ranks[tier.name])
        self.weak.append(_Weak(answer, tier, rank, confidence))
        return confidence, False

    def _has_sound(self) -> bool:
        """Whether there is a weak answer with no fault but its confidence."""
        return any(weak.rank[0] for weak in self.weak)

    def _after_failure(self, tier: Tier, failure: Failure) -> Tier | None:
        if failure.error is not None:
            self.errors.append(failure.error)
            if failure.shown:
                raise failure.error
        elif failure.shown:
            raise self._out_of_time()
        match failure.kind:
            case "over_budget":
                return self._within_budget(tier, failure)
            case "not_admitted":
                self.passed_over.append(tier)
            case "deadline":
                if not self.weak:
                    raise self._out_of_time()
                return None
            case "misconfigured":
                # Another tier's answer would hide it; but with a sound one in hand, or to be had again, none is raised.
                if not (self._has_sound() or self.broken_off):
                    self._give_up()
            case "unavailable" | "overloaded" | "too_long" | "unable":
                pass
            case _:
                assert_never(failure.kind)
        if not self.policy.failover:
            return None
        # A weak answer in hand is better than one from further down.
        return self._above(tier) or (
            None if self.weak else self._once_more() or self._below(tier) or self._passed_over()
        )

    def _within_budget(self, tier: Tier, failure: Failure) -> Tier | None:
        self.untried = [other for other in self.untried if other.name not in failure.barred]
        self.passed_over = [other for other in self.passed_over if other.name not in failure.barred]
        self.broken_off = [other for other in self.broken_off if other.name not in failure.barred]
        if self.weak:
            return self._above(tier)
        other = self._above(tier) or self._once_more() or self._below(tier) or self._passed_over()
        if other is None:
            assert failure.error is not None  # noqa: S101  the driver's promise
            raise failure.error from (self.errors[-2] if len(self.errors) > 1 else None)
        return other

    def _above(self, tier: Tier) -> Tier | None:
        return next((other for other in self.untried if self.ranks[other.name] > self.ranks[tier.name]), None)

    def _once_more(self) -> Tier | None:
        return self.broken_off.pop() if self.broken_off else None

    def _below(self, tier: Tier) -> Tier | None:
        return next((t for t in reversed(self.untried) if self.ranks[t.name] < self.ranks[tier.name]), None)

    def _passed_over(self) -> Tier | None:
        # Health never ejects the last tier there is: those that were not admitted are called after all.
        return self.passed_over[-1] if self.passed_over and not self.untried else None

    def _decision(self, answer: Answer, tier: Tier, confidence: float | None, *, degraded: bool = False) -> Decision:
        return Decision(
            answer=answer,
            tier=tier,
            reason=self.start.reason,
            score=self.start.score,
            confidence=confidence,
            escalated=self.escalated,
            degraded=degraded or self.ranks[tier.name] < self.ranks[self.start.tier.name],
        )

    def _out_of_time(self) -> DeadlineExceeded:
        error = DeadlineExceeded(
            f"No tier answered within deadline_s={self.policy.deadline_s}: allow more, or add a faster tier."
        )
        error.__cause__ = self.errors[-1] if self.errors else None
        return error

    def _give_up(self) -> NoReturn:
        if len(self.errors) == 1:
            raise self.errors[0]
        # Our own errors say what to do; a provider's may quote the prompt.
        advice = "".join(f" {error}" for error in self.errors if isinstance(error, SlmrouteError))
        raise NoTierAnswered(f"None of the {len(self.errors)} tiers that were tried answered.{advice}", self.errors)


def _mode(request: RouteRequest) -> Mode:
    if request.schema is not None:
        return "structured"
    return "tools" if request.tools else "text"
