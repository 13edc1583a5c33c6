"""Every path of the flow: every reply to every step, for small routers with every kind of start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from slmroute.flow import eligible_tiers, route
from slmroute.policy import Confidence, Policy
from slmroute.request import RouteRequest
from slmroute.steps import (
    ABORTED,
    CONTENT_FILTER,
    Answer,
    Call,
    Classify,
    Failure,
    FailureKind,
    Judge,
    Reject,
    Reply,
    Scored,
    Step,
    Verdict,
)
from slmroute.tier import Tier
from tests.core.flow_trails import Trail, trails

__all__ = ["SETUPS", "Path", "Spent", "paths_of"]

LONGEST_PATH = 40


class Down(Exception):
    """A tier that is not available."""


class Refused(Exception):
    """A tier whose credentials are wrong."""


class Spent(Exception):
    """A budget that is used up."""


def tiers(count: int, **settings: dict[str, Any]) -> list[Tier]:
    names = ("small", "mid", "frontier")[3 - count :]
    return [Tier(name, **{"model": f"ollama:{name}", **settings.get(name, {})}) for name in names]


@dataclass(frozen=True)
class Setup:
    """A router and a kind of call."""

    policy: Policy
    request: RouteRequest
    streamed: bool

    @property
    def order(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.policy.names)}

    @property
    def eligible(self) -> tuple[str, ...]:
        return tuple(tier.name for tier in eligible_tiers(self.policy, self.request, self.policy.tiers))


@dataclass(kw_only=True)
class Path(Trail):
    """What was asked on one path of a router's call, what was replied, and how it ended."""

    setup: Setup

    @property
    def calls(self) -> list[tuple[Call, Answer | Failure]]:
        pairs = zip(self.steps, self.replies, strict=True)
        return [(step, cast("Answer | Failure", reply)) for step, reply in pairs if isinstance(step, Call)]

    @property
    def whole_answers(self) -> list[tuple[Call, Answer]]:
        return [(call, reply) for call, reply in self.calls if isinstance(reply, Answer) and reply.finish != ABORTED]

    @property
    def sound_answers(self) -> list[Answer]:
        """The whole answers with no fault but their confidence."""
        return [answer for _, answer in self.whole_answers if self.faults(answer) in ([], ["low_confidence"])]

    def faults(self, answer: Answer) -> list[str]:
        return [step.fault for step in self.steps if isinstance(step, Reject) and step.answer is answer]


def choices(step: Step, setup: Setup) -> list[Reply]:
    match step:
        case Classify():
            return [Scored(None), Scored(0.1), Scored(0.9)]
        case Judge():
            return [Verdict(0.95), Verdict(0.2), Verdict(None), Verdict(None, broken=True)]
        case Reject():
            return [None]
        case Call():
            name = step.tier.name
            if step.tier.dry_run:
                return [Answer(text="A note.")]
            replies: list[Reply] = [
                Answer(text=f"from {name}"),
                Answer(text=""),
                Answer(text="I'm sorry, but I can't help with that."),
                Failure("unavailable", Down(name)),
                Failure("misconfigured", Refused(name)),
                Failure("deadline"),
            ]
            if setup.request.key == "limited":
                above = frozenset(setup.policy.names[1:])
                replies += [Failure("over_budget", Spent(name), barred=frozenset({name}) | b) for b in (set(), above)]
            if setup.request.key == "each kind":
                kinds: tuple[FailureKind, ...] = ("overloaded", "too_long", "unable")
                replies += [Failure(kind, Down(name)) for kind in kinds]
                replies.append(Answer(text="withheld", finish=CONTENT_FILTER))
            if not step.forced:
                replies.append(Failure("not_admitted"))
            if setup.streamed:
                replies += [Answer(text="streamed", shown=True), Failure("unavailable", Down(name), shown=True)]
                replies.append(Failure("deadline", shown=True))
                replies += [Answer(text="from", finish=ABORTED)] if step.hold else []
            return replies


def walk(setup: Setup) -> Iterator[Path]:
    """Give every path of a call."""
    for trail in trails(
        lambda: route(setup.policy, setup.request), lambda step: choices(step, setup), longest=LONGEST_PATH
    ):
        yield Path(setup=setup, **vars(trail))


POLICIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cascade": {"classify": False, "escalation": Confidence(0.85)},
    "both": {"escalation": Confidence(0.85)},
    "no draft": {"classify": False, "escalation": Confidence(0.85, pass_draft=False)},
    "no failover": {"escalation": Confidence(0.85), "failover": False},
    "no validation": {"escalation": Confidence(0.85), "validate": False},
    "default in the middle": {"default_tier": "mid", "escalation": Confidence(0.85)},
    "a rule": {"rules": (lambda _request: "mid",), "escalation": Confidence(0.85)},
}
REQUESTS = {
    "any": RouteRequest(text="hello"),
    "explicit": RouteRequest(text="hello", tier="mid"),
    "tool loop": RouteRequest(text="hello", pin="mid"),
    "scope": RouteRequest(text="hello", scope_tier="mid"),
    "limited": RouteRequest(text="hello", key="limited"),
    "each kind": RouteRequest(text="hello", key="each kind"),
    "local only": RouteRequest(text="hello", local_only=True),
    "too long for one": RouteRequest(text="hello", tokens=500),
    "a draft too long": RouteRequest(text="hello", tokens=99),
    "an object": RouteRequest(text="hello", schema={"type": "object"}),
    "one able": RouteRequest(text="hello", modalities=frozenset({"image"})),
}
NOT_ALIKE: dict[str, dict[str, dict[str, Any]]] = {
    "local only": {"small": {"local": True}, "mid": {"local": True}},
    "too long for one": {"mid": {"window": 100}},
    "a draft too long": {"mid": {"window": 100}},
    "an object": {"frontier": {"model": "dry-run:openai:gpt-4.1"}},
    "one able": {"small": {"abilities": {"tools"}}, "frontier": {"abilities": {"tools"}}},
}
"""What the tiers are given, for requests that not all of them can take alike."""
SETUPS = [
    *((policy, "any", count, streamed) for policy in POLICIES for count in (2, 3) for streamed in (False, True)),
    *(
        ("both", request, 3, streamed)
        for request in REQUESTS
        if request not in ("any", "one able")
        for streamed in (False, True)
    ),
]


@cache
def paths_of(policy: str, request: str, count: int, streamed: bool) -> list[Path]:
    made = tiers(count, **NOT_ALIKE.get(request, {}))
    setup = Setup(Policy.build(made, **POLICIES[policy]), REQUESTS[request], streamed)
    return list(walk(setup))
