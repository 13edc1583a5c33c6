"""A report as data: plain JSON, CSV, and data frames for notebooks."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from slmroute.errors import MissingExtra
from slmroute.report import sentences
from slmroute.report.advice import advice_of
from slmroute.report.facts import Group, Report
from slmroute.report.gains import gain_of

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    from slmroute.failures import FailureRate
    from slmroute.ledger.summary import CallSummary

__all__ = ["frame", "frames", "rows", "to_csv", "to_json"]

Value = str | int | float | Decimal | None

GROUPS: Final[tuple[Group, ...]] = ("day", "tier", "key", "tag")
ROLES: Final = ("classifier", "draft", "judge", "final", "failed")


def rows(report: Report, by: Group) -> list[dict[str, Value]]:
    """Give the calls by day, tier, key or tag: one row for each, money as Decimal, times in milliseconds.

    Args:
        report: The report.
        by: What to group by.
    """
    return [{by: group.group, **_numbers(group)} for group in report.groups(by)]


def to_csv(report: Report, by: Group) -> str:
    """Write the calls by day, tier, key or tag as CSV with a header.

    Args:
        report: The report.
        by: What to group by.
    """
    target = io.StringIO()
    found = rows(report, by)
    writer = csv.DictWriter(target, list(found[0]) if found else [by], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in found)
    return target.getvalue()


def to_json(report: Report, by: Group | None = None) -> dict[str, object]:
    """Give the report as plain JSON, money as exact strings.

    Args:
        report: The report.
        by: Only this grouping of the calls; None for all of them.
    """
    moved, calls, (low, high) = report.escalation
    sure = report.certainty
    wanted = GROUPS if by is None else (by,)
    return {
        "headline": sentences.headline(report),
        "summary": sentences.summary(report),
        "ledger": report.ledger,
        "since": report.period.since.isoformat(),
        "until": report.period.until.isoformat(),
        "made_at": report.made_at.isoformat(),
        "achieved": _text(report.achieved) if report.compares else None,
        "never_billed": _text(report.total.dry_run_cost),
        "idle": _text(report.idle),
        "unanswered": report.unanswered,
        "total": _plain(_numbers(report.total)),
        "before": _plain(_numbers(report.before)),
        "last_tiers": sorted(report.last_tiers),
        "money": [{"name": part.name, "cost": None if part.unpriced and not part.cost else _text(part.cost),
                   "unpriced_attempts": part.unpriced} for part in report.money],
        "certainty": {
            "low": _text(sure.low) if report.compares else None,
            "high": _text(sure.high) if report.compares else None, "assumed": _text(sure.assumed),
            "projected": _text(sure.projected), "compared_calls": sure.compared, "left_out_calls": sure.left_out,
            "attempts": sure.attempts, "estimated_attempts": sure.estimated, "lost_rows": sure.lost,
        },
        "speed_up": None if report.speed_up is None else round(report.speed_up, 4),
        "escalation": {"escalated": moved, "calls": calls, "interval": [round(low, 6), round(high, 6)]},
        "failures": [_failure(rate) for rate in (*report.failures, *report.failures_by_category)],
        "groups": {name: [_plain(row) for row in rows(report, name)] for name in wanted},
        "machines": [
            {"tier": machine.tier, "since": machine.since.isoformat(), "until": machine.until.isoformat(),
             "calls": machine.calls, "rent": _text(machine.rent),
             "charged": _text(machine.charged), "idle": _text(machine.idle)}
            for machine in report.machines
        ],
        "advice": [{"what": advice.what, "why": advice.why} for advice in advice_of(report)],
    }  # fmt: skip


def frame(report: Report, by: Group = "day") -> pd.DataFrame:
    """Give the calls by day, tier, key or tag as a data frame.

    Args:
        report: The report.
        by: What to group by.

    Returns:
        One row for each group, indexed by it (days as dates); money in dollars as float.

    Raises:
        MissingExtra: pandas is not installed.
    """
    pandas = _pandas()
    table: Any = pandas.DataFrame.from_records(
        [{name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
         for row in rows(report, by)]
    )  # fmt: skip
    if by == "day" and len(table):
        table["day"] = pandas.to_datetime(table["day"])
    return cast("pd.DataFrame", table.set_index(by) if len(table) else table)


def frames(report: Report) -> dict[str, pd.DataFrame]:
    """Give everything in the report as data frames.

    Args:
        report: The report.

    Returns:
        ``day``, ``tier``, ``key``, ``tag`` as ``frame`` gives them; ``money``: dollars by what they were spent on;
        ``failures``: answers, failures, rate and 95% interval by tier and category (empty for the tier as a whole).

    Raises:
        MissingExtra: pandas is not installed.
    """
    pandas = _pandas()
    money = [{"spent on": part.name, "cost": float(part.cost)} for part in report.money]
    failed = [_failure(rate) for rate in (*report.failures, *report.failures_by_category)]
    return {
        **{by: frame(report, by) for by in GROUPS},
        "money": pandas.DataFrame.from_records(money).set_index("spent on"),
        "failures": pandas.DataFrame.from_records(failed),
    }


def _numbers(group: CallSummary) -> dict[str, Value]:
    gain = gain_of(group)
    unknown = bool(group.unpriced and not group.compared)  # an amount that is not known is never a zero
    return {
        "calls": group.calls,
        "ok": group.statuses.get("ok", 0),
        "escalated": group.escalated,
        "degraded": group.degraded,
        "unpriced": group.unpriced,
        "compared": group.compared,
        "input_tokens": group.tokens.input_tokens,
        "output_tokens": group.tokens.output_tokens,
        "cost": None if group.unpriced and not group.cost else group.cost,
        "never_billed": group.dry_run_cost,
        "baseline": None if unknown else group.baseline,
        "saved": None if unknown else gain.saved,
        "projected": None if unknown else gain.projected,
        "degraded_gain": group.degraded_gain,
        "saved_share": None if gain.share is None else round(gain.share, 6),
        **{f"cost_{role}": _of_role(group, role) for role in ROLES},
        **{f"{name}_ms": None if ms is None else round(ms, 3) for name, ms in
           (("p50", group.total_ms.p50), ("p90", group.total_ms.p90), ("p99", group.total_ms.p99))},
    }  # fmt: skip


def _of_role(group: CallSummary, role: str) -> Decimal | None:
    cost = group.role_cost.get(role, Decimal(0))
    return None if group.role_unpriced.get(role) and not cost else cost


def _failure(rate: FailureRate) -> dict[str, object]:
    low, high = rate.interval
    return {
        "tier": rate.tier,
        "category": rate.category,
        "answers": rate.answers,
        "failed": rate.failures,
        **{f"failed_{kind}": rate.kinds.get(kind, 0) for kind in ("said", "invalid", "judged")},
        "rate": None if rate.rate is None else round(rate.rate, 6),
        "low": round(low, 6),
        "high": round(high, 6),
        "verdict": rate.verdict,
    }


def _plain(row: Mapping[str, Value]) -> dict[str, object]:
    return {name: _text(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def _cell(value: Value) -> object:
    return _text(value) if isinstance(value, Decimal) else "" if value is None else value


def _text(amount: Decimal) -> str:
    return f"{amount.normalize():f}" if amount else "0"


def _pandas() -> Any:
    try:
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise MissingExtra("report", "A data frame") from None
    return pd
