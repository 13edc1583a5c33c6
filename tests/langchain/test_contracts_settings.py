"""What a chat model can be told: per call, by binding, by config, at its making; and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import ConfigurableField, RunnableBinding
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel
from slmroute import Confidence, Tier
from slmroute.errors import ConfigError, NoEligibleTier, UnknownTier
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def tier_of(message: AIMessage) -> str:
    return record_of(message)["tier"]


def test_a_router_is_a_chat_model(stage: Stage) -> None:
    model = stage.router()
    assert isinstance(model, BaseChatModel)
    assert model._llm_type == "slmroute"
    assert not hasattr(model, "model_name")
    assert not hasattr(model, "model")


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_call_may_name_its_tier(stage: Stage, ask: ways.Ask) -> None:
    answer = await ask(stage.router("small"), "What is blue?", tier="big")
    assert (tier_of(answer), record_of(answer)["reason"]) == ("big", "explicit")
    answer = await ask(stage.escalating(), "What is blue?", tier="small")
    assert (tier_of(answer), answer.text) == ("small", "A small draft it is.")


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_call_may_name_its_tier_as_its_model(stage: Stage, ask: ways.Ask) -> None:
    assert tier_of(await ask(stage.router("small"), "What is blue?", model="big")) == "big"
    with pytest.raises(UnknownTier, match="small, big"):
        await ask(stage.router("small"), "What is blue?", model="gpt-9")


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_call_may_stay_local(stage: Stage, ask: ways.Ask) -> None:
    answer = await ask(stage.router("big"), "What is blue?", local_only=True)
    assert tier_of(answer) == "small"
    with pytest.raises(NoEligibleTier, match="local_only"):
        await ask(stage.router("big"), "What is blue?", local_only=True, tier="big")
    assert stage.models_called == [SMALL]


def test_what_a_call_may_be_told_may_be_bound(stage: Stage) -> None:
    router = stage.router("small")
    assert tier_of(router.bind(tier="big").invoke("Blue?")) == "big"
    assert tier_of(router.bind(model="big").invoke("Blue?")) == "big"
    assert tier_of(stage.router("big").bind(local_only=True).invoke("Blue?")) == "small"
    assert tier_of(router.bind(tier="small").invoke("Blue?", tier="big")) == "big"
    assert tier_of(router.bind(tier="big").bind(stop=["END"]).invoke("Blue?")) == "big"


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_standard_arguments_of_a_call_reach_each_tier_in_its_own_terms(stage: Stage, ask: ways.Ask) -> None:
    await ask(stage.escalating(), "What is blue?", temperature=0.25, max_tokens=17)
    small, big = stage.server.calls()
    assert small.body["options"] == {"temperature": 0.25, "num_predict": 17}
    assert big.body["temperature"] == 0.25
    assert big.body.get("max_completion_tokens", big.body.get("max_tokens")) == 17


def test_a_tiers_own_options_stay_beside_those_of_the_call(stage: Stage) -> None:
    tiers = [stage.small(num_ctx=4096, temperature=0.9, seed=7), stage.big(temperature=0.9)]
    stage.router("small", tiers=tiers).invoke("Blue?", temperature=0.1)
    stage.router("big", tiers=tiers).invoke("Blue?", temperature=0.1)
    small, big = stage.server.calls()
    assert small.body["options"] == {"num_ctx": 4096, "temperature": 0.1, "seed": 7}
    assert big.body["temperature"] == 0.1


def test_standard_settings_of_the_router_reach_tiers_given_as_strings(stage: Stage) -> None:
    settings = {"temperature": 0.2, "max_tokens": 9, "timeout": 30, "stop": ["END"], "max_retries": 0}
    model = stage.escalating(tiers=stage.strings(), **settings)
    model.invoke("Blue?")
    small, big = stage.server.calls()
    assert small.body["options"] == {"temperature": 0.2, "num_predict": 9, "stop": ["END"]}
    assert (big.body["temperature"], big.body["stop"]) == (0.2, ["END"])
    assert big.body.get("max_completion_tokens", big.body.get("max_tokens")) == 9


def test_arguments_that_only_one_provider_knows_reach_its_tier_alone(stage: Stage) -> None:
    stage.escalating().invoke("Blue?", keep_alive="5m", user="me")
    small, big = stage.server.calls()
    assert "user" not in small.body
    assert big.body["user"] == "me"
    assert small.body["keep_alive"] == "5m"
    assert "keep_alive" not in big.body


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_with_config_with_retry_and_with_fallbacks_work(stage: Stage, ask: ways.Ask) -> None:
    model = stage.router("small")
    assert tier_of(await ask(model.with_config(tags=["a"]), "Blue?")) == "small"
    assert tier_of(await ask(model.with_retry(stop_after_attempt=2), "Blue?")) == "small"
    assert tier_of(await ask(model.with_fallbacks([stage.router("big")]), "Blue?")) == "small"


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke], ids=ways.name_of)
async def test_with_retry_asks_again_when_no_tier_answered(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Fault(503))
    stage.server.script(BIG, Fault(500), Reply("Back again."))
    model = stage.router("small").with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    assert (await ask(model, "Blue?")).text == "Back again."


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_fallbacks_keep_the_tools_that_are_bound_through_them(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Fault(503))
    stage.server.script(BIG, Fault(500))
    stage.server.script("other", Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    other = ChatOpenAI(model="other", base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]
    model = stage.router("small").with_fallbacks([other]).bind_tools([add])
    answer = await ask(model, "1+2?")
    assert [call["name"] for call in answer.tool_calls] == ["add"]
    assert all(call.body["tools"] for call in stage.server.calls())


def test_a_router_may_be_the_fallback_itself(stage: Stage) -> None:
    stage.server.script("down", Fault(503))
    down = ChatOpenAI(model="down", base_url=stage.server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]
    assert tier_of(down.with_fallbacks([stage.router("small")]).invoke("Blue?")) == "small"


def test_with_retry_has_no_bind_tools_as_with_a_bare_model(stage: Stage) -> None:
    for model in (stage.bare_big(), stage.router("big")):
        with pytest.raises(AttributeError):
            model.with_retry().bind_tools([add])  # type: ignore[attr-defined]


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_configurable_fields_change_the_router_and_keep_its_health(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, Fault(429, headers={"retry-after": "60"}))
    router = stage.router("big")
    model = router.configurable_fields(escalation=ConfigurableField("escalation"), threshold=ConfigurableField("t"))
    assert tier_of(await ask(model, "Blue?")) == "small"
    again = await ask(model, "Blue?", {"configurable": {"t": 0.6}})
    assert "breaker_open:big" in record_of(again)["events"]
    assert stage.models_called == [BIG, SMALL, SMALL]
    stage.server.script(BIG, Reply("Better."))
    changed = await ask(model, "Blue?", {"configurable": {"t": 0.95}})
    assert record_of(changed)["events"] == []
    assert tier_of(changed) == "small"


async def test_configurable_alternatives_choose_between_routers(stage: Stage) -> None:
    router = stage.router("small")
    model = router.configurable_alternatives(ConfigurableField("which"), default_key="small", big=stage.router("big"))
    assert tier_of(await model.ainvoke("Blue?")) == "small"
    assert tier_of(await model.ainvoke("Blue?", {"configurable": {"which": "big"}})) == "big"


def test_copies_share_health_and_decide_by_what_was_changed(stage: Stage) -> None:
    router = stage.router("small")
    copied = router.model_copy(update={"escalation": Confidence(0.85), "threshold": 0.05})
    deep = router.model_copy(deep=True)
    assert copied.shared.engine.breakers["small"] is router.shared.engine.breakers["small"]
    assert deep.shared is router.shared
    assert copied.shared.engine.hooks is router.shared.engine.hooks
    assert tier_of(copied.invoke("Blue?")) == "big"
    assert tier_of(router.invoke("Blue?")) == "small"
    with pytest.raises(ConfigError, match="thresholds="):
        router.model_copy(update={"thresholds": [0.2, 0.1]})


def test_profile_is_what_all_tiers_can_do(stage: Stage) -> None:
    big = ChatOpenAI(model=BIG, api_key="canary")  # type: ignore[arg-type]
    tiers = [Tier("small", stage.bare_small(), local=True, window=4096, abilities=["tools"]), Tier("big", big)]
    profile: Any = stage.router(tiers=tiers).profile
    assert profile["max_input_tokens"] == 4096
    assert profile["tool_calling"] is True
    assert profile["image_inputs"] is False
    assert profile["structured_output"] is False
    given: Any = stage.router(tiers=tiers, profile={"max_input_tokens": 1000}).profile
    assert given == {"max_input_tokens": 1000}


def test_langsmith_is_told_of_a_router_and_never_of_a_tiers_name(stage: Stage) -> None:
    params = stage.router(stop=["END"])._get_ls_params()
    assert params["ls_provider"] == params["ls_model_name"] == "slmroute"  # type: ignore[typeddict-item]
    assert params["ls_stop"] == ["END"]  # type: ignore[typeddict-item]
    assert stage.router()._get_ls_params(model="big")["ls_model_name"] == "big"  # type: ignore[typeddict-item]
    assert stage.router(temperature=0.5, max_tokens=3)._get_ls_params()["ls_temperature"] == 0.5  # type: ignore[typeddict-item]


def test_tokens_are_counted_without_a_network(stage: Stage) -> None:
    model = stage.router()
    assert model.get_num_tokens("a") == 1
    assert 8 <= model.get_num_tokens("The quick brown fox jumps over the lazy dog.") <= 14
    messages = [SystemMessage("Be brief."), HumanMessage("What is blue?")]
    alone = model.get_num_tokens_from_messages(messages)
    assert 8 <= alone <= 30
    assert model.get_num_tokens_from_messages(messages, tools=[add]) > alone
    assert not stage.server.requests


def test_token_ids_are_given_without_a_network_one_for_each_token_counted(stage: Stage) -> None:
    model = stage.router()
    for text in (
        "",
        "a",
        "The quick brown fox jumps over the lazy dog.",
        "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 5,
        "\ud800",
    ):
        ids = model.get_token_ids(text)
        assert len(ids) == model.get_num_tokens(text)
        assert ids == model.get_token_ids(text)
    assert model.get_token_ids("abcdabcd") == model.get_token_ids("abcd") * 2
    assert not stage.server.requests


def test_the_users_own_tokenizer_counts_as_in_the_bare_model(stage: Stage) -> None:
    def words(text: str) -> list[int]:
        return [len(word) for word in text.split()]

    messages = [SystemMessage("Be brief."), HumanMessage("What is blue?")]
    bare, routed = stage.bare_small(custom_get_token_ids=words), stage.router(custom_get_token_ids=words)
    for model in (bare, routed):
        assert model.get_token_ids("It is blue.") == [2, 2, 5]
        assert model.get_num_tokens("It is blue.") == 3
    assert routed.get_num_tokens_from_messages(messages) == bare.get_num_tokens_from_messages(messages)
    assert routed.get_num_tokens_from_messages(messages, tools=[add]) > routed.get_num_tokens_from_messages(messages)


def test_bind_gives_a_binding_that_binds_on(stage: Stage) -> None:
    bound = stage.router("small").bind_tools([add])
    assert isinstance(bound, RunnableBinding)
    assert tier_of(bound.bind(tier="big").invoke("Blue?")) == "big"
    assert stage.server.calls()[-1].body["tools"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tiers": []}, "tiers="),
        ({"tiers": "ollama:phi3:mini"}, "tiers="),
        ({"tiers": [object()]}, "tiers="),
        ({"threshold": 7}, "threshold"),
        ({"thresholds": [0.5, 0.6]}, "thresholds="),
        ({"default_tier": "bgi"}, "default_tier='bgi'.*Did you mean 'big'"),
        ({"escalation": 0.85}, "escalation=0.85"),
        ({"deadline_s": -1}, "deadline_s=-1"),
        ({"validate": {"emptiness"}}, "validate="),
        ({"clasifier": None}, "clasifier=.*Did you mean classifier="),
        ({"classifier": 0.5}, "classifier="),
        ({"rules": ["big"]}, "rules="),
        ({"hooks": ["print"]}, "hooks="),
        ({"availability_errors": ["KeyError"]}, "availability_errors="),
    ],
)
def test_a_wrong_setting_is_named(stage: Stage, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        stage.router(**settings)


def test_a_router_without_tiers_says_so() -> None:
    with pytest.raises(ConfigError, match="needs tiers="):
        RoutingChatModel()


def test_a_tier_that_is_no_chat_model_is_refused(stage: Stage) -> None:
    from langchain.chat_models import init_chat_model

    configurable = init_chat_model(configurable_fields=["model"], model="gpt-4.1", model_provider="openai")
    for model in (configurable, lambda prompt: prompt):
        with pytest.raises(ConfigError, match=r"Tier\('big'\): model= is a"):
            stage.router(tiers=[stage.small(), Tier("big", model)])


def test_an_unknown_provider_is_refused_when_it_is_first_used(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="nowhere:gpt"):
        stage.router("big", tiers=[stage.small(), Tier("big", "nowhere:gpt")]).invoke("Blue?")


def test_any_provider_that_langchain_knows_can_be_given_as_a_string(stage: Stage) -> None:
    arguments = {"base_url": stage.server.openai_url, "api_key": "canary"}
    tiers = [stage.small(), Tier("big", f"openai:{BIG}", model_args=arguments)]
    assert tier_of(stage.router("big", tiers=tiers).invoke("Blue?")) == "big"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
