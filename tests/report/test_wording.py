"""How figures are written for people."""

from __future__ import annotations

from decimal import Decimal

import pytest

from slmroute.report.canvas import as_dollars, literally
from slmroute.report.wording import count, dollars, duration, percent


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("2300", "$2,300"), ("1234.56", "$1,235"), ("700", "$700"), ("8.2", "$8.20"), ("0.124", "$0.12"),
        ("0.007", "$0.0070"), ("0.0002", "$0.0002"), ("0.00025", "$0.00025"), ("0.000012", "$0.000012"),
        ("0", "$0"), ("-3", "$-3"), ("-0.5", "$-0.50"),
    ],
)  # fmt: skip
def test_amounts(amount: str, words: str) -> None:
    assert dollars(Decimal(amount)) == words.replace("$-", "-$")


def test_an_amount_that_is_not_known_is_unpriced() -> None:
    assert dollars(None) == "unpriced"


@pytest.mark.parametrize(
    ("share", "words"), [(0.8, "80%"), (0.7667, "76.7%"), (0.041, "4.1%"), (0.0041, "0.41%"), (0, "0%"), (1, "100%"),
                         (0.9999, "100%"), (-0.123, "-12.3%"), (None, "-"), (2.5, "250%")],
)  # fmt: skip
def test_shares(share: float | None, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("ms", "words"), [(0.37, "0.4 ms"), (82.4, "82 ms"), (999.4, "999 ms"), (1700, "1.7 s"), (None, "-")]
)
def test_durations(ms: float | None, words: str) -> None:
    assert duration(ms) == words


def test_counts_have_their_thousands_apart() -> None:
    assert count(1234567) == "1,234,567"


def test_dollar_signs_are_no_formula_to_the_charts() -> None:
    assert literally("$a$") == r"\$a\$"
    assert [as_dollars(value) for value in (0, 0.05, 2.0, 5000)] == [r"\$0", r"\$0.05", r"\$2", r"\$5,000"]
