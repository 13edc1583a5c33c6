"""Stands last in the suite: what the tests before it have shown."""

from __future__ import annotations

import pytest

BARE = ("Ollama", "OpenAI")
ROUTERS = ("small", "frontier", "escalating", "failing over")


def test_routers_pass_every_test_that_a_bare_class_passes(passed: dict[tuple[str, str], str]) -> None:
    if {name for _, name in passed} != {*BARE, *ROUTERS}:
        pytest.skip("it sums up the suite, which did not run over every class")
    tests = {test for test, name in passed if passed[test, name] == "pass" and name in BARE}
    assert tests
    failed = {(test, name): passed.get((test, name)) for test in tests for name in ROUTERS}
    assert {where: found for where, found in failed.items() if found != "pass"} == {}
