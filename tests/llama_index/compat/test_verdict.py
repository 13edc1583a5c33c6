"""Stands last in the suite: what the tests before it have shown."""

from __future__ import annotations

import pytest

BARE = ("Ollama", "OpenAI")
ROUTERS = ("small", "frontier", "escalating", "failing over")


def test_routers_pass_every_test_that_a_bare_class_passes(passed: dict[tuple[str, str], str]) -> None:
    tests = [test for test, name in passed if name == BARE[0]]
    if not tests:
        pytest.skip("it sums up the suite, which did not run")
    for test in tests:
        if "pass" in (passed.get((test, name)) for name in BARE):
            assert [name for name in ROUTERS if passed.get((test, name), "pass") != "pass"] == [], test
