"""How confidence is judged: thresholds swept, and the area under the curve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.demo.summary import auc, sweep

JUDGED = [(0.2, False), (0.35, True), (0.45, False), (0.75, True), (0.95, True)]


def test_each_threshold_counts_what_would_have_moved() -> None:
    lines = {line.threshold: line for line in sweep(JUDGED)}
    assert (lines[0.3].caught, lines[0.3].disturbed) == (1, 0)
    assert (lines[0.5].caught, lines[0.5].disturbed, lines[0.5].served_right) == (2, 1, 1.0)
    assert lines[0.3].served_right == pytest.approx(3 / 4)
    assert {(line.wrong, line.right) for line in lines.values()} == {(2, 3)}


def test_where_everything_moves_nothing_is_left_to_be_right() -> None:
    assert sweep([(0.1, True)])[0].served_right is None
    assert sweep([]) == ()


def test_auc_is_the_share_of_pairs_ranked_right() -> None:
    assert auc(JUDGED) == pytest.approx(5 / 6)
    assert auc([(0.5, True), (0.5, False)]) == 0.5
    assert auc([(0.5, True)]) is None
    assert auc([]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40))
def test_auc_of_the_opposite_is_the_rest_to_one(judged: list[tuple[float, bool]]) -> None:
    area, opposite = auc(judged), auc([(confidence, not right) for confidence, right in judged])
    assert (area is None) == (opposite is None)
    if area is not None and opposite is not None:
        assert area + opposite == pytest.approx(1)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_higher_thresholds_never_move_fewer(judged: list[tuple[float, bool]]) -> None:
    lines = sweep(judged)
    assert [line.caught for line in lines] == sorted(line.caught for line in lines)
    assert [line.disturbed for line in lines] == sorted(line.disturbed for line in lines)
