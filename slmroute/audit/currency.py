"""Currencies as logs name them, and what one of each is in dollars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from slmroute.errors import ConfigError
from slmroute.tier import money

__all__ = ["DOLLARS", "NO_NAME", "NoRateError", "currency_name", "missing_rates", "read_rates"]

DOLLARS: Final = "USD"
NO_NAME: Final = "(no name of a currency)"
"""Stands for what reads like no currency: it may be a prompt, and is not shown."""

SIGNS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("$", "US$", "USD$", "$US", "DOLLAR", "DOLLARS", "US DOLLAR", "US DOLLARS"), DOLLARS),
    "€": "EUR", "EURO": "EUR", "EUROS": "EUR", "£": "GBP",
}  # fmt: skip
NAME: Final = re.compile(r"[^\s'\"\[\]{}(),]{1,8}")


class NoRateError(ConfigError):
    """A cost is in a currency of which nobody said what one is in dollars."""


def currency_name(said: object) -> str:
    """Give a currency by the one name it has here: ``USD`` for ``usd``, ``$`` or ``US$``.

    Args:
        said: What a log or a user wrote.

    Returns:
        Empty where there is nothing but blanks.
    """
    name = str(said).strip().upper()
    name = SIGNS.get(" ".join(name.split()), name)
    return name if not name or NAME.fullmatch(name) else NO_NAME


def read_rates(rates: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Give rates by the names of their currencies.

    Raises:
        ConfigError: A rate is nothing, or one of dollars, or two are of one currency.
    """
    found: dict[str, Decimal] = {}
    for said, rate in rates.items():
        name = currency_name(said)
        if name in ("", NO_NAME):
            raise ConfigError(f"--rate {said}={rate}: name a currency, for example --rate EUR=1.08")
        if not money(rate, f"--rate {said}"):
            raise ConfigError(f"--rate {said}={rate}: say what one {name} is in dollars, more than 0.")
        if name == DOLLARS and rate != 1:
            raise ConfigError(f"--rate {said}={rate}: that is a dollar, which needs no rate; leave it out.")
        if found.get(name, rate) != rate:
            raise ConfigError(f"--rate {said}={rate}: there is another rate of {name}; give one.")
        found[name] = rate
    return found


def missing_rates(where: Sequence[str], costs: Mapping[str, int], rates: Mapping[str, Decimal]) -> str:
    """Say which currencies have no rate, and how to give them.

    Args:
        where: The logs.
        costs: How many calls have their cost in each currency.
        rates: Those that were given.
    """
    found = ", ".join(f"{calls:,} call{'' if calls == 1 else 's'} in {name}" for name, calls in sorted(costs.items()))
    lacking = [name for name in sorted(costs) if name not in (DOLLARS, NO_NAME, *rates)]
    said = f"{', '.join(where)} {'has' if len(where) == 1 else 'have'} costs in other currencies than dollars ({found})"
    if lacking:
        options = " ".join(f"--rate {name}=1.08" for name in lacking)
        said += f": give what one of each is in dollars, for example {options}"
    if NO_NAME in costs:
        said += "; say with --map currency=FIELD which field names it" if lacking else (
            ": say with --map currency=FIELD which field names the currency, if any does."
        )  # fmt: skip
    return said
