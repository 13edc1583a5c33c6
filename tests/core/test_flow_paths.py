"""What holds on every path of the flow, for small routers with every kind of start."""

from __future__ import annotations

from collections import Counter

import pytest

from slmroute.errors import DeadlineExceeded, NoTierAnswered
from slmroute.steps import ABORTED, Answer, Call, Classify, Failure, Judge, Reject
from tests.core.flow_walk import SETUPS, Path, Spent, paths_of


@pytest.fixture(
    params=[
        pytest.param(each, id=f"{each[0]}-{each[1]}-{each[2]}-{'stream' if each[3] else 'whole'}") for each in SETUPS
    ]
)
def paths(request: pytest.FixtureRequest) -> list[Path]:
    found = paths_of(*request.param)
    assert len(found) > 20
    return found


def test_every_path_ends_with_an_answer_or_an_error(paths: list[Path]) -> None:
    assert all((path.decision is None) != (path.error is None) for path in paths)


def test_the_answer_given_is_one_that_a_tier_gave_whole(paths: list[Path]) -> None:
    for path in paths:
        if path.decision is not None:
            tier, answer = path.decision.tier, path.decision.answer
            assert any(answer is given and call.tier is tier for call, given in path.whole_answers)


def test_no_tier_is_called_twice_for_the_same_reason(paths: list[Path]) -> None:
    for path in paths:
        not_admitted = Counter(call.tier.name for call, reply in path.calls if reply == Failure("not_admitted"))
        broken_off = Counter(
            call.tier.name for call, reply in path.calls if isinstance(reply, Answer) and reply.finish == ABORTED
        )
        asked = Counter(call.tier.name for call, _ in path.calls)
        asked.subtract(not_admitted)
        asked.subtract(broken_off)
        assert max(asked.values()) <= 1
        assert max(not_admitted.values(), default=0) <= 1 + max(broken_off.values(), default=0)
        assert max(broken_off.values(), default=0) <= 1


def test_an_answer_is_never_thrown_away(paths: list[Path]) -> None:
    for path in paths:
        if path.whole_answers and path.error is not None:
            # Only what must not be hidden wins over one: an answer already begun, and refused credentials over answers
            # that are wrong on their face.
            last = path.calls[-1][1]
            assert isinstance(last, Failure)
            assert last.shown or (last.kind == "misconfigured" and not path.sound_answers)


def test_refused_credentials_have_no_other_tier_asked_unless_an_answer_is_there(paths: list[Path]) -> None:
    for path in paths:
        replies = [reply for _, reply in path.calls]
        for place, reply in enumerate(replies[:-1]):
            if isinstance(reply, Failure) and reply.kind == "misconfigured":
                # One that was broken off can be had again.
                before = [given for given in replies[:place] if isinstance(given, Answer)]
                assert any(given in path.sound_answers or given.finish == ABORTED for given in before)


def test_the_best_answer_is_given(paths: list[Path]) -> None:
    for path in paths:
        if path.decision is None or not path.faults(path.decision.answer):
            continue
        given = path.faults(path.decision.answer)
        # A refusal by the best model there is stands, and what was shown cannot be taken back.
        assert (
            given == ["low_confidence"] or not path.sound_answers or given == ["refusal"] or path.decision.answer.shown
        )


def test_refused_credentials_hide_no_earlier_cause(paths: list[Path]) -> None:
    seen = 0
    for path in paths:
        last = path.calls[-1][1]
        broken_off = any(isinstance(reply, Answer) and reply.finish == ABORTED for _, reply in path.calls)
        if isinstance(last, Failure) and last.kind == "misconfigured" and not path.sound_answers and not broken_off:
            assert path.error is not None
            causes = [reply.error for _, reply in path.calls if isinstance(reply, Failure) and reply.error is not None]
            assert path.error is causes[0] if len(causes) == 1 else list(path.error.exceptions) == causes
            seen += len(causes) > 1
    assert seen or not paths[0].setup.policy.failover


def test_every_eligible_tier_is_tried_before_giving_up(paths: list[Path]) -> None:
    for path in paths:
        last = path.calls[-1][1]
        final = isinstance(last, Failure) and (last.kind in ("misconfigured", "deadline", "over_budget") or last.shown)
        if path.error is not None and not final and path.setup.policy.failover:
            tried = {call.tier.name for call, reply in path.calls if reply != Failure("not_admitted")}
            assert tried | barred_in(path) == set(path.setup.eligible)
            assert isinstance(path.error, NoTierAnswered)
            failures = [
                reply.error for _, reply in path.calls if isinstance(reply, Failure) and reply.error is not None
            ]
            assert list(path.error.exceptions) == failures


