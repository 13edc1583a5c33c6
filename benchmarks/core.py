"""What the core alone adds to a call: the decision, the breakers, the prices and the record, without any framework."""

from __future__ import annotations

import asyncio
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slmroute.drive import adrive, drive
from slmroute.engine import Engine
from slmroute.policy import Confidence, Policy
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.steps import Answer, Call, Usage
from slmroute.tier import Tier

CALLS = 3_000
ROUNDS = 7
REQUEST = RouteRequest.from_text("What is the capital of France?")
OWN = [
    Tier("small", "ollama:small", local=True, input_price="0.05", output_price="0.08"),
    Tier("frontier", "openai:gpt-4.1", input_price="2", output_price="8"),
]
LISTED = [Tier("small", "openai:gpt-4.1-nano"), Tier("frontier", "openai:gpt-4.1")]


class Constant:
    """A classifier that takes no time."""

    def score(self, request: RouteRequest) -> float:
        return 0.2

    async def ascore(self, request: RouteRequest) -> float:
        return 0.2


class Instant:
    """Tiers that take no time."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self._answers = answers

    def call(self, call: Call) -> Answer:
        return self._answers[call.tier.name]

    async def acall(self, call: Call) -> Answer:
        return self._answers[call.tier.name]


def microseconds(work: Callable[[], object], calls: int = CALLS, per: int = 1) -> float:
    """The least of several rounds, in processor time: the machine may have other things to do."""
    return min(timeit.repeat(work, number=calls, repeat=ROUNDS, timer=time.process_time)) / calls / per * 1e6


def measure(label: str, tiers: Sequence[Tier], *, logprob: float = -0.01, **settings: Any) -> None:
    answers = {
        tier.name: Answer(text="Paris.", usage=Usage(100, 10), logprobs=(logprob,) * 10, finish="stop")
        for tier in tiers
    }
    performer: Any = Instant(answers)
    engine = Engine(Policy.build(tiers, **settings), Constant())

    def once() -> Run:
        run = Run(engine, REQUEST)
        drive(run, performer)
        return run

    def written() -> object:
        record = once().record
        return record.to_json() if record else None

    async def many() -> None:
        for _ in range(CALLS):
            await adrive(Run(engine, REQUEST), performer)

    sync, plain = microseconds(once), microseconds(written)
    asynchronous = microseconds(lambda: asyncio.run(many()), calls=1, per=CALLS)
    print(f"{label:32} {sync:6.1f} us   async {asynchronous:6.1f} us   with the record as JSON {plain:6.1f} us")


def main() -> None:
    measure("one answer, own prices", OWN)
    measure("one answer, list prices", LISTED)
    measure("judged by log-probabilities", OWN, escalation=Confidence(0.85))
    measure("escalated, draft passed on", OWN, logprob=-2.0, escalation=Confidence(0.85))
