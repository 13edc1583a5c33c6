"""Walks every path of the flow: every reply to every step, for small routers with every kind of start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from slmroute.errors import DeadlineExceeded, NoTierAnswered
from slmroute.flow import route
from slmroute.policy import Confidence, Policy
from slmroute.request import RouteRequest
from slmroute.steps import Answer, Call, Classify, Decision, Failure, Judge, Reject, Reply, Scored, Step, Verdict
from slmroute.tier import Tier


class Down(Exception):
    """A tier that is not available."""


class Refused(Exception):
    """A tier whose credentials are wrong."""


@dataclass
class Path:
    """What was asked on one path, what was replied, and how it ended."""

    steps: list[Step] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    decision: Decision | None = None
    error: Exception | None = None

    @property
    def calls(self) -> list[tuple[Call, Answer | Failure]]:
        pairs = zip(self.steps, self.replies, strict=False)
        return [(step, cast("Answer | Failure", reply)) for step, reply in pairs if isinstance(step, Call)]

    def answered(self) -> list[tuple[Call, Answer]]:
        return [(call, reply) for call, reply in self.calls if isinstance(reply, Answer)]


def choices(step: Step, *, streamed: bool) -> list[Reply]:
    match step:
        case Classify():
            return [Scored(None), Scored(0.1), Scored(0.5), Scored(0.9)]
        case Judge():
            return [Verdict(0.95), Verdict(0.2), Verdict(None), Verdict(None, broken=True)]
        case Reject():
            return [None]
        case Call():
            shown: list[Reply] = [Answer(text="streamed", shown=True), Failure("unavailable", Down(), shown=True)]
            held: list[Reply] = [
                Answer(text=f"from {step.tier.name}"),
                Answer(text=""),
                Answer(text="I'm sorry, but I can't help with that."),
                Failure("unavailable", Down(step.tier.name)),
                Failure("misconfigured", Refused(step.tier.name)),
                Failure("deadline"),
            ]
            if not step.forced:
                held.append(Failure("not_admitted"))
            return [*held, *shown] if streamed else held


def walk(policy: Policy, request: RouteRequest, *, streamed: bool) -> Iterator[Path]:
    """Give every path, depth first; a generator cannot be copied, so each one is replayed from its start."""
    pending: list[list[Reply]] = [[]]
    while pending:
        script = pending.pop()
        path = Path()
        flow = route(policy, request)
        reply: Reply = None
        try:
            for position in range(60):
                step = flow.send(reply)
                path.steps.append(step)
                if position == len(script):
                    pending += [[*script, choice] for choice in choices(step, streamed=streamed)]
                    break
                reply = script[position]
                path.replies.append(reply)
            else:
                pytest.fail("the flow does not end")
            continue
        except StopIteration as stop:
            path.decision = stop.value
        except Exception as error:  # noqa: BLE001
            path.error = error
        yield path


def tiers(count: int) -> list[Tier]:
    return [Tier(name, f"ollama:{name}") for name in ("small", "mid", "frontier")[3 - count :]]


CONFIGURATIONS = {
    "classify": {},
    "cascade": {"classify": False, "escalation": Confidence(0.85)},
    "both": {"escalation": Confidence(0.85)},
    "no failover": {"escalation": Confidence(0.85), "failover": False},
    "no validation": {"escalation": Confidence(0.85), "validate": False},
}


@pytest.fixture(params=CONFIGURATIONS, ids=str)
def policy(request: pytest.FixtureRequest) -> Policy:
    return Policy.build(tiers(3), **CONFIGURATIONS[request.param])


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def paths(policy: Policy, request: pytest.FixtureRequest) -> list[Path]:
    found = list(walk(policy, RouteRequest.from_text("hello"), streamed=request.param))
    assert len(found) > 50
    return found


def test_every_path_ends_with_an_answer_or_an_error(paths: list[Path]) -> None:
    assert all((path.decision is None) != (path.error is None) for path in paths)


def test_no_tier_is_called_twice_except_after_not_being_admitted(paths: list[Path]) -> None:
    for path in paths:
        called = [call.tier.name for call, reply in path.calls if reply != Failure("not_admitted")]
        assert len(called) == len(set(called))
        skipped = [call.tier.name for call, reply in path.calls if reply == Failure("not_admitted")]
        assert len(skipped) == len(set(skipped))


def test_an_answer_is_never_thrown_away(paths: list[Path]) -> None:
    for path in paths:
        if path.answered() and path.error is not None:
            # Only what must not be hidden may win over an answer: refused credentials, an answer already begun,
            # and, by the user's wish, any error without failover.
            last = path.calls[-1][1]
            assert isinstance(last, Failure)
            assert last.kind == "misconfigured" or last.shown or not policy_of(path).failover
        if path.decision is not None:
            assert any(path.decision.answer is answer for _, answer in path.answered())


def policy_of(path: Path) -> Policy:
    forced = [call.forced for call, _ in path.calls]
    return Policy.build(tiers(3), failover=not all(forced))


def test_every_eligible_tier_is_tried_before_giving_up(paths: list[Path]) -> None:
    for path in paths:
        last = path.calls[-1][1]
        final = isinstance(last, Failure) and (last.kind in ("misconfigured", "deadline") or last.shown)
        if path.error is not None and not final and policy_of(path).failover:
            tried = {call.tier.name for call, reply in path.calls if reply != Failure("not_admitted")}
            assert tried == {"small", "mid", "frontier"}
            assert isinstance(path.error, NoTierAnswered)
            assert len(path.error.exceptions) == 3


def test_nothing_is_called_after_time_ran_out(paths: list[Path]) -> None:
    for path in paths:
        kinds = [reply.kind if isinstance(reply, Failure) else "answer" for _, reply in path.calls]
        assert "deadline" not in kinds[:-1]
        if kinds[-1] == "deadline" and path.error is not None:
            assert isinstance(path.error, DeadlineExceeded)


def test_what_was_shown_is_final(paths: list[Path]) -> None:
    for path in paths:
        shown = [position for position, (_, reply) in enumerate(path.calls) if reply.shown]
        assert shown in ([], [len(path.calls) - 1])
        if shown and isinstance(path.calls[-1][1], Answer):
            assert path.decision is not None
            assert path.decision.answer.shown


def test_escalation_goes_up_and_only_up(paths: list[Path]) -> None:
    order = ["small", "mid", "frontier"]
    for path in paths:
        rejected = False
        previous = -1
        for call, reply in path.calls:
            if rejected:
                assert order.index(call.tier.name) > previous
            if isinstance(reply, Answer):
                rejected = True
                previous = order.index(call.tier.name)


def test_a_draft_is_passed_on_only_when_it_was_not_confident(paths: list[Path]) -> None:
    for path in paths:
        drafts = [
            step.answer.text for step in path.steps if isinstance(step, Reject) and step.fault == "low_confidence"
        ]
        for call, _ in path.calls:
            assert call.draft is None or call.draft in drafts


def test_degraded_marks_exactly_the_answers_that_are_weaker_than_wanted(paths: list[Path]) -> None:
    order = ["small", "mid", "frontier"]
    for path in paths:
        if path.decision is None:
            continue
        answer = path.decision.answer
        rejected = any(isinstance(step, Reject) and step.answer is answer for step in path.steps)
        first = path.calls[0][0].tier.name
        below = order.index(path.decision.tier.name) < order.index(first)
        assert path.decision.degraded == (rejected or below)
        assert path.decision.escalated == any(isinstance(step, Reject) for step in path.steps)


def test_the_last_tier_left_is_called_even_when_its_breaker_is_open() -> None:
    policy = Policy.build(tiers(2), classify=False)
    flow = route(policy, RouteRequest.from_text("hello"))
    first = flow.send(None)
    assert isinstance(first, Call)
    second = flow.send(Failure("not_admitted"))
    assert isinstance(second, Call)
    assert second.tier.name == "frontier"
    third = flow.send(Failure("not_admitted"))
    assert isinstance(third, Call)
    assert third.forced
    assert third.tier.name == "frontier"


def test_a_single_failure_is_raised_as_it_is() -> None:
    policy = Policy.build(tiers(2), classify=False)
    flow = route(
        policy, RouteRequest(text="hello", local_only=True), [Tier("small", "ollama:s", local=True), tiers(2)[1]]
    )
    flow.send(None)
    error = Down()
    with pytest.raises(Down) as caught:
        flow.send(Failure("unavailable", error))
    assert caught.value is error


def test_a_judge_that_breaks_keeps_the_answer() -> None:
    policy = Policy.build(tiers(2), classify=False, escalation=Confidence(0.85))
    flow = route(policy, RouteRequest.from_text("hello"))
    flow.send(None)
    flow.send(Answer(text="Paris."))
    with pytest.raises(StopIteration) as stop:
        flow.send(Verdict(None, broken=True))
    assert stop.value.value.answer.text == "Paris."


def test_a_refusal_by_the_last_tier_stands_although_a_weaker_tier_answered() -> None:
    policy = Policy.build(tiers(2), classify=False, escalation=Confidence(0.85))
    flow = route(policy, RouteRequest.from_text("hello"))
    flow.send(None)
    flow.send(Answer(text="Sure, here is how."))
    flow.send(Verdict(0.1))
    flow.send(None)
    with pytest.raises(StopIteration) as stop:
        flow.send(Answer(text="I'm sorry, but I can't help with that."))
    assert stop.value.value.tier.name == "frontier"
    assert not stop.value.value.degraded
