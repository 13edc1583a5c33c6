"""Figures of merit against what they are by definition, and the command that prints them."""

from __future__ import annotations

import json
import random
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from slmroute.baselines import baselines
from slmroute.cases import Case
from slmroute.cli import main
from slmroute.cli.evaluate import note_on_fit
from slmroute.errors import ConfigError
from slmroute.evaluate import Costs, Evaluation, evaluate
from slmroute.evaluate_charts import quality_figure, reliability_figure
from slmroute.evaluate_tables import described, without_a_gap
from slmroute.metrics import area, bootstrap, calibration_error, kept_below, quality_curve, reliability

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]) | st.floats(0, 1), st.booleans()), min_size=2)


@given(PAIRS)
def test_the_area_is_scikit_learns(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([one[0] for one in pairs]), np.array([one[1] for one in pairs])
    found = area(scores, labels)
    if labels.all() or not labels.any():
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(labels, scores))


def test_calibration_error_is_the_mean_distance_from_the_diagonal() -> None:
    scores, labels = np.array([0.05, 0.05, 0.85, 0.85]), np.array([False, False, True, False])
    assert [one.count for one in reliability(scores, labels)] == [2, 2]
    assert calibration_error(scores, labels) == pytest.approx((0.05 + 0.35) / 2)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_what_stays_local_at_a_recall() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    labels = np.array([False, False, False, True, True, True])
    assert kept_below(scores, labels, 0.95) == 1
    assert kept_below(scores[::-1].copy(), labels, 0.95) == 0
    assert kept_below(scores, np.ones(6, dtype=bool), 0.95) is None
    # A router that scores nearly all alike cannot keep any of those without losing complex ones.
    tied = np.array([0.0] + [0.5] * 99)
    assert kept_below(tied, np.arange(100) % 2 == 1, 0.95) == pytest.approx(1 / 50)


