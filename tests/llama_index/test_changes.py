"""Settings that are changed once a router is made: they take effect, or an error says why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage

from slmroute import Confidence, ConfigError, RouteRequest, Tier
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]
HARD: Callable[[RouteRequest], float] = lambda request: 1.0  # noqa: E731
GO_UP: Callable[[RouteRequest], str] = lambda request: "frontier"  # noqa: E731
SURE = Reply("Well, hello there.", logprobs=[-0.01] * 3)


@pytest.fixture
def made(bench: Any, server: FakeServer) -> Any:
    server.script(SMALL, SURE)
    server.script(FRONTIER, SURE)
    return bench(strings=True)


def option(server: FakeServer, name: str) -> Any:
    options: Any = server.requests[-1].body["options"]
    return options.get(name)


@pytest.mark.parametrize(
    ("name", "value", "tier"),
    [
        ("classifier", HARD, "frontier"),
        ("rules", [GO_UP], "frontier"),
        ("threshold", 0.0, "small"),
        ("escalation", Confidence(0.999999), "frontier"),
    ],
)
def test_a_changed_setting_decides_the_next_call(made: Any, name: str, value: Any, tier: str) -> None:
    made.llm.chat(HELLO)
    setattr(made.llm, name, value)
    made.llm.chat(HELLO)
    assert made.tiers == ["small", tier]


def test_changed_standard_arguments_reach_the_tiers(made: Any, server: FakeServer) -> None:
    made.llm.chat(HELLO)
    made.llm.temperature = 0.75
    made.llm.max_tokens = 7
    made.llm.chat(HELLO)
    assert (option(server, "temperature"), option(server, "num_predict")) == (0.75, 7)
    made.llm.model_copy(update={"temperature": 0.25}).chat(HELLO)
    assert option(server, "temperature") == 0.25
    made.llm.api_key = "another-canary"
    assert "another-canary" not in repr(made.llm)
    assert "another-canary" not in str(made.llm.to_dict())


def test_changed_tiers_and_windows_show_in_the_metadata(made: Any, server: FakeServer) -> None:
    made.llm.context_window = 999
    assert made.llm.metadata.context_window == 999
    other = Tier("other", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url})
    made.llm.tiers = [other, made.llm.tiers[1]]
    made.llm.chat(HELLO)
    assert made.tiers == ["other"]
    made.llm.local_only = True
    assert made.llm.chat([ChatMessage(content="A hard one.")]).message.additional_kwargs["slmroute"]["tier"] == "other"


def test_a_copy_shares_the_clients_of_tiers_that_are_not_changed(made: Any, server: FakeServer) -> None:
    assert made.llm.model_copy(update={"threshold": 0.1}).models is made.llm.models
    changed = [Tier("small", f"ollama:{SMALL}", model_args={"base_url": server.url, "num_ctx": 512}), made.llm.tiers[1]]
    made.llm.model_copy(update={"tiers": changed}).chat(HELLO)
    assert option(server, "num_ctx") == 512


def test_a_changed_callback_manager_is_told_of_the_next_call(made: Any) -> None:
    made.llm.chat(HELLO)
    counter = TokenCountingHandler()
    made.llm.callback_manager = CallbackManager([counter])
    made.llm.chat(HELLO)
    assert len(counter.llm_token_counts) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", 2.0),
        ("thresholds", [0.1, 0.2]),
        ("default_tier", "none of them"),
        ("escalation", 0.85),
        ("context_window", 0),
        ("tiers", ["ollama:phi3:mini"]),
        ("temperature", "hot"),
        ("local_only", "perhaps"),
    ],
)
def test_a_wrong_value_is_refused_and_changes_nothing(made: Any, name: str, value: Any) -> None:
    before, engine = getattr(made.llm, name), made.llm.engine
    with pytest.raises(ConfigError, match=name):
        setattr(made.llm, name, value)
    with pytest.raises(ConfigError, match=name):
        made.llm.model_copy(update={name: value})
    assert getattr(made.llm, name) == before
    assert made.llm.engine is engine
    made.llm.chat(HELLO)
    assert made.tiers == ["small"]


@pytest.mark.parametrize("name", ["availability_errors", "budget", "hooks", "ledger", "prices"])
def test_what_copies_share_is_not_changed_silently(made: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}= cannot be changed.*RoutingLLM\(\.\.\., {name}="):
        setattr(made.llm, name, ["another"])
    with pytest.raises(ConfigError, match=f"{name}= cannot be changed"):
        made.llm.model_copy(update={name: ["another"]})


def test_a_setting_that_there_is_not_cannot_be_set(made: Any) -> None:
    with pytest.raises(ValueError, match="treshold"):
        made.llm.treshold = 0.3
    with pytest.raises(ConfigError, match=r"RoutingLLM has no setting treshold=.*Did you mean threshold="):
        made.llm.model_copy(update={"treshold": 0.3})


def test_a_setting_is_changed_by_its_other_name_too(made: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("I cannot help with that."))
    made.llm.validate = False
    made.llm.model_copy(update={"validate": False}).chat(HELLO)
    made.llm.chat(HELLO)
    assert (made.llm.checks, made.tiers) == (False, ["small", "small"])


def test_a_wrong_key_is_told_by_its_name_alone(made: Any) -> None:
    with pytest.raises(ConfigError, match="api_key= is wrong") as raised:
        made.llm.api_key = ["canary"]
    assert "canary" not in str(raised.value)
