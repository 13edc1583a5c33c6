"""What the calls inside a block cost, added up as they end."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from slmroute.context import Held
from slmroute.record import AttemptRecord, Role, RouteRecord

if TYPE_CHECKING:
    from slmroute.engine import Engine

__all__ = [
    "Collector",
    "RouteCosts",
    "TierCosts",
    "Within",
    "around",
    "counted_in",
    "current_collectors",
    "each_around",
    "route_costs",
]


class Collector(Protocol):
    """What the records of calls are added to."""

    def add(self, record: RouteRecord, /) -> None:
        """Add one call."""
        ...


_NOTHING: Final = Decimal(0)
_collectors: ContextVar[tuple[Collector, ...]] = ContextVar("slmroute_costs", default=())


@dataclass(slots=True)
class TierCosts:
    """What one tier (or the classifier, or the judge, under its own name) did and cost.

    Attributes:
        attempts: How many times it was asked, drafts and failures included.
        answers: How many of its answers were given.
        cached: How many answers came out of a cache and were charged nothing.
        unpriced: How many attempts have no known price; ``cost`` leaves them out.
        input_tokens: Tokens of the prompts.
        output_tokens: Tokens generated.
        cost: Dollars.
        total_ms: Milliseconds, all attempts together.
    """

    attempts: int = 0
    answers: int = 0
    cached: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    total_ms: float = 0.0

    @property
    def mean_ms(self) -> float:
        """Milliseconds of an attempt, on average."""
        return self.total_ms / self.attempts if self.attempts else 0.0

    def add(self, attempt: AttemptRecord) -> None:
        """Add one attempt."""
        self.attempts += 1
        self.answers += attempt.role == "final"
        self.total_ms += attempt.total_ms
        if attempt.usage is not None and attempt.usage.source == "cached":
            self.cached += 1
        elif attempt.usage is not None:
            self.input_tokens += attempt.usage.input_tokens
            self.output_tokens += attempt.usage.output_tokens
        if attempt.cost is None:
            self.unpriced += 1
        else:
            self.cost += attempt.cost

    def to_dict(self) -> dict[str, object]:
        """Give the numbers as plain JSON, money as strings."""
        return {
            "attempts": self.attempts,
            "answers": self.answers,
            "cached": self.cached,
            "unpriced": self.unpriced,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": format(self.cost, "f"),
            "total_ms": round(self.total_ms, 3),
            "mean_ms": round(self.mean_ms, 3),
        }


class RouteCosts:
    """Adds up the records of calls. Safe to use from many threads.

    Attributes:
        calls: How many calls have ended.
        escalations: How many of them moved up after a weak answer.
        failures: How many got no answer, or were given up.
        cost: Dollars for everything: classifier, drafts, judge and final answers.
        dry_run: The part of them that nobody was charged: the tier asked was a dry run, which generates nothing.
        baseline: Dollars for the same calls at the last tier, as far as it is priced.
        saved: Baseline minus cost of the calls whose prices are all known; negative for a loss.
        projected: The same for calls whose last tier is a dry run.
        unpriced: How many calls have a cost or a baseline that is not known.
        tiers: What each tier, the classifier and the judge did and cost, by name.
        roles: Dollars by what was paid for: ``classifier``, ``draft``, ``judge``, ``final``, ``failed``.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.escalations = 0
        self.failures = 0
        self.cost = Decimal(0)
        self.dry_run = Decimal(0)
        self.baseline = Decimal(0)
        self.saved = Decimal(0)
        self.projected = Decimal(0)
        self.unpriced = 0
        self.tiers: dict[str, TierCosts] = {}
        self.roles: dict[Role, Decimal] = {}
        self._lock = threading.RLock()  # reentrant: a stream that is collected as garbage ends within it

    def __repr__(self) -> str:
        unpriced = f", {self.unpriced} of them unpriced" if self.unpriced else ""
        return f"<RouteCosts: {self.calls} calls, ${self.cost:f}, saved ${self.saved:f}{unpriced}>"

    @property
    def input_tokens(self) -> int:
        """Tokens of all prompts, drafts and classifier included."""
        return sum(tier.input_tokens for tier in self.tiers.values())

    @property
    def output_tokens(self) -> int:
        """Tokens generated in all, drafts and classifier included."""
        return sum(tier.output_tokens for tier in self.tiers.values())

    @property
    def total_tokens(self) -> int:
        """Tokens read and generated in all."""
        return self.input_tokens + self.output_tokens

    def add(self, record: RouteRecord, /) -> None:
        """Add one call.

        Args:
            record: The call's record, once it is over.
        """
        with self._lock:
            self.calls += 1
            self.escalations += record.escalated
            self.failures += record.status != "ok"
            self.baseline += record.baseline or 0
            self.saved += record.saved or 0
            self.projected += record.projected or 0
            self.unpriced += record.cost is None or record.baseline is None
            for attempt in record.attempts:
                self.tiers.setdefault(attempt.tier, TierCosts()).add(attempt)
                if attempt.cost is not None:
                    self.cost += attempt.cost
                    self.dry_run += attempt.cost if attempt.dry_run else 0
                    self.roles[attempt.role] = self.roles.get(attempt.role, Decimal(0)) + attempt.cost

    def to_dict(self) -> dict[str, object]:
        """Give the sums as plain JSON, money as strings."""
        with self._lock:
            return {
                "calls": self.calls,
                "escalations": self.escalations,
                "failures": self.failures,
                "cost": format(self.cost, "f"),
                "dry_run": format(self.dry_run, "f"),
                "baseline": format(self.baseline, "f"),
                "saved": format(self.saved, "f"),
                "projected": format(self.projected, "f"),
                "unpriced": self.unpriced,
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "tiers": {name: tier.to_dict() for name, tier in self.tiers.items()},
                "roles": {role: format(cost, "f") for role, cost in self.roles.items()},
            }


