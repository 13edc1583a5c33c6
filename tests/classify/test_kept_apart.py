"""Prompts that evaluations use are not among those that are fitted on."""

from __future__ import annotations

from slmroute.classify.training.harvest import is_kept_apart, kept_apart


def test_they_are_known_however_they_are_spaced() -> None:
    assert len(kept_apart()) > 40
    assert all(len(digest) == 12 and set(digest) <= set("0123456789abcdef") for digest in kept_apart())
    known = "How did US states get their names?"
    assert is_kept_apart(known) == is_kept_apart("  how did us states\n get their names ?")
    assert is_kept_apart(known)
    assert not is_kept_apart("How did the counties of Norway get their names?")
