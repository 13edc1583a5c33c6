"""How figures are written for people: amounts, shares, durations, counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

__all__ = ["alike", "count", "counted", "dollars", "duration", "percent", "saving", "sums"]

TEN_THOUSANDTH = Decimal("0.0001")
NANO = 9
"""Decimals of a nano-dollar, which the ledger counts in."""


def dollars(amount: Decimal | None) -> str:
    """Write an amount: whole dollars from a thousand on, then cents, under ten cents as many decimals as it takes.

    Args:
        amount: Dollars; None where no price is known.

    Returns:
        For example ``$2,300``, ``$8.20``, ``$0.0070``, ``$0.000012``, ``-$3``, or ``unpriced``.
    """
    return alike(amount)[0]


def alike(*amounts: Decimal | None) -> tuple[str, ...]:
    """Write amounts that stand together with the same number of decimals: as many as the one that needs most.

    Args:
        amounts: Dollars; None where no price is known.
    """
    places = _places(amounts)
    return tuple("unpriced" if amount is None else _written(amount, places) for amount in amounts)


def saving(baseline: Decimal, cost: Decimal, *others: Decimal) -> tuple[str, ...]:
    """Write what calls would have cost, what they cost, what else is taken off, and the rest: what is printed adds up.

    Args:
        baseline: Dollars that they would have cost.
        cost: Dollars that they cost.
        others: Dollars that are no saving either.

    Returns:
        The amounts, then the baseline minus all others.
    """
    amounts = (baseline, cost, *others)
    places = _places((*amounts, baseline - sum((cost, *others), Decimal(0))))
    rounded = [_rounded(amount, places) for amount in amounts]
    rest = rounded[0] - sum(rounded[1:], Decimal(0))
    return tuple(_written(amount, places) for amount in (*rounded, rest))


def sums(parts: Sequence[Decimal], baseline: Decimal) -> tuple[tuple[str, ...], str, str, str]:
    """Write the parts of a bill, their total, what it would have been, and the difference, so that all add up.

    Args:
        parts: Dollars for each part.
        baseline: Dollars that the whole would have been.
    """
    places = _places((*parts, baseline))
    rounded = [_rounded(part, places) for part in parts]
    total, whole = sum(rounded, Decimal(0)), _rounded(baseline, places)
    words = tuple(_written(part, places) for part in rounded)
    return words, _written(total, places), _written(whole, places), _written(whole - total, places)


def _places(amounts: Iterable[Decimal | None]) -> int:
    sizes = [abs(amount) for amount in amounts if amount]
    if len(sizes) < 2:
        return max(map(_places_of, sizes), default=0)
    # Beside hundreds of dollars nobody looks at a hundredth of a cent.
    most = 2 if max(sizes) >= 100 else 4 if max(sizes) >= 1 else NANO
    return min(max(map(_places_of, sizes)), most)


def _places_of(size: Decimal) -> int:
    if size >= 1000 or (size == size.to_integral_value() and size >= 1):
        return 0
    if size >= Decimal("0.1"):
        return 2
    return 4 if size == size.quantize(TEN_THOUSANDTH) else max(4, 1 - size.adjusted())


def _written(amount: Decimal, places: int) -> str:
    return f"{'-' if amount < 0 else ''}${abs(_rounded(amount, places)):,.{places}f}" if amount else "$0"


def _rounded(amount: Decimal, places: int) -> Decimal:
    """Round as bills do, halves up; amounts too large for that are left alone."""
    try:
        return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    except InvalidOperation:
        return amount


def percent(share: float | Decimal | None) -> str:
    """Write a share in [0, 1] as a percentage: one decimal, or two digits that count; ``-`` where there is none."""
    if share is None:
        return "-"
    value = float(share) * 100
    if abs(value - round(value)) < 1e-9 or abs(value) >= 99.95:
        return f"{value:.0f}%"
    return f"{value:.2g}%" if abs(value) < 0.995 else f"{value:.1f}%"


def duration(ms: float | None) -> str:
    """Write a duration given in milliseconds: ``0.4 ms``, ``82 ms``, ``1.3 s``; ``-`` where there is none."""
    if ms is None:
        return "-"
    if ms < 1:
        return f"{ms:.1g} ms"
    return f"{ms:,.0f} ms" if ms < 1000 else f"{ms / 1000:,.1f} s"


def count(number: int) -> str:
    """Write a count with its thousands apart."""
    return f"{number:,}"


def counted(number: int, thing: str) -> str:
    """Write a count with what is counted: ``1 call``, ``1,200 calls``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
