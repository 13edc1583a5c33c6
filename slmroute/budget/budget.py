"""The budget of a router: its limits, and where they are counted."""

from __future__ import annotations

import os
import weakref
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Final, Literal, Protocol, Self, cast

from slmroute.budget.counting import ANSWER_S, Counting
from slmroute.budget.limits import EVERY_OTHER, NANO, KeyLimits, Limits, per_key_limits, storable
from slmroute.budget.spending import Spending
from slmroute.budget.stores import Store
from slmroute.errors import ConfigError, LedgerError, MissingExtra
from slmroute.threads import in_thread
from slmroute.tier import Money

__all__ = ["Budget"]

REDIS: Final = ("redis://", "rediss://", "unix://")

OnLimit = Literal["local", "raise"]


class LedgerAddress(Protocol):
    """Where a ledger is."""

    @property
    def given(self) -> str:
        """Its path or URL."""
        ...


class HasAddress(Protocol):
    """A ``Ledger``, whose database is used."""

    @property
    def address(self) -> LedgerAddress:
        """Where it is."""
        ...


class Budget:
    """Limits on what a router spends; calls that would pass them stay on local tiers or are refused.

    Before a tier that is not local is called, what the call may cost is held; when the call is over, what it did cost
    is counted in its place. So the limits are passed by no more than what running calls cost beyond their holds.
    Every attempt counts, classifiers and discarded drafts included; a dry run costs nothing. Classifiers and judges are
    not refused, though: one that calls a paid model is asked, and charged, at the limit, too. Calls on local tiers are
    never refused, and count with what they are declared to cost. Tiers of unknown price are called until a limit is
    reached (``budget_blind`` in the record), and no longer.

    A budget object may be given to several routers, which then share it. With ``store=`` processes share it, too;
    without, each process counts for itself and forgets when it ends. What a killed process held in a store is free
    again after an hour. A store that has lost its data is told again what the processes that use it know of.

    A budget that is made looks whether it can count in its database, and waits for that for three seconds at most.

    Args:
        hour: Dollars an hour, from the full hour on.
        day: Dollars a day, in UTC.
        month: Dollars a calendar month, in UTC.
        escalations_per_minute: How many calls a minute may go above the cheapest tier; see ``Limits``.
        per_key: The same limits for the calls of one ``route_context(key=...)``: ``Limits(...)`` for each key alike,
            or ``{"team-a": Limits(day=5), "*": Limits(day=1)}``. Calls without a key have none.
        on_limit: ``"local"``: the call goes on as far as local tiers take it (and the cheapest, when only escalations
            are over the limit). ``"raise"``: it raises ``BudgetExceeded``, unless it has an answer in hand already.
        store: A ``Ledger`` or its URL, or Redis's URL: where all processes count together.
        name: Budgets of different names in one store have nothing to do with each other.
        answer_tokens: How long an answer is taken to be when its cost is held.

    Raises:
        ConfigError: A limit is missing or not usable.
        LedgerError: The store is no ledger, is damaged, or was written by a newer slmroute.
        MissingExtra: The store needs an extra that is not installed.

    Example:
        >>> Budget(day=20, per_key=Limits(day=1, escalations_per_minute=5))
        Budget(day=20, per_key=...)
    """

    def __init__(
        self,
        *,
        hour: Money | None = None,
        day: Money | None = None,
        month: Money | None = None,
        escalations_per_minute: int | None = None,
        per_key: KeyLimits = None,
        on_limit: OnLimit = "local",
        store: str | os.PathLike[str] | HasAddress | None = None,
        name: str = "default",
        answer_tokens: int = 1_000,
    ) -> None:
        self.limits = Limits(hour=hour, day=day, month=month, escalations_per_minute=escalations_per_minute)
        self.per_key = per_key_limits(per_key)
        if all(limits == Limits() for limits in (self.limits, *self.per_key.values())):
            raise ConfigError("budget: no limit is set; give for example Budget(day=20).")
        if on_limit not in ("local", "raise"):
            raise ConfigError(f"budget: on_limit={on_limit!r} must be 'local' or 'raise'.")
        if answer_tokens < 1:
            raise ConfigError(f"budget: answer_tokens={answer_tokens!r} must be a positive number of tokens.")
        self.on_limit = on_limit
        self.name = name
        self.answer_tokens = answer_tokens
        self.warned: set[tuple[str, int]] = set()
        self._store = _address(store)
        # For each process its own, as in the ledger: a forked child has its parent's in here, too.
        self._countings: dict[int, Counting] = {}
        # What is wrong with the store is found out now.
        self._made, outage = (True, None) if self._is_without_database else _look(cast("str", self._store))
        self._begin(outage)

    def __repr__(self) -> str:
        set_here = {name: value for name, value in vars(self.limits).items() if value is not None}
        shown = [f"{name}={value}" for name, value in set_here.items()] + ["per_key=..."] * bool(self.per_key)
        return f"Budget({', '.join(shown)})"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        given = (vars(self.limits), self.per_key, self.on_limit, self._store, self.name, self.answer_tokens)
        return (_restored, given)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def waits(self) -> bool:
        """Whether it asks a server, for which async callers must not be held up."""
        return self._store is not None

    def is_one_with(self, other: Budget | None) -> bool:
        """Whether what is counted here is counted there: it is the same one, or of the same name in the same store."""
        if other is None or other is self:
            return other is self
        return self._store is not None and (self._place, self.name) == (other._place, other.name)  # noqa: SLF001

    def open(self, key: str | None, started_at: datetime, *, local: bool = True) -> Spending:
        """Begin a call.

        Args:
            key: Whose call it is.
            started_at: When it began: it counts in the windows of that time, however long it takes.
            local: Whether its router has a tier that is local.
        """
        return Spending(self, self._counting, self._limits_of(key), started_at, local=local)

    def used(self, key: str | None = None, at: datetime | None = None) -> dict[str, Decimal | int]:
        """Give what this process has counted towards each limit, what running calls hold included.

        Args:
            key: Whose limits to give beside those for all calls.
            at: A time in the windows to give; now by default.

        Returns:
            Dollars, or calls for escalations, by the limits' names, for example ``day`` or ``per_key day``.
        """
        memory = self._counting.memory
        charges = self.open(key, at or datetime.now(UTC)).charges(0, escalates=True)
        return {
            charge.setting: Decimal(memory.used(charge)) / NANO if charge.of_money else memory.used(charge)
            for charge in charges
        }

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until the store knows of all calls that are over; False when time ran out first."""
        return self._counting.flush(timeout_s)

    @property
    def _place(self) -> object:
        if self._store is None or self._store.startswith(REDIS):
            return self._store
        from slmroute.ledger.address import Address

        return Address(self._store).place

    def _limits_of(self, key: str | None) -> list[tuple[str | None, Limits]]:
        """The limits that a call has, and the key that they are counted under, if any."""
        found: list[tuple[str | None, Limits]] = [(None, self.limits)]
        own = None if key is None else self.per_key.get(key) or self.per_key.get(EVERY_OTHER)
        return found if key is None or own is None else [*found, (storable(key), own)]

    @property
    def _is_without_database(self) -> bool:
        return self._store is None or self._store.startswith(REDIS)

    @property
    def _counting(self) -> Counting:
        return self._countings.get(os.getpid()) or self._begin()

    def _begin(self, outage: str | None = None) -> Counting:
        made = Counting(None if self._store is None else _open(self._store), made=self._made, outage=outage)
        counting = self._countings.setdefault(os.getpid(), made)
        if counting is made:
            weakref.finalize(self, counting.stop).atexit = False
        return counting


def _address(store: str | os.PathLike[str] | HasAddress | None) -> str | None:
    if store is None or isinstance(store, str):
        return store
    if isinstance(store, os.PathLike):
        return os.fspath(store)
    return store.address.given


def _open(store: str) -> Store:
    if store.startswith(REDIS):
        from slmroute.budget.redis import RedisStore

        return RedisStore(store)
    from slmroute.budget.sql import SqlStore

    return SqlStore(store)


def _look(store: str) -> tuple[bool, str | None]:
    """Refuse a database that can never be counted in; one that is only away for the moment is waited for.

    Returns:
        Whether it is known to be ready, and why it cannot be asked now, if it cannot.
    """
    if find_spec("sqlalchemy") is None:
        raise MissingExtra("ledger", "A budget shared through a database")
    from slmroute.ledger.address import Address
    from slmroute.ledger.opening import OUTAGES, is_current

    address = Address(store)
    try:
        return in_thread(lambda: is_current(address), ANSWER_S), None
    except LedgerError:
        raise
    except TimeoutError:
        return True, "no answer"
    except OUTAGES as error:
        # A file may be missing because it is yet to be made.
        return False, type(error).__name__ if address.path is None else None


def _restored(
    limits: dict[str, Money | None],
    per_key: dict[str, Limits],
    on_limit: OnLimit,
    store: str | None,
    name: str,
    answer_tokens: int,
) -> Budget:
    hour, day, month, rate = limits["hour"], limits["day"], limits["month"], limits["escalations_per_minute"]
    return Budget(
        hour=hour,
        day=day,
        month=month,
        escalations_per_minute=None if rate is None else int(rate),
        per_key=per_key,
        on_limit=on_limit,
        store=store,
        name=name,
        answer_tokens=answer_tokens,
    )
