"""What lives across the calls of one router: breakers, prices, the ledger, hooks and the clock."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Protocol, cast

from slmroute.availability import availability_errors, failure_of
from slmroute.classify.protocol import ClassifierLike, check_classifier
from slmroute.confidence import Calibrator, GeometricMean
from slmroute.costs import Within, each_around
from slmroute.errors import ConfigError, Misconfigured, ModelMissing, ServerUnreachable
from slmroute.health import Breaker
from slmroute.hooks import HookRunner
from slmroute.machine import Machine
from slmroute.policy import Policy
from slmroute.price import PriceBook, Prices
from slmroute.record import Hook, RouteRecord
from slmroute.request import RouteRequest
from slmroute.steps import Failure
from slmroute.tier import Tier

if TYPE_CHECKING:
    from slmroute.budget import Budget
    from slmroute.budget.guard import Guard

__all__ = ["Clock", "Engine", "LedgerLike", "SystemClock"]

_numbers = count(1)

logger = logging.getLogger("slmroute.engine")


class Clock(Protocol):
    """Where times come from; tests bring their own."""

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    def now(self) -> datetime:
        """The time of day, in UTC, for records."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """See ``Clock``."""
        return time.perf_counter()

    def now(self) -> datetime:
        """See ``Clock``."""
        return datetime.now(UTC)


class LedgerLike(Protocol):
    """What the engine needs of a ledger."""

    def write(self, record: RouteRecord, /) -> object:
        """Take a record without blocking."""
        ...


class Engine:
    """The state that a router and all its copies share.

    Args:
        policy: What the router decides by.
        classifier: Scores requests; None when every call starts at the cheapest tier.
        ledger: A ledger, a path, a URL such as ``sqlite:///slmroute.db``, or None.
        hooks: Told of every call.
        prices: The user's prices, see ``PriceBook``.
        named: The ``"provider:model"`` of tiers whose model is an object, see ``PriceBook``.
        extra_errors: Further error classes that mean a tier is not available.
        budget: What may be spent, or None for no limit.
        clock: Where times come from.

    Raises:
        ConfigError: A setting is not usable.
        MissingExtra: A ledger was asked for and the extra ``ledger`` is not installed.
    """

    def __init__(
        self,
        policy: Policy,
        classifier: ClassifierLike | None = None,
        *,
        ledger: LedgerLike | str | os.PathLike[str] | None = None,
        hooks: Sequence[Hook] = (),
        prices: Prices | None = None,
        named: Mapping[str, str] | None = None,
        extra_errors: Sequence[type[Exception]] = (),
        budget: Budget | None = None,
        clock: Clock | None = None,
    ) -> None:
        if classifier is not None:
            check_classifier(classifier, "classifier")
        self.number = next(_numbers)
        self.policy = policy
        self.classifier = classifier
        self.classifier_version = _version(classifier)
        self.calibrator: Calibrator = (policy.escalation and policy.escalation.calibrator) or GeometricMean()
        self.ledger = _open_ledger(ledger)
        self.hooks = HookRunner(hooks)
        self.prices = PriceBook(policy.tiers, prices, named, (classifier, policy.judge))
        self._named = dict(named or {})
        self.budget = _checked(budget)
        self.clock: Clock = clock or SystemClock()
        self.breakers = {tier.name: Breaker() for tier in policy.tiers}
        self.classifier_breaker = Breaker()
        self.machines = _machines(policy, self.ledger)
        self._warned: set[str] = set()
        self._extra_errors = tuple(extra_errors)
        for kind in cast("tuple[object, ...]", self._extra_errors):
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                raise ConfigError(f"availability_errors= holds {kind!r}, which is not an exception class.")

    def adapted(
        self,
        policy: Policy,
        classifier: ClassifierLike | None,
        prices: Prices | None = None,
        named: Mapping[str, str] | None = None,
    ) -> Engine:
        """Give the engine of a copy of the router that decides by another policy.

        Hooks, ledger, budget and clock stay the same objects, as do the breakers of tiers and of a classifier that
        stay: what they have learnt survives the copy.

        Args:
            policy: What the copy decides by.
            classifier: Its classifier.
            prices: See the class.
            named: See the class.
        """
        other = copy.copy(self)
        other.policy = policy
        other.classifier = classifier
        other.classifier_version = _version(classifier)
        other.calibrator = (policy.escalation and policy.escalation.calibrator) or GeometricMean()
        if classifier is not self.classifier:
            other.classifier_breaker = Breaker()
        asked, named = (classifier, policy.judge), dict(named or {})
        if (policy.tiers, named, asked) != (self.policy.tiers, self._named, (self.classifier, self.policy.judge)):
            other.prices = PriceBook(policy.tiers, prices, named, asked)
            other._named = named  # noqa: SLF001  another of this class
        before = {tier.name: tier for tier in self.policy.tiers}
        other.machines = _machines(policy, self.ledger, self.machines)
        other.breakers = {
            tier.name: self.breakers[tier.name] if _same_model(tier, before.get(tier.name)) else Breaker()
            for tier in policy.tiers
        }
        return other

    def guard(self, request: RouteRequest, started_at: datetime) -> Guard | None:
        """Give the budget's say in one call, or None where there is no budget."""
        if self.budget is None:
            return None
        from slmroute.budget.guard import Guard

        return Guard(self.budget, self.policy, self.prices, request, started_at)

    @property
    def calibrator_version(self) -> str | None:
        """What gives the confidence in answers, for the ledger: the judge's or the calibrator's name."""
        if self.policy.judge is not None:
            return _name(self.policy.judge)
        return self.calibrator.version if self.policy.escalation else None

    @property
    def availability_errors(self) -> tuple[type[Exception], ...]:
        """The errors to catch round a tier's call."""
        return availability_errors(self._extra_errors)

    def failure(self, tier: Tier, error: Exception) -> Failure | None:
        """Tell what an error of a tier means.

        Returns:
            The failure, or None when it is the user's own error and must pass through.
        """
        return failure_of(tier, error, self._extra_errors)

    def warn_of(self, error: Exception | None) -> None:
        """Say once how a tier is mended whose error nobody sees; else a wrong name would show on the bill only."""
        if (
            isinstance(error, Misconfigured | ModelMissing | ServerUnreachable)
            and (mend := str(error)) not in self._warned
        ):
            self._warned.add(mend)
            logger.warning("%s (Other tiers answer meanwhile; this is said once.)", mend)

    def publish(self, record: RouteRecord, within: Within | None = None) -> None:
        """Hand a finished record to the ledger and the hooks; neither can fail the call.

        Args:
            record: The record.
            within: The call of another router's tier that this one was. Where that router writes the same ledger, its
                own record holds what this one cost, and the ledger is to say so once.
        """
        if self.ledger is not None and not any(
            _same_ledger(self.ledger, outer.ledger) for _, outer in each_around(within)
        ):
            try:
                self.ledger.write(record)
            except Exception as error:  # noqa: BLE001  a ledger of the user's own is like a hook: the answer is there
                logger.warning(
                    "ledger=%s has failed with %s: a call's record is lost",
                    type(self.ledger).__name__,
                    type(error).__name__,
                )
        self.hooks.tell(record)

    def count(self, spent: Decimal, within: Within | None) -> None:
        """Tell the routers round a call what it has counted towards the budget that they share with it."""
        for call, outer in each_around(within):
            if self.budget is not None and self.budget.is_one_with(outer.budget):
                call.counted += spent

    def feedback(self, call_id: str, good: bool, *, source: str = "user") -> None:
        """Note someone's word on whether the answer of a call was good, without waiting for anything.

        Args:
            call_id: The call, as its record names it.
            good: Whether the answer was good.
            source: Who says so, for example ``user`` or ``judge``.

        Raises:
            ConfigError: There is no ledger, or one that takes no feedback.
        """
        take = getattr(self.ledger, "feedback", None)
        if take is None:
            raise ConfigError('feedback() needs a ledger to keep it: give ledger="sqlite:///slmroute.db".')
        take(call_id, good, source=source)


