"""Thresholds that keep a promise, refusals that say what is missing, recording outcomes, and the command."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from slmroute.calibrate import calibrate
from slmroute.calibrators import FittedCalibrator
from slmroute.cli import main
from slmroute.errors import ConfigError, ModelMissing, ServerUnreachable
from slmroute.outcomes import (
    KnownAnswer,
    Outcome,
    append_outcome,
    is_right,
    read_known_answers,
    read_outcomes,
    run_model,
    sampled,
)
from slmroute.risk import answers_needed, safe_threshold, upper_bound
from slmroute.testing import FakeServer, Reply


def outcomes(count: int, *, right: float = 0.75, apart: float = 12.0, seed: int = 1) -> list[Outcome]:
    """Outcomes of 12 sources; the larger ``apart`` is, the more the tokens tell."""
    dice = random.Random(seed)  # noqa: S311  the same outcomes each time
    made: list[Outcome] = []
    for place in range(count):
        good = dice.random() < right
        tokens = tuple(-dice.expovariate(apart if good else 1.2) for _ in range(dice.randint(2, 30)))
        made.append(Outcome(str(place), f"source-{place % 12}", "qa", good, tokens, None, "phi3:mini"))
    return made


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_the_bound_is_clopper_and_pearsons(counts: tuple[int, int], confidence: float) -> None:
    failures, answers = counts
    expected = 1.0 if failures == answers else stats.beta.ppf(confidence, failures + 1, answers - failures)
    assert upper_bound(failures, answers, confidence) == pytest.approx(expected, abs=1e-9)


def test_it_takes_59_answers_without_a_failure_to_show_5_percent() -> None:
    assert answers_needed(0.05, 0.95) == 59
    assert (answers_needed(0.05, 0.95, 0.02) or 0) > 150
    assert answers_needed(0.05, 0.95, 0.05) is None


def test_the_lowest_threshold_that_passes_is_taken_and_ties_are_served_together() -> None:
    scores = [0.9] * 100 + [0.8] * 100 + [0.7] * 100
    correct = [True] * 200 + [False] * 100
    found = safe_threshold(scores, correct, [0.9, 0.8, 0.7], target=0.05, confidence=0.95)
    assert found is not None
    assert (found.threshold, found.served, found.failures) == (0.8, 200, 0)
    assert found.bound == pytest.approx(1 - 0.05 ** (1 / 200))
    assert safe_threshold(scores, correct, [0.75, 0.7], target=0.01, confidence=0.95) is None
    assert safe_threshold([], [], [0.5], target=0.05, confidence=0.95) is None


def test_the_promise_is_kept_as_often_as_it_says() -> None:
    # 400 tests at 90% on answers whose failure rate at each threshold is known: 40 may break the promise, and chance.
    dice = random.Random(5)  # noqa: S311  the same answers each time
    broken = 0
    for _ in range(400):
        scores = [dice.random() for _ in range(150)]
        correct = [dice.random() < 0.8 + 0.2 * score for score in scores]
        found = safe_threshold(
            scores, correct, [place / 20 for place in range(19, -1, -1)], target=0.1, confidence=0.9, starts=(8, 14)
        )
        if found is not None:
            # Served scores are uniform from the threshold on, so they fail at 0.2 * (1 - their mean).
            broken += 0.2 * (1 - (1 + found.threshold) / 2) > 0.1 + 1e-12
    assert broken <= 60


def test_a_threshold_is_found_and_holds_on_sources_left_out() -> None:
    found = calibrate(outcomes(600))
    assert found.tested is not None
    assert found.tested.bound <= 0.05
    assert found.calibrator.threshold == found.tested.threshold
    assert found.left_out.by == "sources"
    assert found.left_out.served > 300
    assert found.left_out.failures / found.left_out.served < 0.05
    assert found.left_out.ece is not None
    assert found.left_out.ece < (found.left_out.ece_plain or 0)
    assert found.calibrator.confidence().threshold == found.tested.threshold
    # The promise was tested on whole answers: an opening that looks well says little of what follows.
    assert found.calibrator.confidence().stream == "whole"
    assert found.calibrator.confidence(stream="first_tokens").stream == "first_tokens"
    shares = [one.share for one in found.left_out.coverage]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert found.left_out.coverage[0].accuracy > found.left_out.coverage[-1].accuracy
    assert calibrate(outcomes(600)) == found


def test_outcomes_of_one_source_are_split_by_rows() -> None:
    rows = [Outcome(one.id, "", "", one.correct, one.logprobs) for one in outcomes(300)]
    assert calibrate(rows).left_out.by == "rows"


def test_sources_that_are_all_right_or_all_wrong_are_split_by_turns() -> None:
    rows = [Outcome(one.id, "easy" if one.correct else "hard", "", one.correct, one.logprobs) for one in outcomes(300)]
    assert calibrate(rows).tested_on == 150


def test_where_too_few_are_labelled_for_a_low_target_none_of_them_wrong_it_says_how_many() -> None:
    found = calibrate(outcomes(500, apart=40, seed=3), target=0.001)
    assert found.missing is not None
    assert found.missing > (answers_needed(0.001, 0.95) or 0) > 0
    assert f"label about {found.missing} more" in found.advice


def test_where_labels_are_missing_it_says_how_many() -> None:
    found = calibrate(outcomes(120))
    assert found.tested is None
    assert found.calibrator.threshold is None
    assert found.missing is not None
    assert str(found.missing) in found.advice
    enough = calibrate(outcomes(120 + 2 * found.missing))
    assert enough.tested is not None


def test_where_more_labels_do_not_help_it_says_so() -> None:
    found = calibrate(outcomes(400, right=0.5, apart=1.2))
    assert found.tested is None
    assert found.missing is None
    assert "will not help" in found.advice


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "40 more in all, 20 more that are right, 20 more that are wrong"),
        (outcomes(3), "37 more in all"),
        (outcomes(100, right=1.0), "20 more that are wrong"),
        (outcomes(100, right=0.0), "20 more that are right"),
    ],
)
def test_too_few_outcomes_are_refused_with_what_it_takes(rows: list[Outcome], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        calibrate(rows)
    assert "118 outcomes or more" in str(caught.value)


def test_all_answers_equally_sure_is_no_error() -> None:
    rows = [Outcome(str(place), f"s{place % 4}", "", place % 5 > 0, (-0.5,)) for place in range(200)]
    found = calibrate(rows)
    assert found.tested is None
    assert found.left_out.auc == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("settings", [{"target": 0.0}, {"target": 1.0}, {"confidence": 1.0}, {"confidence": -1}])
def test_wrong_settings_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        calibrate(outcomes(100), **settings)


def test_models_are_not_mixed() -> None:
    rows = outcomes(100)
    mixed = [*rows, Outcome("x", "s", "", True, (-0.1,), None, "other")]
    with pytest.raises(ConfigError, match="2 models"):
        calibrate(mixed)


# --- grading ---


def known(answer: str, *labels: str) -> KnownAnswer:
    return KnownAnswer("1", "s", "c", "?", answer, labels)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (known("positive", "positive", "negative"), "The review is Positive."),
        (known("not equivalent", "equivalent", "not equivalent"), "They are not equivalent."),
        (known("Echinoids"), "It is the echinoids!"),
        (known("B"), "B. The bread"),
        (known("B"), "The correct answer is (B)"),
        (known("15% - 30%"), "15%-30%"),
    ],
)
def test_right_answers_are_right_in_whatever_words(answer: KnownAnswer, reply: str) -> None:
    assert is_right(reply, answer)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (known("positive", "positive", "negative"), "negative, not positive"),
        (known("positive", "positive", "negative"), "positive or negative"),
        (known("equivalent", "equivalent", "not equivalent"), "They are not equivalent."),
        (known("ant"), "elephant"),
        (known("A"), "A college dorm"),
        (known("A"), "B"),
        (known("yes"), ""),
        (known("?!"), "?!"),
    ],
)
def test_wrong_answers_are_wrong(answer: KnownAnswer, reply: str) -> None:
    assert not is_right(reply, answer)


# --- recording outcomes ---


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    rows = [
        {"id": f"{source}-{place}", "source": source, "category": "sentiment", "prompt": f"{place}?", "answer": answer}
        for source in ("one", "other")
        for place, answer in enumerate(["yes", "no"] * 5)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_few_answers_of_a_source_are_its_labels(answers: Path) -> None:
    read = read_known_answers(answers)
    assert len(read) == 20
    assert set(read[0].labels) == {"yes", "no"}
    assert "yes" not in repr(read[0])
    taken = sampled(read, 7)
    assert len(taken) == 7
    assert {one.source for one in taken} == {"one", "other"}
    assert taken == sampled(read, 7)
    assert len(sampled(read, None)) == 20


def test_a_model_is_run_and_its_outcomes_are_kept(answers: Path, tmp_path: Path) -> None:
    reply = Reply("Yes.", logprobs=[{"Yes": math.log(0.8), "No": math.log(0.1)}, {".": math.log(0.9)}])
    path, read = tmp_path / "outcomes.jsonl", read_known_answers(answers)
    with FakeServer({"phi3:mini": reply}) as server:
        made = run_model(read, "phi3:mini", host=server.url, done=lambda one: append_outcome(path, one))
        with pytest.raises(ModelMissing):
            run_model(read, "nothing", host=server.url)
    assert [one.correct for one in made[:2]] == [True, False]
    assert made[0].logprobs[0] == pytest.approx(math.log(0.8))
    again = read_outcomes(path)
    assert [(one.id, one.correct, one.source) for one in again] == [(one.id, one.correct, one.source) for one in made]
    assert again[0].logprobs == pytest.approx(made[0].logprobs, abs=1e-4)
    assert '"Yes' not in path.read_text()


def test_a_server_without_log_probabilities_or_without_answers_is_told(answers: Path) -> None:
    read = read_known_answers(answers)
    with FakeServer({"phi3:mini": Reply("Yes.", logprobs=None)}) as server:
        with pytest.raises(ConfigError, match="no log-probabilities"):
            run_model(read, "phi3:mini", host=server.url)
        url = server.url
    with pytest.raises(ServerUnreachable):
        run_model(read, "phi3:mini", host=url)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"correct": 2, "logprobs": [-1]}', "'correct' must be true or false"),
        ('{"logprobs": [-1]}', "'correct' is missing"),
        ('{"correct": true}', "'logprobs' is missing"),
        ('{"correct": true, "logprobs": []}', "'logprobs' must be"),
        ('{"correct": true, "logprobs": [0.5]}', "none of them above 0"),
        ('{"correct": true, "logprobs": ["a"]}', "a list of numbers"),
        ('{"correct": true, "logprobs": [-1], "source": 3}', "'source' must be a string"),
    ],
)
def test_wrong_rows_are_told_by_file_line_and_field(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text(f'{{"correct": true, "logprobs": [-0.1]}}\n\n{row}\n')
    with pytest.raises(ConfigError, match=f"line 3.*{said}"):
        read_outcomes(path)


# --- the command ---


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", *arguments])
    return int(ended.value.code or 0)


def test_the_command_writes_the_calibrator_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, to = tmp_path / "outcomes.jsonl", tmp_path / "calibrator.json"
    for one in outcomes(600):
        append_outcome(path, one)
    assert command(str(path), "--out", str(to), "--page", str(tmp_path / "page.html"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] == FittedCalibrator.load(to).threshold
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Reliability" in page
    assert "<svg" in page
    assert command(str(path), "--out", str(to), "--page", str(tmp_path / "page.png")) == 0
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "Serve answers from" in capsys.readouterr().out


def test_the_command_ends_with_1_where_no_threshold_keeps_the_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, to = tmp_path / "outcomes.jsonl", tmp_path / "calibrator.json"
    for one in outcomes(100):
        append_outcome(path, one)
    assert command(str(path), "--out", str(to)) == 1
    assert "label about" in capsys.readouterr().out
    assert FittedCalibrator.load(to).threshold is None
    path.write_text("")
    assert command(str(path), "--out", str(to)) == 2
    assert "too few" in capsys.readouterr().err


def test_the_command_runs_a_model_and_goes_on_where_it_left_off(
    answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Reply("Yes.", logprobs=[{"Yes": math.log(0.8), "No": math.log(0.1)}])
    path = tmp_path / "outcomes.jsonl"
    with FakeServer({"phi3:mini": reply}) as server:
        run = ("--run", str(answers), "--model", "ollama:phi3:mini", "--host", server.url)
        assert command(str(path), *run, "--limit", "6", "--out", str(tmp_path / "c.json")) == 2
        assert len(read_outcomes(path)) == 6
        assert command(str(path), *run, "--out", str(tmp_path / "c.json")) == 2
        assert len(read_outcomes(path)) == 20
    assert "too few to calibrate" in capsys.readouterr().err
    assert command(str(path), "--run", str(answers), "--model", "openai:gpt-4.1") == 2
    assert "ollama:NAME" in capsys.readouterr().err
