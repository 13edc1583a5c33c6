"""What a threshold's promise is for: the outcomes' own mixture; and what is told of sources that were left out."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from slmroute import calibrate_threshold
from slmroute.calibrate import calibrate, fit, halves
from slmroute.cli import main
from slmroute.outcomes import Outcome, append_outcome


def mixture(each: int, seed: int, **right: float) -> list[Outcome]:
    """Outcomes of sources that are as sure of themselves, and right more or less often."""
    dice = random.Random(seed)  # noqa: S311  the same outcomes each time
    return [
        Outcome(
            f"{source}-{place}",
            source,
            "",
            dice.random() < share,
            tuple(-abs(dice.gauss(0, 0.1)) for _ in range(6)),
            None,
            "phi3:mini",
        )
        for source, share in right.items()
        for place in range(each)
    ]


def command(path: Path, rows: list[Outcome], *arguments: str) -> int:
    path.write_text("")
    for one in rows:
        append_outcome(path, one)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", str(path), "--out", str(path.with_suffix(".json")), *arguments])
    return int(ended.value.code or 0)


def test_no_threshold_is_promised_by_testing_on_an_easy_source_alone() -> None:
    # Of all answers a quarter is wrong, and no confidence tells which: whatever is served fails five times too often.
    for seed in range(4):
        found = calibrate(mixture(700, 0, faq=0.98, contracts=0.5), seed=seed, features=("mean",))
        assert found.tested is None
        assert found.calibrator.threshold is None


def test_the_promise_holds_for_the_outcomes_own_mixture_as_often_as_it_says() -> None:
    # 6.4% of the mixture are wrong whatever the confidence: a threshold is a broken promise, and 5 in 100 may be.
    given = 0
    for seed in range(100):
        rows = mixture(120, seed, a=0.99, b=0.99, c=0.97, d=0.95, e=0.78)
        fit_half, test_half = halves(rows, seed)
        fitted = fit(fit_half, "platt", ("mean",))
        given += calibrate_threshold.tested_threshold(fitted, fit_half, test_half, 0.05, 0.95) is not None
    assert given <= 5


def test_halves_are_dealt_by_rows_with_those_of_one_prompt_together() -> None:
    rows = mixture(300, 1, a=0.9, b=0.5, c=0.7)
    again = [replace(one, source="copy") for one in rows[:200]]
    one, other = halves([*rows, *again], 0)
    assert len(one) == len(other) == 550
    assert not {row.id for row in one} & {row.id for row in other}
    for source in "abc":
        assert 115 < sum(row.source == source for row in one) < 185
    assert halves(rows, 0) == halves(rows, 0) != halves(rows, 1)


def test_ids_that_are_places_within_few_prompts_do_not_hold_rows_together() -> None:
    rows = [replace(one, id=str(place % 4)) for place, one in enumerate(mixture(150, 1, a=0.9, b=0.5))]
    one, other = halves(rows, 0)
    assert len(one) == len(other) == 150
    assert {row.id for row in one} == {row.id for row in other}


def test_sources_that_would_break_the_promise_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outcomes.jsonl"
    rows = [*mixture(500, 1, faq=0.99, mail=0.99, chat=0.98), *mixture(30, 1, contracts=0.4)]
    page = tmp_path / "page.html"
    assert command(path, rows, "--features", "mean", "--page", str(page)) == 0
    assert "would have been broken for contracts, left out" in page.read_text(encoding="utf-8")
    said = capsys.readouterr().out
    assert "for answers mixed as these outcomes are" in said
    assert "Warning: for sources left out, the promise would have been broken by contracts (" in said
    assert "served wrong). It is for the mixture" in said
    worse = calibrate(rows, features=("mean",)).left_out.worse
    assert [one.source for one in worse] == ["contracts"]
    assert worse[0].failures / worse[0].served > 0.4
    assert command(path, rows[:1500], "--features", "mean") == 0
    assert "Warning" not in capsys.readouterr().out


def test_outcomes_that_are_in_no_figure_are_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Without contracts fewer than ten wrong answers remain: nothing can be fitted to judge contracts by.
    rows = mixture(300, 0, faq=0.99, contracts=0.5)
    found = calibrate(rows)
    assert found.left_out.judged == 300
    assert found.left_out.coverage[-1].answers == 300
    command(tmp_path / "outcomes.jsonl", rows)
    said = " ".join(capsys.readouterr().out.split())
    assert "300 of them judged with their sources left out" in said
    assert "In no figure above: 300 outcomes, as without their sources too few right or wrong" in said
    command(tmp_path / "outcomes.jsonl", rows, "--json")
    assert json.loads(capsys.readouterr().out)["left_out"]["judged"] == 300
    assert calibrate(mixture(300, 0, faq=0.9, contracts=0.5)).left_out.judged == 600
