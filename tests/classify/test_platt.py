"""Platt scaling."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.classify.platt import IDENTITY, Platt
from slmroute.errors import ConfigError

FINITE = st.floats(-1e6, 1e6)


@given(st.floats(-700, 700))
def test_without_a_fit_log_odds_are_taken_as_they_are(raw: float) -> None:
    assert IDENTITY(raw) == pytest.approx(1 / (1 + math.exp(-raw)))


@given(FINITE, st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_it_gives_probabilities_and_never_overflows(raw: float, slope: float, intercept: float) -> None:
    assert 0 <= Platt(slope, intercept)(raw) <= 1


@given(FINITE, FINITE, st.floats(0.001, 100))
def test_it_keeps_the_order(one: float, other: float, slope: float) -> None:
    low, high = sorted((one, other))
    assert Platt(slope)(low) <= Platt(slope)(high)


def test_it_takes_a_bias_out() -> None:
    raw = [2.0, 2.1, 2.2, 2.3, 2.4, 5.0, 5.1, 5.2, 5.3, 5.4]
    fitted = Platt.fit(raw, [False] * 5 + [True] * 5)
    assert fitted(2.2) < 0.2
    assert fitted(5.2) > 0.8
    assert fitted(3.7) == pytest.approx(0.5, abs=0.05)


def test_it_finds_the_sigmoid_that_made_the_labels() -> None:
    dice = random.Random(7)  # noqa: S311  the same labels each time
    raw = [dice.uniform(-4, 4) for _ in range(5_000)]
    labels = [dice.random() < Platt(1.5, -0.7)(score) for score in raw]
    fitted = Platt.fit(raw, labels)
    assert fitted.slope == pytest.approx(1.5, abs=0.15)
    assert fitted.intercept == pytest.approx(-0.7, abs=0.15)


def test_few_labels_give_no_certainty() -> None:
    fitted = Platt.fit([-1.0, 1.0], [False, True])
    assert 0.2 < fitted(-1.0) < 0.5 < fitted(1.0) < 0.8


def test_the_version_tells_fits_apart() -> None:
    one, other = Platt.fit([-1.0, 1.0], [False, True]), Platt.fit([-2.0, 1.0], [False, True])
    assert one.version.startswith("platt-2-")
    assert one.version != other.version
    assert one == Platt.fit([-1.0, 1.0], [False, True])


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=2, max_size=60))
def test_any_labels_of_both_kinds_can_be_fitted(pairs: list[tuple[float, bool]]) -> None:
    raw, labels = [score for score, _ in pairs], [label for _, label in pairs]
    if len(set(labels)) < 2:
        with pytest.raises(ConfigError, match="one class only"):
            Platt.fit(raw, labels)
        return
    fitted = Platt.fit(raw, labels)
    assert math.isfinite(fitted.slope)
    assert math.isfinite(fitted.intercept)


@pytest.mark.parametrize(
    ("raw", "labels", "message"),
    [([1.0], [], "1 raw_scores for 0 labels"), ([math.nan, 1.0], [True, False], "finite"), ([], [], "one class only")],
)
def test_what_cannot_be_fitted_is_refused(raw: Any, labels: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Platt.fit(raw, labels)


def test_numbers_that_are_not_finite_are_refused() -> None:
    for settings in ({"slope": math.nan}, {"intercept": math.inf}):
        with pytest.raises(ConfigError, match="must be finite numbers"):
            Platt(**settings)
