"""Calls of routers without a framework, whose costs are round."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from slmroute.budget import Budget
from slmroute.drive import drive
from slmroute.engine import Engine
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.testing import FakeClock, FakePerformer, Reply

__all__ = ["DEAR", "LOCAL", "SCRIPT", "ask", "used"]

LOCAL = Reply("a local answer", input_tokens=100, output_tokens=100)
DEAR = Reply("a good answer", input_tokens=500, output_tokens=500)  # a dollar at the frontier tier's price
SCRIPT = {"small": LOCAL, "mid": LOCAL, "frontier": DEAR}


def used(budget: Budget) -> dict[str, Decimal | int]:
    return budget.used(at=FakeClock().now())


def ask(engine: Engine, script: Any = None, **request: Any) -> RouteRecord:
    run = Run(engine, RouteRequest(text="a question", tokens=500, **request))
    try:
        drive(run, FakePerformer(script or SCRIPT))
    finally:
        assert run.record is not None
    return run.record
