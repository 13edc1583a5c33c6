"""What the flow's steps add up to."""

from __future__ import annotations

import pytest

from slmroute.steps import Usage, summed

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
