"""How many calls a second the ledger writes to SQLite, and how late an event loop gets meanwhile."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from slmroute.ledger import Ledger, LedgerReader
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.steps import Usage

CALLS = 20_000
TICK_S = 0.005
STEADY_S = 4.0
STEADY_RATE = 1_000


def record() -> RouteRecord:
    """A call as most are: a classifier in process, and one answer."""
    attempts = (
        AttemptRecord(role="classifier", tier="embedded-1", price_id="free", cost=Decimal(0), total_ms=0.9),
        AttemptRecord(
            role="final",
            tier="small",
            provider="ollama",
            model="phi3:mini",
            usage=Usage(240, 60),
            price_id="tier:small",
            cost=Decimal("0.0000168"),
            ttft_ms=110.5,
            total_ms=812.25,
        ),
    )
    return RouteRecord(
        call_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC),
        status="ok",
        key="team-a",
        tags=("support", "category:faq"),
        tier="small",
        model="phi3:mini",
        reason="classified",
        score=0.21,
        classifier_version="embedded-1",
        attempts=attempts,
        cost=Decimal("0.0000168"),
        baseline=Decimal("0.00096"),
        saved=Decimal("0.0009432"),
        price_version="genai-prices 0.2.3, own none",
        total_ms=815.0,
    )


async def lateness(stop: asyncio.Event) -> list[float]:
    """How much later than asked for the loop woke up, in milliseconds, until told to stop."""
    late: list[float] = []
    while not stop.is_set():
        asked = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        late.append((time.perf_counter() - asked) * 1000)
    return late


async def while_writing(ledger: Ledger | None, rate: int) -> list[float]:
    """Write at a steady rate from the loop itself, and give its lateness."""
    stop = asyncio.Event()
    watching = asyncio.create_task(lateness(stop))
    ready = [record() for _ in range(rate // 100)]
    end = time.perf_counter() + STEADY_S
    while time.perf_counter() < end:
        for one in ready:
            if ledger is not None:
                ledger.write(one)
        ready = [record() for _ in range(rate // 100)]
        await asyncio.sleep(0.01)
    stop.set()
    return await watching


def shown(late: list[float]) -> str:
    """A line about a loop's lateness."""
    ordered = sorted(late)
    median, far = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"median {median:.2f} ms, p99 {far:.2f} ms, worst {ordered[-1]:.2f} ms"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        records = [record() for _ in range(CALLS)]
        with Ledger(path, limit=2 * CALLS) as ledger:
            begin = time.perf_counter()
            for one in records:
                ledger.write(one)
            handed = time.perf_counter() - begin
            written = ledger.flush(120)
            took = time.perf_counter() - begin
            assert written
            assert ledger.dropped == 0
        rows = CALLS * (1 + len(records[0].attempts))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        print(
            f"written      {CALLS / took:>10,.0f} calls/s, {rows / took:,.0f} rows/s (SQLite, {CALLS:,} calls at once)"
        )
        print(f"handing over {handed / CALLS * 1e6:>10.1f} us a call, on the caller's thread")
        print(f"on disk      {size / CALLS:>10,.0f} bytes a call")
        begin = time.perf_counter()
        total = LedgerReader(path).total()
        print(f"summed up    {(time.perf_counter() - begin) * 1000:>10.0f} ms for all {total.calls:,} calls")
        print(f"loop's lag   without a ledger:          {shown(asyncio.run(while_writing(None, STEADY_RATE)))}")
        with Ledger(Path(folder) / "steady.db") as ledger:
            late = asyncio.run(while_writing(ledger, STEADY_RATE))
            print(f"             writing {STEADY_RATE:,} calls a second: {shown(late)}")
            assert ledger.flush(60)
            assert ledger.dropped == 0


if __name__ == "__main__":
    main()
