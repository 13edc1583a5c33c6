"""The sentence model's threads sleep while they wait, so that it is not ten times slower on busy cores."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os
from slmroute.classify.sentence import sentence_embedding
before = dict(os.environ)
sentence_embedding("What is the capital of Italy?")
assert dict(os.environ) == before, "the environment was left changed"
"""


def shown_policy(**given: str) -> str:
    """Load the model in a process of its own; OpenMP then tells its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    run = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**kept, "OMP_DISPLAY_ENV": "true", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    if not lines:
        pytest.skip("this platform's OpenMP does not tell its settings")
    return lines[-1]


def test_its_threads_sleep_while_they_wait_and_the_environment_stays() -> None:
    assert "PASSIVE" in shown_policy()


def test_what_the_user_has_set_stands() -> None:
    assert "ACTIVE" in shown_policy(OMP_WAIT_POLICY="active")