def test_a_perfect_router_recovers_the_gap_with_the_calls_that_need_it() -> None:
    weak, strong = np.array([1.0] * 8 + [0.0] * 2), np.ones(10)
    right = quality_curve(np.arange(10) / 10, weak, strong)
    assert (right.weak, right.strong) == (0.8, 1)
    assert right.cpt(0.5) == pytest.approx(0.1)
    assert right.cpt(0.8) == pytest.approx(0.2)
    assert right.saved_at(1.0) == pytest.approx(0.8)
    assert right.apgr == pytest.approx(0.9)
    wrong = quality_curve(-np.arange(10) / 10, weak, strong)
    assert wrong.apgr == pytest.approx(0.1)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_a_router_without_a_clue_recovers_half(outcomes: list[tuple[bool, bool]]) -> None:
    weak, strong = (np.array([float(one[side]) for one in outcomes]) for side in (0, 1))
    found = quality_curve(np.zeros(len(outcomes)), weak, strong)
    if strong.mean() > weak.mean():
        assert found.apgr == pytest.approx(0.5)
    else:
        assert found.apgr is None
        assert found.cpt(0.5) is None


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    dice, held = np.random.default_rng(0), 0
    for place in range(60):
        values = dice.normal(1.0, 1.0, 80)
        found = bootstrap(lambda rows, values=values: float(values[rows].mean()), 80, rounds=100, seed=place)
        assert found is not None
        held += found.low <= 1.0 <= found.high
    assert 48 <= held <= 60
    assert bootstrap(lambda rows: None, 5) is None


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Prompts with tiers and outcomes: the weak model fails at half of the complex ones."""
    dice = random.Random(3)  # noqa: S311  the same prompts each time
    path, rows = tmp_path / "prompts.jsonl", list[dict[str, object]]()
    for place in range(80):
        hard = place % 2 == 1
        text = f"Prove that {place} is no prime." if hard else f"Is this positive or negative? 'Nice {place}'"
        weak = float(not hard or dice.random() < 0.5)
        rows.append(
            {
                "prompt": text if place % 4 < 2 else f"{text}\n\n{'It rained. ' * 150}",
                "tier": "complex" if hard else "simple",
                "category": "proof" if hard else "sentiment",
                "weak_score": weak,
                "strong_score": 1.0,
                "other": 0.9 if hard else 0.2,
            }
        )
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    return int(ended.value.code or 0)


def test_the_command_measures_beside_chance_length_and_a_peer(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = ("--weak-price", "0.05/0.08", "--strong-price", "2/8")
    assert command("--data", str(data), "-c", "light", "--score", "other", *prices, "--rounds", "20", "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["classifiers"]}
    assert set(found) == {"light", "other", "random", "length", "cascadeflow"}
    assert found["cascadeflow"]["tiers"]["threshold"] == 0.4
    assert found["cascadeflow"]["tiers"]["auc"]["value"] > found["random"]["tiers"]["auc"]["value"]
    assert found["other"]["tiers"]["auc"]["value"] == 1
    assert found["light"]["tiers"]["auc"]["value"] > 0.9
    assert found["light"]["outcomes"]["apgr"]["value"] > found["random"]["outcomes"]["apgr"]["value"]
    assert found["light"]["tiers"]["cells"]["proof"]["short"][1] == 20
    assert found["light"]["tiers"]["auc"]["low"] <= found["light"]["tiers"]["auc"]["value"]
    curve, band = found["light"]["outcomes"]["curve"], found["light"]["outcomes"]["band"]
    assert all(low - 0.05 <= quality <= high + 0.05 for (_, quality), (low, high) in zip(curve, band, strict=True))
    cost = float(found["light"]["cost_per_thousand"])
    assert 0 < cost < float(found["light"]["strong_cost_per_thousand"])


def test_a_peers_rules_are_left_out_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.name for one in baselines()] == ["random", "length", "cascadeflow"]
    monkeypatch.setattr("slmroute.baselines.find_spec", lambda name: None)
    assert [one.name for one in baselines()] == ["random", "length"]


def test_the_command_draws_pictures_and_tables(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--data", str(data), "--rounds", "20", "--cells", "--plots", str(tmp_path / "page.html")) == 0
    shown = capsys.readouterr().out
    assert "APGR" in shown
    assert "sentiment" in shown
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2
    # What the terminal shows stands on the page, too, and nothing that has no figure.
    for name in ("went up", "stayed", "µs", "APGR", "at 99%", "Right by category and length", "sentiment"):
        assert name in page
    assert "80 prompts with known tiers and recorded outcomes." in page
    assert "Not checked: whether light was fitted on any of these prompts." in page
    assert "Not checked: whether light was fitted on any of these prompts." in shown
    assert command("--data", str(data), "--rounds", "20", "--plots", str(tmp_path / "pictures")) == 0
    for name in ("quality", "reliability"):
        assert (tmp_path / "pictures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def only(data: Path, to: Path, *names: str) -> str:
    """Copy the rows with no more than some of their fields."""
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    to.write_text("\n".join(json.dumps({name: row[name] for name in ("prompt", *names)}) for row in rows), "utf-8")
    return str(to)


def test_a_page_has_no_columns_without_figures(data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    outcomes = only(data, tmp_path / "outcomes.jsonl", "weak_score", "strong_score")
    assert command("--data", outcomes, "--rounds", "10", "--plots", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    assert "80 prompts with recorded outcomes." in text
    assert "labelled" not in text
    assert text.count("<table>") == 1
    assert ">AUC<" not in text
    tiers = only(data, tmp_path / "tiers.jsonl", "tier", "other")
    assert command("--data", tiers, "--score", "other", "--rounds", "10", "--plots", str(page)) == 0
    text = page.read_text(encoding="utf-8")
    assert "80 prompts with known tiers." in text
    assert "Not checked" not in text
    assert ">AUC<" in text
    assert ">APGR<" not in text
    assert all("-" not in cells for cells in columns_of(text))


def columns_of(page: str) -> list[set[str]]:
    """What stands in each column of figures of a page's tables."""
    found: list[set[str]] = []
    for table in re.findall(r"<tbody>(.*?)</tbody>", page):
        rows = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("</tr>") if row]
        found += [{*cells} - {"-"} or {"-"} for cells in zip(*rows, strict=True)]
    return found


def test_prompts_of_both_kinds_are_counted_apart() -> None:
    tiered, judged = Case("a", True, None, None), Case("b", None, 0.0, 1.0)
    assert described([tiered] * 1200 + [judged]) == (
        "1,201 prompts, 1,200 with known tiers and 1 with recorded outcomes."
    )


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ((), "whether light was fitted"),
        (("-c", "light", "--score", "other"), "SOURCES.md in slmroute/classify/training"),
        (("--score", "other"), None),
    ],
)
def test_figures_of_weights_come_with_a_note_on_what_they_were_fitted_on(
    data: Path, capsys: pytest.CaptureFixture[str], named: tuple[str, ...], told: str | None
) -> None:
    assert command("--data", str(data), "--rounds", "10", "--json", *named) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert len(notes) == (told is not None)
    assert told is None or told in notes[0]


