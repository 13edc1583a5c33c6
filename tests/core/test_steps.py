"""What the flow's steps add up to."""

from __future__ import annotations

import pytest

from slmroute.steps import Usage, greatest, summed, with_told

PAID = Usage(100, 10, cached_tokens=40)
GUESSED = Usage(50, 5, source="estimated")
CACHED = Usage(70, 7, source="cached")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (None, None, None),
        (PAID, None, PAID),
        (None, CACHED, CACHED),
        (PAID, PAID, Usage(200, 20, cached_tokens=80)),
        (PAID, GUESSED, Usage(150, 15, cached_tokens=40, source="estimated")),
        (CACHED, PAID, PAID),
        (PAID, CACHED, PAID),
        (CACHED, CACHED, CACHED),
    ],
)
def test_calls_add_up_and_what_came_from_a_cache_took_nothing(
    first: Usage | None, second: Usage | None, expected: Usage | None
) -> None:
    assert summed(first, second) == expected


ESTIMATE = Usage(80, 8, source="estimated")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (Usage(100, 0, cached_tokens=90, cache_write_tokens=10), Usage(100, 8, 90, 10, source="estimated")),
        (Usage(100, 12, cached_tokens=90), Usage(100, 12, 90, source="estimated")),
        (Usage(100, 0, cached_tokens=120), Usage(100, 8, source="estimated")),
        (Usage(100, -1), Usage(100, 8, source="estimated")),
        (Usage(0, 20, cached_tokens=5), Usage(80, 20, source="estimated")),
    ],
)
def test_what_was_told_goes_before_what_is_guessed_where_it_can_be_true(told: Usage, expected: Usage) -> None:
    assert with_told(ESTIMATE, told) == expected


def test_what_was_told_at_the_end_is_no_estimate_where_it_can_be_true() -> None:
    assert with_told(ESTIMATE, Usage(100, 3, 90), closing=True) == Usage(100, 3, 90)
    assert with_told(ESTIMATE, Usage(100, 0), closing=True) == Usage(100, 8, source="estimated")
    assert with_told(Usage(80, 0, source="estimated"), Usage(100, 0), closing=True) == Usage(100, 0)
    assert with_told(ESTIMATE, Usage(0, 3), closing=True) == Usage(80, 8, source="estimated")


def test_of_what_is_told_again_and_again_the_greatest_counts_hold() -> None:
    assert greatest(None, PAID) == PAID
    assert greatest(Usage(100, 1, service_tier="flex"), Usage(0, 7)) == Usage(100, 7, service_tier="flex")
