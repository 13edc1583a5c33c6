"""The ledger's sums, in SQL that SQLite and PostgreSQL both take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, get_args

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    FromClause,
    Null,
    Select,
    and_,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
)

from slmroute.errors import ConfigError
from slmroute.failures import WRONG_BELOW
from slmroute.ledger.rows import Row, as_rows, dollars
from slmroute.ledger.schema import attempts, calls, feedback
from slmroute.ledger.summary import AttemptSummary, CallSummary, Machine, Quantiles, Tokens

__all__ = ["AttemptGroup", "CallGroup", "Cut", "Query", "between"]

CallGroup = Literal["day", "month", "tier", "key", "category", "status", "reason", "tags", "tag"]
AttemptGroup = Literal["role", "tier", "model", "provider", "price_id"]

Group = str | None
Column = ColumnElement[Any]
Query = Select[*tuple[Any, ...]]

KIND: Final = func.nullif(func.trim(calls.c.category), literal_column("''"))
"""A call's category. A nameless one, which older versions wrote, is none: calls without one are one group."""

_DRY = attempts.alias("dry")
DRY: Final = calls.c.call_id.in_(select(_DRY.c.call_id).where(_DRY.c.dry_run))
"""Whether a call holds an attempt that generated nothing, so that its time says nothing."""

QUANTILES: Final = {"p50": 50, "p90": 90, "p99": 99}
TOKEN_COLUMNS: Final = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


def between(query: Query, since: datetime | None, until: datetime | None) -> Query:
    """Keep to the calls that began in a time, ``until`` not included.

    Raises:
        ConfigError: A time has no time zone.
    """
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            raise ConfigError(f"{name}={moment.isoformat()} needs a time zone: for example datetime.now(UTC).")
    if since is not None:
        query = query.where(calls.c.started_at >= since)
    return query if until is None else query.where(calls.c.started_at < until)