def _machines(
    policy: Policy, ledger: LedgerLike | None, before: Mapping[str, Machine] | None = None
) -> dict[str, Machine]:
    """Give the machines that tiers are paid for by the hour, which routers with one ``Ledger`` have in common."""
    hourly = [tier.name for tier in policy.tiers if tier.hour_price is not None]
    shared: Callable[[str], Machine] | None = getattr(ledger, "machine", None)
    if shared is not None:
        return {name: shared(name) for name in hourly}
    return {name: (before or {}).get(name) or Machine() for name in hourly}


def _same_ledger(one: LedgerLike, other: LedgerLike | None) -> bool:
    place = _place(one)
    return one is other or (place is not None and place == _place(other))


def _place(ledger: LedgerLike | None) -> object:
    return getattr(getattr(ledger, "address", None), "place", None)


def _same_model(tier: Tier, before: Tier | None) -> bool:
    """Whether a tier is served by what it was served by before, so that what was learnt of its health holds."""
    if before is None:
        return False
    if tier.spec is None:
        return tier.model is before.model
    return tier.model == before.model and tier.model_args == before.model_args


def _version(classifier: ClassifierLike | None) -> str | None:
    return None if classifier is None else _name(classifier)


def _name(asked: object) -> str:
    """What the ledger notes of a classifier or a judge: its version, or else what it is called."""
    version: object = getattr(asked, "version", None)
    if isinstance(version, str):
        return version
    return str(getattr(asked, "__qualname__", type(asked).__qualname__))


def _checked(budget: object) -> Budget | None:
    if budget is None:
        return None
    from slmroute.budget import Budget

    if not isinstance(budget, Budget):
        raise ConfigError(f"budget={budget!r} must be a Budget: for example Budget(day=20).")
    return budget


def _open_ledger(ledger: LedgerLike | str | os.PathLike[str] | None) -> LedgerLike | None:
    if isinstance(ledger, str | os.PathLike):
        from slmroute.ledger import Ledger

        return Ledger(ledger)
    if ledger is not None and not callable(getattr(ledger, "write", None)):
        raise ConfigError(f'ledger={ledger!r} must be a Ledger, a path or a URL: for example "sqlite:///slmroute.db".')
    return ledger
