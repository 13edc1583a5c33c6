"""Records turned into rows of the ledger, and back. Money is rounded once, attempt by attempt, to the nano-dollar."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, Final, Literal, cast

from sqlalchemy import Result

from slmroute.record import AttemptRecord, Role, RouteRecord, Status
from slmroute.steps import SOURCES, Usage

__all__ = ["CATEGORY", "Row", "as_rows", "attempt_rows", "call_row", "category_of", "dollars", "nano", "read_record"]

Row = dict[str, Any]

CATEGORY: Final = "category:"
"""A tag that begins so says what kind of task a call is, for example ``category:extraction``."""

LARGEST: Final = 2**63 - 1
NANO: Final = Decimal(1).scaleb(-9)


def as_rows(result: Result[*tuple[Any, ...]]) -> list[Row]:
    """Give what a query found, by the names of its columns."""
    names = list(result.keys())
    return [dict(zip(names, values, strict=True)) for values in result]


def nano(amount: Decimal | None) -> int | None:
    """Turn dollars into whole nano-dollars, a half going to the even neighbour."""
    if amount is None:
        return None
    with localcontext(prec=40):
        whole = int(amount.quantize(NANO, ROUND_HALF_EVEN).scaleb(9))
    return max(-LARGEST, min(whole, LARGEST))


def dollars(nanos: int | None) -> Decimal | None:
    """Turn nano-dollars into dollars, exactly."""
    return None if nanos is None else Decimal(int(nanos)).scaleb(-9)


def category_of(tags: tuple[str, ...]) -> str | None:
    """Give the kind of task that a call is tagged with, or None: what follows the first ``category:`` with a name."""
    names = (tag.removeprefix(CATEGORY).strip() for tag in tags if tag.startswith(CATEGORY))
    return next((name for name in names if name), None)


def attempt_rows(record: RouteRecord) -> list[Row]:
    """Give the rows of a call's attempts, in order."""
    return [_attempt_row(record.call_id, place, attempt) for place, attempt in enumerate(record.attempts)]


def call_row(record: RouteRecord, attempts: list[Row]) -> Row:
    """Give a call's row.

    Args:
        record: The call.
        attempts: The rows of its attempts: their costs as rounded are what the call costs, so that every grouping of
            the ledger adds up to the same total.
    """
    costs: list[int | None] = [row["cost_nano"] for row in attempts]
    priced = min(sum(cost for cost in costs if cost is not None), LARGEST)
    unpriced = costs.count(None)
    baseline = nano(record.baseline)
    gain = None if unpriced or baseline is None else baseline - priced
    projected = record.projected is not None
    return {
        "call_id": _clean(record.call_id),
        "started_at": record.started_at,
        "day": record.started_at.strftime("%Y-%m-%d"),
        "status": record.status,
        "key": _clean(record.key),
        "tags": json.dumps([_clean(tag) for tag in dict.fromkeys(record.tags)], ensure_ascii=False),
        "category": _clean(category_of(record.tags)),
        "tier": _clean(record.tier),
        "model": _clean(record.model),
        "reason": record.reason,
        "score": record.score,
        "confidence": record.confidence,
        "escalated": record.escalated,
        "degraded": record.degraded,
        "classifier_version": _clean(record.classifier_version),
        "calibrator_version": _clean(record.calibrator_version),
        "events": json.dumps([_clean(event) for event in record.events], ensure_ascii=False),
        "cost_nano": None if unpriced else priced,
        "priced_nano": priced,
        "unpriced": unpriced,
        "baseline_nano": baseline,
        "saved_nano": None if projected else gain,
        "projected_nano": gain if projected else None,
        "price_version": record.price_version,
        "ttft_ms": record.ttft_ms,
        "total_ms": record.total_ms,
        "error": record.error,
        "baseline_tier": _clean(record.baseline_tier),
    }