@dataclass(frozen=True)
class Cut:
    """A piece of the ledger, cut by time and into groups, and the sums over it.

    Attributes:
        connection: To the ledger.
        since: Calls that began then or later.
        until: Calls that began earlier.
        group: What the calls, or attempts, are grouped by.
        source: The tables that they come from.
    """

    connection: Connection
    since: datetime | None = None
    until: datetime | None = None
    group: Column = null()  # noqa: RUF009  a constant of SQL
    source: FromClause = calls

    def rows(self, query: Query, *groups: Column) -> list[Row]:
        """Give the rows of a query over this piece, grouped if groups are given; PostgreSQL takes no NULL for one."""
        columns = [group for group in groups if not isinstance(group, Null)]
        query = between(query.select_from(self.source), self.since, self.until).group_by(*columns)
        return as_rows(self.connection.execute(query))

    def counts(self, column: Column) -> Mapping[Group, dict[str, int]]:
        """Count the values of a column that are not NULL, group by group."""
        query = select(self.group.label("group"), column.label("value"), func.count().label("number"))
        found: defaultdict[Group, dict[str, int]] = defaultdict(dict)
        for row in self.rows(query.where(column.is_not(None)).order_by(column), self.group, column):
            found[row["group"]][row["value"]] = int(row["number"])
        return found

    def quantiles(self, column: Column, where: Column | None = None) -> Mapping[Group, Quantiles]:
        """Give the quantiles of a column, group by group; of the rows that meet a condition, where there is one."""
        ranked = select(
            self.group.label("group"),
            column.label("value"),
            func.row_number().over(partition_by=self.group, order_by=column).label("rank"),
            func.count().over(partition_by=self.group).label("of"),
        ).where(column.is_not(None) if where is None else and_(column.is_not(None), where))
        part = between(ranked.select_from(self.source), self.since, self.until).subquery()
        found = [
            func.min(part.c.value).filter(part.c.rank * 100 >= part.c.of * percent).label(name)
            for name, percent in QUANTILES.items()
        ]
        rows = self.connection.execute(select(part.c.group, *found).group_by(part.c.group))
        return {row[0]: Quantiles(*(float(value) for value in row[1:])) for row in rows}

    def attempt_totals(self, second: Column) -> Mapping[tuple[Group, Group], Row]:
        """Sum up attempts by this piece's group and a second one."""
        generated = attempts.c.usage_source != "cached"  # an answer out of a cache took no tokens
        query = select(
            self.group.label("first"),
            second.label("second"),
            func.count().label("attempts"),
            func.sum(attempts.c.cost_nano).label("cost"),
            func.sum(attempts.c.cost_nano).filter(attempts.c.dry_run).label("dry_run_cost"),
            func.count().filter(attempts.c.cost_nano.is_(None)).label("unpriced"),
            func.count().filter(attempts.c.usage_source == "estimated").label("estimated"),
            *(func.sum(attempts.c[name]).filter(generated).label(name) for name in TOKEN_COLUMNS),
        )
        return {(row["first"], row["second"]): row for row in self.rows(query, self.group, second)}

    def sum_calls(self, by: CallGroup | None) -> list[CallSummary]:
        """Sum up calls, one summary for each group, ordered by the groups' names."""
        cut = self._by_call(by)
        compared = and_(calls.c.cost_nano.is_not(None), calls.c.baseline_nano.is_not(None))
        gain = func.coalesce(calls.c.saved_nano, calls.c.projected_nano)
        query = select(
            cut.group.label("group"),
            func.count().label("calls"),
            func.count().filter(calls.c.escalated).label("escalated"),
            func.count().filter(calls.c.degraded).label("degraded"),
            func.count().filter(calls.c.unpriced > 0).label("unpriced"),
            func.count().filter(compared).label("compared"),
            func.sum(calls.c.priced_nano).label("cost"),
            func.sum(calls.c.cost_nano).filter(compared).label("compared_cost"),
            func.sum(calls.c.baseline_nano).filter(compared).label("baseline"),
            func.sum(calls.c.saved_nano).label("saved"),
            func.sum(calls.c.projected_nano).label("projected"),
            func.sum(gain).filter(calls.c.degraded).label("degraded_gain"),
            func.sum(calls.c.projected_nano).filter(calls.c.degraded).label("degraded_projected"),
            func.count().filter(DRY).label("dry_runs"),
        )
        found = cut.rows(query, cut.group)
        statuses, total_ms, ttft_ms = (
            cut.counts(calls.c.status),
            cut.quantiles(calls.c.total_ms, ~DRY),
            cut.quantiles(calls.c.ttft_ms),
        )
        with_attempts = replace(cut, source=cut.source.join(attempts, attempts.c.call_id == calls.c.call_id))
        roles: defaultdict[Group, dict[str, Row]] = defaultdict(dict)
        for (name, role), totals in with_attempts.attempt_totals(attempts.c.role).items():
            roles[name][role or ""] = totals
        summaries = [
            CallSummary(
                group=row["group"],
                calls=row["calls"],
                statuses=statuses[row["group"]],
                escalated=row["escalated"],
                degraded=row["degraded"],
                cost=_money(row["cost"]),
                dry_run_cost=_total(part["dry_run_cost"] for part in roles[row["group"]].values()),
                unpriced=row["unpriced"],
                compared=row["compared"],
                compared_cost=_money(row["compared_cost"]),
                baseline=_money(row["baseline"]),
                saved=_money(row["saved"]),
                projected=_money(row["projected"]),
                degraded_gain=_money(row["degraded_gain"]),
                degraded_projected=_money(row["degraded_projected"]),
                role_cost={role: _money(part["cost"]) for role, part in sorted(roles[row["group"]].items())},
                role_unpriced={role: part["unpriced"] for role, part in sorted(roles[row["group"]].items())},
                tokens=_tokens(*roles[row["group"]].values()),
                dry_runs=row["dry_runs"],
                total_ms=total_ms.get(row["group"], Quantiles()),
                ttft_ms=ttft_ms.get(row["group"], Quantiles()),
            )
            for row in found
        ]
        return sorted(summaries, key=lambda summary: (summary.group is None, summary.group or ""))

    def sum_attempts(self, by: AttemptGroup) -> list[AttemptSummary]:
        """Sum up attempts, one summary for each group, ordered by the groups' names."""
        cut = self._by_attempt(by)
        errors, faults = cut.counts(attempts.c.error), cut.counts(attempts.c.fault)
        total_ms, ttft_ms = cut.quantiles(attempts.c.total_ms), cut.quantiles(attempts.c.ttft_ms)
        summaries = [
            AttemptSummary(
                group=name,
                attempts=row["attempts"],
                cost=_money(row["cost"]),
                dry_run_cost=_money(row["dry_run_cost"]),
                unpriced=row["unpriced"],
                errors=errors[name],
                faults=faults[name],
                tokens=_tokens(row),
                total_ms=total_ms.get(name, Quantiles()),
                ttft_ms=ttft_ms.get(name, Quantiles()),
            )
            for (name, _), row in cut.attempt_totals(null()).items()
        ]
        return sorted(summaries, key=lambda summary: (summary.group is None, summary.group or ""))

    def answers(self, *, by_category: bool) -> list[Row]:
        """Count the answers that are alike in all that ``failures.failure_of`` looks at."""
        # People overrule a judge, and among them the last word holds.
        order = (feedback.c.source == "judge", feedback.c.given_at.desc())
        rank = func.row_number().over(partition_by=feedback.c.call_id, order_by=order)
        ranked = select(feedback.c.call_id, feedback.c.good, rank.label("rank")).subquery()
        word = select(ranked.c.call_id, ranked.c.good).where(ranked.c.rank == 1).subquery()
        category = KIND if by_category else null()
        groups = (
            attempts.c.tier,
            attempts.c.role,
            attempts.c.dry_run,
            attempts.c.error.is_(None).label("whole"),
            attempts.c.fault,
            (attempts.c.confidence < WRONG_BELOW).label("doubted"),
            word.c.good.label("said_good"),
        )
        source = self._with_attempts.outerjoin(word, word.c.call_id == calls.c.call_id)
        query = select(*groups, category.label("category"), func.count().label("answers"))
        return replace(self, source=source).rows(query, *groups, category)

    def machines(self) -> list[Machine]:
        """Work out what tiers priced by the hour cost; a price holds from the first call it was paid for to the next.

        What was charged for time is not told apart from what was charged for tokens in rows of schemas 0001 and 0002.
        """
        cut = replace(self, source=self._with_attempts, group=attempts.c.tier)
        by_the_hour = attempts.c.hour_price_nano.is_not(None)
        query = select(
            attempts.c.tier,
            func.count().label("calls"),
            func.sum(func.coalesce(attempts.c.machine_cost_nano, attempts.c.cost_nano)).label("charged"),
            func.max(calls.c.started_at).label("last"),
            func.max(attempts.c.started_ms + attempts.c.total_ms).label("longest"),
        ).where(by_the_hour)
        order = (calls.c.started_at, calls.c.call_id, attempts.c.position)
        priced = select(
            attempts.c.tier,
            calls.c.started_at.label("since"),
            attempts.c.hour_price_nano.label("price"),
            func.lag(attempts.c.hour_price_nano).over(partition_by=attempts.c.tier, order_by=order).label("former"),
        ).where(by_the_hour)
        part = between(priced.select_from(cut.source), self.since, self.until).subquery()
        changes = select(part).where(part.c.former.is_distinct_from(part.c.price)).order_by(part.c.tier, part.c.since)
        spans: defaultdict[str, list[Row]] = defaultdict(list)
        for row in as_rows(self.connection.execute(changes)):
            spans[row["tier"]].append(row)
        found = sorted(cut.rows(query, attempts.c.tier), key=lambda row: row["tier"])
        return [_machine(row, spans[row["tier"]], self.until or cut.end(row)) for row in found]

    def end(self, machine: Row) -> datetime:
        """Give when the last call that a tier priced by the hour was asked in was over with it."""
        last: datetime = machine["last"]
        query = select(calls.c.started_at, func.max(attempts.c.started_ms + attempts.c.total_ms).label("took")).where(
            attempts.c.tier == machine["tier"],
            attempts.c.hour_price_nano.is_not(None),
            calls.c.started_at >= last - timedelta(milliseconds=machine["longest"] or 0),
        )
        ends = [row["started_at"] + timedelta(milliseconds=row["took"] or 0)
                for row in self.rows(query, calls.c.started_at)]  # fmt: skip
        return max(ends)

    @property
    def _with_attempts(self) -> FromClause:
        return calls.join(attempts, attempts.c.call_id == calls.c.call_id)

    def _by_attempt(self, by: AttemptGroup) -> Cut:
        if by not in get_args(AttemptGroup):
            raise ConfigError(f"by={by!r} is none of {', '.join(get_args(AttemptGroup))}.")
        return replace(self, group=attempts.c[by], source=self._with_attempts)

    def _by_call(self, by: CallGroup | None) -> Cut:
        if by is None:
            return self
        if by not in get_args(CallGroup):
            raise ConfigError(f"by={by!r} is none of {', '.join(get_args(CallGroup))}.")
        if by == "month":
            return replace(self, group=func.substr(calls.c.day, 1, 7))
        if by == "category":
            return replace(self, group=KIND)
        if by != "tag":
            return replace(self, group=calls.c[by])
        if self.connection.dialect.name == "sqlite":
            items = func.json_each(calls.c.tags)
        else:
            items = func.json_array_elements_text(cast(calls.c.tags, JSON))
        each = items.table_valued("value", name="each_tag")
        return replace(self, group=each.c.value, source=calls.outerjoin(each, true()))


def _machine(machine: Row, spans: list[Row], end: datetime) -> Machine:
    ends: list[datetime] = [*(span["since"] for span in spans[1:]), end]
    rent = Decimal(0)
    for span, its_end in zip(spans, ends, strict=True):
        rent += _money(span["price"]) * Decimal(str((its_end - span["since"]).total_seconds())) / 3600
    return Machine(
        tier=machine["tier"],
        since=spans[0]["since"],
        until=end,
        calls=machine["calls"],
        rent=rent,
        charged=_money(machine["charged"]),
    )


def _tokens(*rows: Row) -> Tokens:
    sums = {name: sum(int(row[name] or 0) for row in rows) for name in TOKEN_COLUMNS}
    return Tokens(**sums, estimated_attempts=sum(int(row["estimated"]) for row in rows))


def _total(nanos: Iterable[int | None]) -> Decimal:
    return sum((_money(each) for each in nanos), Decimal(0))


def _money(nanos: int | None) -> Decimal:
    return dollars(nanos or 0) or Decimal(0)
