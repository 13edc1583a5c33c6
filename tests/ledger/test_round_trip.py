"""What is written is read back, in SQLite and in PostgreSQL."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from decimal import Decimal
from typing import Any

from slmroute.ledger import Ledger, LedgerReader
from slmroute.steps import Usage


def test_a_record_comes_back_with_everything_in_it(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    record = make(
        attempt(
            role="classifier",
            tier="embedded-1",
            provider=None,
            model=None,
            usage=None,
            price_id="free",
            cost=Decimal(0),
        ),
        attempt(role="draft", confidence=0.31, fault="low_confidence", started_ms=1.25, ttft_ms=3.25),
        attempt(
            tier="frontier",
            provider="openai",
            model="gpt-4.1",
            usage=Usage(100, 30, cached_tokens=40, cache_write_tokens=5, reasoning_tokens=7, source="estimated"),
            price_id="genai-prices:openai/gpt-4.1",
            hour_price=Decimal("2.5"),
            cost=Decimal("0.00044"),
            machine_cost=Decimal("0.0004"),
            dry_run=True,
        ),
        attempt(role="failed", usage=None, price_id="free", cost=Decimal(0), error="TimeoutError"),
        key="team-a",
        tags=("billing", "category:extraction", "zażółć"),
        reason="classified",
        score=0.7,
        confidence=0.9,
        escalated=True,
        degraded=True,
        classifier_version="embedded-1",
        calibrator_version="geometric-mean",
        events=("classifier_unavailable", "overloaded:mid"),
        price_version="genai-prices 0.2.3, own none",
        baseline_tier="frontier",
        ttft_ms=7.5,
        error="ValueError",
        status="partial",
    )
    ledger.write(record)
    assert ledger.flush()
    stored = reader.call(record.call_id)
    assert stored is not None
    assert stored.record == record
    assert [stored] == list(reader.calls())
    assert ledger.written == 1


def test_calls_come_in_order_page_by_page(ledger: Ledger, reader: LedgerReader, make: Any) -> None:
    records = [make(minutes=minute // 2) for minute in range(1200)]
    for record in reversed(records):
        ledger.write(record)
    assert ledger.flush()
    begin = records[0].started_at
    everything = [stored.record for stored in reader.calls()]
    assert everything == sorted(records, key=lambda record: (record.started_at, record.call_id))
    some = list(reader.calls(begin + timedelta(minutes=10), begin + timedelta(minutes=20)))
    assert len(some) == 20


def test_a_record_written_twice_stands_once(ledger: Ledger, reader: LedgerReader, make: Any) -> None:
    record = make()
    for _ in range(3):
        ledger.write(record)
        assert ledger.flush()
    assert reader.total().calls == 1


def test_what_no_database_stores_is_replaced(ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any) -> None:
    record = make(
        attempt(model="\udc80bad\0", usage=Usage(10**30, 2)), key="a\0b", tags=("lone \ud800",), baseline="1e30"
    )
    after = make()
    ledger.write(record)
    ledger.write(after)
    assert ledger.flush()
    stored = reader.call(record.call_id)
    assert stored is not None
    assert stored.record.key == "a\ufffdb"
    assert stored.record.tags == ("lone ?",)
    assert stored.record.attempts[0].usage == Usage(2**63 - 1, 2)
    assert reader.call(after.call_id) is not None
    assert ledger.dropped == 0


def test_what_is_out_of_all_bounds_is_kept_within_them(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    usage: Any = Usage(1, 2, source="as far as the judge can tell")  # type: ignore[arg-type]
    record = make(attempt(cost=Decimal("1e30"), usage=usage), attempt(cost=Decimal("1e30")))
    ledger.write(record)
    assert ledger.flush()
    stored = reader.call(record.call_id)
    assert stored is not None
    assert stored.record.attempts[0].usage == Usage(1, 2, source="estimated")
    assert stored.record.cost == Decimal(2**63 - 1).scaleb(-9)


def test_a_row_that_the_database_refuses_takes_no_other_with_it(
    ledger: Ledger, reader: LedgerReader, make: Any
) -> None:
    strange = [
        make(status=None),
        make(reason=object()),
        make(baseline="NaN"),
        make(started_at="today"),
        make(tags=None),
        make(escalated="perhaps"),
    ]
    for record in (make(), *strange, make()):
        ledger.write(record)
    assert ledger.flush()
    assert reader.total().calls == 2
    assert ledger.dropped == len(strange)
    assert reader.lost == len(strange)


def test_the_last_word_of_each_source_holds(ledger: Ledger, reader: LedgerReader, make: Any) -> None:
    record = make()
    ledger.feedback(record.call_id, good=True)  # may come before the call's row
    ledger.write(record)
    ledger.feedback(record.call_id, good=False)
    ledger.feedback(record.call_id, good=True, source="judge")
    assert ledger.flush()
    stored = reader.call(record.call_id)
    assert stored is not None
    assert stored.feedback == {"user": False, "judge": True}


def test_copies_are_the_same_ledger_and_pickles_open_it_anew(ledger: Ledger, reader: LedgerReader, make: Any) -> None:
    assert copy.copy(ledger) is ledger
    assert copy.deepcopy({"ledger": ledger})["ledger"] is ledger
    with pickle.loads(pickle.dumps(ledger)) as other:  # noqa: S301
        assert other is not ledger
        other.write(make())
        ledger.write(make())
        assert other.flush()
    assert ledger.flush()
    assert reader.total().calls == 2


def test_after_close_records_are_dropped_and_counted(ledger: Ledger, make: Any) -> None:
    ledger.write(make())
    ledger.close()
    ledger.write(make())
    assert (ledger.written, ledger.dropped, ledger.waiting) == (1, 1, 0)