def _attempt_row(call_id: str, position: int, attempt: AttemptRecord) -> Row:
    usage = attempt.usage
    return {
        "call_id": _clean(call_id),
        "position": position,
        "role": attempt.role,
        "tier": _clean(attempt.tier),
        "provider": _clean(attempt.provider),
        "model": _clean(attempt.model),
        "input_tokens": usage and min(usage.input_tokens, LARGEST),
        "output_tokens": usage and min(usage.output_tokens, LARGEST),
        "cached_tokens": usage and min(usage.cached_tokens, LARGEST),
        "cache_write_tokens": usage and min(usage.cache_write_tokens, LARGEST),
        "reasoning_tokens": usage and min(usage.reasoning_tokens, LARGEST),
        "usage_source": usage and (usage.source if usage.source in SOURCES else "estimated"),
        "price_id": _clean(attempt.price_id),
        "hour_price_nano": nano(attempt.hour_price),
        "cost_nano": nano(attempt.cost),
        "dry_run": attempt.dry_run,
        "confidence": attempt.confidence,
        "fault": attempt.fault,
        "ttft_ms": attempt.ttft_ms,
        "total_ms": attempt.total_ms,
        "error": _clean(attempt.error),
        "started_ms": attempt.started_ms,
        "machine_cost_nano": nano(attempt.machine_cost),
        "cache_write_1h_tokens": usage and min(usage.cache_write_1h_tokens, LARGEST),
        "audio_input_tokens": usage and min(usage.audio_input_tokens, LARGEST),
        "audio_output_tokens": usage and min(usage.audio_output_tokens, LARGEST),
        "service_tier": usage and _clean(usage.service_tier),
    }


def read_record(call: Row, attempts: list[Row]) -> RouteRecord:
    """Make a record of a call's row and those of its attempts, in order."""
    return RouteRecord(
        call_id=call["call_id"],
        started_at=call["started_at"],
        status=cast("Status", call["status"]),
        key=call["key"],
        tags=tuple(json.loads(call["tags"])),
        tier=call["tier"],
        model=call["model"],
        reason=call["reason"],
        score=call["score"],
        confidence=call["confidence"],
        escalated=call["escalated"],
        degraded=call["degraded"],
        classifier_version=call["classifier_version"],
        calibrator_version=call["calibrator_version"],
        events=tuple(json.loads(call["events"])),
        attempts=tuple(_read_attempt(row) for row in attempts),
        cost=dollars(call["cost_nano"]),
        baseline=dollars(call["baseline_nano"]),
        baseline_tier=call["baseline_tier"],
        saved=dollars(call["saved_nano"]),
        projected=dollars(call["projected_nano"]),
        price_version=call["price_version"],
        ttft_ms=call["ttft_ms"],
        total_ms=call["total_ms"],
        error=call["error"],
    )


def _read_attempt(row: Row) -> AttemptRecord:
    usage = None
    if row["usage_source"] is not None:
        usage = Usage(
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cached_tokens=row["cached_tokens"],
            cache_write_tokens=row["cache_write_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
            source=cast("Literal['reported', 'estimated', 'cached']", row["usage_source"]),
            cache_write_1h_tokens=row["cache_write_1h_tokens"] or 0,
            audio_input_tokens=row["audio_input_tokens"] or 0,
            audio_output_tokens=row["audio_output_tokens"] or 0,
            service_tier=row["service_tier"],
        )
    return AttemptRecord(
        role=cast("Role", row["role"]),
        tier=row["tier"],
        provider=row["provider"],
        model=row["model"],
        usage=usage,
        price_id=row["price_id"],
        hour_price=dollars(row["hour_price_nano"]),
        cost=dollars(row["cost_nano"]),
        machine_cost=dollars(row["machine_cost_nano"]),
        dry_run=row["dry_run"],
        confidence=row["confidence"],
        fault=row["fault"],
        started_ms=row["started_ms"] or 0.0,
        ttft_ms=row["ttft_ms"],
        total_ms=row["total_ms"],
        error=row["error"],
    )


def _clean(text: str | None) -> str | None:
    """Take out what no database stores: NUL and lone surrogates."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