class Within:
    """Adds up what is routed within the call of a tier: a router may be a tier of another, whose call is the one.

    Args:
        engine: The router's whose tier it is.
        outer: Where that router's own call is within another's, or None.
        local_only: Whether its call must not leave the local tiers; then no call within it may.

    Attributes:
        calls: How many calls there were.
        cost: Dollars for all of them, as far as they are priced.
        unpriced: How many of them have a cost that is not known.
        counted: Dollars that they have counted towards the very budget that the router has.
    """

    __slots__ = ("calls", "cost", "counted", "engine", "local_only", "outer", "unpriced")

    def __init__(self, engine: Engine | None = None, outer: Within | None = None, *, local_only: bool = False) -> None:
        self.engine = engine
        self.outer = outer
        self.local_only = local_only
        self.calls = 0
        self.cost = _NOTHING
        self.unpriced = 0
        self.counted = _NOTHING

    def add(self, record: RouteRecord, /) -> None:
        """Add one call."""
        self.calls += 1
        self.cost += record.cost or 0
        self.unpriced += record.cost is None


def around(collectors: tuple[Collector, ...]) -> Within | None:
    """Give the call of a tier that calls with these collectors are made in; None where they are the user's own."""
    return next((collector for collector in collectors if isinstance(collector, Within)), None)


def each_around(within: Within | None) -> Iterator[tuple[Within, Engine]]:
    """Give the calls of tiers round a call, from the inside out, each with its router's engine."""
    while within is not None:
        if within.engine is not None:
            yield within, within.engine
        within = within.outer


@contextmanager
def route_costs() -> Generator[RouteCosts]:
    """Add up what the routed calls made inside cost.

    Blocks nest: an inner block's calls count in the outer one too. A call counts where it was begun, whatever task or
    context it ends in. Tasks started inside count; so do threads that carry the context along, as LangChain's
    ``batch`` and ``asyncio.to_thread`` do.

    Yields:
        The sums, which grow as calls end and stay readable afterwards.

    Example:
        >>> from slmroute import route_costs
        >>> with route_costs() as costs:
        ...     pass  # model.invoke("...")
        >>> costs.calls, costs.cost
        (0, Decimal('0'))
    """
    collector = RouteCosts()
    with counted_in((*_collectors.get(), collector)):
        yield collector


def counted_in(collectors: tuple[Collector, ...]) -> Held[tuple[Collector, ...]]:
    """Have the calls made inside count in these collectors and in no others; see ``current_collectors``."""
    return Held(_collectors, collectors)


def current_collectors() -> tuple[Collector, ...]:
    """Give the collectors that a call begun here and now counts in."""
    return _collectors.get()
