"""Sums over the ledger: every grouping adds up to the same total, to the nano-dollar."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError
from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.queries import AttemptGroup, CallGroup
from slmroute.ledger.rows import attempt_rows, call_row, dollars, nano
from slmroute.ledger.summary import CallSummary, Machine, Quantiles, Tokens
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.steps import Usage

amounts = st.decimals(0, 1000, allow_nan=False, allow_infinity=False)
costs = st.one_of(st.none(), amounts)


@given(amounts)
def test_money_is_rounded_half_even_to_the_nano_dollar(amount: Decimal) -> None:
    whole = nano(amount)
    back = dollars(whole)
    assert back is not None
    assert abs(back - amount) <= Decimal("0.0000000005")
    assert nano(back) == whole


@pytest.mark.parametrize(
    ("amount", "nanos"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.0000000025", 2), ("-1", -(10**9))]
)
def test_a_half_goes_to_the_even_neighbour(amount: str, nanos: int) -> None:
    assert nano(Decimal(amount)) == nanos


@given(st.lists(costs, max_size=8), costs, st.booleans())
def test_what_was_saved_is_the_baseline_minus_what_was_spent(
    spent: list[Decimal | None], baseline: Decimal | None, project: bool
) -> None:
    attempts = tuple(AttemptRecord(role="final", tier="a", cost=cost) for cost in spent)
    record = RouteRecord(
        call_id="c",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        status="ok",
        attempts=attempts,
        baseline=baseline,
        projected=Decimal(0) if project else None,
    )
    parts = attempt_rows(record)
    row = call_row(record, parts)
    assert row["priced_nano"] == sum(part["cost_nano"] or 0 for part in parts)
    assert row["unpriced"] == spent.count(None)
    gain, other = ("projected_nano", "saved_nano") if project else ("saved_nano", "projected_nano")
    assert row[other] is None
    if None in spent or baseline is None:
        assert row[gain] is None
        assert (row["cost_nano"] is None) == (None in spent)
    else:
        assert row[gain] == row["baseline_nano"] - row["cost_nano"]


def varied(make: Any, attempt: Any, count: int) -> list[RouteRecord]:
    dice = random.Random(7)  # noqa: S311  the same records every time
    records: list[RouteRecord] = []

    def some(role: str, tier: str) -> AttemptRecord:
        unpriced = dice.random() < 0.1
        return attempt(
            role=role,
            tier=tier,
            model=dice.choice(["a", "b", None]),
            usage=Usage(dice.randrange(5000), dice.randrange(500), source=dice.choice(["reported", "estimated"])),
            cost=None if unpriced else Decimal(dice.randrange(10**12)).scaleb(-13),
            price_id="unpriced" if unpriced else f"tier:{tier}",
            dry_run=dice.random() < 0.2,
            total_ms=dice.random() * 100,
            ttft_ms=dice.choice([None, 3.5]),
            fault=dice.choice([None, "empty"]) if role == "draft" else None,
            error=dice.choice(["TimeoutError", "ConnectError"]) if role == "failed" else None,
        )

    for number in range(count):
        tier = dice.choice(["small", "frontier"])
        roles = ["classifier", *dice.choices(["draft", "judge", "failed"], k=dice.randrange(3)), "final"]
        records.append(
            make(
                *(some(role, tier) for role in roles),
                minutes=number * 120,
                baseline=dice.choice([None, "0.001", "0.0000000001"]),
                project=dice.random() < 0.3,
                key=dice.choice([None, "a", "b"]),
                tags=tuple(dice.sample(["x", "y", "category:one", "category:two"], k=dice.randrange(4))),
                status=dice.choice(["ok", "error", "cancelled", "partial"]),
                reason=dice.choice([None, "classified", "only"]),
                escalated=dice.random() < 0.3,
                degraded=dice.random() < 0.2,
                total_ms=dice.random() * 1000,
                ttft_ms=dice.choice([None, 1.0, 2.0, 9.0]),
            )
        )
    return records


@pytest.fixture
def records(ledger: Ledger, make: Any, attempt: Any) -> list[RouteRecord]:
    found = varied(make, attempt, 400)
    for record in found:
        ledger.write(record)
    assert ledger.flush()
    return found


FIELDS = ("calls", "cost", "dry_run_cost", "unpriced", "compared", "compared_cost", "baseline", "saved", "projected",
          "degraded_gain")  # fmt: skip


def test_every_grouping_adds_up_to_the_total(records: list[RouteRecord], reader: LedgerReader) -> None:
    total = reader.total()
    spent = sum(nano(part.cost) or 0 for record in records for part in record.attempts)
    assert nano(total.cost) == spent
    assert total.calls == len(records)
    assert total.statuses == Counter(record.status for record in records)
    assert total.saved + total.projected == total.baseline - total.compared_cost
    assert sum(total.role_cost.values()) == total.cost
    assert total.tokens.input_tokens == sum(
        part.usage.input_tokens for record in records for part in record.attempts if part.usage
    )
    for by in get_args(CallGroup):
        groups = reader.sums(by)
        assert len(groups) > 1
        if by != "tag":
            for field in FIELDS:
                assert sum(getattr(group, field) for group in groups) == getattr(total, field), (by, field)
        for group in groups:
            assert group.saved + group.projected == group.baseline - group.compared_cost
            assert sum(group.role_cost.values()) == group.cost
    for by in get_args(AttemptGroup):
        parts = reader.attempt_sums(by)
        assert sum(part.cost for part in parts) == total.cost
        assert sum(part.dry_run_cost for part in parts) == total.dry_run_cost
        assert sum(part.tokens.output_tokens for part in parts) == total.tokens.output_tokens


def test_sums_keep_to_the_time_asked_for(records: list[RouteRecord], reader: LedgerReader) -> None:
    begin = records[0].started_at
    since, until = begin + timedelta(hours=50), begin + timedelta(hours=90)
    inside = [record for record in records if since <= record.started_at < until]
    assert reader.total(since, until).calls == len(inside) > 0
    assert sum(group.calls for group in reader.sums("tier", since, until)) == len(inside)
    assert reader.total(until=begin) == CallSummary()
    with pytest.raises(ConfigError, match="time zone"):
        reader.total(since.replace(tzinfo=None))


def test_groups_say_what_their_calls_have_in_common(records: list[RouteRecord], reader: LedgerReader) -> None:
    by_key = {group.group: group.calls for group in reader.sums("key")}
    assert by_key == Counter(record.key for record in records)
    by_tag = {group.group: group.calls for group in reader.sums("tag")}
    expected = Counter(tag for record in records for tag in record.tags or (None,))
    assert by_tag == expected
    assert {group.group for group in reader.sums("category")} == {"one", "two", None}
    assert [group.group for group in reader.sums("month")] == ["2026-03", "2026-04"]
    days = [group.group for group in reader.sums("day")]
    assert days == sorted(days)
    errors = {part.group: part.errors for part in reader.attempt_sums("role")}
    assert errors["failed"] == Counter(
        part.error for record in records for part in record.attempts if part.role == "failed"
    )
    with pytest.raises(ConfigError, match="none of day, month"):
        reader.sums("colour")  # pyright: ignore[reportArgumentType]


def test_degraded_calls_are_summed_up_apart(records: list[RouteRecord], reader: LedgerReader) -> None:
    rows = [call_row(record, attempt_rows(record)) for record in records if record.degraded]
    expected = sum((row["saved_nano"] or 0) + (row["projected_nano"] or 0) for row in rows)
    assert reader.total().degraded == len(rows) > 0
    assert nano(reader.total().degraded_gain) == expected != 0


def test_calls_without_a_category_are_one_group(
    ledger: Ledger, reader: LedgerReader, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tags in (
        (),
        ("x",),
        ("category:",),
        ("category:  ",),
        ("category:", "category: a "),
        ("category:a", "category:b"),
    ):
        ledger.write(make(tags=tags))
    assert ledger.flush()
    monkeypatch.setattr("slmroute.ledger.rows.category_of", lambda _: " ")  # as older versions wrote it
    ledger.write(make())
    assert ledger.flush()
    assert [(group.group, group.calls) for group in reader.sums("category")] == [("a", 2), (None, 5)]
    assert [(rate.category, rate.answers) for rate in reader.failures(by_category=True)] == [(None, 5), ("a", 2)]


def test_quantiles_are_times_that_were_measured(ledger: Ledger, reader: LedgerReader, make: Any) -> None:
    for milliseconds in range(1, 101):
        ledger.write(make(total_ms=float(milliseconds)))
    assert ledger.flush()
    assert reader.total().total_ms == Quantiles(p50=50.0, p90=90.0, p99=99.0)
    assert reader.total().ttft_ms == Quantiles()


def test_an_empty_ledger_sums_to_nothing(reader: LedgerReader) -> None:
    assert reader.total() == CallSummary(tokens=Tokens())
    assert reader.sums("day") == []
    assert reader.attempt_sums("role") == []
    assert list(reader.calls()) == []


def test_a_machine_costs_money_when_it_is_idle_too(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    for minutes in (0, 30):
        ledger.write(make(attempt(hour_price=Decimal(2), cost=Decimal("0.01")), minutes=minutes))
    ledger.write(make(attempt(hour_price=Decimal(4), cost=Decimal("0.02")), minutes=60))
    assert ledger.flush()
    begin = make().started_at
    until = begin + timedelta(hours=3)
    (machine,) = reader.machines(begin, until)
    rent = Decimal(2) + 2 * Decimal(4)
    assert machine == Machine(tier="small", since=begin, until=until, calls=3, rent=rent, charged=Decimal("0.04"))
    assert machine.idle == Decimal("9.96")
    assert machine.cost_per_call == rent / 3


def test_an_hour_price_that_returns_holds_again_from_then_on(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    for hour, price in ((0, 1), (5, 1), (10, 2), (20, 1), (30, 1)):
        ledger.write(make(attempt(hour_price=Decimal(price), total_ms=0.0), minutes=hour * 60))
    ledger.write(make(attempt(tier="other", hour_price=Decimal(7), total_ms=0.0), minutes=15 * 60))
    assert ledger.flush()
    other, machine = reader.machines()
    assert (machine.rent, machine.calls) == (10 * 1 + 10 * 2 + 10 * 1, 5)
    assert (other.tier, other.rent) == ("other", 0)
    (later,) = reader.machines(make(minutes=15 * 60 + 1).started_at)
    assert later.rent == 10
    assert later.since == make(minutes=20 * 60).started_at


def test_a_machine_is_charged_for_time_and_not_for_tokens(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    both = attempt(hour_price=Decimal(36), cost=Decimal("0.05"), machine_cost=Decimal("0.03"), total_ms=3_000.0)
    ledger.write(make(both))
    ledger.write(make(attempt(hour_price=Decimal(36), cost=Decimal("0.01")), minutes=60))  # as older versions wrote it
    assert ledger.flush()
    (machine,) = reader.machines()
    assert machine.charged == Decimal("0.04")


def test_a_machine_is_busy_until_the_longest_of_its_last_calls_is_over(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    ledger.write(make(attempt(hour_price=Decimal(60), total_ms=180_000.0)))
    ledger.write(make(attempt(hour_price=Decimal(60), total_ms=1_000.0), minutes=1))
    assert ledger.flush()
    (machine,) = reader.machines()
    assert machine.rent == 3


def test_what_came_out_of_a_cache_took_no_tokens(ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any) -> None:
    ledger.write(make(attempt(usage=Usage(1000, 200, cached_tokens=300))))
    for _ in range(2):
        ledger.write(make(attempt(usage=Usage(1000, 200, source="cached"), cost=Decimal(0), price_id="free")))
    ledger.write(make(attempt(usage=None, cost=Decimal(0), price_id="free")))
    assert ledger.flush()
    total = reader.total()
    assert (total.calls, total.tokens) == (4, Tokens(1000, 200, 300))
    assert [part.tokens for part in reader.attempt_sums("tier")] == [total.tokens]


def test_a_machine_is_paid_for_until_its_last_call_is_over(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    busy = attempt(hour_price=Decimal(36), cost=Decimal("0.03"), started_ms=1_000.0, total_ms=3_000.0)
    ledger.write(make(busy))
    assert ledger.flush()
    (machine,) = reader.machines()
    assert machine.until == machine.since + timedelta(seconds=4)
    assert (machine.rent, machine.idle) == (Decimal("0.04"), Decimal("0.01"))
    ledger.write(make(busy))  # of another process, at the same time
    ledger.write(make(busy))
    assert ledger.flush()
    (machine,) = reader.machines()
    assert (machine.rent, machine.charged, machine.idle) == (Decimal("0.04"), Decimal("0.09"), 0)
