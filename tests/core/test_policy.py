"""Policies and tiers are checked when they are made, and say what would be right."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError, UnknownTier
from slmroute.policy import Confidence, Policy, default_thresholds
from slmroute.request import RouteRequest
from slmroute.steps import Answer
from slmroute.tier import Tier
from slmroute.validate import FAULTS

SMALL = Tier("small", "ollama:phi3:mini", local=True, input_price="0.05", output_price="0.08")
MID = Tier("mid", "ollama:llama3.1:8b", local=True)
FRONTIER = Tier("frontier", "openai:gpt-4.1", input_price=2, output_price=8)


def build(*tiers: Tier, **settings: Any) -> Policy:
    return Policy.build(tiers or (SMALL, FRONTIER), **settings)


def test_the_defaults() -> None:
    policy = build()
    assert policy.thresholds == (0.5,)
    assert policy.default_tier == "frontier"
    assert policy.validate == FAULTS
    assert policy.failover
    assert policy.escalation is None
    assert policy.judge is None
    assert build(classifier_threshold=0.4).thresholds == (0.4,)
    assert build(validate=False).validate == frozenset()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.2}, r"threshold=1\.2 must be a number from 0 to 1"),
        ({"threshold": "0.5"}, "threshold='0.5' must be a number"),
        ({"threshold": True}, "threshold=True must be a number"),
        ({"threshold": float("nan")}, "threshold=nan must be a number"),
        ({"threshold": 0.5, "thresholds": [0.5]}, "not both"),
        ({"thresholds": [1.2]}, r"^thresholds=\[1\.2\] must be numbers from 0 to 1, for example \[0\.5\]"),
        ({"thresholds": [True]}, r"^thresholds=\[True\] must be numbers from 0 to 1"),
        ({"thresholds": ["0.5"]}, r"^thresholds=\['0\.5'\] must be numbers from 0 to 1"),
        ({"thresholds": [0.3, 0.6]}, r"must have 1 number for 2 tiers.*\[0\.5\]"),
        ({"thresholds": "0.5"}, r"thresholds='0\.5' must be a list of numbers, for example"),
        ({"thresholds": 0.5}, r"thresholds=0\.5 must be a list of numbers"),
        ({"thresholds": []}, "must have 1 number for 2 tiers"),
        ({"default_tier": "fronteir"}, "default_tier='fronteir' is not one of.*Did you mean 'frontier'"),
        ({"deadline_s": 0}, "deadline_s=0 must be a positive number of seconds"),
        ({"deadline_s": float("inf")}, "deadline_s=inf"),
        ({"deadline_s": "5"}, "deadline_s='5'"),
        ({"escalation": 0.85}, r"escalation=0\.85 must be a Confidence, for example Confidence\(0\.85\)"),
        ({"rules": ["frontier"]}, "rules= holds 'frontier': a rule is a callable"),
        ({"validate": {"refusals"}}, r"validate=\['refusals'\] unknown"),
    ],
)
def test_a_setting_that_is_wrong_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(**settings)


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ([], "tiers= has 0 of the two or more"),
        ([SMALL], "tiers= has 1 of the two or more"),
        ([SMALL, SMALL], "names small twice"),
        ([FRONTIER, SMALL], "'small' costs less than 'frontier'.*swap them"),
        ([FRONTIER, MID, SMALL], "'small' costs less than 'frontier'"),
        (["ollama:phi3:mini", FRONTIER], r"holds 'ollama:phi3:mini', which is no Tier: write Tier\('small'"),
        ([object(), FRONTIER], "holds object, which is no Tier"),
    ],
)
def test_tiers_that_are_wrong_are_named(tiers: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Policy.build(tiers)


def test_tiers_of_the_same_price_and_those_without_are_taken_as_they_stand() -> None:
    same = Tier("other", "ollama:other", input_price="0.05", output_price="0.08")
    mixed = Tier("mixed", "ollama:mixed", input_price="1", output_price="0.01")
    assert build(SMALL, same, MID, mixed, FRONTIER).names == ("small", "other", "mid", "mixed", "frontier")


def test_what_is_wrong_with_thresholds_names_the_setting_that_was_given() -> None:
    with pytest.raises(ConfigError, match=r"^threshold=0\.5 parts two tiers, and there are 3: give thresholds=\[0\.3"):
        build(SMALL, MID, FRONTIER, threshold=0.5)
    with pytest.raises(ConfigError, match=r"^thresholds=\[0\.5, 1\.5\] must be numbers from 0 to 1"):
        build(SMALL, MID, FRONTIER, thresholds=[0.5, 1.5])


def test_thresholds_must_rise() -> None:
    for thresholds in ([0.7, 0.35], [0.5, 0.5]):
        with pytest.raises(ConfigError, match="must rise from each to the next"):
            build(SMALL, MID, FRONTIER, thresholds=thresholds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": 0.2, "abort_below": 0.3}, "abort_below=0.3.*must not be over threshold=0.2"),
        ({"first_tokens": 0}, "first_tokens=0"),
        ({"first_tokens": "16"}, "first_tokens"),
        ({"stream": "half"}, "stream='half'"),
        ({"judge": 0.9}, "judge=0.9.*must be callable"),
        ({"calibrator": 0.9}, "calibrator=0.9"),
    ],
)
def test_a_confidence_that_is_wrong_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Confidence(**settings)


def test_a_low_threshold_needs_no_other_setting() -> None:
    assert Confidence(0.1).abort_under == 0.1
    assert Confidence(0.85).abort_under == 0.3
    assert Confidence(0.85, abort_below=0.0).abort_under == 0.0


def test_a_score_goes_up_past_every_threshold_that_it_is_above() -> None:
    policy = build(SMALL, MID, FRONTIER, thresholds=[0.35, 0.7])
    found = {score: policy.tier_for(score).name for score in (0.0, 0.35, 0.36, 0.7, 0.71, 1.0)}
    assert found == {0.0: "small", 0.35: "small", 0.36: "mid", 0.7: "mid", 0.71: "frontier", 1.0: "frontier"}


@given(st.integers(2, 9), st.floats(0.01, 0.99))
def test_default_thresholds_are_thresholds(tiers: int, middle: float) -> None:
    thresholds = default_thresholds(tiers, middle)
    assert len(thresholds) == tiers - 1
    assert list(thresholds) == sorted(set(thresholds))
    assert all(0 <= threshold <= 1 for threshold in thresholds)
    if tiers == 2:
        assert thresholds == (round(middle, 4),)


def test_a_policy_is_frozen_and_copies_and_pickles() -> None:
    policy = build(escalation=Confidence(0.9), classify=False)
    assert policy.names == ("small", "frontier")
    assert pickle.loads(pickle.dumps(policy)) == copy.deepcopy(policy) == policy  # noqa: S301
    with pytest.raises(AttributeError):
        policy.deadline_s = 3  # type: ignore[misc]


def test_an_unknown_tier_says_what_there_is() -> None:
    with pytest.raises(UnknownTier, match=r"tier='Small' is not one of the router's tiers: small, frontier\. Did you"):
        build().tier("Small")


def test_the_judge_is_the_escalations() -> None:
    def judge(_request: RouteRequest, _answer: Answer) -> float:
        return 1.0

    assert build(escalation=Confidence(judge=judge)).judge is judge


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": " "}, "a tier needs a name"),
        ({"name": 3}, "a tier needs a name"),
        ({"model": None}, "model= must be a model object or a string"),
        ({"model": ""}, "model= must be a model object or a string"),
        ({"model": "phi3"}, "names no provider. Write 'provider:model'.*'ollama:phi3'"),
        ({"model": object(), "model_args": {"x": 1}}, "model_args= is for models given as strings"),
        ({"input_price": "1"}, "give both input_price= and output_price="),
        ({"input_price": "-1", "output_price": "1"}, "input_price='-1' must be a finite number"),
        ({"input_price": "cheap", "output_price": "1"}, "input_price='cheap' is not an amount"),
        ({"input_price": float("nan"), "output_price": "1"}, "input_price=nan must be a finite"),
        ({"hour_price": "Infinity"}, "hour_price='Infinity' must be a finite"),
        (
            {"input_price": "1e400", "output_price": "1"},
            "input_price='1e400' is over 1,000,000,000 dollars.*correct it",
        ),
        ({"input_price": "1", "output_price": 1e308}, r"output_price=1e\+308 is over 1,000,000,000 dollars"),
        ({"hour_price": Decimal("1e400")}, r"hour_price=Decimal\('1E\+400'\) is over 1,000,000,000 dollars"),
        ({"hour_price": "1e9999999999999999999"}, "hour_price='1e9999999999999999999' is not an amount"),
        ({"hour_price": "1 EUR @ 1e400"}, "hour_price='1 EUR @ 1e400' is over 1,000,000,000 dollars"),
        ({"hour_price": "0 EUR @ 1e400"}, "hour_price='0 EUR @ 1e400' is over 1,000,000,000 dollars"),
        ({"hour_price": "1e400 EUR @ 1.08"}, "hour_price='1e400 EUR @ 1.08' is over 1,000,000,000 dollars"),
        ({"hour_price": "1e999999 EUR @ 1e9"}, "hour_price='1e999999 EUR @ 1e9' is not an amount"),
        ({"model": "ollama:"}, "'ollama:' lacks the provider's or the model's name"),
        ({"model": ":phi3"}, "':phi3' lacks the provider's or the model's name"),
        ({"model_args": [1]}, "model_args= must be a mapping"),
        ({"local": "yes"}, "local='yes' must be True or False"),
        ({"window": 0}, "window=0 must be a positive"),
        ({"window": "8k"}, "window='8k' must be a positive number of tokens, for example 8192"),
        ({"window": True}, "window=True must be a positive"),
        ({"abilities": ["vision"]}, r"abilities=\['vision'\] unknown; there are audio, files, images, schema"),
    ],
)
def test_a_tier_that_is_wrong_names_the_setting(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tier(**{"name": "small", "model": "ollama:phi3:mini", **settings})


def test_prices_are_read_exactly() -> None:
    tier = Tier("a", "ollama:a", input_price=0.1, output_price="0.3", hour_price=Decimal("1.25"))
    assert (tier.input_price, tier.output_price, tier.hour_price) == (Decimal("0.1"), Decimal("0.3"), Decimal("1.25"))


def test_a_tier_shows_neither_its_model_object_nor_its_arguments() -> None:
    class Model:
        def __repr__(self) -> str:
            return "key=SECRET"

    assert repr(Tier("a", Model())) == "Tier('a', Model)"
    text = repr(Tier("a", "ollama:a", model_args={"api_key": "SECRET"}, local=True))
    assert text == "Tier('a', 'ollama:a', local=True)"


def test_a_dry_run_knows_the_model_that_it_stands_for() -> None:
    tier = Tier("frontier", "dry-run:openai:gpt-4.1")
    assert tier.dry_run
    assert tier.spec == "openai:gpt-4.1"
    assert Tier("x", object()).spec is None


def test_a_tier_lacks_nothing_while_its_abilities_are_unknown() -> None:
    needs = frozenset({"tools", "images"})
    assert Tier("a", "ollama:a").lacks(needs) == frozenset()
    assert Tier("a", "ollama:a", abilities=["tools"]).lacks(needs) == {"images"}
    assert Tier("a", "ollama:a", abilities="tools").lacks(needs) == {"images"}
    assert Tier("a", "ollama:a", abilities=[]).lacks(needs) == needs
