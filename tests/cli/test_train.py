"""``slmroute train embedded`` fits weights that the classifier takes, the same ones each time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import slmroute.classify
from slmroute import EmbeddedClassifier, RouteRequest
from slmroute.classify.features import prompt_features
from slmroute.classify.training.left_out import Split, figures_of
from slmroute.train import prompts_of
from slmroute.tune_few_shot import Asked

SIMPLE = ["Which language is this? {}", "Is this review positive or negative? {}", "Extract the date from: {}"]
COMPLEX = ["Design a fault-tolerant scheduler for {} and prove it live.", "Write a villanelle about {}.", "Debug {}"]
THINGS = [
    "the parcel",
    "a lamp",
    "Guten Tag",
    "a lease of 2024",
    "three trains",
    "the old bridge",
    "a heron",
    "a clock",
]


def rows_of(source: str, most: int = 3) -> str:
    """Fill ``most`` instructions a tier with every thing; ``source`` may name the tier and the instruction's place."""
    rows = [
        {"prompt": text.format(thing), "tier": tier, "source": source.format(tier=tier, number=number)}
        for tier, texts in (("simple", SIMPLE), ("complex", COMPLEX))
        for number, text in enumerate(texts[:most])
        for thing in THINGS
    ]
    return "\n".join(json.dumps(row) for row in rows)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text(rows_of("house/{number}:part"))
    return path


def test_the_same_data_give_the_same_file_bit_for_bit(run, tmp_path: Path) -> None:
    prompts = Path(slmroute.classify.__file__).parent / "training" / "own_prompts.jsonl"
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    shown = run("train", "embedded", "--data", str(prompts), "--out", str(first), "--no-holdout")
    assert shown.code == 0, shown.err
    assert "threshold" in shown.out
    assert run("train", "embedded", "--data", str(prompts), "--out", str(second), "--no-holdout").code == 0
    assert first.read_bytes() == second.read_bytes()
    classifier = EmbeddedClassifier(first)
    scores = [classifier.score(RouteRequest.from_text(text)) for text in (SIMPLE[0], COMPLEX[0])]
    assert scores[0] < scores[1]


def test_the_report_as_json_has_the_figures_of_left_out_sources(run, prompts: Path, tmp_path: Path) -> None:
    shown = run("train", "embedded", "--data", str(prompts), "--out", str(tmp_path / "w.npz"), "--json")
    assert shown.code == 0, shown.err
    report = json.loads(shown.out)
    assert report["prompts"] == 48
    assert len(report["figures"]) == 3
    assert 0 <= report["mean"]["auc"] <= 1


def test_a_file_that_is_not_there_is_named(run, tmp_path: Path) -> None:
    shown = run("train", "embedded", "--data", str(tmp_path / "nothing.jsonl"))
    assert shown.code == 2
    assert "nothing.jsonl is not a file" in " ".join(shown.err.split())


