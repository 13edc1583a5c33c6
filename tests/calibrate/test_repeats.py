"""Rows that stand twice are one answer, prompts without an id are known by their words, and models are kept apart."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from slmroute.calibrate import calibrate
from slmroute.calibrators import FittedCalibrator
from slmroute.cli import main
from slmroute.errors import ConfigError
from slmroute.outcomes import Outcome, append_outcome, distinct, read_known_answers, read_outcomes
from slmroute.testing import FakeServer, Reply


def outcomes(count: int) -> list[Outcome]:
    """Outcomes of 12 sources whose tokens tell right from wrong."""
    dice = random.Random(1)  # noqa: S311  the same outcomes each time
    made: list[Outcome] = []
    for place in range(count):
        good = dice.random() < 0.75
        tokens = tuple(-dice.expovariate(12.0 if good else 1.2) for _ in range(dice.randint(2, 30)))
        made.append(Outcome(str(place), f"source-{place % 12}", "qa", good, tokens, None, "phi3:mini"))
    return made


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *arguments])
    return int(ended.value.code or 0)


def written(path: Path, rows: list[Outcome]) -> Path:
    for one in rows:
        append_outcome(path, one)
    return path


# --- repeated outcomes ---


@pytest.mark.parametrize("named", [True, False])
def test_copies_of_outcomes_give_no_better_promise(named: bool) -> None:
    once = [one if named else replace(one, id="") for one in outcomes(120)]
    copied, found = calibrate([one for one in once for _ in range(20)]), calibrate(once)
    assert (copied.outcomes, copied.repeated) == (120, 120 * 19)
    assert copied.tested is None
    assert replace(copied, repeated=0) == found


def test_outcomes_are_the_same_by_id_within_a_source_else_by_what_they_are() -> None:
    one = Outcome("1", "s", "", True, (-0.1,), None, "m")
    again = replace(one, correct=False, logprobs=(-0.2,))
    nameless = replace(one, id="")
    apart = [replace(one, id="2"), replace(one, source="t"), replace(one, model="n")]
    unlike = [replace(nameless, correct=False), replace(nameless, logprobs=(-0.2,)), replace(nameless, margins=(1.0,))]
    assert distinct([one, again, *apart, nameless, nameless, *unlike]) == [one, *apart, nameless, *unlike]


def test_few_outcomes_copied_often_are_too_few_and_it_is_said_why() -> None:
    with pytest.raises(ConfigError, match=r"30 outcomes without 570 that repeat others.*an id of its own"):
        calibrate(outcomes(30) * 20)


def test_the_command_says_how_many_rows_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, to = tmp_path / "outcomes.jsonl", tmp_path / "calibrator.json"
    written(path, [*outcomes(600), *outcomes(25)])
    assert command(str(path), "--out", str(to), "--json") == 0
    assert json.loads(capsys.readouterr().out)["repeated"] == 25
    assert command(str(path), "--out", str(to)) == 0
    said = capsys.readouterr().out
    assert "25 rows repeating others" in said
    # What is to be written then has the threshold, and shows a stream once it is whole.
    assert f"escalation=FittedCalibrator.load('{to}').confidence()" in said


def test_nothing_to_use_is_named_where_no_threshold_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, to = written(tmp_path / "outcomes.jsonl", outcomes(100)), tmp_path / "calibrator.json"
    assert command(str(path), "--out", str(to)) == 1
    said = capsys.readouterr().out
    assert "without a threshold" in said
    assert "Confidence(" not in said
    assert FittedCalibrator.load(to).threshold is None


def test_a_target_that_takes_millions_of_answers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"target=1e-09.*millions of labelled answers"):
        calibrate(outcomes(100), target=1e-9)


# --- running a model ---

REPLY = Reply("Yes.", logprobs=[{"Yes": math.log(0.8), "No": math.log(0.1)}])


def answers(path: Path, *prompts: str) -> Path:
    rows = [{"prompt": prompt, "answer": "yes"} for prompt in prompts]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_prompts_without_an_id_are_known_by_what_they_say(tmp_path: Path) -> None:
    first, second = answers(tmp_path / "a.jsonl", "1?", "2?", "2?"), answers(tmp_path / "b.jsonl", "3?", "2?", "4?")
    path, to = tmp_path / "outcomes.jsonl", str(tmp_path / "c.json")
    assert len(read_known_answers(first)) == 2
    with FakeServer({"phi3:mini": REPLY}) as server:
        for file in (first, second):
            command(str(path), "--run", str(file), "--model", "ollama:phi3:mini", "--host", server.url, "--out", to)
    made = read_outcomes(path)
    assert len(made) == len(distinct(made)) == 4
    assert "2?" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("model", "said"), [("phi3:mini", "'phi3:mini'"), ("", "do not say of which model")])
def test_outcomes_of_another_model_are_not_added_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, said: str
) -> None:
    path = written(tmp_path / "outcomes.jsonl", [replace(one, model=model) for one in outcomes(3)])
    before = path.read_text(encoding="utf-8")
    prompts = answers(tmp_path / "a.jsonl", "1?")
    with FakeServer({"other": REPLY}) as server:
        run = ("--run", str(prompts), "--model", "ollama:other", "--host", server.url)
        assert command(str(path), *run, "--out", str(tmp_path / "c.json")) == 2
        assert not server.calls("other")
    told = " ".join(capsys.readouterr().err.split())
    assert said in told
    assert "name another file" in told
    assert path.read_text(encoding="utf-8") == before