def test_ones_own_weights_have_no_list_of_sources_and_models_that_are_asked_no_note() -> None:
    assert note_on_fit(["ollama:phi3:mini"]) == []
    (note,) = note_on_fit(["own.npz", "ollama:phi3:mini"])
    assert "own.npz was fitted" in note
    assert "SOURCES.md" not in note


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"tier": "simple"}', "'prompt' must be a text"),
        ('{"prompt": "x", "tier": "odd"}', "'simple' or 'complex'"),
        ('{"prompt": "x"}', "give 'tier', or both"),
        ('{"prompt": "x", "weak_score": 1}', "give 'tier', or both"),
        ("", "holds no row"),
    ],
)
def test_wrong_rows_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str, said: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(row)
    assert command("--data", str(path)) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_wrong_prices_and_scores_are_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--data", str(data), "--weak-price", "1/2") == 2
    assert command("--data", str(data), "--weak-price", "1", "--strong-price", "2/8") == 2
    assert command("--data", str(data), "--score", "nothing") == 2
    assert "have no number in the field" in capsys.readouterr().err
    for price in ("1e999/2", "1/1e10"):
        assert command("--data", str(data), "--weak-price", price, "--strong-price", "2/8") == 2
        assert "from zero to 1,000,000,000 each" in " ".join(capsys.readouterr().err.split())


def evaluated(*, weak: list[float], strong: list[float], costs: Costs | None = None) -> list[Evaluation]:
    """Two routers by known outcomes: one that knows them and one that has no clue."""
    cases = [
        Case(f"Question {place}", place % 2 == 1, one, other)
        for place, (one, other) in enumerate(zip(weak, strong, strict=True))
    ]
    knowing = [0.1 + 0.8 * (one < other) for one, other in zip(weak, strong, strict=True)]
    return [
        evaluate(cases, name, scores, costs=costs, rounds=10)
        for name, scores in (("knowing", knowing), ("clueless", [0.5] * len(cases)))
    ]


def test_a_page_tells_why_there_is_no_gap_to_recover() -> None:
    worse = evaluated(weak=[1.0] * 10, strong=[1.0] * 8 + [0.0] * 2)
    assert without_a_gap(worse) == [
        "No APGR and CPT: the strong model (mean quality 0.80) is no better than the weak one (1.00) on these prompts, "
        "so there is no gap to recover."
    ]
    assert not without_a_gap(evaluated(weak=[0.0] * 5 + [1.0] * 5, strong=[1.0] * 10))


def test_the_command_tells_why_columns_are_missing(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    data.write_text("\n".join(json.dumps({**row, "strong_score": 0.0}) for row in rows), encoding="utf-8")
    assert command("--data", str(data), "--rounds", "10") == 0
    shown = capsys.readouterr().out
    assert "APGR " not in shown.split("No APGR")[0]
    assert "No APGR and CPT: the strong model (mean quality 0.00)" in shown


def test_a_picture_has_an_interval_for_each_router_asked_for_and_no_dollars_without_prices() -> None:
    found = evaluated(weak=[0.0] * 5 + [1.0] * 5, strong=[1.0] * 10)
    for banded in (1, 2):
        figure = quality_figure(found, banded=banded, quality="tasks done well")
        assert figure is not None
        (axes,) = figure.axes
        assert len(axes.collections) == banded
        assert axes.get_ylabel() == "tasks done well"
    assert not any("$" in mark for mark in marks(found))


def test_where_there_are_prices_the_cost_stands_below_each_share() -> None:
    costs = Costs(Decimal(0), Decimal("0.4"), Decimal(0), Decimal(8))
    found = evaluated(weak=[0.0] * 5 + [1.0] * 5, strong=[1.0] * 10, costs=costs)
    assert (found[0].weak_cost_per_thousand, found[0].strong_cost_per_thousand) == (Decimal("0.1"), Decimal(2))
    assert marks(found)[0] == "0%\n\\$0.10"
    assert marks(found)[-1] == "100%\n\\$2.00"
    free = evaluated(weak=[0.0] * 5 + [1.0] * 5, strong=[1.0] * 10, costs=Costs(*[Decimal(0)] * 4))
    assert not any("$" in mark for mark in marks(free))


def marks(found: list[Evaluation]) -> list[str]:
    """What stands at the marks below a picture of cost against quality."""
    figure = quality_figure(found)
    assert figure is not None
    figure.draw_without_rendering()
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_dots_of_the_reliability_diagram_grow_with_their_prompts_and_the_first_ones_are_counted() -> None:
    cases = [Case(f"Question {place}", place >= 30, None, None) for place in range(40)]
    found = [evaluate(cases, name, [0.05] * 30 + [0.95] * 10, rounds=10) for name in ("one", "other")]
    figure = reliability_figure(found)
    assert figure is not None
    (axes,) = figure.axes
    few, many = sorted(axes.collections[0].get_sizes())
    assert many > 2 * few
    assert sorted(text.get_text() for text in axes.texts) == ["10", "30"]


def test_prices_beyond_all_measure_are_refused_in_code() -> None:
    with pytest.raises(ConfigError, match=r"Costs\(weak_input=1e\+999\) is over 1,000,000,000 dollars"):
        Costs(Decimal("1e999"), Decimal(2), Decimal(2), Decimal(8))