def barred_in(path: Path) -> set[str]:
    return {name for _, reply in path.calls if isinstance(reply, Failure) for name in reply.barred}


def test_a_tier_that_the_budget_forbids_is_not_asked_again() -> None:
    for streamed in (False, True):
        for path in paths_of("both", "limited", 3, streamed):
            barred: set[str] = set()
            for call, reply in path.calls:
                assert call.tier.name not in barred
                if isinstance(reply, Failure):
                    barred |= reply.barred
            if isinstance(path.error, Spent):
                # The budget's own error is raised only where it left nothing to be tried.
                tried = {call.tier.name for call, reply in path.calls if reply != Failure("not_admitted")}
                assert tried | barred == set(path.setup.policy.names)
                assert not path.whole_answers


def test_without_failover_no_other_tier_is_asked_after_a_failure(paths: list[Path]) -> None:
    for path in paths:
        if not path.setup.policy.failover:
            assert all(isinstance(reply, Answer) for _, reply in path.calls[:-1])


def test_nothing_is_asked_after_time_ran_out(paths: list[Path]) -> None:
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


def test_what_a_stream_need_not_hold_is_always_taken(paths: list[Path]) -> None:
    for path in paths:
        for position, (call, reply) in enumerate(path.calls):
            above = [t for t in path.setup.policy.names if path.setup.order[t] > path.setup.order[call.tier.name]]
            assert not call.hold or (above and path.setup.policy.escalation is not None and not call.last)
            if call.last and isinstance(reply, Answer):
                assert position == len(path.calls) - 1
                assert path.decision is not None
                assert path.decision.answer is reply


def test_a_rejected_answer_moves_the_call_up_and_only_up(paths: list[Path]) -> None:
    for path in paths:
        order = path.setup.order
        for (call, reply), (after, _) in zip(path.calls, path.calls[1:], strict=False):
            if isinstance(reply, Answer):
                assert order[after.tier.name] > order[call.tier.name]
            again = any(isinstance(r, Answer) and r.finish == ABORTED and c.tier is after.tier for c, r in path.calls)
            if path.whole_answers and order[after.tier.name] < order[call.tier.name] and not again:
                answered = [path.calls.index(pair) for pair in path.whole_answers]
                assert min(answered) >= path.calls.index((call, reply))


def test_a_draft_is_passed_on_only_when_it_was_not_confident(paths: list[Path]) -> None:
    for path in paths:
        escalation = path.setup.policy.escalation
        drafts = [
            step.answer.text for step in path.steps if isinstance(step, Reject) and step.fault == "low_confidence"
        ]
        passed = [call.draft for call, _ in path.calls if call.draft is not None]
        assert set(passed) <= set(drafts)
        if escalation is None or not escalation.pass_draft:
            assert not passed


def test_degraded_marks_exactly_the_answers_that_are_weaker_than_wanted(paths: list[Path]) -> None:
    for path in paths:
        if path.decision is None:
            continue
        order = path.setup.order
        answer, decision = path.decision.answer, path.decision
        fallback = path.calls[-1][1] is not answer
        below = order[decision.tier.name] < order[path.calls[0][0].tier.name]
        assert decision.degraded == (fallback or below)


def test_escalated_marks_exactly_the_calls_that_an_answer_moved_up(paths: list[Path]) -> None:
    for path in paths:
        if path.decision is not None:
            answers = [reply for _, reply in path.calls if isinstance(reply, Answer)]
            moved = any(path.faults(answer) for answer in answers[:-1])
            assert path.decision.escalated == (moved or path.calls[-1][1] is not path.decision.answer)


def test_an_explicit_tier_is_asked_first_and_its_answer_never_judged() -> None:
    for streamed in (False, True):
        for path in paths_of("both", "explicit", 3, streamed):
            assert path.calls[0][0].tier.name == "mid"
            assert not any(isinstance(step, Classify | Judge) for step in path.steps)


@pytest.mark.parametrize("request_kind", ["tool loop", "scope"])
def test_a_pinned_tier_is_asked_first_without_the_classifier(request_kind: str) -> None:
    for path in paths_of("both", request_kind, 3, False):
        assert path.calls[0][0].tier.name == "mid"
        assert not any(isinstance(step, Classify) for step in path.steps)


def test_the_only_tier_that_is_able_is_asked_without_the_classifier() -> None:
    for streamed in (False, True):
        found = paths_of("both", "one able", 3, streamed)
        assert len(found) > 5
        for path in found:
            assert {(call.tier.name, call.reason) for call, _ in path.calls} == {("mid", "only")}
            assert all(isinstance(step, Call | Reject) for step in path.steps)
            assert (path.decision is None) == (path.error is not None)
