"""What ``RouteCosts`` adds up, apart from any framework."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from slmroute.costs import RouteCosts
from slmroute.record import AttemptRecord, RouteRecord


def test_what_nobody_was_charged_is_set_apart() -> None:
    paid = AttemptRecord(role="draft", tier="small", cost=Decimal("0.25"))
    unpriced = AttemptRecord(role="judge", tier="judge", dry_run=True)
    dry = AttemptRecord(role="final", tier="frontier", cost=Decimal(2), dry_run=True)
    costs = RouteCosts()
    for number in range(3):
        costs.add(
            RouteRecord(
                call_id=str(number),
                started_at=datetime(2026, 3, 1, tzinfo=UTC),
                status="ok",
                attempts=(paid, unpriced, dry) if number else (paid,),
            )
        )
    assert (costs.cost, costs.dry_run) == (Decimal("4.75"), Decimal(4))
    assert (costs.to_dict()["cost"], costs.to_dict()["dry_run"]) == ("4.75", "4")
