"""Records as plain JSON, and what they show of themselves."""

from __future__ import annotations

import dataclasses
import json
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slmroute.record import AttemptRecord, Hook, RouteRecord
from slmroute.steps import Usage

STARTED = datetime(2026, 1, 1, 12, tzinfo=UTC)
MONEY = st.decimals(0, 1000, places=9)
USAGES = st.builds(
    Usage, st.integers(0, 10**6), st.integers(0, 10**6), source=st.sampled_from(["reported", "estimated"])
)
ATTEMPTS = st.builds(
    AttemptRecord,
    role=st.sampled_from(["draft", "final", "failed"]),
    tier=st.text(max_size=5),
    usage=st.none() | USAGES,
    cost=st.none() | MONEY,
    confidence=st.none() | st.floats(0, 1),
    total_ms=st.floats(0, 1e6),
)
RECORDS = st.builds(
    RouteRecord,
    call_id=st.text(max_size=5),
    started_at=st.datetimes(timezones=st.just(UTC)),
    status=st.sampled_from(["ok", "error", "cancelled", "partial"]),
    key=st.none() | st.text(max_size=5),
    tags=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    score=st.none() | st.floats(0, 1),
    attempts=st.lists(ATTEMPTS, max_size=3).map(tuple),
    cost=st.none() | MONEY,
    saved=st.none() | st.decimals(-1000, 1000, places=9),
)


def names(kind: Any) -> set[str]:
    return {item.name for item in dataclasses.fields(kind)}


@given(RECORDS)
def test_every_record_is_plain_json_with_all_that_is_in_it(record: RouteRecord) -> None:
    plain = record.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == names(RouteRecord)
    for attempt, written in zip(record.attempts, plain["attempts"], strict=True):  # type: ignore[call-overload]
        assert set(written) == names(AttemptRecord)
        if attempt.usage is not None:
            assert written["usage"] == dataclasses.asdict(attempt.usage)


@given(MONEY)
def test_money_is_written_exactly_and_never_as_a_power_of_ten(amount: Decimal) -> None:
    written = RouteRecord(call_id="1", started_at=STARTED, status="ok", cost=amount).to_json()["cost"]
    assert isinstance(written, str)
    assert Decimal(written) == amount
    assert "E" not in written


def test_times_are_written_in_utc() -> None:
    record = RouteRecord(call_id="1", started_at=STARTED, status="ok")
    assert record.to_json()["started_at"] == "2026-01-01T12:00:00+00:00"


def test_records_pickle_and_cannot_be_changed() -> None:
    attempt = AttemptRecord(role="final", tier="small", usage=Usage(1, 2), cost=Decimal("0.1"))
    record = RouteRecord(call_id="1", started_at=STARTED, status="ok", attempts=(attempt,))
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301
    try:
        record.status = "error"  # type: ignore[misc]
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError("a record was changed")


def test_any_callable_is_a_hook() -> None:
    assert isinstance(print, Hook)
    assert not isinstance("print", Hook)
