"""Thresholds for traffic shares, costs and qualities; examples chosen for the few-shot classifier."""

from __future__ import annotations

import json
import math
import random
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.cases import Case
from slmroute.classify import FewShotClassifier
from slmroute.cli import main
from slmroute.config import router_arguments
from slmroute.errors import ConfigError
from slmroute.policy import Policy
from slmroute.testing import FakeServer, Reply
from slmroute.tier import Tier
from slmroute.tune import thresholds_for
from slmroute.tune_few_shot import tune_few_shot

TEXTS = [f"prompt number {place}" for place in range(1_000)]
SCORES = [random.Random(place).random() for place in range(1_000)]  # noqa: S311  the same scores each time
PRICES = [(Decimal(0), Decimal(0)), (Decimal(1), Decimal(2)), (Decimal(10), Decimal(20))]


def test_thresholds_give_the_shares() -> None:
    found = thresholds_for(TEXTS, SCORES, shares=(50, 30, 20))
    assert found.seen.shares == pytest.approx((0.5, 0.3, 0.2), abs=0.002)
    assert found.unseen.shares == pytest.approx((0.5, 0.3, 0.2), abs=0.05)
    assert found.met
    tiers = [Tier(name, f"ollama:{name}") for name in ("micro", "mid", "frontier")]
    policy = Policy.build(tiers, thresholds=found.thresholds)
    places = [policy.names.index(policy.tier_for(score).name) for score in SCORES]
    assert [places.count(place) / 1_000 for place in range(3)] == list(found.seen.shares)


@given(
    st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]), min_size=20, max_size=60),
    st.lists(st.integers(0, 100), min_size=2, max_size=4).filter(any),
)
def test_thresholds_are_always_fit_for_a_router(scores: list[float], shares: list[int]) -> None:
    found = thresholds_for([str(place) for place in range(len(scores))], scores, shares=shares)
    assert len(found.thresholds) == len(shares) - 1
    assert all(0 <= threshold <= 1 for threshold in found.thresholds)
    assert list(found.thresholds) == sorted(set(found.thresholds))
    assert sum(found.seen.shares) == pytest.approx(1)


def test_equal_scores_stay_together_and_that_is_told() -> None:
    found = thresholds_for(TEXTS, [0.5] * 1_000, shares=(50, 50))
    assert sorted(found.seen.shares) == [0, 1]
    assert not found.met


def test_a_cost_is_kept_and_used_up() -> None:
    found = thresholds_for(TEXTS, SCORES, shares=(50, 30, 20), prices=PRICES, cost_per_thousand=1)
    assert found.seen.cost_per_thousand is not None
    assert 0.95 < found.seen.cost_per_thousand <= 1
    assert found.unseen.cost_per_thousand == pytest.approx(1, rel=0.1)
    dearer = thresholds_for(TEXTS, SCORES, shares=(50, 30, 20), prices=PRICES, cost_per_thousand=3)
    assert dearer.seen.shares[-1] > found.seen.shares[-1]
    whole = thresholds_for(TEXTS, SCORES, shares=(50, 30, 20), prices=PRICES, cost_per_thousand=1_000)
    assert whole.seen.shares == (0, 0, 1)


def test_whether_other_prompts_reach_the_target_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told: set[bool] = set()
    for seed in range(30):
        dice = random.Random(seed)  # noqa: S311  the same each time
        texts, scores = [f"{seed} {place}" for place in range(40)], [dice.random() for _ in range(40)]
        qualities = [[float(dice.random() > score), float(dice.random() > 0.1)] for score in scores]
        found = thresholds_for(texts, scores, quality=0.97, qualities=qualities)
        assert found.met
        assert found.unseen.of_last is not None
        assert found.met_unseen == (found.unseen.of_last >= 0.97)
        told.add(found.met_unseen)
        cheap = thresholds_for(texts, scores, prices=PRICES, cost_per_thousand=2)
        assert cheap.unseen.cost_per_thousand is not None
        assert cheap.met_unseen == (cheap.unseen.cost_per_thousand <= 2)
    assert told == {True, False}
    data = tmp_path / "outcomes.jsonl"
    rows = [
        {"prompt": text, "weak_score": weak, "strong_score": strong}
        for text, (weak, strong) in zip(TEXTS[:60], [(int(place % 3 == 0), 1) for place in range(60)], strict=True)
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit, match="0"):
        main(["tune", "thresholds", str(data), "--quality", "0.9", "--json"])
    missed = not json.loads(capsys.readouterr().out)["met_unseen"]
    with pytest.raises(SystemExit, match="0"):
        main(["tune", "thresholds", str(data), "--quality", "0.9"])
    assert ("these miss the target (--quality 0.9)" in " ".join(capsys.readouterr().out.split())) == missed


