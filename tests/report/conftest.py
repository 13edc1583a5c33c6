"""Ledgers with made-up weeks in them, the same every time."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slmroute.ledger import Ledger
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.report.period import Period
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
    usage = Usage(
        chance.randint(80, 900), chance.randint(4, 300), source=chance.choice(("reported",) * 9 + ("estimated",))
    )
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
    chance = random.Random(seed)  # noqa: S311  not a secret
    days = chance.choices(range(7), weights=(9, 10, 10, 9, 8, 2, 1), k=number)
    moments = sorted(begin + timedelta(days=day, seconds=chance.uniform(6 * 3600, 22 * 3600)) for day in days)
    return [one_call(chance, moment, dry_run=dry_run) for moment in moments]


def odd_ones() -> list[RouteRecord]:
    """Give calls that are out of the ordinary: unpriced, judged for money, failed, degraded, by default, dearer."""
    chance = random.Random(11)  # noqa: S311  not a secret
    began = MONDAY + timedelta(days=2, hours=12)
    plain = one_call(chance, began)
    odd: list[RouteRecord] = []
    for number in range(12):
        base = replace(plain, call_id=f"odd-{number:02}", started_at=began + timedelta(minutes=number))
        final = replace(base.attempts[-1], role="final")
        match number % 6:
            case 0:
                unpriced = replace(final, cost=None, price_id="unpriced")
                odd.append(replace(base, attempts=(unpriced,), cost=None, saved=None, projected=None))
            case 1:
                judge = replace(final, role="judge", tier="judge", usage=Usage(40, 1), cost=Decimal("0.0004"))
                cost = (final.cost or 0) + Decimal("0.0004")
                saved = None if base.baseline is None else base.baseline - cost
                odd.append(replace(base, attempts=(final, judge), cost=cost, saved=saved))
            case 2:
                failed = replace(final, role="failed", usage=None, cost=Decimal(0), error="ConnectError")
                odd.append(
                    replace(base, attempts=(failed,), tier=None, model=None, status="error", error="ConnectError",
                            cost=Decimal(0), baseline=Decimal(0), saved=Decimal(0))
                )  # fmt: skip
            case 3:
                odd.append(replace(base, degraded=True, reason="default", score=None))
            case 4:
                odd.append(replace(base, key="=1+1", tags=("<b>bold</b>", "$x$ \u8acb\u6c42")))
            case _:
                loss = replace(final, cost=Decimal("0.05"))
                odd.append(replace(base, attempts=(loss,), cost=Decimal("0.05"), baseline=Decimal("0.01"),
                                   saved=Decimal("-0.04")))  # fmt: skip
    return odd


def write_all(path: Path, records: Iterable[RouteRecord]) -> list[RouteRecord]:
    written = list(records)
    chance = random.Random(1)  # noqa: S311  not a secret
    with Ledger(path) as ledger:
        for record in written:
            ledger.write(record)
        for record in written:
            if chance.random() < 0.5:
                ledger.feedback(record.call_id, chance.random() > 0.03)
        assert ledger.flush()
    return written


@pytest.fixture
def write() -> Write:
    """Writes records to a ledger, with a word of feedback on half of them."""
    return write_all


@pytest.fixture(scope="session")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with one week of 612 calls, and a quieter week before it. It is read only: copy it to change it."""
    path = tmp_path_factory.mktemp("report") / "week.db"
    write_all(path, [*made_up(200, seed=3, begin=MONDAY - timedelta(days=7)), *made_up(), *odd_ones()])
    return path


@pytest.fixture(scope="session")
def dry_week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same week with a dry run for the frontier."""
    path = tmp_path_factory.mktemp("report") / "dry.db"
    write_all(path, made_up(150, dry_run=True))
    return path


@pytest.fixture(scope="session")
def period() -> Period:
    """The week of ``week``."""
    return Period(MONDAY, MONDAY + timedelta(days=7))


Ask = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def ask(week: Path) -> Ask:
    """Queries the ledger ``week`` by hand, with ``{here}`` for the week's calls: nothing of slmroute is used."""

    def query(sql: str) -> list[tuple[Any, ...]]:
        here = "(SELECT * FROM calls WHERE day >= '2026-11-16' AND day < '2026-11-23')"
        with closing(sqlite3.connect(week)) as connection:
            return connection.execute(sql.replace("{here}", here)).fetchall()

    return query
