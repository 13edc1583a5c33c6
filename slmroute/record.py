"""The record of a call: one frozen event, made once, when the call is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from slmroute.steps import Usage

__all__ = ["AttemptRecord", "Hook", "Role", "RouteRecord", "Status"]

Role = Literal["classifier", "draft", "judge", "final", "failed"]

Status = Literal["ok", "error", "cancelled", "partial"]
"""How a call ended: answered; failed; given up by its caller; failed after a part of the answer was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One thing that was done, and paid for, within a call.

    Attributes:
        role: ``classifier``, ``draft`` (answered, not given), ``judge``, ``final`` (the answer given) or ``failed``.
        tier: The tier's name; the classifier's or judge's own name for theirs.
        provider: Who served it, for example ``ollama``.
        model: The model's name as the provider reports it.
        usage: Its tokens, or None when nothing was generated.
        price_id: Which price was applied, or ``unpriced``.
        hour_price: Dollars for an hour of the machine, where its time was paid for; else None.
        cost: Dollars, or None when unpriced.
        machine_cost: The part of them that is for the machine's time, where that was paid for; else None.
        dry_run: Whether nothing was really called, so that the cost is projected.
        confidence: What the judge thought of the answer, or None.
        fault: Why an answer was rejected: ``low_confidence``, ``empty``, ``bad_json`` ..., or None.
        started_ms: Milliseconds from the call's beginning to this attempt's.
        ttft_ms: Milliseconds to the first token of a stream, or None.
        total_ms: Milliseconds in all.
        error: The class of the error that ended it, or None.
    """

    role: Role
    tier: str
    provider: str | None = None
    model: str | None = None
    usage: Usage | None = None
    price_id: str = "unpriced"
    hour_price: Decimal | None = None
    cost: Decimal | None = None
    machine_cost: Decimal | None = None
    dry_run: bool = False
    confidence: float | None = None
    fault: str | None = None
    started_ms: float = 0.0
    ttft_ms: float | None = None
    total_ms: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRecord:
    """All there is to know of one routed call, except what was said in it.

    Attributes:
        call_id: Unique to the call.
        started_at: When it began, in UTC.
        status: How it ended.
        key: Whose call it was.
        tags: The caller's labels.
        tier: The tier that answered, or None.
        model: Its model's name.
        reason: Why the call started where it started; see ``Decision.reason``.
        score: The classifier's, or None.
        confidence: P(the answer given is good), or None when it was not judged.
        escalated: Whether a weak answer moved the call up.
        degraded: Whether the answer is known to be weaker than wanted.
        classifier_version: Which classifier scored it.
        calibrator_version: Which calibrator or judge gave the confidence.
        events: What went wrong without failing the call, for example ``classifier_unavailable``.
        attempts: Everything done, in order.
        cost: Dollars for all attempts; None when one of them is unpriced.
        baseline: Dollars for the same call at the last tier; None when that is unpriced.
        baseline_tier: That tier's name.
        saved: ``baseline - cost``, negative for a loss; None when either is unknown or the saving is only projected.
        projected: The same where the last tier is a dry run; else None.
        price_version: Which list of prices was in force.
        ttft_ms: Milliseconds to the first token shown, or None when nothing was streamed.
        total_ms: Milliseconds in all.
        error: The class of the error that the caller saw, or None.
    """

    call_id: str
    started_at: datetime
    status: Status
    key: str | None = None
    tags: tuple[str, ...] = ()
    tier: str | None = None
    model: str | None = None
    reason: str | None = None
    score: float | None = None
    confidence: float | None = None
    escalated: bool = False
    degraded: bool = False
    classifier_version: str | None = None
    calibrator_version: str | None = None
    events: tuple[str, ...] = ()
    attempts: tuple[AttemptRecord, ...] = ()
    cost: Decimal | None = None
    baseline: Decimal | None = None
    baseline_tier: str | None = None
    saved: Decimal | None = None
    projected: Decimal | None = None
    price_version: str | None = None
    ttft_ms: float | None = None
    total_ms: float = 0.0
    error: str | None = None

    def to_json(self) -> dict[str, object]:
        """Give the record as plain JSON: money as strings, times in ISO 8601, an attempt's tokens in ``usage``."""
        return {
            "call_id": self.call_id,
            "started_at": self.started_at.isoformat(),
            "status": self.status,
            "key": self.key,
            "tags": list(self.tags),
            "tier": self.tier,
            "model": self.model,
            "reason": self.reason,
            "score": None if self.score is None else round(self.score, 6),
            "confidence": None if self.confidence is None else round(self.confidence, 6),
            "escalated": self.escalated,
            "degraded": self.degraded,
            "classifier_version": self.classifier_version,
            "calibrator_version": self.calibrator_version,
            "events": list(self.events),
            "attempts": [_attempt_json(attempt) for attempt in self.attempts],
            "cost": _money(self.cost),
            "baseline": _money(self.baseline),
            "baseline_tier": self.baseline_tier,
            "saved": _money(self.saved),
            "projected": _money(self.projected),
            "price_version": self.price_version,
            "ttft_ms": None if self.ttft_ms is None else round(self.ttft_ms, 6),
            "total_ms": round(self.total_ms, 6),
            "error": self.error,
        }


@runtime_checkable
class Hook(Protocol):
    """Something to be told of every call: any callable that takes the record."""

    def __call__(self, record: RouteRecord, /) -> object:
        """Receive the record of a call that is over. What it returns is ignored; what it raises is logged once."""
        ...


# Written out, for every answer carries its record as JSON: going through the fields took longer than routing.
def _attempt_json(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "role": attempt.role,
        "tier": attempt.tier,
        "provider": attempt.provider,
        "model": attempt.model,
        "usage": None if attempt.usage is None else _usage_json(attempt.usage),
        "price_id": attempt.price_id,
        "hour_price": _money(attempt.hour_price),
        "cost": _money(attempt.cost),
        "machine_cost": _money(attempt.machine_cost),
        "dry_run": attempt.dry_run,
        "confidence": None if attempt.confidence is None else round(attempt.confidence, 6),
        "fault": attempt.fault,
        "started_ms": round(attempt.started_ms, 6),
        "ttft_ms": None if attempt.ttft_ms is None else round(attempt.ttft_ms, 6),
        "total_ms": round(attempt.total_ms, 6),
        "error": attempt.error,
    }


def _usage_json(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "source": usage.source,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
        "service_tier": usage.service_tier,
    }


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
