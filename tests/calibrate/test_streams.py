"""Fitted calibrators and streams: hopeless drafts are broken off where that was tested or asked for."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slmroute import calibrate_threshold, risk
from slmroute.calibrate import calibrate
from slmroute.calibrators import FittedCalibrator
from slmroute.config import router_arguments
from slmroute.errors import ConfigError
from slmroute.gate import Chunk, Gate
from slmroute.outcomes import Outcome
from slmroute.policy import Confidence
from slmroute.request import RouteRequest
from slmroute.steps import Call
from slmroute.tier import Tier


def drafts(count: int, tokens: int = 40, *, weak: int = 0, spread: float = 0.8) -> list[Outcome]:
    """Outcomes whose tokens tell; right answers begin with so many weak tokens, and end all the surer."""
    dice = random.Random(1)  # noqa: S311  the same outcomes each time
    made: list[Outcome] = []
    for place in range(count):
        good = dice.random() < 0.75
        scale = math.exp(dice.gauss(math.log(0.06 if good else 0.8), spread))
        sure = [-dice.expovariate(1 / scale) for _ in range(tokens)]
        begins = [-2.0 + dice.random() / 10 for _ in range(weak)] if good else []
        logprobs = (*begins, *sure[len(begins) :])
        made.append(Outcome(str(place), f"source-{place % 12}", "", good, logprobs, None, "phi3:mini"))
    return made


FITTED = calibrate(drafts(600), features=("mean",)).calibrator
HOPELESS, SURE = -3.0, -0.01


def judge(_request: object, _answer: object) -> float:
    return 1.0


def verdict(escalation: Confidence, logprob: float, request: RouteRequest | None = None) -> tuple[str, int]:
    """What becomes of a stream of 60 such tokens, and after how many."""
    call = Call(Tier("small", "ollama:small"), hold=True)
    gate, found, place = Gate(call, request or RouteRequest(text="hello"), escalation), "hold", 0
    for place in range(1, 61):  # noqa: B007  told below
        found = gate.feed(Chunk(None, "word ", (logprob,)))
        if found != "hold":
            break
    return found, place


def test_a_hopeless_draft_is_broken_off_where_that_was_tested() -> None:
    assert FITTED.threshold is not None
    assert FITTED.abort_below == pytest.approx(min(0.3, FITTED.threshold))
    escalation = FITTED.confidence()
    assert (escalation.stream, escalation.abort_below) == ("whole", FITTED.abort_below)
    assert verdict(escalation, HOPELESS) == ("abort", 16)
    # A sure beginning is no promise of the rest: what is not hopeless is held until it is whole.
    assert verdict(escalation, SURE) == ("hold", 60)
    assert verdict(escalation, HOPELESS, RouteRequest(text="x", forced_tool=True)) == ("hold", 60)


def test_without_a_test_nothing_is_broken_off_unless_it_is_asked_for() -> None:
    short = replace(FITTED, abort_below=None)
    assert verdict(short.confidence(), HOPELESS) == ("hold", 60)
    assert verdict(short.confidence(abort_below=0.2), HOPELESS) == ("abort", 16)
    assert verdict(short.confidence(abort_below=0.2, first_tokens=4), HOPELESS) == ("abort", 4)
    assert verdict(FITTED.confidence(abort_below=0.0), HOPELESS) == ("hold", 60)
    assert verdict(Confidence(0.85, stream="whole", abort_below=0.3), HOPELESS) == ("abort", 16)
    assert verdict(Confidence(0.85, stream="whole"), HOPELESS) == ("hold", 60)
    assert verdict(FITTED.confidence(stream="first_tokens"), SURE) == ("commit", 16)


def test_only_answers_long_enough_test_it() -> None:
    found = calibrate(drafts(600, tokens=15), features=("mean",))
    assert found.tested is not None
    assert found.calibrator.abort_below is None


def test_it_is_left_alone_where_it_would_lose_what_is_served() -> None:
    found = calibrate(drafts(600, tokens=200, weak=16, spread=0.1), features=("mean",))
    assert found.tested is not None
    assert found.left_out.aborted > 0.5
    assert found.calibrator.abort_below is None


def test_it_is_left_alone_where_the_promise_would_not_pass_with_it() -> None:
    # All as sure on the whole; the weak ones begin hopelessly. Breaking them off leaves fewer right ones beside as many
    # wrong ones, which is one too many.
    fitted = FittedCalibrator("platt", {"mean": 4.0}, 5.0)
    even, weak = (-0.8,) * 40, (-1.99,) * 16 + (0.0,) * 24

    def half(wrong: int, weak_ones: int) -> list[Outcome]:
        return [
            Outcome(str(place), "", "", place >= wrong, weak if place >= 1000 - weak_ones else even)
            for place in range(1000)
        ]

    def tested(wrong: int) -> risk.Tested | None:
        return calibrate_threshold.tested_threshold(fitted, half(0, 0), half(wrong, 0), 0.05, 0.95)

    most = max(wrong for wrong in range(60) if tested(wrong) is not None)
    for wrong, weak_ones, below in ((most, 0, 0.3), (most, 45, None), (most // 2, 45, 0.3), (most // 2, 60, None)):
        found = tested(wrong)
        assert found is not None
        rows = half(wrong, weak_ones)
        assert calibrate_threshold.tested_abort(fitted, half(0, 0), rows, found, 0.05, 0.95) == below


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"judge": judge}, r"judge=.*Confidence\(threshold, judge="),
        ({"first_tokens": 8}, r"first_tokens=8.*comes to nothing.*abort_below="),
        ({"abort_below": 1.0}, "must not be over threshold"),
    ],
)
def test_a_setting_that_would_come_to_nothing_is_an_error(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        FITTED.confidence(**settings)


def test_a_judge_sees_whole_answers_so_none_is_broken_off() -> None:
    with pytest.raises(ConfigError, match=r"abort_below=0\.2.*leave abort_below= or judge= out"):
        Confidence(0.85, judge=judge, abort_below=0.2)


def test_files_hold_it_and_older_ones_do_without(tmp_path: Path) -> None:
    path = FITTED.save(tmp_path / "calibrator.json")
    assert FittedCalibrator.load(path) == FITTED
    tiers = "".join(f'[[tiers]]\nname = "{name}"\nmodel = "ollama:{name}"\n' for name in ("small", "big"))
    config = tmp_path / "slmroute.toml"
    config.write_text(f'[escalation]\ncalibrator = "calibrator.json"\n{tiers}')
    assert router_arguments(config)["escalation"] == FITTED.confidence()
    content = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "abort_below"}))
    assert FittedCalibrator.load(path) == replace(FITTED, abort_below=None)
    for wrong in ({"abort_below": 1.5}, {"abort_below": "x"}, {"threshold": None}):
        path.write_text(json.dumps(content | wrong))
        with pytest.raises(ConfigError, match="is no calibrator"):
            FittedCalibrator.load(path)
