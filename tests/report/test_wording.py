"""How figures are written for people."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.report.canvas import as_dollars, literally
from slmroute.report.wording import alike, count, counted, dollars, duration, percent, saving, sums


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("2300", "$2,300"), ("1234.56", "$1,235"), ("700", "$700"), ("8.2", "$8.20"), ("0.124", "$0.12"),
        ("0.007", "$0.0070"), ("0.0002", "$0.0002"), ("0.00025", "$0.00025"), ("0.000012", "$0.000012"),
        ("0", "$0"), ("-3", "$-3"), ("-0.5", "$-0.50"), ("0.125", "$0.13"),
        ("0.00265", "$0.0027"), ("0.00845", "$0.0085"),
    ],
)  # fmt: skip
def test_amounts(amount: str, words: str) -> None:
    assert dollars(Decimal(amount)) == words.replace("$-", "-$")


@pytest.mark.parametrize(
    ("baseline", "cost", "words"),
    [
        ("0.10748", "0.07478", ("$0.1075", "$0.0748", "$0.0327")),
        ("1200.4", "226.56", ("$1,200.40", "$226.56", "$973.84")),
        ("3000", "700", ("$3,000", "$700", "$2,300")),
        ("0.11", "0.14", ("$0.11", "$0.14", "-$0.0300")),
        ("0", "0", ("$0", "$0", "$0")),
    ],
)
def test_a_saving_is_the_difference_of_what_is_printed(baseline: str, cost: str, words: tuple[str, ...]) -> None:
    assert [number(word) for word in saving(Decimal(baseline), Decimal(cost))] == [number(word) for word in words]


cents = st.decimals(0, 10**7, allow_nan=False, allow_infinity=False)


@given(cents, cents, cents)
def test_what_is_printed_adds_up(baseline: Decimal, cost: Decimal, other: Decimal) -> None:
    first, second, third, rest = map(number, saving(baseline, cost, other))
    assert first - second - third == rest
    parts, total, whole, saved = sums((cost, other), baseline)
    assert sum(map(number, parts)) == number(total)
    assert number(whole) - number(total) == number(saved)


def number(word: str) -> Decimal:
    return Decimal(word.replace("$", "").replace(",", ""))


def test_amounts_that_stand_together_have_the_same_decimals() -> None:
    assert alike(Decimal("0.5"), Decimal("0.0123"), None, Decimal(0)) == ("$0.5000", "$0.0123", "unpriced", "$0")


@pytest.mark.parametrize(("of", "words"), [(0, "0 calls"), (1, "1 call"), (1200, "1,200 calls")])
def test_one_thing_is_not_several(of: int, words: str) -> None:
    assert counted(of, "call") == words


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
