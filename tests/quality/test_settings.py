"""Settings of ``evaluate`` and ``tune`` that make no sense, and pictures that cannot be written, are told first."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slmroute.cases import Case
from slmroute.cli import main
from slmroute.errors import ConfigError
from slmroute.evaluate import Costs, evaluate
from slmroute.tune import thresholds_for

CASES = [Case(f"prompt {place}", bool(place % 2), None, None) for place in range(30)]
SCORES = [place / 30 for place in range(30)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": case.text, "tier": "complex" if case.complex else "simple"} for case in CASES]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert not shown.out
    return " ".join(shown.err.split())


def accepted(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_that_is_no_number_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], threshold: float
) -> None:
    with pytest.raises(ConfigError, match="threshold"):
        evaluate(CASES, "x", SCORES, threshold=threshold)
    assert "--threshold" in refused(capsys, "evaluate", "--data", str(data), "--threshold", str(threshold))


@pytest.mark.parametrize("threshold", [3.0, -0.1])
def test_a_threshold_that_no_probability_passes_is_refused_and_other_scores_may_have_any(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], threshold: float
) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        evaluate(CASES, "x", SCORES, threshold=threshold)
    told = refused(capsys, "evaluate", "--data", str(data), f"--threshold={threshold}")
    assert f"--threshold {threshold:g} must be from 0 to 1" in told
    rows = [json.loads(line) | {"points": 5 * place} for place, line in enumerate(data.read_text().splitlines())]
    scored = tmp_path / "scored.jsonl"
    scored.write_text("\n".join(json.dumps(row) for row in rows))
    shown = accepted(
        capsys, "evaluate", "--data", str(scored), "--score", "points", f"--threshold={threshold}", "--json"
    )
    assert json.loads(shown)["classifiers"][0]["name"] == "points"


@pytest.mark.parametrize("shares", ["50,50,50", "5/3/2", "0,0", "50,-50,100"])
def test_shares_that_do_not_add_up_to_all_of_the_traffic_are_refused(
    data: Path, capsys: pytest.CaptureFixture[str], shares: str
) -> None:
    assert "for example 50,30,20" in refused(capsys, "tune", "thresholds", str(data), "--shares", shares)


@pytest.mark.parametrize("shares", ["33,33,33", "0.5,0.3,0.2", "50/30/20"])
def test_shares_may_be_percentages_or_parts_of_one(data: Path, capsys: pytest.CaptureFixture[str], shares: str) -> None:
    assert "thresholds = [" in accepted(capsys, "tune", "thresholds", str(data), "--shares", shares)


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity"])
def test_what_is_no_price_is_refused(data: Path, capsys: pytest.CaptureFixture[str], price: str) -> None:
    good, bad = Decimal(1), Decimal(price)
    with pytest.raises(ConfigError, match="weak_output"):
        Costs(good, bad, good, good)
    with pytest.raises(ConfigError, match="prices must be zero or more"):
        thresholds_for([case.text for case in CASES], SCORES, prices=[(good, good), (bad, good)], cost_per_thousand=1)
    prices = (f"--weak-price={price}/1", "--strong-price=2/8")
    assert f"--weak-price '{price}/1'" in refused(capsys, "evaluate", "--data", str(data), *prices)
    assert "--price" in refused(capsys, "tune", "thresholds", str(data), "--cost", "1", f"--price={price}/1")


@pytest.mark.parametrize("shares", [(math.nan, 1.0), (math.inf, 1.0)])
def test_shares_that_are_no_numbers_are_refused(shares: Any) -> None:
    with pytest.raises(ConfigError, match="zero or more each"):
        thresholds_for([case.text for case in CASES], SCORES, shares=shares)


@pytest.mark.parametrize(
    ("plots", "said"),
    [
        ("nowhere/page.html", "make its folder first"),
        ("page.svg", "a page that ends in .html"),
        ("quality.png", "a page that ends in .html"),
        ("taken", "a page that ends in .html"),
        ("taken/pictures", "taken is a file"),
    ],
)
def test_pictures_that_cannot_be_written_are_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plots: str, said: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    # No prompts are there to work on: what is said of the pictures comes first.
    told = refused(capsys, "evaluate", "--data", str(tmp_path / "none.jsonl"), "--plots", str(tmp_path / plots))
    assert "--plots" in told
    assert said in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_for_pictures_is_not_made_before_there_are_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "of" / "may"
    told = refused(capsys, "evaluate", "--data", str(tmp_path / "none.jsonl"), "--plots", str(pictures))
    assert "none.jsonl cannot be read" in told
    assert not list(tmp_path.iterdir())


def test_two_targets_at_once_are_refused_and_both_are_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "tune", "thresholds", str(data), "--shares", "50,50", "--quality", "0.9")
    assert "--shares 50,50 and --quality 0.9" in told
    prices = ("--price", "1/1", "--price", "2/8")
    told = refused(capsys, "tune", "thresholds", str(data), "--cost", "1", "--shares", "50,50", *prices)
    assert "--shares 50,50 and --cost 1" in told


@pytest.mark.parametrize("arguments", [("--quality", "-1"), ("--quality", "0"), ("--cost=-1", "--price=1/1")])
def test_a_target_of_nothing_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    told = refused(capsys, "tune", "thresholds", str(data), *arguments)
    assert "must be above zero" in told
    assert arguments[0].partition("=")[0] in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit", "5"), "--limit 5 must be 40 or more"),
        (("--limit", "-5"), "--limit -5 must be 40 or more"),
        (("--examples", "7"), "--examples 7 must be 6, 8 or 10"),
        (("--model", "openai:gpt-4.1"), "--model openai:gpt-4.1: the few-shot classifier asks a model on Ollama"),
    ],
)
def test_settings_of_few_shot_tuning_are_named_as_they_were_given(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert refused(capsys, "tune", "few-shot", str(data), *arguments).startswith(f"error: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "2"), "--target 2 must be above 0"),
        (("--confidence", "1"), "--confidence 1 must be above 0"),
        (("--page", "page.pdf"), "--page page.pdf must end in .html"),
        (("--limit", "5"), "--limit is for a model that is run"),
        (("--model", "ollama:phi3:mini"), "--model is for a model that is run"),
        (("--run", "none.jsonl"), "--run none.jsonl is not a file"),
    ],
)
def test_settings_of_calibrate_are_named_as_they_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    # No outcomes are there to work on: what is said of the setting comes first.
    out = tmp_path / "calibrator.json"
    told = refused(capsys, "calibrate", str(tmp_path / "outcomes.jsonl"), "--out", str(out), *arguments)
    assert said in told
    assert not out.exists()


def test_a_classifier_and_a_grade_are_named_as_they_were_given(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("evaluate", "--data", str(data)), ("tune", "thresholds", str(data))):
        assert "--classifier nosuch is no file" in refused(capsys, *command, "--classifier", "nosuch")
    assert "--grade huge must be one of light, best" in refused(
        capsys, "train", "embedded", "--data", str(data), "--grade", "huge", "--out", str(tmp_path / "own.npz")
    )
    nowhere = tmp_path / "nowhere"
    out = ("--out", str(tmp_path / "prompts.jsonl"))
    assert "nowhere is not a folder" in refused(capsys, "train", "sources", "--mirror", str(nowhere), *out)
    assert "no clone of" not in refused(capsys, "train", "sources", "--mirror", str(tmp_path), *out)


def test_a_file_of_objects_is_no_weights_file_and_nothing_is_said_of_pickles(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, meta=np.array([{}], dtype=object))
    told = refused(capsys, "evaluate", "--data", str(data), "--classifier", str(path))
    assert "is not a weights file" in told
    assert "pickle" not in told


def test_headings_are_whole_in_a_narrow_terminal(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = accepted(capsys, "evaluate", "--data", str(data), "--rounds", "10")
    assert "…" not in shown
    assert all(name in shown for name in ("stayed", "right", "ECE", "µs", "cascadeflow"))


def test_thresholds_without_a_target_are_told_to_be_for_equal_shares(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = accepted(capsys, "tune", "thresholds", str(data))
    assert "equal shares, as none of --shares, --cost, --quality was given" in " ".join(shown.split())
    assert "equal shares" in json.loads(accepted(capsys, "tune", "thresholds", str(data), "--json"))["target"]
    assert "with none given, for equal shares" in " ".join(accepted(capsys, "tune", "thresholds", "--help").split())
    shown = accepted(capsys, "tune", "thresholds", str(data), "--shares", "60,40")
    assert "--shares 60,40" in shown
    assert "equal shares" not in shown


def test_a_cost_without_prices_names_the_option(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "tune", "thresholds", str(data), "--cost", "1")
    assert "--cost 1 needs what the tiers cost: give --price" in told
    assert "prices=" not in told
