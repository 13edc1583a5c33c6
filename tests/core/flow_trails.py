"""Walks a generator of steps along every way that its replies can take it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from slmroute.flow import Flow
from slmroute.steps import Decision, Reply, Step

__all__ = ["Trail", "trails"]


@dataclass(kw_only=True)
class Trail:
    """What was asked, what was replied, and how it ended."""

    steps: list[Step] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    decision: Decision | None = None
    error: Exception | None = None


def trails(begin: Callable[[], Flow], choices: Callable[[Step], Sequence[Reply]], *, longest: int) -> Iterator[Trail]:
    """Give every trail, depth first; a generator cannot be copied, so each one is replayed from its start."""
    pending: list[list[Reply]] = [[]]
    while pending:
        script = pending.pop()
        trail, flow = Trail(), begin()
        reply: Reply = None
        try:
            for position in range(longest):
                step = flow.send(reply)
                trail.steps.append(step)
                if position == len(script):
                    pending += [[*script, choice] for choice in choices(step)]
                    break
                reply = script[position]
                trail.replies.append(reply)
            else:
                pytest.fail("the flow does not end")
            continue
        except StopIteration as stop:
            trail.decision = stop.value
        except Exception as error:  # noqa: BLE001
            trail.error = error
        yield trail
