"""Routers without a framework, and budgets counted in every store."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slmroute.engine import Engine
from slmroute.policy import Confidence, Policy
from slmroute.testing import FakeClock
from slmroute.tier import Tier

pytest.register_assert_rewrite("tests.money.bill")

MakeEngine = Callable[..., Engine]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def engine(clock: FakeClock) -> MakeEngine:
    """Make an engine of a free local tier, a cheap and a dear one; the classifier's score is told."""

    def make(score: float | None = None, **settings: Any) -> Engine:
        tiers = settings.pop("tiers", None) or [
            Tier("small", "ollama:a", local=True, input_price=0, output_price=0),
            Tier("mid", "openai:b", input_price="1", output_price="1"),
            Tier("frontier", "openai:c", input_price="1000", output_price="1000"),
        ]
        weak = settings.pop("weak", None)  # the confidence in answers that do not say that they are good
        judge = None if weak is None else lambda _request, answer: 0.9 if "good" in answer.text else weak
        escalation = None if judge is None else Confidence(0.85, judge=judge)
        failover = settings.pop("failover", True)
        policy = Policy.build(tiers, classify=score is not None, escalation=escalation, failover=failover)
        classifier = None if score is None else lambda _request: score
        return Engine(policy, classifier, **{"clock": clock} | settings)

    return make


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    """Where a budget is counted."""
    match request.param:
        case "memory":
            return None
        case "sqlite":
            return str(tmp_path / "ledger.db")
        case "postgresql":
            return request.getfixturevalue("postgres_url")
        case _:
            return request.getfixturevalue("redis_url")


@pytest.fixture(scope="session")
def shared_ssl() -> Iterator[None]:
    """Clients read the list of all certificates when they are made, which takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """An address at which every connection is refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