def test_prompts_of_one_tier_only_are_refused(run, tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"prompt": "Debug this.", "tier": "complex", "source": "house/one:part"}))
    shown = run("train", "embedded", "--data", str(path), "--out", str(tmp_path / "w.npz"))
    assert shown.code == 2
    assert "one tier only" in " ".join(shown.err.split())


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f'{{"prompt": "a", "x": {"[" * 100_000}{"]" * 100_000}}}', "line 3 is not JSON"),
        (
            '{"prompt": "\\ud800", "tier": "simple", "source": "house/one:part"}',
            "line 3 holds half of a surrogate pair",
        ),
        ('{"prompt": "a", "tier": "simple"}', "line 3: 'source' must be a text"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_told_by_line(run, tmp_path: Path, row: str, said: str) -> None:
    path, good = tmp_path / "rows.jsonl", '{"prompt": "b", "tier": "simple", "source": "house/one:part"}'
    path.write_text(f"{good}\n\n{row}\n")
    shown = run("train", "embedded", "--data", str(path), "--out", str(tmp_path / "w.npz"))
    assert shown.code == 2
    assert said in " ".join(shown.err.split())


def test_a_byte_order_mark_and_huge_numbers_do_no_harm(prompts: Path) -> None:
    rows = [json.loads(line) for line in prompts.read_text().splitlines()]
    plain = prompts_of([prompts], 0)
    text = "\n".join(json.dumps({**row, "x": 10**400}) for row in rows)
    prompts.write_text(text, encoding="utf-8-sig")
    assert prompts_of([prompts], 0) == plain


def test_a_file_without_a_prompt_is_refused(run, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    shown = run("train", "embedded", "--data", str(tmp_path / "empty.jsonl"), "--out", str(tmp_path / "w.npz"))
    assert shown.code == 2
    assert "holds no prompt" in " ".join(shown.err.split())


def test_everyday_messages_are_fitted_on_apart(run, prompts: Path, tmp_path: Path) -> None:
    words = ["hello", "good morning", "thanks", "see you", "goodbye", "how are you"]
    names = ["Ann", "Ben", "Cy", "Dora", "Eve", "Finn", "Gus", "Hal"]
    rows = [
        {"prompt": f"{word} {name}", "tier": "simple", "source": f"house/chat{place % 3}:part", "category": "everyday"}
        for word in words
        for place, name in enumerate(names)
    ]
    chat = tmp_path / "chat.jsonl"
    chat.write_text("\n".join(json.dumps(row) for row in rows))
    out = tmp_path / "w.npz"
    shown = run("train", "embedded", "--data", str(prompts), "--data", str(chat), "--out", str(out), "--json")
    assert shown.code == 0, shown.err
    report = json.loads(shown.out)
    assert (report["prompts"], report["judged"]) == (96, 48)
    weights = EmbeddedClassifier(out)._loaded()
    assert weights.everyday is not None
    greeting, design = (
        weights.everyday.log_odds(prompt_features(text), None)
        for text in ("good morning Kim", COMPLEX[0].format("a kiln"))
    )
    assert greeting < 0 < design
    assert EmbeddedClassifier.of(weights).save(tmp_path / "again.npz").read_bytes() == out.read_bytes()


def test_what_ranks_the_wrong_way_round_when_left_out_is_refused_and_nothing_written(run, tmp_path: Path) -> None:
    # Each source has prompts of one tier and one wording: what is learnt of the others says the opposite of it.
    (tmp_path / "apart.jsonl").write_text(rows_of("house/{tier}{number}:part", most=2))
    out = tmp_path / "w.npz"
    shown = run("train", "embedded", "--data", str(tmp_path / "apart.jsonl"), "--out", str(out))
    assert shown.code == 2
    said = " ".join(shown.err.split())
    assert "wrong way round (AUC 0." in said
    assert "--own" in said
    assert not out.exists()


def test_left_out_log_odds_are_never_turned_round_by_their_labels() -> None:
    labels = np.array([False, True] * 30)
    logits = np.where(labels, -1.0, 1.0) + np.linspace(-0.2, 0.2, 60)
    split = Split(np.arange(60) % 3, logits, np.full(60, np.inf), np.zeros(60, dtype=bool))
    everything = np.ones(60, dtype=bool)
    found = figures_of(split, labels, np.full(60, 100), everything)
    assert found.auc == found.auc_short == 0.0
    assert found.ece > 0.4


def test_few_shot_scores_are_never_turned_round_by_their_labels() -> None:
    asked = Asked([0.9, 0.8, 0.7, 0.2, 0.1, 0.3] * 5, [False, False, False, True, True, True] * 5)
    assert asked.fitted().slope == 1
    assert asked.through(asked.fitted()).auc == asked.auc == 0.0
    right = Asked(asked.scores, [not label for label in asked.labels])
    assert right.fitted().slope > 0
    assert right.through(right.fitted()).auc == 1.0


def test_the_report_fits_a_terminal_of_eighty_columns(run, prompts: Path, tmp_path: Path) -> None:
    shown = run("train", "embedded", "--data", str(prompts), "--out", str(tmp_path / "w.npz"))
    assert shown.code == 0, shown.err
    figures = [
        line for line in shown.out.splitlines() if line.startswith(("  AUC", "  simple", "  complex", "  expected"))
    ]
    assert len(figures) == 7
    assert all(len(line) <= 80 for line in figures)
    assert all(len(line.split()[-1]) == 5 or line.endswith("-") for line in figures)
