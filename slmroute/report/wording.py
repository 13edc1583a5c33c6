"""How figures are written for people: amounts, shares, durations, counts."""

from __future__ import annotations

from decimal import Decimal

__all__ = ["count", "dollars", "duration", "percent"]

TEN_THOUSANDTH = Decimal("0.0001")


def dollars(amount: Decimal | None) -> str:
    """Write an amount: whole dollars from a thousand on, then cents, under ten cents as many decimals as it takes.

    Args:
        amount: Dollars; None where no price is known.

    Returns:
        For example ``$2,300``, ``$8.20``, ``$0.0070``, ``$0.000012``, ``-$3``, or ``unpriced``.
    """
    if amount is None:
        return "unpriced"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size == 0:
        return "$0"
    if size >= 1000 or (size == size.to_integral_value() and size >= 1):
        return f"{sign}${size:,.0f}"
    if size >= Decimal("0.1"):
        return f"{sign}${size:,.2f}"
    places = 4 if size == size.quantize(TEN_THOUSANDTH) else max(4, 1 - size.adjusted())
    return f"{sign}${size:.{places}f}"


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
