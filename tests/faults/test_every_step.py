"""A call that fails, is cancelled or is closed at any of its steps leaves one settled record and nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest

from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.engine import Engine
from slmroute.policy import Confidence, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.steps import Answer
from slmroute.testing import FakeClock, FakePerformer, Reply
from slmroute.tier import Tier

NAMES = ("small", "mid", "frontier")
LONG_AFTER = 10_000.0


class Mine(Exception):
    """An error of the user's own."""


class AtStep:
    """Counts the steps of a call and does something at one of them."""

    def __init__(self, step: int = 0, action: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self._step = step
        self._action = action

    def __call__(self) -> None:
        self.count += 1
        if self.count == self._step:
            self._action()


class Books:
    """A ledger that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[RouteRecord] = []

    def write(self, record: RouteRecord) -> None:
        self.records.append(record)


class Case:
    """A call that takes every kind of step: scored, answered weakly, judged, failed over, answered."""

    def __init__(self, at_step: AtStep, *, is_async: bool, escalation: bool = True) -> None:
        def score(_request: RouteRequest) -> float:
            at_step()
            return 0.1

        async def ascore(_request: RouteRequest) -> float:
            at_step()
            await asyncio.sleep(0)
            return 0.1

        def judge(_request: RouteRequest, answer: Answer) -> float:
            at_step()
            return 0.1 if "weak" in answer.text else 0.9

        async def ajudge(request: RouteRequest, answer: Answer) -> float:
            confidence = judge(request, answer)
            await asyncio.sleep(0)
            return confidence

        self.at_step = at_step
        self.clock = FakeClock()
        self.books = Books()
        policy = Policy.build(
            [Tier(name, f"ollama:{name}", input_price="1", output_price="1") for name in NAMES],
            escalation=Confidence(judge=ajudge if is_async else judge) if escalation else None,
        )
        classifier = cast("Any", ascore if is_async else score)
        self.engine = Engine(policy, classifier, ledger=self.books, clock=self.clock)
        # All breakers are half open, so that every call is the one probe whose place must be given back.
        for breaker in [*self.engine.breakers.values(), self.engine.classifier_breaker]:
            for _ in range(5):
                permit = breaker.admit(self.clock.monotonic())
                assert permit is not None
                permit.failure(self.clock.monotonic())
        self.clock.advance(31)
        script = {
            "small": Reply("a weak answer") if escalation else Reply("a good answer"),
            "mid": ConnectionError("down"),
            "frontier": Reply("a good answer"),
        }
        self.performer = FakePerformer(script, self.clock, at_step)
        self.run = Run(self.engine, RouteRequest(text="hello", tokens=10))

    def assert_settled(self, *statuses: str) -> RouteRecord:
        assert self.run.record is not None
        assert self.books.records == [self.run.record]
        assert self.run.record.status in statuses
        assert self.performer.open == 0
        assert self.run.open is None
        assert len(self.performer.calls) == sum(
            a.role in ("draft", "final", "failed") for a in self.run.record.attempts
        )
        later = self.clock.monotonic() + LONG_AFTER
        for breaker in [*self.engine.breakers.values(), self.engine.classifier_breaker]:
            assert breaker.admit(later) is not None
        return self.run.record


def raises(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def error_of(driver: Callable[[Case], object], case: Case) -> Exception | None:
    try:
        driver(case)
    except Exception as error:  # noqa: BLE001
        return error
    return None


async def read(stream: AsyncGenerator[object]) -> None:
    async for _ in stream:
        pass


def steps_of(driver: Callable[[Case], object], *, is_async: bool) -> int:
    case = Case(AtStep(), is_async=is_async)
    driver(case)
    case.assert_settled("ok")
    return case.at_step.count


SYNC: dict[str, Callable[[Case], object]] = {
    "drive": lambda case: drive(case.run, case.performer),
    "drive_stream": lambda case: list(drive_stream(case.run, case.performer)),
}
ASYNC: dict[str, Callable[[Case], object]] = {
    "adrive": lambda case: asyncio.run(adrive(case.run, case.performer)),
    "adrive_stream": lambda case: asyncio.run(read(adrive_stream(case.run, case.performer))),
}
ALL = [pytest.param(driver, name in ASYNC, id=name) for name, driver in {**SYNC, **ASYNC}.items()]


@pytest.mark.parametrize(("driver", "is_async"), ALL)
def test_an_error_of_the_users_own_at_any_step(driver: Callable[[Case], object], is_async: bool) -> None:
    for step in range(1, steps_of(driver, is_async=is_async) + 1):
        error = Mine()
        case = Case(AtStep(step, raises(error)), is_async=is_async)
        raised = error_of(driver, case)
        record = case.assert_settled("ok", "error", "partial")
        if raised is None:
            # It came from the classifier or the judge, which never fail a call.
            assert record.status == "ok"
            assert {"classifier_unavailable", "judge_unavailable"} & set(record.events)
        else:
            assert raised is error
            assert record.error == "Mine"
            assert record.status == ("error" if record.tier is None else "partial")


@pytest.mark.parametrize(("driver", "is_async"), ALL)
def test_an_unavailable_tier_at_any_step(driver: Callable[[Case], object], is_async: bool) -> None:
    for step in range(1, steps_of(driver, is_async=is_async) + 1):
        error = TimeoutError("late")
        case = Case(AtStep(step, raises(error)), is_async=is_async)
        raised = error_of(driver, case)
        record = case.assert_settled("ok", "partial")
        # Only what comes after the first chunk shown is raised.
        assert raised is (error if record.status == "partial" else None)


@pytest.mark.parametrize("driver", SYNC.values(), ids=SYNC)
def test_an_interrupt_at_any_step(driver: Callable[[Case], object]) -> None:
    for step in range(1, steps_of(driver, is_async=False) + 1):
        case = Case(AtStep(step, raises(KeyboardInterrupt())), is_async=False)
        with pytest.raises(KeyboardInterrupt):
            driver(case)
        record = case.assert_settled("cancelled")
        assert record.error == "KeyboardInterrupt"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_task_at_any_step(stream: bool) -> None:
    async def work(case: Case) -> None:
        if stream:
            await read(adrive_stream(case.run, case.performer))
        else:
            await adrive(case.run, case.performer)

    whole = Case(AtStep(), is_async=True)
    await work(whole)
    for step in range(1, whole.at_step.count + 1):
        tasks: list[asyncio.Task[None]] = []
        case = Case(AtStep(step, lambda tasks=tasks: tasks[0].cancel()), is_async=True)
        tasks.append(asyncio.create_task(work(case)))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert tasks[0].cancelled()
        record = case.assert_settled("cancelled")
        assert record.error == "CancelledError"
        # What has been sent is paid for, whether or not anything came back.
        assert all(a.usage is not None for a in record.attempts if a.tier in NAMES and a.error == "CancelledError")


@pytest.mark.parametrize("escalation", [False, True])
@pytest.mark.parametrize("drop", [False, True], ids=["closed", "dropped"])
def test_a_stream_that_is_left_after_any_chunk(escalation: bool, drop: bool) -> None:
    chunks = len(list(stream_of(Case(AtStep(), is_async=False, escalation=escalation))))
    assert chunks == 3
    for taken in range(1, chunks + 1):
        case = Case(AtStep(), is_async=False, escalation=escalation)
        stream = stream_of(case)
        for _ in range(taken):
            next(stream)
        if not drop:
            stream.close()
        del stream
        gc.collect()
        record = case.assert_settled("cancelled")
        assert record.tier == ("frontier" if escalation else "small")
        assert record.error is None
        assert record.cost is not None
        assert record.cost > 0


def stream_of(case: Case) -> Any:
    return drive_stream(case.run, case.performer)


@pytest.mark.parametrize("escalation", [False, True])
@pytest.mark.parametrize("drop", [False, True], ids=["closed", "dropped"])
async def test_an_async_stream_that_is_left_after_any_chunk(escalation: bool, drop: bool) -> None:
    for taken in (1, 2, 3):
        case = Case(AtStep(), is_async=True, escalation=escalation)
        stream = adrive_stream(case.run, case.performer)
        for _ in range(taken):
            await anext(stream)
        if not drop:
            await stream.aclose()
        del stream
        gc.collect()
        for _ in range(10):  # the event loop closes what was dropped in its next rounds
            await asyncio.sleep(0)
        case.assert_settled("cancelled")


def test_an_async_stream_that_outlives_its_loop_can_be_closed_in_another() -> None:
    case = Case(AtStep(), is_async=True, escalation=False)
    stream = adrive_stream(case.run, case.performer)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(anext(stream))
    first.close()
    second.run_until_complete(stream.aclose())
    second.close()
    case.assert_settled("cancelled")


def test_a_stream_that_was_never_begun_leaves_no_record() -> None:
    case = Case(AtStep(), is_async=False)
    stream_of(case).close()
    assert case.run.record is None
    assert case.books.records == []


def test_a_tiers_place_is_free_again_when_a_stream_dies_with_its_loop() -> None:
    case = Case(AtStep(), is_async=True, escalation=False)
    stream = adrive_stream(case.run, case.performer)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(anext(stream))
    loop.close()
    # Nobody can finish this stream any more: its frames just go.
    del stream, case.run, case.performer
    gc.collect()
    assert case.engine.breakers["small"].admit(case.clock.monotonic() + LONG_AFTER) is not None
