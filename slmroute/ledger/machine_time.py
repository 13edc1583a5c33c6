"""The time of machines paid by the hour: what one writer of a ledger has charged, no other charges again."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, delete, insert, select, text

from slmroute.ledger.rows import Row
from slmroute.ledger.schema import machine_time
from slmroute.record import RouteRecord

__all__ = ["MachineTime", "microseconds"]

LOCK: Final = 0x6D_61_63_68
"""The advisory lock under which PostgreSQL charges; SQLite has one writer at a time anyhow."""

MICROSECONDS_PER_HOUR: Final = 3_600_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Span = tuple[int, int]
"""From when to when, in microseconds since 1970 UTC."""

Free = tuple[Span, int]
"""A span in which a writer's calls kept a machine busy without a gap, and nano-dollars that they are not charged."""

KEPT_US: Final = 24 * MICROSECONDS_PER_HOUR
"""How long what calls are not charged waits for them: one that was lost on the way is never written."""


class MachineTime:
    """Takes off from a writer's calls what other writers' calls were charged for the same time of the same machine.

    The calls of one writer come here with the machine's time shared out among them (``slmroute.machine``). Other
    processes know nothing of each other's calls until these are written: then the time in which several kept a machine
    busy is charged to whichever wrote first, so that all charges together are for the time that it was busy.

    A tier's name is the machine's. It belongs to one writer, and ``charge`` works within a transaction that writes.
    """

    def __init__(self) -> None:
        self._writer = uuid.uuid4().hex
        self._free: Mapping[str, list[Free]] = {}

    def charge(
        self, connection: Connection, written: Iterable[tuple[RouteRecord, Sequence[Row]]]
    ) -> Mapping[str, list[Free]]:
        """Change the costs of attempts that are about to be written to what they are charged.

        Args:
            connection: A connection in the transaction that writes them.
            written: Calls with their attempts' rows.

        Returns:
            For ``keep``, once the transaction is complete.
        """
        busy: defaultdict[str, list[tuple[Span, Row]]] = defaultdict(list)
        for record, rows in written:
            for row in rows:
                if row["machine_cost_nano"]:
                    busy[row["tier"]].append((_span(record, row), row))
        if busy and connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        return {**self._free, **{tier: self._charge(connection, tier, busy[tier]) for tier in busy}}

    def keep(self, free: Mapping[str, list[Free]]) -> None:
        """Note what came of ``charge``: what calls yet to be written are not charged, by tier.

        A call that ran beside others has less than its whole time on its bill, and so less than can be taken off from
        it: the rest comes off from those that ran beside it, and from nobody else where these are never written.
        """
        self._free = free

    def _charge(self, connection: Connection, tier: str, busy: list[tuple[Span, Row]]) -> list[Free]:
        busy.sort(key=lambda each: each[0])
        spans = [span for span, _ in busy]
        low, high = spans[0][0], max(until for _, until in spans)
        table = machine_time.c
        near = and_(table.tier == tier, table.until_us >= low, table.since_us <= high)
        found = connection.execute(select(table.writer, table.since_us, table.until_us).where(near)).all()
        own = _merged([(since, until) for writer, since, until in found if writer == self._writer])
        others = _merged([(since, until) for writer, since, until in found if writer != self._writer])
        told = _merged([*own, *spans])
        free, reached = Counter[Span](), low
        for span, left in self._free.get(tier, ()):
            free[_around(span, told)] += left
        for (since, until), row in busy:
            together, hour_price = _around((since, until), told), row["hour_price_nano"]
            first_told = _without((max(since, reached), until), own)
            free[together] += _price(first_told, others, hour_price)
            charged_before = _price([(since, until)], others, hour_price)
            taken_off = min(free[together], charged_before, row["machine_cost_nano"])
            free[together] -= taken_off
            row["machine_cost_nano"] -= taken_off
            if row["cost_nano"] is not None:
                row["cost_nano"] -= taken_off
            reached = max(reached, until)
        connection.execute(delete(machine_time).where(near, table.writer == self._writer))
        rows = [{"tier": tier, "writer": self._writer, "since_us": since, "until_us": until} for since, until in told]
        connection.execute(insert(machine_time), rows)
        return [(span, left) for span, left in free.items() if left and span[1] > low - KEPT_US]


def microseconds(moment: datetime) -> int:
    """Give a moment in microseconds since 1970 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _span(record: RouteRecord, row: Row) -> Span:
    since = microseconds(record.started_at) + round((row["started_ms"] or 0.0) * 1000)
    return since, since + round(row["total_ms"] * 1000)


def _merged(spans: list[Span]) -> list[Span]:
    """Join spans that touch, in order."""
    joined: list[Span] = []
    for since, until in sorted(spans):
        if joined and since <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((since, until))
    return joined


def _around(span: Span, joined: list[Span]) -> Span:
    """Give the one of some spans, which are apart, that a span lies in; itself where there is none."""
    return next((each for each in joined if each[0] <= span[0] and span[1] <= each[1]), span)


def _without(span: Span, taken: list[Span]) -> list[Span]:
    """Give what is left of a span without others, which are in order and apart."""
    parts: list[Span] = []
    since, end = span
    for begin, until in taken:
        if since < min(begin, end):
            parts.append((since, min(begin, end)))
        since = max(since, until)
    return [*parts, (since, end)] if since < end else parts


def _price(spans: list[Span], others: list[Span], hour_price: int) -> int:
    """Price the time that some spans and others, each apart, have in common, in nano-dollars."""
    common = sum(max(min(one[1], other[1]) - max(one[0], other[0]), 0) for one in spans for other in others)
    return common * hour_price // MICROSECONDS_PER_HOUR
