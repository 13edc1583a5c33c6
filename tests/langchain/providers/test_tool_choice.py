"""Every way of choosing a tool that a user may know from one class reaches every provider in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from slmroute.testing import Reply
from tests.langchain.providers.conftest import over
from tests.langchain.providers.providers import PROVIDERS


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def subtract(a: int, b: int) -> int:
    """Subtract two numbers."""
    return a - b


def openai_name(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


ANY: tuple[Any, ...] = ("any", "required", True, {"type": "any"}, {"mode": "ANY"}, ["add", "subtract"])
NAMED: tuple[Any, ...] = (
    "add",
    openai_name("add"),
    {"type": "tool", "name": "add"},
    ["add"],
    {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["add"]}},
)
AUTO: tuple[Any, ...] = ("auto", {"type": "auto"}, {"mode": "AUTO"})
NONE: tuple[Any, ...] = ("none", {"type": "none"}, {"mode": "NONE"})
NO_CHOICE: tuple[Any, ...] = (None, False)
SENT: dict[str, dict[str, Any]] = {
    "openai": {"any": "required", "named": openai_name("add"), "auto": "auto", "none": "none"},
    "azure": {"any": "required", "named": openai_name("add"), "auto": "auto", "none": "none"},
    "anthropic": {
        "any": {"type": "any"},
        "named": {"type": "tool", "name": "add"},
        "auto": {"type": "auto"},
        "none": {"type": "none"},
    },
    "google": {
        "any": {"mode": "ANY", "allowedFunctionNames": ["add", "subtract"]},
        "named": {"mode": "ANY", "allowedFunctionNames": ["add"]},
        "auto": {"mode": "AUTO"},
        "none": {"mode": "NONE"},
    },
    "ollama": {},
    "hugging_face": {"none": "none"},
}
SPELLED = [("any", each) for each in ANY] + [("named", each) for each in NAMED] + [("auto", each) for each in AUTO]
SPELLED += [("none", each) for each in NONE] + [("nothing", each) for each in NO_CHOICE]


def sent_choice(body: dict[str, Any]) -> Any:
    if "toolConfig" in body:
        return body["toolConfig"]["functionCallingConfig"]
    return body.get("tool_choice")


@pytest.mark.parametrize("name", SENT)
def test_every_spelling_of_a_choice_reaches_each_provider_in_its_own_words(name: str) -> None:
    provider = PROVIDERS[name]
    call = Reply(tool_calls=[("add", {"a": 1, "b": 2})], input_tokens=10, output_tokens=5)
    with provider.serve() as server:
        server.script(provider.model, call)
        router = over(provider.tier("object", server.url), validate=False)
        for meaning, choice in SPELLED:
            own_words = name == "google" and choice == {"mode": "ANY"}
            expected = {"mode": "ANY"} if own_words else SENT[name].get(meaning)
            answer = router.bind_tools([add, subtract], tool_choice=choice).invoke("1+2?", tier="asked")
            assert [each["name"] for each in answer.tool_calls] == ["add"]
            assert sent_choice(server.calls()[-1].body) == expected, choice


def test_what_a_providers_own_form_says_beyond_the_choice_is_kept_for_it() -> None:
    alone = {"type": "any", "disable_parallel_tool_use": True}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [openai_name("add")]}}
    expected = {
        ("anthropic", 0): alone,
        ("anthropic", 1): {"type": "any"},
        ("openai", 0): "required",
        ("openai", 1): allowed,
    }
    call = Reply(tool_calls=[("add", {"a": 1, "b": 2})], input_tokens=10, output_tokens=5)
    for (name, place), sent in expected.items():
        provider = PROVIDERS[name]
        with provider.serve() as server:
            server.script(provider.model, call)
            router = over(provider.tier("object", server.url))
            router.bind_tools([add, subtract], tool_choice=(alone, allowed)[place]).invoke("1+2?", tier="asked")
            assert sent_choice(server.calls()[-1].body) == sent
