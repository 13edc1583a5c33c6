"""A wrong setting is refused when a router is made, by an error that names it and what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.llms.openai import OpenAI

from llama_index_slmroute import RoutingLLM
from slmroute import ConfigError, Tier

TIERS = [Tier("small", "dry-run:ollama:phi3:mini", local=True), Tier("frontier", "dry-run:openai:gpt-4.1")]

WRONG: list[tuple[str, Any, str]] = [
    ("max_tokens", -4, "positive number of tokens"),
    ("max_retries", -1, "zero or more"),
    ("temperature", "hot", "zero or more"),
    ("temperature", float("nan"), "zero or more"),
    ("timeout", "x", "positive number of seconds"),
    ("timeout", 0, "positive number of seconds"),
    ("deadline_s", "soon", "positive number of seconds"),
    ("stop", 3, "list of strings"),
    ("api_key", 5, "string or a SecretStr"),
    ("failover", "yes", "True or False"),
    ("local_only", "maybe", "True or False"),
    ("local_only", None, "True or False"),
    ("rules", 3, "list of callables"),
    ("default_tier", 3, "name of one of the tiers"),
]


def router(kind: str) -> Any:
    if kind == "langchain":
        from langchain_slmroute import RoutingChatModel

        return RoutingChatModel
    return RoutingLLM


@pytest.mark.parametrize(
    ("kind", "name", "value", "fix"),
    [
        (kind, *wrong)
        for kind in ("llama_index", "langchain")
        for wrong in WRONG
        if (kind, wrong[0]) != ("langchain", "local_only")  # chat models take it by call alone
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(kind: str, name: str, value: Any, fix: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}= is wrong: it must be .*{fix}"):
        router(kind)(tiers=TIERS, classifier=None, **{name: value})


@pytest.mark.parametrize("kind", ["llama_index", "langchain"])
def test_one_stop_string_is_taken_as_chat_models_take_it(kind: str) -> None:
    made = router(kind)(tiers=TIERS, classifier=None, stop="END", max_tokens="5", temperature=1)
    assert (made.stop, made.max_tokens, made.temperature) == (["END"], 5, 1.0)
    made.stop = "STOP"
    assert made.stop == ["STOP"]


def test_a_provider_that_no_llm_can_be_built_for_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"Tier\('a'\): 'foo:bar' cannot be built from a string.*LLM object"):
        RoutingLLM(tiers=[Tier("a", "foo:bar"), TIERS[1]], classifier=None)


def test_tiers_in_the_wrong_order_are_told_without_a_model_objects_key() -> None:
    dear = OpenAI(model="gpt-4.1", api_key="canary-of-a-key")
    with pytest.raises(ConfigError, match=r"\(openai:gpt-4.1-mini\) costs less than 'a' \(openai:gpt-4.1\)") as told:
        RoutingLLM(tiers=[Tier("a", dear), Tier("b", "openai:gpt-4.1-mini")], classifier=None)
    assert "canary" not in str(told.value)
