"""What may be spent in an hour, a day and a month, and what a call counts towards."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from slmroute.errors import ConfigError
from slmroute.tier import Money, money

__all__ = [
    "EVERY_OTHER",
    "HOLD_S",
    "Charge",
    "KeyLimits",
    "Limits",
    "per_key_limits",
    "storable",
    "to_nano",
    "window_of",
]

EVERY_OTHER: Final = "*"
"""In ``per_key``, the limits of every key that is not named itself."""

NANO: Final = 10**9

LONGEST_KEY: Final = 200

HOLD_S: Final = 3_600
"""How long a shared store counts what a call holds; then its process must have been killed, which settles nothing.

Clients give up a request after ten minutes and make it three times by default: half an hour for one tier, an hour for
two. A call that runs longer yet is counted all the same when it ends.
"""


@dataclass(frozen=True)
class Limits:
    """Limits for all calls, or for those of one key. Windows begin on the hour, the day and the month in UTC.

    Args:
        hour: Dollars an hour.
        day: Dollars a day.
        month: Dollars a month.
        escalations_per_minute: How many calls a minute may go above the cheapest tier to one that is not local,
            whoever sends them there: the classifier, a rule, a weak answer, a failure. A call counts once, and not at
            all when its caller named the tier.

    Raises:
        ConfigError: A limit is not an amount or a number.
    """

    hour: Money | None = field(default=None, kw_only=True)
    day: Money | None = field(default=None, kw_only=True)
    month: Money | None = field(default=None, kw_only=True)
    escalations_per_minute: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for setting in ("hour", "day", "month"):
            value = getattr(self, setting)
            if value is not None:
                object.__setattr__(self, setting, money(value, f"budget: {setting}"))
        rate = self.escalations_per_minute
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int) or rate < 0):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"budget: escalations_per_minute={rate!r} must be a whole number, zero or more.")

    @property
    def spending(self) -> dict[str, int]:
        """The limits of money that are set, in nano-dollars, by their window."""
        amounts = {window: getattr(self, window) for window in ("hour", "day", "month")}
        return {window: to_nano(amount) for window, amount in amounts.items() if amount is not None}


KeyLimits = Limits | Mapping[str, Any] | None
"""``Limits`` for every key alike, or a mapping from keys to theirs (``"*"`` for every other), each a ``Limits`` or a
mapping of its arguments."""


def per_key_limits(given: KeyLimits) -> dict[str, Limits]:
    """Read ``per_key=``.

    Raises:
        ConfigError: It is something else.
    """
    if given is None:
        return {}
    if isinstance(given, Limits):
        return {EVERY_OTHER: given}
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(
            f'budget: per_key={given!r} must be Limits(...), or a mapping such as {{"team-a": Limits(day=5)}}.'
        )
    return {key: _limits(key, value) for key, value in given.items()}


def _limits(key: str, value: object) -> Limits:
    if isinstance(value, Limits):
        return value
    names = [item.name for item in fields(Limits)]
    if not isinstance(value, Mapping) or not set(cast("Mapping[str, object]", value)) <= set(names):
        raise ConfigError(
            f"budget: per_key[{key!r}]={value!r} must be Limits(...), or a mapping of {', '.join(names)}."
        )
    return Limits(**cast("Mapping[str, Any]", value))


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call counts towards one limit.

    Attributes:
        meter: What is counted: the budget's name, money or escalations, the window's length, the key.
        start: When the window began, in seconds since 1970 UTC.
        end: When it ends.
        limit: How much it holds: nano-dollars, or a count.
        amount: How much this call takes of it.
        setting: The limit's name, for messages: ``day`` or ``per_key day``.
        at: When the call began, as ``start``.
        key: Whose limit it is, for messages; None where it is for all calls.
    """

    meter: str
    start: int
    end: int
    limit: int
    amount: int
    setting: str
    at: int
    key: str | None = None

    @property
    def shown(self) -> str:
        """The limit as it was set, and whose it is."""
        amount = f"${Decimal(self.limit) / NANO:f}" if self.of_money else str(self.limit)
        return f"{self.setting}={amount}" + ("" if self.key is None else f" of the key {self.key!r}")

    @property
    def window(self) -> tuple[str, int]:
        """What is counted, and when its window began."""
        return self.meter, self.start

    @property
    def held_until(self) -> int:
        """When a hold of it ends on its own, as ``start``."""
        return self.at + HOLD_S

    @property
    def of_money(self) -> bool:
        """Whether it is counted in nano-dollars."""
        return not self.setting.endswith("escalations_per_minute")


def storable(key: str) -> str:
    """Give a key, or its hash where not every store can keep it: keys may come from whoever calls an application."""
    if len(key) <= LONGEST_KEY and key.isprintable():
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def to_nano(amount: Decimal) -> int:
    """Turn dollars into nano-dollars, upwards: what is reserved or spent is never counted for less than it is."""
    return math.ceil(amount * NANO)


def window_of(window: str, moment: datetime) -> tuple[int, int]:
    """Give when the window that a moment lies in begins and ends, in seconds since 1970 UTC.

    Args:
        window: ``minute``, ``hour``, ``day`` or ``month``.
        moment: The moment.
    """
    begin = moment.astimezone(UTC).replace(second=0, microsecond=0)
    match window:
        case "minute":
            end = begin + timedelta(minutes=1)
        case "hour":
            begin = begin.replace(minute=0)
            end = begin + timedelta(hours=1)
        case "day":
            begin = begin.replace(hour=0, minute=0)
            end = begin + timedelta(days=1)
        case _:
            begin = begin.replace(day=1, hour=0, minute=0)
            end = (begin + timedelta(days=32)).replace(day=1)
    return int(begin.timestamp()), int(end.timestamp())
