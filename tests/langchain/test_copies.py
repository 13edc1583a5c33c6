"""What is changed on a router, or on a copy of it, takes effect; what a router and its copies share is kept."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel, RoutingMiddleware, route_costs
from slmroute import Budget, Tier, route_context
from slmroute.errors import ConfigError, Misconfigured
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

STANDARD = {"temperature": 0.25, "max_tokens": 17, "stop": ["END"]}

Change = Callable[[RoutingChatModel, dict[str, Any]], Any]


def by_copy(router: RoutingChatModel, changes: dict[str, Any]) -> Any:
    return router.model_copy(update=changes)


def by_configurable_fields(router: RoutingChatModel, changes: dict[str, Any]) -> Any:
    model = router.configurable_fields(**{name: ConfigurableField(id=name) for name in changes})
    return model.with_config(configurable=changes)


def by_assignment(router: RoutingChatModel, changes: dict[str, Any]) -> Any:
    for name, value in changes.items():
        setattr(router, name, value)
    return router


every_change = pytest.mark.parametrize("change", [by_copy, by_configurable_fields, by_assignment])


def strings(stage: Stage, to: str = "big", **settings: Any) -> RoutingChatModel:
    return stage.router(to, **{"tiers": stage.strings(), **settings})


def tier_of(message: AIMessage) -> str:
    return record_of(message)["tier"]


@every_change
@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_standard_arguments_that_are_changed_reach_the_wire(stage: Stage, change: Change, ask: ways.Ask) -> None:
    router = strings(stage)
    router.invoke("Blue?")
    await ask(change(router, STANDARD), "Blue?")
    before, body = (call.body for call in stage.server.calls())
    assert "temperature" not in before
    assert (body["temperature"], body.get("max_completion_tokens"), body["stop"]) == (0.25, 17, ["END"])


@every_change
def test_standard_arguments_of_copies_reach_ollama_in_its_own_terms(stage: Stage, change: Change) -> None:
    change(strings(stage, "small"), STANDARD).invoke("Blue?")
    assert stage.server.calls()[-1].body["options"] == {"temperature": 0.25, "num_predict": 17, "stop": ["END"]}


@every_change
def test_a_key_a_timeout_and_retries_that_are_changed_reach_the_client(
    stage: Stage, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    big = Tier("big", f"openai:{BIG}", model_args={"base_url": stage.server.openai_url})
    router = strings(stage, tiers=[stage.strings()[0], big], timeout=30)
    with pytest.raises(Misconfigured, match="no API key"):
        router.invoke("Blue?")
    changed = change(router, {"api_key": "canary", "timeout": 0.2, "max_retries": 1})
    stage.server.script(BIG, Fault(500), Reply("Better."))
    assert changed.invoke("Blue?").text == "Better."
    assert all(call.authorized for call in stage.server.calls(BIG))
    stage.server.script(BIG, Reply("Late.", first_delay_s=1.0))
    assert tier_of(changed.invoke("Blue?")) == "small"


def test_copies_that_need_the_same_clients_share_them(stage: Stage) -> None:
    router = strings(stage)
    model = router.configurable_fields(temperature=ConfigurableField(id="t"))
    one, _ = model._prepare({"configurable": {"t": 0.3}})  # type: ignore[attr-defined]
    other, _ = model._prepare({"configurable": {"t": 0.3}})  # type: ignore[attr-defined]
    assert one.shared.models is other.shared.models
    assert one.shared.models is not router.shared.models
    assert router.model_copy(update={"threshold": 0.2}).shared.models is router.shared.models


@every_change
def test_changed_tiers_take_their_new_arguments_prices_windows_and_abilities(stage: Stage, change: Change) -> None:
    stage.server.script(BIG, Reply("Big.", input_tokens=1_000_000, output_tokens=100_000))
    small, big = stage.strings()
    router = strings(stage)
    router.invoke("Blue?")
    args = {**(big.model_args or {}), "temperature": 0.75}
    new = dataclasses.replace(big, model_args=args, input_price="3", output_price="9", window=5_000, abilities=[])
    changed = change(router, {"tiers": [small, new]})
    assert record_of(changed.invoke("Blue?"))["cost"] == "3.9"
    assert stage.server.calls()[-1].body["temperature"] == 0.75
    assert tier_of(changed.invoke([HumanMessage("word " * 6_000)])) == "small"
    assert tier_of(changed.invoke("1+2?", tools=[ADD])) == "small"


@every_change
@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_tiers_that_are_renamed_answer(stage: Stage, change: Change, ask: ways.Ask) -> None:
    if ask in ways.PRIVATE and change is by_configurable_fields:
        pytest.skip("LangChain's configurable runnables have no model-level streams")
    changed = change(strings(stage), {"tiers": [dataclasses.replace(t, name=f"new {t.name}") for t in stage.strings()]})
    answer = await ask(changed, "Blue?")
    assert (tier_of(answer), record_of(answer)["cost"]) == ("new big", "0.00028")


def test_a_scope_and_a_tool_loop_of_a_tier_that_is_gone_go_on(stage: Stage) -> None:
    router = strings(stage)
    stage.server.script(BIG, Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Reply("Three."))
    renamed = router.model_copy(update={"tiers": [dataclasses.replace(t, name=f"new {t.name}") for t in router.tiers]})
    with route_context(scope="s"):
        asked = router.invoke("1+2?", tools=[ADD])
        history = [
            HumanMessage("1+2?"),
            asked,
            {"role": "tool", "content": "3", "tool_call_id": asked.tool_calls[0]["id"]},
        ]
        assert tier_of(renamed.invoke(history, tools=[ADD])).startswith("new ")


@every_change
def test_thresholds_and_classifiers_that_are_changed_decide(stage: Stage, change: Change) -> None:
    assert tier_of(change(stage.router("big"), {"threshold": 0.95}).invoke("Blue?")) == "small"
    assert tier_of(change(stage.router("big"), {"classifier": lambda request: 0.1}).invoke("Blue?")) == "small"


def test_a_new_classifier_is_asked_where_the_old_one_was_given_up(stage: Stage) -> None:
    def down(request: object) -> float:
        raise ConnectionError

    router = stage.router(classifier=down)
    for _ in range(6):
        router.invoke("Blue?")
    router.classifier = lambda request: 0.1
    record = record_of(router.invoke("Blue?"))
    assert (record["tier"], record["score"]) == ("small", 0.1)


@every_change
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hooks", [print]),
        ("ledger", "sqlite:///other.db"),
        ("availability_errors", [KeyError]),
        ("prices", {"big": ("1", "2")}),
        ("budget", Budget(day=1)),
    ],
)
def test_what_copies_share_is_refused_with_an_error_that_names_it(
    stage: Stage, change: Change, name: str, value: Any
) -> None:
    router = stage.router()
    with pytest.raises(ConfigError, match=f"{name}= cannot be changed"):
        change(router, {name: value}).invoke("Blue?")
    assert not getattr(router, name)
    assert tier_of(router.invoke("Blue?")) == "small"


@every_change
def test_a_wrong_value_is_refused_and_leaves_the_router_as_it_was(stage: Stage, change: Change) -> None:
    router = stage.router("big")
    for name, value in {"threshold": 7, "temperature": "hot", "default_tier": "bgi"}.items():
        with pytest.raises(ValueError, match=name):  # Pydantic's are, too
            change(router, {name: value}).invoke("Blue?")
    assert (router.threshold, router.temperature, router.default_tier) == (None, None, None)
    assert tier_of(router.invoke("Blue?")) == "big"


def test_a_copy_knows_settings_by_both_their_names_and_no_others(stage: Stage) -> None:
    stage.server.script(SMALL, Reply("Sorry, I cannot help with that request."))
    assert tier_of(stage.router().model_copy(update={"validate": False}).invoke("Blue?")) == "small"
    router: Any = stage.router()
    assert tier_of(router.invoke("Blue?")) == "big"
    router.validate = False
    assert tier_of(router.invoke("Blue?")) == "small"
    with pytest.raises(ConfigError, match=r"temprature=.*Did you mean temperature="):
        stage.router().model_copy(update={"temprature": 0.3})


@every_change
@pytest.mark.parametrize("changed", [{"temperature": 0.5}, {"threshold": 0.6}, {"max_retries": 0}], ids=str)
def test_breakers_and_budgets_survive_changes(stage: Stage, change: Change, changed: dict[str, Any]) -> None:
    stage.server.script(BIG, Fault(429, headers={"retry-after": "60"}))
    router = strings(stage)
    router.invoke("Blue?")
    assert "breaker_open:big" in record_of(change(router, changed).invoke("Blue?"))["events"]

    stage.server.script(BIG, Reply("Dear.", input_tokens=1_000_000, output_tokens=1))
    spent = strings(stage, budget=Budget(day=1))
    assert tier_of(spent.invoke("Blue?")) == "big"
    assert tier_of(change(spent, changed).invoke("Blue?")) == "small"


def test_another_model_under_a_tiers_name_starts_with_health_of_its_own(stage: Stage) -> None:
    stage.server.script(BIG, Fault(429, headers={"retry-after": "60"}))
    stage.server.script("other", Reply("Here."))
    router = stage.router("big")
    router.invoke("Blue?")
    other = ChatOpenAI(model="other", base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]
    assert router.model_copy(update={"tiers": [router.tiers[0], Tier("big", other)]}).invoke("Blue?").text == "Here."


def test_the_profile_follows_the_tiers_unless_the_user_gave_one(stage: Stage) -> None:
    tiers = [Tier("small", stage.bare_small(), window=1_000), Tier("big", stage.bare_big(), window=2_000)]
    fresh = stage.router(tiers=tiers).profile
    assert fresh is not None
    assert fresh["max_input_tokens"] == 1_000
    router = stage.router()
    assert by_copy(router, {"tiers": tiers}).profile == fresh
    assert by_copy(router, {"threshold": 0.4}).profile == router.profile
    model: Any = router.configurable_fields(tiers=ConfigurableField(id="tiers"))
    configured, _ = model._prepare({"configurable": {"tiers": tiers}})
    assert configured.profile == fresh
    assert by_copy(configured, {"tiers": list(router.tiers)}).profile == router.profile
    given: Any = {"max_input_tokens": 77}
    own = stage.router(profile=given)
    for copied in (by_copy(own, {"tiers": tiers}), by_copy(router, {"profile": given, "tiers": tiers})):
        assert copied.profile == given
        assert by_copy(copied, {"tiers": list(router.tiers)}).profile == given
    router.tiers = tiers
    assert router.profile == fresh


def test_the_profile_of_a_router_from_a_pickle_follows_its_tiers(stage: Stage) -> None:
    router = RoutingChatModel(tiers=stage.strings(), classifier=None)
    again = pickle.loads(pickle.dumps(router))  # noqa: S301  written a moment ago
    window = dataclasses.replace(router.tiers[0], window=512)
    assert again.model_copy(update={"tiers": [window, router.tiers[1]]}).profile["max_input_tokens"] == 512


def test_the_middlewares_profile_is_that_of_the_model_at_hand(stage: Stage) -> None:
    middleware = RoutingMiddleware([stage.small()], classifier=None)
    nano = ChatOpenAI(model="gpt-4", base_url=stage.server.openai_url, api_key="canary")  # type: ignore[arg-type]
    middleware.router_for(stage.bare_big())
    assert middleware.router_for(nano).profile == RoutingMiddleware([stage.small()]).router_for(nano).profile


def test_costs_of_copies_are_those_of_their_own_tiers(stage: Stage) -> None:
    small, big = stage.strings()
    router = strings(stage)
    nano = Tier("big", "openai:gpt-4.1-nano", model_args=big.model_args)
    stage.server.script("gpt-4.1-nano", Reply("Nano.", input_tokens=1_000_000, output_tokens=100_000))
    with route_costs() as costs:
        router.model_copy(update={"tiers": [small, nano]}).invoke("Blue?")
    assert costs.cost == Decimal("0.14")


ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
