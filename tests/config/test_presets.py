"""The article's three patterns as a router's arguments."""

from __future__ import annotations

import inspect
from decimal import Decimal

import pytest

from slmroute.classify import FewShotClassifier
from slmroute.classify.few_shot_prompt import FewShotPrompt
from slmroute.errors import ConfigError
from slmroute.policy import Confidence, Policy
from slmroute.presets import CLASSIFIER_PRICES, binary, cascade, three_tier
from slmroute.price import PriceBook
from slmroute.steps import Usage
from slmroute.tier import Tier

PRESETS = [binary, three_tier, cascade]


def policy(arguments: dict) -> Policy:
    names = set(inspect.signature(Policy.build).parameters)
    return Policy.build(
        classify=arguments["classifier"] is not None, **{k: v for k, v in arguments.items() if k in names}
    )


def test_the_binary_router() -> None:
    arguments = binary()
    assert [(tier.name, tier.model, tier.local) for tier in arguments["tiers"]] == [
        ("small", "ollama:llama3.1:8b", True),
        ("frontier", "openai:gpt-4.1", False),
    ]
    assert isinstance(arguments["classifier"], FewShotClassifier)
    assert arguments["classifier"].model == "phi3:mini"
    assert policy(arguments).thresholds == (0.5,)


def test_the_router_of_three_tiers() -> None:
    arguments = three_tier()
    assert [tier.model for tier in arguments["tiers"]] == ["ollama:gemma2:2b", "ollama:llama3.1:8b", "openai:gpt-4.1"]
    assert [tier.local for tier in arguments["tiers"]] == [True, True, False]
    assert policy(arguments).thresholds == (0.35, 0.7)


def test_the_cascade() -> None:
    arguments = cascade()
    assert arguments["classifier"] is None
    assert arguments["escalation"] == Confidence(0.85)
    assert not policy(arguments).classify


@pytest.mark.parametrize("preset", PRESETS)
def test_tiers_are_cheapest_first_by_declared_and_list_prices(preset) -> None:
    arguments = preset()
    PriceBook(policy(arguments).tiers)


def test_the_documented_call_costs_what_is_documented() -> None:
    arguments = three_tier()
    usage = Usage(7_000, 2_000)
    prices = PriceBook(arguments["tiers"])
    costs = [prices.price(tier, usage, provider=None, model=None).cost for tier in arguments["tiers"]]
    assert costs == [Decimal("0.0005"), Decimal("0.001"), Decimal("0.03")]


def test_asking_the_classifier_costs_what_is_documented() -> None:
    cost = FewShotPrompt().tokens * Decimal(CLASSIFIER_PRICES[0]) / 1_000_000
    assert round(cost, 4) == Decimal("0.0002")


@pytest.mark.parametrize("preset", PRESETS)
def test_further_arguments_replace_those_of_the_preset(preset) -> None:
    arguments = preset(escalation=Confidence(0.6), ledger="calls.db", default_tier="small")
    assert arguments["escalation"] == Confidence(0.6)
    assert (arguments["ledger"], arguments["default_tier"]) == ("calls.db", "small")


def test_thresholds_can_be_replaced() -> None:
    assert policy(three_tier(thresholds=[0.2, 0.4])).thresholds == (0.2, 0.4)
    assert policy(binary(threshold=0.4)).thresholds == (0.4,)


def test_the_host_is_that_of_the_classifier_and_of_the_local_tiers() -> None:
    arguments = three_tier(host="http://10.0.0.5:11434")
    assert arguments["classifier"].host == "http://10.0.0.5:11434"
    hosts = [(tier.model_args or {}).get("base_url") for tier in arguments["tiers"]]
    assert hosts == ["http://10.0.0.5:11434", "http://10.0.0.5:11434", None]


def test_models_can_be_replaced_by_strings_objects_and_tiers() -> None:
    model = object()
    own = Tier("own", "openai:gpt-4.1-mini")
    small, frontier = binary(small="ollama:gemma2:2b", frontier=model)["tiers"]
    assert (small.model, small.local, small.input_price) == ("ollama:gemma2:2b", True, Decimal("0.08"))
    assert frontier.model is model
    assert cascade(small=own)["tiers"][0] is own
    assert binary(frontier="dry-run:openai:gpt-4.1")["tiers"][1].dry_run


@pytest.mark.parametrize("model", ["openai:gpt-4.1-nano", object()])
def test_what_may_leave_the_house_is_not_declared_local(model) -> None:
    small = binary(small=model)["tiers"][0]
    assert not small.local
    assert small.input_price is None


def test_the_classifier_can_be_a_model_an_object_or_none() -> None:
    def own(request: object) -> float:
        return 0.5

    assert binary(classifier="gemma2:2b")["classifier"].model == "gemma2:2b"
    assert binary(classifier=own)["classifier"] is own
    assert binary(classifier=None)["classifier"] is None


@pytest.mark.parametrize("preset", PRESETS)
def test_tiers_cannot_be_replaced_as_a_whole(preset) -> None:
    with pytest.raises(ConfigError, match="small=, frontier="):
        preset(tiers=[])


@pytest.mark.parametrize("preset", PRESETS)
def test_both_frameworks_take_every_argument(preset) -> None:
    from langchain_slmroute import RoutingChatModel

    model = RoutingChatModel(**preset(frontier="dry-run:openai:gpt-4.1"))
    assert [tier.name for tier in model.tiers][-1] == "frontier"
