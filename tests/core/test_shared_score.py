"""Calls of a scope that are made at the same time: one asks the classifier, and the others go by what it said."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from contextvars import copy_context
from typing import Self

import pytest

from slmroute.context import route_context
from slmroute.drive import adrive, drive
from slmroute.engine import Engine
from slmroute.policy import Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.shared_score import SharedScore
from slmroute.testing import FakePerformer, Reply
from slmroute.tier import Tier

REQUEST = RouteRequest(text="hello", tokens=10)
TIERS = [Tier("small", "openai:a"), Tier("big", "openai:b")]
ANSWER = Reply("Paris.", input_tokens=10, output_tokens=1)


class Waits:
    """A classifier that says when it is asked, and answers when it may."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked, self.leave, self.error = threading.Event(), threading.Event(), error

    def score(self, request: RouteRequest) -> float:
        self.asked.set()
        self.leave.wait()
        if self.error is not None:
            raise self.error
        return 0.9

    async def ascore(self, request: RouteRequest) -> float:
        return await asyncio.to_thread(self.score, request)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave.set()


def engine(classifier: Waits) -> Engine:
    return Engine(Policy.build(TIERS), classifier)


def in_a_hurry(router: Engine) -> Engine:
    """The engine of a copy of the router that has a deadline."""
    return router.adapted(Policy.build(TIERS, deadline_s=0.1), router.classifier)


def performer() -> FakePerformer:
    return FakePerformer({"small": ANSWER, "big": ANSWER})


def told(router: Engine) -> RouteRecord:
    run = Run(router, REQUEST)
    drive(run, performer())
    assert run.record is not None
    return run.record


async def atold(router: Engine) -> RouteRecord:
    run = Run(router, REQUEST)
    await adrive(run, performer())
    assert run.record is not None
    return run.record


def test_where_the_deciding_call_is_gone_one_of_two_threads_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Engine(Policy.build(TIERS), lambda _request: 0.9)
    looked, found = threading.Barrier(2), list[SharedScore | None]()
    given_up = SharedScore.given_up.fget
    assert given_up is not None

    def find(run: Run) -> None:
        found.append(SharedScore.of(run))

    def both_look(shared: SharedScore) -> bool:
        over = given_up(shared)
        if shared.is_of(gone):
            with suppress(threading.BrokenBarrierError):
                looked.wait(0.1)  # until the other thread has looked, too, if it can
        return over

    with route_context(scope="query"):
        gone, *others = (Run(router, REQUEST) for _ in range(3))
        first = SharedScore.of(gone)
        assert first is not None
        first.tell(None)
        monkeypatch.setattr(SharedScore, "given_up", property(both_look))
        threads = [threading.Thread(target=find, args=[run]) for run in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] is found[1] is not None


def test_a_call_waits_for_anothers_score_no_longer_than_its_own_deadline_allows() -> None:
    with Waits() as waits, route_context(scope="query"):
        router = engine(waits)
        first = threading.Thread(target=copy_context().run, args=(told, router))
        first.start()
        waits.asked.wait()
        record = told(in_a_hurry(router))
        assert (record.status, record.reason, record.tier) == ("ok", "default", "big")
        waits.leave.set()
        first.join()


async def test_nor_does_it_where_it_is_awaited() -> None:
    with Waits() as waits, route_context(scope="query"):
        router = engine(waits)
        first = asyncio.create_task(atold(router))
        await asyncio.to_thread(waits.asked.wait)
        record = await atold(in_a_hurry(router))
        assert (record.status, record.reason, record.tier) == ("ok", "default", "big")
        waits.leave.set()
        assert (await first).reason == "classified"


async def test_each_call_says_that_the_classifier_it_shared_was_not_to_be_had() -> None:
    with Waits(ValueError("no")) as waits, route_context(scope="query"):
        router = engine(waits)
        calls = [asyncio.create_task(atold(router)) for _ in range(3)]
        await asyncio.to_thread(waits.asked.wait)
        waits.leave.set()
        records = await asyncio.gather(*calls)
    assert [(record.reason, record.events) for record in records] == [("default", ("classifier_unavailable",))] * 3
