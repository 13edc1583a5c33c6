"""The chain: when the second classifier is asked, what becomes of both scores, and what happens when it is gone."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slmroute
from slmroute.classify import ChainClassifier, Classifier, EmbeddedClassifier, FewShotClassifier
from slmroute.classify.protocol import Classification
from slmroute.config import router_arguments
from slmroute.config_faults import keys_of
from slmroute.errors import ClassifierUnavailable, ClassifierUnsure, ConfigError
from slmroute.request import RouteRequest
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Reply

REQUEST = RouteRequest.from_text("Which language is this? Guten Tag")


class Fixed:
    """Gives one score, or raises one error, and counts how often it is asked."""

    version = "fixed-1"

    def __init__(self, score: float, error: Exception | None = None, usage: Usage | None = None) -> None:
        self.value, self.error, self.usage, self.asked = score, error, usage, 0

    def classify(self, request: RouteRequest) -> Classification:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Classification(self.value, self.usage, "phi3:mini" if self.usage else None, "ollama")

    def score(self, request: RouteRequest) -> float:
        return self.classify(request).score


async def both_ways(make: Callable[[], ChainClassifier]) -> Classification:
    """Ask a chain and another like it asynchronously: they must agree."""
    found = make().classify(REQUEST)
    assert await make().aclassify(REQUEST) == found
    assert make().score(REQUEST) == await make().ascore(REQUEST) == found.score
    return found


@pytest.mark.parametrize(("first", "times"), [(0.19, 0), (0.2, 1), (0.4, 1), (0.6, 1), (0.61, 0)])
def test_the_second_is_asked_inside_the_band_only(first: float, times: int) -> None:
    second = Fixed(0.9)
    chain = ChainClassifier(Fixed(first), second, band=(0.2, 0.6))
    score = chain.score(REQUEST)
    assert second.asked == times
    assert (score == first) is (times == 0)


async def test_inside_the_band_log_odds_are_averaged() -> None:
    found = await both_ways(lambda: ChainClassifier(Fixed(0.4), Fixed(0.9)))
    expected = (math.log(0.4 / 0.6) + math.log(0.9 / 0.1)) / 2
    assert math.log(found.score / (1 - found.score)) == pytest.approx(expected)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_score_lies_between_both_scores(first: float, second: float, weight: float) -> None:
    score = ChainClassifier(Fixed(first), Fixed(second), band=(0, 1), weight=weight).score(REQUEST)
    assert min(first, second) - 1e-5 <= score <= max(first, second) + 1e-5


async def test_a_weight_of_one_takes_the_second_alone() -> None:
    found = await both_ways(lambda: ChainClassifier(Fixed(0.4), lambda request: 0.9, weight=1.0))
    assert found.score == pytest.approx(0.9)


async def test_the_tokens_of_the_second_are_told() -> None:
    found = await both_ways(lambda: ChainClassifier(Fixed(0.4), Fixed(0.9, usage=Usage(500, 1))))
    assert (found.usage, found.model, found.provider) == (Usage(500, 1), "phi3:mini", "ollama")
    outside = ChainClassifier(Fixed(0.1), Fixed(0.9, usage=Usage(500, 1))).classify(REQUEST)
    assert outside.usage is None


def test_tokens_of_two_models_add_up() -> None:
    chain = ChainClassifier(Fixed(0.4, usage=Usage(100, 1)), Fixed(0.9, usage=Usage(500, 1, source="estimated")))
    assert chain.classify(REQUEST).usage == Usage(600, 2, source="estimated")


@pytest.mark.parametrize("error", [ClassifierUnavailable("away"), ClassifierUnsure("prose")])
async def test_without_the_second_the_first_stands(error: Exception) -> None:
    found = await both_ways(lambda: ChainClassifier(Fixed(0.4), Fixed(0.9, error)))
    assert found.score == 0.4


def test_a_second_that_keeps_failing_is_left_alone() -> None:
    second = Fixed(0.9, ClassifierUnavailable("away"))
    chain = ChainClassifier(Fixed(0.4), second)
    assert [chain.score(REQUEST) for _ in range(20)] == [0.4] * 20
    assert second.asked == 5


def test_a_second_that_is_unsure_goes_on_being_asked() -> None:
    second = Fixed(0.9, ClassifierUnsure("prose"))
    chain = ChainClassifier(Fixed(0.4), second)
    assert [chain.score(REQUEST) for _ in range(20)] == [0.4] * 20
    assert second.asked == 20


async def test_errors_that_nobody_foresaw_come_out() -> None:
    chain = ChainClassifier(Fixed(0.4), Fixed(0.9, RuntimeError("own")))
    with pytest.raises(RuntimeError, match="own"):
        chain.score(REQUEST)
    with pytest.raises(RuntimeError, match="own"):
        await chain.ascore(REQUEST)


@pytest.mark.parametrize("nonsense", [math.nan, 1.5, -0.1, True, "0.5", None])
async def test_nonsense_of_the_second_is_not_taken(nonsense: object) -> None:
    found = await both_ways(lambda: ChainClassifier(Fixed(0.4), lambda request: nonsense))  # type: ignore[arg-type, return-value]
    assert found.score == 0.4
    with pytest.raises(ClassifierUnavailable):
        ChainClassifier(lambda request: nonsense, Fixed(0.9)).score(REQUEST)  # type: ignore[arg-type, return-value]


async def test_coroutines_can_stand_in_the_chain() -> None:
    async def second(request: RouteRequest) -> float:
        return 0.8

    assert (await ChainClassifier(Fixed(0.4), second, weight=1).ascore(REQUEST)) == pytest.approx(0.8)  # type: ignore[arg-type]


def test_a_small_model_is_asked_for_real() -> None:
    reply = Reply("complex", logprobs=[{"simple": math.log(0.2), "complex": math.log(0.7)}])
    with FakeServer({"phi3:mini": reply}) as server, FewShotClassifier("phi3:mini", host=server.url) as second:
        second.warm_up()
        found = ChainClassifier(Fixed(0.4), second, weight=1).classify(REQUEST)
    assert found.score == pytest.approx(0.7 / 0.9)
    assert found.usage is not None
    assert found.model == "phi3:mini"


def test_its_threshold_is_the_first_ones_unless_given() -> None:
    first = EmbeddedClassifier()
    assert ChainClassifier(first, Fixed(0.9)).threshold == first.threshold
    assert ChainClassifier(first, Fixed(0.9), threshold=0.4).threshold == 0.4
    assert ChainClassifier(Fixed(0.1), Fixed(0.9)).threshold is None


def test_the_version_names_both() -> None:
    chain = ChainClassifier(Fixed(0.1), lambda request: 0.9)
    assert chain.version == "chain:fixed-1+<lambda>:0.2-0.6:0.5"
    assert isinstance(chain, Classifier)
    assert slmroute.ChainClassifier is ChainClassifier


def test_it_can_be_pickled() -> None:
    chain = ChainClassifier(EmbeddedClassifier(), FewShotClassifier("phi3:mini"))
    assert pickle.loads(pickle.dumps(chain)).version == chain.version  # noqa: S301  our own bytes


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"band": (0.6, 0.2)}, "band"),
        ({"band": (0.2, 1.2)}, "band"),
        ({"band": 0.5}, "band"),
        ({"weight": 2.0}, "weight"),
        ({"threshold": -1}, "threshold"),
        ({"second": "phi3:mini"}, "second"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ChainClassifier(**{"first": Fixed(0.1), "second": Fixed(0.9), **settings})  # type: ignore[arg-type]


TIERS = """
[[tiers]]
name = "small"
model = "ollama:phi3:mini"
[[tiers]]
name = "big"
model = "openai:gpt-4.1"
"""


def test_it_can_be_written_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "slmroute.toml"
    path.write_text(f'[classifier]\nkind = "chain"\nsecond = "few-shot:gemma2:2b"\nband = [0.1, 0.5]\n{TIERS}')
    chain = router_arguments(path)["classifier"]
    assert isinstance(chain, ChainClassifier)
    assert isinstance(chain.first, EmbeddedClassifier)
    assert isinstance(chain.second, FewShotClassifier)
    assert (chain.second.model, chain.band) == ("gemma2:2b", (0.1, 0.5))
    path.write_text(f'[classifier]\nkind = "chain"\n[classifier.second]\nkind = "few-shot"\nmodle = "x"\n{TIERS}')
    with pytest.raises(ConfigError, match=r"line 5: classifier\.second\.modle is not a setting\. Did you mean"):
        router_arguments(path)
    assert {"first", "second", "band", "weight", "threshold", "kind"} == set(
        keys_of({"classifier": {"kind": "chain"}}, ("classifier",))
    )


async def test_what_a_second_that_is_unsure_took_is_told() -> None:
    error = ClassifierUnsure("prose")
    error.spent = Classification(math.nan, Usage(500, 1), "phi3:mini", "ollama")
    found = await both_ways(lambda: ChainClassifier(Fixed(0.4, usage=Usage(100, 1)), Fixed(0.9, error)))
    assert (found.score, found.usage, found.model, found.provider) == (0.4, Usage(600, 2), "phi3:mini", "ollama")
