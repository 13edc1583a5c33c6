"""Tiers given as strings: what their clients are made with, and what is said where they cannot be made."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest
from langchain_openai import AzureChatOpenAI

from langchain_slmroute import RoutingChatModel
from langchain_slmroute.history import for_tier
from langchain_slmroute.models import TierModels
from slmroute import Tier
from slmroute.errors import ConfigError, Misconfigured, MissingExtra
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.providers.conftest import over
from tests.langchain.providers.providers import KEY, OLLAMA, PROVIDERS, Provider
from tests.langchain.stage import record_of

KEYED = {name: each for name, each in PROVIDERS.items() if each is not OLLAMA}
VARIABLES = {
    "anthropic": "ANTHROPIC_API_KEY",
    "azure_openai": "AZURE_OPENAI_API_KEY",
    "google_genai": "GOOGLE_API_KEY",
    "huggingface": "HF_TOKEN",
    "openai": "OPENAI_API_KEY",
}


def built(spec: str, standard: dict[str, Any] | None = None, **model_args: Any) -> Any:
    tier = Tier("top", spec, model_args=model_args)
    return TierModels([tier], standard or {}).model(tier)


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.stream, ways.astream], ids=ways.name_of)
@pytest.mark.parametrize("provider", KEYED.values(), ids=KEYED)
async def test_a_missing_key_names_the_tier_and_the_variable(provider: Provider, ask: ways.Ask) -> None:
    router = over(Tier("top", provider.spec))
    with pytest.raises(Misconfigured, match=f"'top'.*{VARIABLES[provider.name]}") as caught:
        await ask(router, "Where is it?")
    if provider.name in ("openai", "azure_openai", "google_genai"):  # the others notice only when they are asked
        assert caught.value.__cause__ is not None


@pytest.mark.parametrize("provider", KEYED.values(), ids=KEYED)
def test_a_key_in_the_environment_is_found(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLES[provider.name], KEY)
    settings = {k: v for k, v in provider.settings("http://127.0.0.1:9").items() if k not in ("api_key", "base_url")}
    assert built(provider.spec, **settings) is not None


def test_a_token_of_another_name_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGFACEHUB_API_TOKEN", KEY)
    assert built("huggingface:a/b").llm.repo_id == "a/b"


def test_credentials_in_a_header_will_do() -> None:
    assert built("anthropic:claude-haiku-4-5", default_headers={"Authorization": "Bearer t"}) is not None


def test_a_routers_own_key_reaches_its_tiers() -> None:
    for provider in KEYED.values():
        settings = {k: v for k, v in provider.settings("http://127.0.0.1:9").items() if k != "api_key"}
        assert built(provider.spec, {"api_key": KEY}, **settings) is not None


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_clients_do_not_retry_by_themselves(provider: Provider) -> None:
    model = built(provider.spec, **provider.settings("http://127.0.0.1:9"))
    expected = {"google_genai": 1, "huggingface": None, "ollama": None}.get(provider.name, 0)  # Google counts the first
    assert getattr(model, "max_retries", None) == expected


def test_retries_that_the_user_wants_are_made() -> None:
    assert built("openai:gpt-4.1", {"max_retries": 3}, api_key=KEY).max_retries == 3
    assert built("anthropic:claude-haiku-4-5", {"max_retries": 3}, api_key=KEY, max_retries=2).max_retries == 2
    azure = {"azure_endpoint": "http://127.0.0.1:9", "api_version": "2024-10-21", "api_key": KEY}
    assert built("azure_openai:gpt-4.1", {"max_retries": 3}, **azure).max_retries == 3


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
async def test_standard_arguments_are_said_in_each_providers_terms(provider: Provider) -> None:
    standard = {"temperature": 0.25, "max_tokens": 77, "timeout": 4.5, "stop": ["three"]}
    with provider.serve() as server:
        server.script(provider.model, Reply("One two", input_tokens=10, output_tokens=2))
        router = over(provider.tier("string", server.url), **standard)
        for ask in (ways.invoke, ways.astream):
            assert (await ask(router, "Count.")).text == "One two"
            body = str(server.calls()[-1].body)
            assert all(said in body for said in ("0.25", "77", "three")), body


def test_wrong_arguments_name_the_tier_and_show_no_key() -> None:
    wrong = {
        "openai:gpt-4.1": {"temperature": "hot"},
        "google_genai:gemini-2.5-flash": {"temperature": 9},
        "anthropic:claude-haiku-4-5": {"max_tokens": "many"},
        "huggingface:a/b": {"top_k": "all"},
        "azure_openai:gpt-4.1": {"n": 0},
    }
    for spec, arguments in wrong.items():
        with pytest.raises(ConfigError, match="'top'") as caught:
            built(spec, **arguments, api_key=KEY)
        shown = "".join(traceback.format_exception(caught.value))
        assert KEY not in shown
        assert spec in str(caught.value)


def test_an_unknown_provider_and_a_missing_package_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nosuch:x"):
        built("nosuch:x")
    with pytest.raises(ConfigError, match="Did you mean 'ollama:gemma2:2b'"):
        built("olama:gemma2:2b")
    with pytest.raises(ConfigError, match="pip install langchain-groq"):
        built("groq:llama-3.1-8b-instant")
    for module, extra in (
        ("langchain_anthropic", "anthropic"),
        ("langchain_google_genai", "google"),
        ("langchain_huggingface", "huggingface"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        spec = {"google": "google_genai"}.get(extra, extra)
        with pytest.raises(MissingExtra, match=rf"slmroute\[{extra}\]"):
            built(f"{spec}:some-model", api_key=KEY)
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(ConfigError, match="pip install langchain"):
        built("groq:llama-3.1-8b-instant")


def test_what_langchain_alone_knows_is_built_by_it() -> None:
    azure = {"azure_endpoint": "http://127.0.0.1:9", "api_version": "2024-10-21", "api_key": KEY}
    model = built("azure_openai:gpt-4.1", {"temperature": 0.5}, **azure)
    assert isinstance(model, AzureChatOpenAI)
    assert (model.temperature, model.model_name) == (0.5, "gpt-4.1")


async def test_an_azure_tiers_own_history_is_not_taken_for_anothers() -> None:
    provider = PROVIDERS["azure"]
    with provider.serve() as server:
        server.script(provider.model, Reply("Blue.", input_tokens=10, output_tokens=2))
        tier = provider.tier("string", server.url)
        router = RoutingChatModel(tiers=[tier, Tier("spare", "dry-run:openai:gpt-4.1")], classifier=None)
        answer = await router.ainvoke("What is the sky?")
    assert record_of(answer)["attempts"][0]["price_id"] == "genai-prices:azure/gpt-4.1"
    answer.additional_kwargs["refusal"] = "kept"
    (own,) = for_tier([answer], None, TierModels([tier], {}).provider(tier))
    (foreign,) = for_tier([answer], None, "anthropic")
    assert own.additional_kwargs == {"refusal": "kept"}
    assert foreign.additional_kwargs == {}
