"""Calibrators: what they see of tokens, what they learn, their files, and how they stand in a router."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute import Calibrator, Confidence, FittedCalibrator
from slmroute.calibrators import token_features
from slmroute.config import router_arguments
from slmroute.errors import ConfigError

LOGPROBS = st.lists(st.floats(-50, 0), min_size=1, max_size=40)


def drawn(count: int, seed: int = 1) -> tuple[list[list[float]], list[bool]]:
    """Answers of which the right ones have surer tokens, and 7 in 10 are right."""
    dice = random.Random(seed)  # noqa: S311  the same answers each time
    correct = [dice.random() < 0.7 for _ in range(count)]
    logprobs = [[-dice.expovariate(4 if good else 1.5) for _ in range(dice.randint(1, 30))] for good in correct]
    return logprobs, correct


LOGPROBS_SEEN, CORRECT_SEEN = drawn(400)
FITTED = FittedCalibrator.fit(LOGPROBS_SEEN, CORRECT_SEEN, model="phi3:mini")


def test_features_are_the_mean_the_lowest_window_the_lowest_token_and_the_first() -> None:
    found = token_features([-0.1, -1, -2, -3, -2, -0.1])
    assert found == pytest.approx({"mean": -8.2 / 6, "window": -2.0, "least": -3.0, "first": -0.1})
    assert token_features([-0.5]) == pytest.approx({"mean": -0.5, "window": -0.5, "least": -0.5, "first": -0.5})
    assert token_features([-0.5, -1], [3.0, 1.0]) == pytest.approx(
        {"mean": -0.75, "window": -0.75, "least": -1.0, "first": -0.5, "margin": 1.0}
    )


@pytest.mark.parametrize("nonsense", [[], [math.nan], [-1, 0.5]])
def test_without_log_probabilities_confidence_is_unknown(nonsense: list[float]) -> None:
    assert FITTED(nonsense) is None


def test_minus_infinity_is_a_token_that_is_very_unlikely() -> None:
    confidence = FITTED([-math.inf, -0.1])
    assert confidence is not None
    assert confidence < 0.05


@given(LOGPROBS)
def test_it_gives_probabilities(logprobs: list[float]) -> None:
    confidence = FITTED(logprobs)
    assert confidence is not None
    assert 0 <= confidence <= 1


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_confidence_is_the_share_of_right_answers(method) -> None:
    from slmroute.metrics import area, calibration_error

    fitted = FittedCalibrator.fit(LOGPROBS_SEEN, CORRECT_SEEN, method=method)
    logprobs, correct = drawn(2_000, seed=2)
    scores, truths = np.array([fitted(one) for one in logprobs]), np.array(correct)
    error, ranked = calibration_error(scores, truths), area(scores, truths)
    assert error < 0.05
    assert ranked is not None and ranked > 0.85  # noqa: PT018


def test_isotonic_never_falls() -> None:
    fitted = FittedCalibrator.fit(LOGPROBS_SEEN, CORRECT_SEEN, method="isotonic", features=("mean",))
    values = [fitted([-place / 10]) for place in range(60)]
    assert values == sorted(values, reverse=True)  # type: ignore[type-var]


def test_ties_are_one_confidence() -> None:
    fitted = FittedCalibrator.fit([[-1.0]] * 40, [True, False] * 20, method="isotonic")
    assert fitted([-1.0]) == pytest.approx(0.5)
    assert FittedCalibrator.fit([[-1.0]] * 40, [True, True, True, False] * 10)([-1.0]) == pytest.approx(0.74, abs=0.02)


def test_classes_that_part_cleanly_give_no_certainty_and_no_error() -> None:
    fitted = FittedCalibrator.fit([[-0.1]] * 10 + [[-5.0]] * 10, [True] * 10 + [False] * 10)
    sure, unsure = fitted([-0.1]), fitted([-5.0])
    assert sure is not None and unsure is not None  # noqa: PT018
    assert 0 < unsure < 0.2
    assert 0.8 < sure < 1


@pytest.mark.parametrize(
    ("rows", "right", "said"),
    [(0, 0, "10 more right and 10 more wrong"), (3, 2, "8 more right and 9 more wrong"), (50, 50, "10 more wrong")],
)
def test_too_few_outcomes_are_refused_with_how_many_are_missing(rows: int, right: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FittedCalibrator.fit([[-1.0]] * rows, [True] * right + [False] * (rows - right))


def test_margins_can_be_looked_at_where_they_are_known() -> None:
    margins = [[5.0 if good else 0.5] * len(one) for one, good in zip(LOGPROBS_SEEN, CORRECT_SEEN, strict=True)]
    fitted = FittedCalibrator.fit(LOGPROBS_SEEN, CORRECT_SEEN, margins=margins, features=("mean", "margin"))
    sure, unsure = fitted([-0.5], [5.0]), fitted([-0.5], [0.5])
    assert sure is not None and unsure is not None and unsure < 0.5 < sure  # noqa: PT018
    assert fitted([-0.5]) is None
    with pytest.raises(ConfigError, match="margin"):
        FittedCalibrator.fit(LOGPROBS_SEEN, CORRECT_SEEN, features=("mean", "margin"))


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_file_gives_it_back(tmp_path: Path, method) -> None:
    fitted = FittedCalibrator.fit(LOGPROBS_SEEN, CORRECT_SEEN, method=method, model="phi3:mini")
    loaded = FittedCalibrator.load(fitted.save(tmp_path / "calibrator.json"))
    assert loaded == fitted
    assert loaded.version == fitted.version
    assert loaded([-0.3, -1.2]) == fitted([-0.3, -1.2])


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"method": "magic"},
        {"weights": {"mean": "x"}},
        {"weights": {"mood": 1.0}},
        {"intercept": math.inf},
        {"knots": [[0, 2]]},
        {"threshold": 1.5},
        {"intercept": 3.5},
        None,
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, change: dict[str, object] | None) -> None:
    path = FITTED.save(tmp_path / "calibrator.json")
    content = json.loads(path.read_text()) if change else {}
    path.write_text(json.dumps({**content, **(change or {})}))
    with pytest.raises(ConfigError, match="is no calibrator"):
        FittedCalibrator.load(path)
    path.write_text("[" * 3)
    with pytest.raises(ConfigError, match="is no calibrator"):
        FittedCalibrator.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        FittedCalibrator.load(tmp_path / "nothing.json")


def test_the_version_changes_with_what_the_confidence_depends_on() -> None:
    other = FittedCalibrator.fit(*drawn(400, seed=3))
    assert FITTED.version.startswith("platt-400-")
    assert other.version != FITTED.version
    assert isinstance(FITTED, Calibrator)


def test_it_stands_in_a_router(tmp_path: Path) -> None:
    assert Confidence(0.85, calibrator=FITTED).calibrator is FITTED
    with pytest.raises(ConfigError, match="no threshold"):
        FITTED.confidence()
    FITTED.save(tmp_path / "calibrator.json")
    path = tmp_path / "slmroute.toml"
    tiers = "".join(f'[[tiers]]\nname = "{name}"\nmodel = "ollama:{name}"\n' for name in ("small", "big"))
    path.write_text(f'[escalation]\nthreshold = 0.9\ncalibrator = "calibrator.json"\n{tiers}')
    escalation = router_arguments(path)["escalation"]
    assert escalation == Confidence(0.9, calibrator=FITTED)
    path.write_text(f'[escalation]\ncalibrator = "none.json"\n{tiers}')
    with pytest.raises(ConfigError, match=r"line 1.*none\.json cannot be read"):
        router_arguments(path)
