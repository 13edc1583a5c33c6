"""Benchmarks of routing: what they leave out, and what they say where there is too little to measure."""

from __future__ import annotations

import pytest

from benchmarks import drafts, routing
from slmroute.cases import Case
from slmroute.classify.training.rows import LabelledPrompt


def test_outcomes_of_prompts_that_were_fitted_on_are_left_out() -> None:
    fitted = [LabelledPrompt("Is this\npositive?", False, "a", "sentiment", "a", own=False)]
    cases = [Case("Is this positive? ", None, 0.0, 1.0), Case("Is this negative?", None, 0.0, 1.0)]
    assert routing.not_fitted_on(cases, fitted) == ([cases[1]], 1)


def test_too_few_drafts_for_a_calibrator_are_told_and_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLMROUTE_EVAL", raising=False)
    monkeypatch.setattr("sys.argv", ["benchmarks", "drafts", "--small-model", "2"])
    drafts.main()
    shown = capsys.readouterr().out
    assert "2 drafts of SmolLM2-135M" in shown
    assert "left out: give a larger --small-model." in shown
    assert "plain mean, served from 0.85 on" in shown
    assert "calibrated on other sources, served" not in shown
    assert "a draft passed on adds" in shown


def test_fewer_than_no_drafts_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "drafts", "--small-model", "-1"])
    with pytest.raises(SystemExit) as ended:
        drafts.main()
    assert ended.value.code == 2
    assert "--small-model -1" in capsys.readouterr().err
