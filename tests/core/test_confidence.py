"""From log-probabilities to confidence."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.confidence import Calibrator, GeometricMean, confidence_of

LOGPROBS = st.lists(st.floats(-50, 0), min_size=1, max_size=50)


@given(LOGPROBS)
def test_it_is_the_geometric_mean_of_the_probabilities(logprobs: list[float]) -> None:
    found = confidence_of(logprobs)
    assert found is not None
    assert 0 < found <= 1
    assert math.exp(min(logprobs)) * (1 - 1e-9) <= found <= math.exp(max(logprobs)) * (1 + 1e-9)


@given(LOGPROBS, st.integers(2, 5))
def test_length_alone_does_not_count(logprobs: list[float], times: int) -> None:
    assert confidence_of(logprobs * times) == pytest.approx(confidence_of(logprobs))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_any_numbers_give_a_probability_or_nothing(logprobs: list[float]) -> None:
    found = confidence_of(logprobs)
    assert found is None or 0 <= found <= 1


@pytest.mark.parametrize("logprobs", [[], [math.nan], [-0.1, math.nan], [0.5], [math.inf]])
def test_what_is_no_log_probability_is_not_trusted(logprobs: list[float]) -> None:
    assert confidence_of(logprobs) is None


def test_what_providers_report_as_certain_or_impossible_is_taken() -> None:
    assert confidence_of([0.0, 1e-6]) == 1.0
    # OpenAI reports -9999 for tokens that are all but impossible, llama.cpp minus infinity.
    assert confidence_of([-9999.0, 0.0]) == confidence_of([-math.inf, 0.0]) == pytest.approx(math.exp(-50))


def test_the_plain_mapping_is_a_calibrator_with_a_version() -> None:
    calibrator = GeometricMean()
    assert isinstance(calibrator, Calibrator)
    assert calibrator([-0.1, -0.3]) == pytest.approx(math.exp(-0.2))
    assert calibrator.version == "geometric-mean-1"
