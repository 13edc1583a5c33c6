"""Benchmarks of routing: what they leave out, and what they say where there is too little to measure."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from benchmarks import _small_model, _steering, drafts, everyday, routing
from slmroute.attacks import DOWN, UP
from slmroute.cases import Case
from slmroute.classify.training.rows import LabelledPrompt
from slmroute.confidence import GeometricMean
from slmroute.evaluate import Costs
from slmroute.outcomes import Outcome


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


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[LabelledPrompt], str]]:
    """The benchmark of routing without what takes long; gives the prompts of its tables, and what is said of them."""
    judged: list[tuple[list[LabelledPrompt], str]] = []

    def noted(console: object, prompts: list[LabelledPrompt], found: object, title: str, *rest: object, **more: object):
        judged.append((prompts, title))
        return {}

    for name in ("steering", "latency"):
        monkeypatch.setattr(routing, name, lambda found: None)
    monkeypatch.setattr(routing, "grades", lambda wanted: {})
    monkeypatch.setattr(routing, "with_sources_left_out", noted)
    monkeypatch.setenv("SLMROUTE_EVAL", "")
    return judged


def test_without_data_it_says_what_is_missing_and_what_own_prompts_are(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    brief: list[tuple[list[LabelledPrompt], str]],
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "routing"])
    routing.main()
    shown = capsys.readouterr().out
    assert "make evaluate DATA=FOLDER" in shown
    assert "SLMROUTE_EVAL" in shown
    assert "Missing are the tables of every classifier" in shown
    ((prompts, title),) = brief
    assert all(prompt.own for prompt in prompts)
    assert "own prompts of the project, whole kinds of task left out" in title
    assert "no figure for new sources" in title


def test_a_folder_without_outcomes_or_more_public_prompts_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    brief: list[tuple[list[LabelledPrompt], str]],
) -> None:
    rows = [{"prompt": f"Task {place}", "tier": "simple", "source": "a/b:c"} for place in range(3)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["benchmarks", "routing", "--data", str(tmp_path)])
    routing.main()
    assert "holds no outcomes_*.jsonl" in capsys.readouterr().out
    ((_, title),) = brief
    assert "There is no public.jsonl" in title


def test_fresh_phrases_are_two_each_way_in_17_languages_and_stand_in_three_places() -> None:
    read = tomllib.loads(_steering.PHRASES.read_text(encoding="utf-8"))
    for way in ("up", "down"):
        assert len(read[way]) == 17
        assert all(len(phrases) == 2 for phrases in read[way].values())
    for attack in _steering.attacks():
        assert len(set(attack.phrases)) == 34
        assert not set(attack.phrases) & {*UP, *DOWN}
    attack = _steering.Attack(True, ("Up!",), ("a", "b", "c"))
    assert attack.tries(["a", "b", "c"]) == [("Up!", "Up!\na"), ("Up!", "b\nUp!"), ("Up!", "Up! c")]


class Gullible:
    """A classifier that believes one phrase, and else sends up what is long."""

    threshold = 0.5

    def score_many(self, texts: list[str]) -> np.ndarray:
        return np.array([float("Up!" in text or len(text) > 20) for text in texts])


def test_attempts_are_counted_on_the_prompts_that_stand_on_the_other_side() -> None:
    attack = _steering.Attack(True, ("Up!", "Hm."), ("short", "small", "a long one, which goes up already"))
    assert _steering.told(Gullible(), attack) == (  # pyright: ignore[reportArgumentType]
        "up: 50.0% of 4 attempts (2 phrases, 2 of 3 prompts that stand on the other side); worst 100%, 'Up!'"
    )


def test_a_chain_is_measured_where_the_first_is_unsure_too() -> None:
    cases = [Case(f"Task {place}", place > 2, None, None) for place in range(6)]
    unseen = {case.text: score for case, score in zip(cases, (0.0, 0.04, 0.2, 0.6, 0.96, 1.0), strict=True)}
    assert _small_model.unsure(cases, unseen) == cases[2:4]


def draft(number: int, *logprobs: float, right: bool) -> drafts.Draft:
    tokens = tuple((f"word{place} ", logprob) for place, logprob in enumerate(logprobs))
    return drafts.Draft("Why?", tokens, Outcome(str(number), "a", "", right, logprobs))


def test_what_is_lost_by_committing_and_by_breaking_off_is_set_against_whole_answers() -> None:
    sure, poor = -0.01, -3.0
    made = [
        draft(0, *[sure] * 40, right=True),  # committed, and served whole
        draft(1, *[sure] * 16, *[poor] * 40, right=False),  # committed, though its rest is doubtful
        draft(2, *[poor] * 16, *[sure] * 400, right=True),  # broken off, though its rest is sure
        draft(3, *[poor] * 20, right=False),  # broken off, and no loss
    ]
    head, whole, abort, commit = drafts.told("plain mean", made, [GeometricMean()] * 4, 0.85)
    assert head == "plain mean, served from 0.85 on: abort 2 (1 right), commit 2 (1 right)"
    assert whole == "  judged whole, 2 of 4 would be served (2 right)"
    assert abort.endswith("of the 2 broken off 1 would have been served (1 right)")
    assert commit == "  of the 2 committed after their first tokens 1 would have escalated at their end (0 right)"


def test_counts_of_the_tests_lists_are_those_on_either_side_of_the_threshold() -> None:
    few = everyday.Prompts("a list", ["short", "this is long enough for it"], ["x", "as long as it has to be"])
    assert everyday.counted(Gullible(), few) == "1 of 2 stay, 1 of 2 go up"  # pyright: ignore[reportArgumentType]
    assert everyday.counted(Gullible(), everyday.Prompts("a list", ["short"])) == "1 of 1 stay"  # pyright: ignore[reportArgumentType]
    assert all(one.simple for one in everyday.lists())


def test_the_picture_of_tiers_says_what_is_assumed_and_has_both_grades_intervals_and_dollars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Figure] = []

    def kept(figure: Figure) -> bytes:
        made.append(figure)
        return b""

    monkeypatch.setattr(routing, "png", kept)
    cases = [Case(f"Task {place}", place > 4, float(place <= 4), 1.0) for place in range(10)]
    scores = {grade: [place / 10 for place in range(10)] for grade in ("light", "best")}
    costs = Costs(Decimal("0.05"), Decimal("0.08"), Decimal(2), Decimal(8))
    routing.drawn(tmp_path / "new" / "tiers.png", cases, scores, costs, routing.TASKS_DONE)
    (axes,) = made[0].axes
    assert axes.get_ylabel() == "tasks done well, if the weak\nmodel does the simple ones only"
    assert len(axes.collections) == 2
    assert [line.get_label() for line in axes.lines][:3] == ["light", "best", "random"]
    assert "cost of a thousand calls" in axes.get_xlabel()


def test_a_price_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLMROUTE_EVAL", "")
    monkeypatch.setattr("sys.argv", ["benchmarks", "routing", "--weak-price", "1/2"])
    with pytest.raises(SystemExit):
        routing.arguments()
    assert "--strong-price" in capsys.readouterr().err


class NoServer:
    """Stands in for a server whose model is never asked."""

    url, model = "http://127.0.0.1:1", "tiny"

    def __init__(self, **settings: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *caught: object) -> None:
        pass


def test_every_classifier_is_in_the_tables_with_the_small_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [Case(f"Task {place}", place % 2 == 1, None, None, f"kind {place % 4}") for place in range(40)]
    certain = [float(bool(case.complex)) for case in cases]
    light = {case.text: 0.2 + 0.6 * score if place < 20 else score
             for place, (case, score) in enumerate(zip(cases, certain, strict=True))}  # fmt: skip
    raw = {case.text: (place % 7 + 1) / 9 for place, case in enumerate(cases)}
    asked: list[str] = []

    def scored(sample: list[Case], url: str, model: str) -> tuple[dict[str, float], float, float]:
        asked.extend(case.text for case in sample)
        return raw, 600.0, 2500.0

    monkeypatch.setattr(_small_model, "small_model", scored)
    monkeypatch.setattr("slmroute.local.LocalServer", NoServer)
    _small_model.with_small_model(Console(width=150), cases, {"light": light, "best": light}, 20)
    out = capsys.readouterr().out
    rows, shown = [line.split()[0] for line in out.splitlines() if line.strip()], " ".join(out.split())
    assert len(asked) == len(set(asked))
    for name in ("few-shot", "light", "best", "random", "length"):
        assert rows.count(name) == 2, name
    assert rows.count("chain") == 2 * len(_small_model.BANDS)
    assert "of all categories alike: every classifier" in shown
    assert "that the light grade scores from 0.05 to 0.95: every classifier" in shown
    assert "600 ms with its prompt's beginning reused; to read that beginning" in shown
    assert "2500 ms" in shown