def test_a_quality_is_reached_at_the_least_cost() -> None:
    # The weak model is good exactly where the score is low.
    qualities = [[float(score < 0.6), 1.0] for score in SCORES]
    found = thresholds_for(TEXTS, SCORES, quality=0.95, qualities=qualities)
    assert found.seen.of_last == pytest.approx(0.95, abs=0.01)
    assert found.seen.shares[0] == pytest.approx(0.65, abs=0.03)
    assert found.unseen.of_last == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shares": (50, 50), "prices": PRICES}, "2 and 3"),
        ({"shares": (100,)}, "two tiers or more"),
        ({"shares": (-1, 2)}, "zero or more"),
        ({"shares": (0, 0)}, "zero or more"),
        ({"cost_per_thousand": 1}, r"cheapest first: give prices=\.$"),
        ({"quality": 0.9}, r"give qualities=\.$"),
        ({"quality": 0.9, "cost_per_thousand": 1}, "not both"),
        ({"quality": 2.0, "qualities": [[0.5, 1.0]] * 1_000}, "give a share, for example quality=0.95"),
        ({"prices": [(Decimal(5), Decimal(5)), (Decimal(9), Decimal(9))], "cost_per_thousand": 0.01}, "cheapest tier"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        thresholds_for(TEXTS, SCORES, **settings)


def test_a_handful_of_prompts_is_refused() -> None:
    with pytest.raises(ConfigError, match="20 or more"):
        thresholds_for(TEXTS[:3], SCORES[:3], shares=(50, 50))


# --- examples for the few-shot classifier ---


def cases(count: int = 120) -> list[Case]:
    """Prompts of which the complex ones speak of zebras: a model that has seen one of those can tell."""
    return [
        Case(f"{'zebra' if place % 2 else 'horse'} {place}", bool(place % 2), None, None, f"kind-{place % 6}")
        for place in range(count)
    ]


def learns(body: Mapping[str, object]) -> Reply:
    """Knows what a zebra is where an example has shown one, and else guesses by the text's length."""
    messages = cast("list[dict[str, str]]", body["messages"])
    request, shown = messages[-1]["content"], "".join(message["content"] for message in messages[:-1])
    guess = 0.4 + 0.01 * (len(request) % 7)
    chance = guess if "zebra" not in shown else 0.7 if "zebra" in request else 0.2
    label = "complex" if chance > 0.5 else "simple"
    return Reply(label, logprobs=[{"complex": math.log(chance), "simple": math.log(0.95 - chance)}])


def test_examples_that_help_are_chosen_and_reported_on_others() -> None:
    told: list[tuple[int, int]] = []
    with FakeServer({"phi3:mini": learns}) as server:
        found = tune_few_shot(
            cases(), "phi3:mini", host=server.url, sets=2, asked=lambda done, total: told.append((done, total))
        )
    assert found.own
    assert found.before.auc is not None
    assert found.before.auc < 0.8
    assert found.after.auc == 1
    assert found.after.accuracy == 1
    assert found.tried[0] < 0.8 < found.tried[1]
    assert found.chosen_on + found.reported_on == 90
    assert {example.complex for example in found.examples} == {True, False}
    assert told[-1][0] == told[-1][1]
    assert "zebra" not in repr(found)
    assert "zebra" not in json.dumps(found.to_json())


def test_examples_that_do_not_help_are_not_taken() -> None:
    always = Reply("simple", logprobs=[{"simple": math.log(0.6), "complex": math.log(0.3)}])
    with FakeServer({"phi3:mini": always}) as server:
        found = tune_few_shot(cases(), "phi3:mini", host=server.url, sets=1)
    assert not found.own
    assert found.after == found.calibrated
    assert "examples" not in tomllib.loads(found.to_toml())["classifier"]


def test_answers_that_cannot_be_used_are_counted() -> None:
    def now_and_then(body: Mapping[str, object]) -> Reply:
        request = cast("list[dict[str, str]]", body["messages"])[-1]["content"]
        return Reply("Well, I think") if "horse 1" in request else learns(body)

    with FakeServer({"phi3:mini": now_and_then}) as server:
        found = tune_few_shot(cases(), "phi3:mini", host=server.url, sets=1)
    assert found.after.unsure > 0


@pytest.mark.parametrize(
    ("some", "settings", "said"),
    [
        (cases(10), {}, "there are 5 simple and 5 complex"),
        ([case for case in cases(400) if case.complex], {}, "0 simple and 200 complex"),
        (cases(), {"examples": 7}, "6, 8 or 10"),
        (cases(), {"sets": 0}, "sets=0"),
    ],
)
def test_too_few_prompts_and_wrong_settings_are_refused(some: list[Case], settings: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tune_few_shot(some, "phi3:mini", **settings)


# --- the commands ---


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["tune", *arguments])
    return int(ended.value.code or 0)


def written(path: Path, some: list[Case]) -> Path:
    rows = [
        {"prompt": case.text, "tier": "complex" if case.complex else "simple", "weak_score": 0.5, "strong_score": 1}
        for case in some
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_the_command_for_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "prompts.jsonl", cases())
    prices = ("--price", "0/0", "--price", "1/2", "--price", "10/20")
    assert command("thresholds", str(path), "--shares", "50,30,20", *prices, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["thresholds"]) == 2
    assert found["seen"]["cost_per_thousand"] > 0
    assert command("thresholds", str(path), "--quality", "0.8") == 0
    assert "thresholds = [" in capsys.readouterr().out
    assert command("thresholds", str(path), "--shares", "100,0,0") == 0
    printed = re.search(r"thresholds = \[(.+?), (.+?)\]", capsys.readouterr().out)
    assert printed is not None
    assert float(printed[1]) < float(printed[2]) <= 1
    assert command("thresholds", str(path), "--shares", "100/0/0") == 0
    assert printed[0] in capsys.readouterr().out
    assert command("thresholds", str(path), "--shares", "a,b") == 2
    assert "for example 50,30,20" in capsys.readouterr().err
    assert command("thresholds", str(path), "--price", "5") == 2
    assert "INPUT/OUTPUT" in capsys.readouterr().err


def test_the_command_for_examples_writes_a_table_for_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, to = written(tmp_path / "prompts.jsonl", cases()), tmp_path / "few-shot.toml"
    with FakeServer({"phi3:mini": learns}) as server:
        settings = ("--model", "ollama:phi3:mini", "--host", server.url, "--sets", "1", "--out", str(to))
        assert command("few-shot", str(path), *settings) == 0
        assert "100% right without any fine-tuning" in capsys.readouterr().out
        tiers = "".join(f'[[tiers]]\nname = "{name}"\nmodel = "ollama:{name}"\n' for name in ("small", "big"))
        config = tmp_path / "slmroute.toml"
        config.write_text(f"{to.read_text(encoding='utf-8')}\n{tiers}", encoding="utf-8")
        classifier = router_arguments(config)["classifier"]
        assert isinstance(classifier, FewShotClassifier)
        assert classifier.host == server.url
        from slmroute.request import RouteRequest

        classifier.warm_up()
        assert classifier.score(RouteRequest.from_text("zebra 1000")) > 0.9
        assert classifier.score(RouteRequest.from_text("horse 1000")) < 0.1
