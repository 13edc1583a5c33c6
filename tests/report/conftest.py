"""Ledgers with made-up weeks in them, the same every time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from slmroute.ledger import Ledger
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.steps import Usage

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
SMALL, FRONTIER = (Decimal("0.05"), Decimal("0.08")), (Decimal(2), Decimal(8))
KINDS = ("classification", "extraction", "faq", "long-email", "summary", "planning", "debugging")
KEYS = ("support", "back-office", "shop", None)

Write = Callable[[Path, Iterable[RouteRecord]], list[RouteRecord]]


def price(usage: Usage, prices: tuple[Decimal, Decimal]) -> Decimal:
    return (usage.input_tokens * prices[0] + usage.output_tokens * prices[1]) / 1_000_000


def one_call(chance: random.Random, began: datetime, *, dry_run: bool = False) -> RouteRecord:
    """Make up one call: classified, answered small or large, sometimes escalated, failed over or unpriced."""
    kind = chance.choice(KINDS)
    usage = Usage(chance.randint(80, 900), chance.randint(4, 300), source=chance.choice(("reported",) * 9 + ("estimated",)))
    hard = kind in ("planning", "debugging")
    small_ms, large_ms = chance.lognormvariate(5.9, 0.5), chance.lognormvariate(7.4, 0.5)
    classifier = AttemptRecord(role="classifier", tier="embedded-1", price_id="free", cost=Decimal(0), total_ms=0.9)
    small = AttemptRecord(
        role="final", tier="small", provider="ollama", model="llama3.1:8b", usage=usage, price_id="tier:small",
        cost=price(usage, SMALL), total_ms=small_ms, confidence=round(chance.uniform(0.6, 0.99), 3),
    )  # fmt: skip
    large = AttemptRecord(
        role="final", tier="frontier", provider="openai", model="gpt-4.1", usage=usage,
        price_id="genai-prices:openai/gpt-4.1", cost=price(usage, FRONTIER), total_ms=0.0 if dry_run else large_ms,
        dry_run=dry_run,
    )  # fmt: skip
    escalated = not hard and chance.random() < 0.04
    attempts: list[AttemptRecord] = [classifier]
    if not hard:
        fault = chance.choice(("empty", "refusal", "low_confidence")) if escalated else None
        attempts.append(replace(small, role="draft", fault=fault, confidence=0.55) if escalated else small)
    if hard or escalated:
        if chance.random() < 0.02:
            attempts.append(replace(large, role="failed", usage=None, cost=Decimal(0), error="RateLimitError"))
        attempts.append(large)
    final = attempts[-1]
    cost = sum((attempt.cost or Decimal(0) for attempt in attempts), Decimal(0))
    baseline = price(usage, FRONTIER)
    key = chance.choice(KEYS)
    return RouteRecord(
        call_id=f"{chance.getrandbits(128):032x}",
        started_at=began,
        status="ok",
        key=key,
        tags=(f"category:{kind}", "urgent") if chance.random() < 0.1 else (f"category:{kind}",),
        tier=final.tier,
        model=final.model,
        reason="classified",
        score=0.9 if hard else 0.1,
        confidence=final.confidence,
        escalated=escalated,
        classifier_version="embedded-1",
        attempts=tuple(attempts),
        cost=cost,
        baseline=baseline,
        saved=None if dry_run else baseline - cost,
        projected=baseline - cost if dry_run else None,
        price_version="test",
        total_ms=sum(attempt.total_ms for attempt in attempts),
    )


def made_up(number: int = 600, *, seed: int = 7, begin: datetime = MONDAY, dry_run: bool = False) -> list[RouteRecord]:
    """Make up a week's calls, fewer at the week's end."""
    chance = random.Random(seed)
    days = chance.choices(range(7), weights=(9, 10, 10, 9, 8, 2, 1), k=number)
    moments = sorted(begin + timedelta(days=day, seconds=chance.uniform(6 * 3600, 22 * 3600)) for day in days)
    return [one_call(chance, moment, dry_run=dry_run) for moment in moments]


@pytest.fixture
def write() -> Write:
    def write_all(path: Path, records: Iterable[RouteRecord]) -> list[RouteRecord]:
        written = list(records)
        chance = random.Random(1)
        with Ledger(path) as ledger:
            for record in written:
                ledger.write(record)
            for record in written:
                if chance.random() < 0.5:
                    ledger.feedback(record.call_id, chance.random() > 0.03)
            assert ledger.flush()
        return written

    return write_all


@pytest.fixture
def week(tmp_path: Path, write: Write) -> Path:
    """A ledger with one week of 600 calls, and a quieter week before it."""
    path = tmp_path / "week.db"
    write(path, [*made_up(200, seed=3, begin=MONDAY - timedelta(days=7)), *made_up()])
    return path
