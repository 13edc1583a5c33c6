"""What routing would have cost: exact on calls worked out by hand, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from slmroute.audit.projection import Costs, Ratio, patterns

CALLS = Costs(
    today=np.array([0.010, 0.020]),
    input_tokens=np.array([1000.0, 2000.0]),
    output_tokens=np.array([100.0, 500.0]),
    score=np.array([0.1, 0.9]),
    latency_ms=np.array([1000.0, 4000.0]),
    frontier=2e-6,
)
SMALL = (1000 * 0.08 + 100 * 0.22) / 1e6, (2000 * 0.08 + 500 * 0.22) / 1e6
FEW_SHOT = 1050 * 0.19 / 1e6


@pytest.mark.parametrize(
    ("name", "cost", "time"),
    [
        ("embedded", [SMALL[0], 0.020], [1 + 200 + 2000, 1 + 4000]),
        ("binary", [FEW_SHOT + SMALL[0], FEW_SHOT + 0.020], [120 + 200 + 2000, 120 + 4000]),
        ("three_tier", [FEW_SHOT + (1000 * 0.04 + 100 * 0.11) / 1e6, FEW_SHOT + 0.020], [120 + 2200, 120 + 4000]),
        ("cascade", [SMALL[0], SMALL[1] + 0.020 + 500 * 2e-6], [2200, 200 + 10_000 + 4000]),
    ],
)
def test_each_pattern_costs_what_its_parts_cost(name: str, cost: list[float], time: list[float]) -> None:
    pattern = next(each for each in patterns(0.5) if each.name == name)
    assert pattern.cost(CALLS, CALLS.score) == pytest.approx(cost)
    assert pattern.time(CALLS, CALLS.score) == pytest.approx(time)
    assert pattern.stays(CALLS.score).tolist() == [True, False]


def test_a_classification_by_a_small_model_costs_the_presets_figure() -> None:
    assert pytest.approx(0.0002, rel=0.01) == FEW_SHOT


def test_the_middle_tier_takes_the_scores_between() -> None:
    pattern = next(each for each in patterns(0.5) if each.name == "three_tier")
    assert pattern.cost(CALLS, np.array([0.5, 0.5])) == pytest.approx([FEW_SHOT + SMALL[0], FEW_SHOT + SMALL[1]])


def test_intervals_hold_the_truth_19_times_of_20() -> None:
    chance = np.random.default_rng(3)
    bottom = chance.lognormal(0, 1, 20_000)
    top = bottom * chance.choice([0.1, 1.0], 20_000, p=[0.7, 0.3])
    truth = top.sum() / bottom.sum()
    held = 0
    for _ in range(300):
        drawn = chance.choice(20_000, 400, replace=False)
        ratio = Ratio()
        ratio.add(top[drawn[:200]], bottom[drawn[:200]])
        ratio.add(top[drawn[200:]], bottom[drawn[200:]])
        low, high = ratio.interval(20_000) or (0, 0)
        held += low <= truth <= high
    assert 270 <= held <= 300


def test_a_full_read_has_no_sampling_error() -> None:
    ratio = Ratio()
    ratio.add(np.array([1.0, 2.0]), np.array([2.0, 2.0]))
    assert ratio.interval(2) == (0.75, 0.75)
    assert ratio.value == 0.75
    assert Ratio().value is None
    assert Ratio().interval(10) is None
