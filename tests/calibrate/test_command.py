"""``slmroute calibrate``: margins and features, files that are kept, and errors that name what was given."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from slmroute.calibrate import calibrate
from slmroute.calibrators import FittedCalibrator
from slmroute.cli import main
from slmroute.errors import ConfigError
from slmroute.outcomes import Outcome, append_outcome, read_outcomes


def with_margins(count: int = 400, *, known: bool = True, telling: bool = True) -> list[Outcome]:
    """Outcomes of which only the margins tell, or nothing."""
    dice = random.Random(1)  # noqa: S311  the same outcomes each time
    made: list[Outcome] = []
    for place in range(count):
        good = dice.random() < 0.85
        tokens = tuple(-abs(dice.gauss(0.2, 0.1)) for _ in range(5))
        margins = tuple(abs(dice.gauss(5 if good or not telling else 0.3, 0.2)) for _ in tokens)
        made.append(Outcome(str(place), f"s{place % 8}", "", good, tokens, margins if known else None, "m"))
    return made


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *map(str, arguments)])
    return int(ended.value.code or 0)


def written(path: Path, rows: list[Outcome]) -> Path:
    for one in rows:
        append_outcome(path, one)
    return path


def test_margins_are_taken_where_all_rows_have_them_and_they_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, to = written(tmp_path / "outcomes.jsonl", with_margins()), tmp_path / "calibrator.json"
    assert command(path, "--out", to) == 0
    assert "asks for the next likely token" in capsys.readouterr().out
    assert FittedCalibrator.load(to).needs_margins
    assert not calibrate(with_margins(known=False)).calibrator.needs_margins
    assert not calibrate(with_margins(telling=False)).calibrator.needs_margins


def test_features_are_chosen_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, to = written(tmp_path / "outcomes.jsonl", with_margins()), tmp_path / "calibrator.json"
    assert command(path, "--out", to, "--features", "mean, margin", "--json") == 0
    assert json.loads(capsys.readouterr().out)["features"] == ["margin", "mean"]
    assert FittedCalibrator.load(to).weights.keys() == {"mean", "margin"}
    assert command(path, "--out", to, "--features", "mean") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mood", "--features names 'mood', which is none of the features that there are: mean, window"),
        (",", "--features names none of the features"),
        ("margin", "--features names margin, and 400 of 400 outcomes have no 'margins'"),
    ],
)
def test_features_that_cannot_be_had_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    path = written(tmp_path / "outcomes.jsonl", with_margins(known=False))
    assert command(path, "--out", tmp_path / "calibrator.json", "--features", given) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ConfigError, match=r"calibrate\(features=\) names"):
        calibrate(read_outcomes(path), features=[given] if given != "," else [])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"correct": true, "confidence": 0.9}', r"a plain 'confidence' is not calibrated here.*Platt\.fit"),
        ('{"correct": true, "logprobs": [-1, -1], "margins": [2]}', "'margins' must be as long as 'logprobs', 2"),
    ],
)
def test_rows_that_it_cannot_take_are_told_what_can(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(ConfigError, match=said):
        read_outcomes(path)


def test_a_calibrator_with_a_threshold_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, to = written(tmp_path / "outcomes.jsonl", with_margins()), tmp_path / "keep.json"
    beside = tmp_path / "keep.no-threshold.json"
    assert command(path, "--out", to) == 0
    good = to.read_bytes()
    capsys.readouterr()
    assert command(path, "--out", to, "--target", "0.0005") == 1
    said = capsys.readouterr().out
    assert f"Written: {beside} beside {to}, which has a threshold and is left as it was" in said
    assert to.read_bytes() == good
    assert FittedCalibrator.load(beside).threshold is None
    assert command(path, "--out", to, "--target", "0.0005", "--json") == 1
    assert json.loads(capsys.readouterr().out)["out"] == str(beside)
    # One with a threshold takes its place, and so does one without where there is none.
    assert command(path, "--out", to, "--target", "0.04") == 0
    assert command(path, "--out", beside, "--target", "0.0005") == 1
    assert not (tmp_path / "keep.no-threshold.no-threshold.json").exists()


def test_a_target_out_of_reach_is_named_as_it_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "outcomes.jsonl", with_margins())
    assert command(path, "--out", tmp_path / "c.json", "--target", "1e-9") == 2
    told = capsys.readouterr().err
    assert "--target 1e-09 with --confidence 0.95 would take millions" in " ".join(told.split())
    assert "calibrate(" not in told


def test_no_prompts_to_run_are_told_before_a_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "answers.jsonl"
    empty.write_text("")
    assert command(tmp_path / "o.jsonl", "--run", empty, "--host", "http://127.0.0.1:9", "--model", "ollama:m") == 2
    assert f"--run {empty} holds no rows" in " ".join(capsys.readouterr().err.split()).replace(" /", "/").replace(
        "--run/", "--run /"
    )
