"""Walks every path of a call whose budget may forbid any of its tiers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest

import pytest

from slmroute.errors import BudgetExceeded, NoTierAnswered
from slmroute.flow import route
from slmroute.policy import Confidence, Policy
from slmroute.request import RouteRequest
from slmroute.steps import Answer, Call, Classify, Failure, Judge, Reply, Scored, Step, Verdict
from slmroute.tier import Tier
from tests.core.flow_trails import Trail, trails

TIERS = [
    Tier("small", "ollama:a", local=True),
    Tier("cheap", "openai:b"),
    Tier("mid", "ollama:c", local=True),
    Tier("frontier", "openai:d"),
]
LOCAL = frozenset({"small", "mid"})
ALL = frozenset(tier.name for tier in TIERS)


def choices(step: Step, bars: frozenset[str]) -> list[Reply]:
    match step:
        case Classify():
            return [Scored(None), Scored(0.1), Scored(0.6), Scored(0.9)]
        case Judge():
            return [Verdict(0.9), Verdict(0.2)]
        case Call():
            found: list[Reply] = [Answer(text="an answer"), Failure("unavailable", ConnectionError())]
            if not step.forced:
                found.append(Failure("not_admitted"))
            if step.tier.name in bars:
                found.append(Failure("over_budget", BudgetExceeded("day"), barred=bars))
            return found
        case _:
            return [None]


def barred_before(trail: Trail) -> Iterator[tuple[str, frozenset[str]]]:
    """Give the tiers that were asked for, and those that were barred before."""
    barred = frozenset[str]()
    for step, reply in zip_longest(trail.steps, trail.replies):
        if isinstance(step, Call):
            yield step.tier.name, barred
        if isinstance(reply, Failure):
            barred |= reply.barred


@pytest.mark.parametrize("failover", [True, False])
@pytest.mark.parametrize("escalation", [None, Confidence(0.85)], ids=["plain", "escalating"])
@pytest.mark.parametrize("bars", [ALL, ALL - LOCAL, ALL - LOCAL - {"cheap"}], ids=["raise", "local", "no escalation"])
def test_a_budget_is_kept_and_costs_no_answer(
    bars: frozenset[str], escalation: Confidence | None, failover: bool
) -> None:
    policy = Policy.build(TIERS, escalation=escalation, failover=failover)
    begin = partial(route, policy, RouteRequest.from_text("hello"))
    paths = list(trails(begin, partial(choices, bars=bars), longest=60))
    assert len(paths) >= 12
    for path in paths:
        for tier, barred in barred_before(path):
            assert tier not in barred
        if any(isinstance(reply, Answer) for reply in path.replies):
            assert path.decision is not None
        else:
            assert isinstance(path.error, BudgetExceeded | ConnectionError | NoTierAnswered)
    ends = {type(path.error) for path in paths if path.error is not None}
    assert BudgetExceeded in ends or bars != ALL


def test_the_path_down_to_local_tiers_needs_no_failover() -> None:
    flow = route(Policy.build(TIERS, failover=False), RouteRequest.from_text("hello"))
    assert isinstance(flow.send(None), Classify)
    call = flow.send(Scored(0.99))
    assert isinstance(call, Call)
    assert call.tier.name == "frontier"
    call = flow.send(Failure("over_budget", BudgetExceeded("day"), barred=ALL - LOCAL))
    assert isinstance(call, Call)
    assert call.tier.name == "mid"
    with pytest.raises(StopIteration) as stop:
        flow.send(Answer(text="an answer"))
    assert stop.value.value.degraded
