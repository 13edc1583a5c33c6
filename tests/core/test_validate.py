"""Answers that are wrong on their face."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError
from slmroute.request import RouteRequest, ToolSpec
from slmroute.steps import Answer, ToolCall
from slmroute.validate import FAULTS, checks_of, fault_of

PLAIN = RouteRequest(text="hello")
STRUCTURED = RouteRequest(text="hello", schema={"type": "object"})
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": ["integer", "null"]}, "any": {}, "odd": True},
    "required": ["city"],
}
TOOLS = RouteRequest(text="hello", tools=(ToolSpec("weather", SCHEMA), ToolSpec("ping")))


def fault(answer: Answer, request: RouteRequest = PLAIN, checks: frozenset[str] = FAULTS) -> str | None:
    return fault_of(answer, request, checks)


def tool_call(arguments: dict[str, object] | None, name: str = "weather") -> Answer:
    return Answer(tool_calls=(ToolCall(name, arguments),))


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_nothing_is_no_answer(text: str) -> None:
    assert fault(Answer(text=text)) == "empty"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\N{RIGHT SINGLE QUOTATION MARK}m sorry, but I can\N{RIGHT SINGLE QUOTATION MARK}t assist with this request.",
        "I am very sorry, I cannot provide this.",
        "Sorry, I am unable to process images.",
        "Unfortunately, I don't have access to your files.",
        "As an AI language model, I cannot browse the web.",
        "I cannot answer this question.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar.",
    ],
)
def test_refusals_are_recognised_by_their_opening(text: str) -> None:
    assert fault(Answer(text=text)) == "refusal"
    assert fault(Answer(text=text + " And so on." * 200)) == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "Paris.",
        "I can help with that.",
        "I can't help but notice that the reviews are good.",
        "I'm sorry to hear that. Please send the device back and we refund it.",
        "The customer wrote: \"I'm sorry, but I can't help with that.\"",
        "Sorry for the delay! Your parcel is on its way.",
        "Unfortunately, the shop is closed today.",
        "He said that as an AI he cannot sleep.",
    ],
)
def test_answers_that_only_sound_a_little_like_it_are_not(text: str) -> None:
    assert fault(Answer(text=text)) is None


def test_broken_json_where_json_was_asked_for() -> None:
    assert fault(Answer(text='{"a": 1}'), STRUCTURED) is None
    assert fault(Answer(text='{"a": 1'), STRUCTURED) == "bad_json"
    assert fault(Answer(text=""), STRUCTURED) == "bad_json"
    assert fault(Answer(text="[" * 100_000), STRUCTURED) == "bad_json"
    # The adapter's own parser knows better.
    assert fault(Answer(text="```json\n{}\n```", parsed=True), STRUCTURED) is None
    assert fault(Answer(text="{}", parsed=False), STRUCTURED) == "bad_json"


def test_a_structure_may_come_as_a_tool_call() -> None:
    answer = Answer(tool_calls=(ToolCall("Person", {"name": "Ada"}),), parsed=True)
    assert fault(answer, STRUCTURED) is None


def test_tools_and_a_schema_together() -> None:
    both = RouteRequest(text="x", tools=TOOLS.tools, schema={"type": "object"})
    assert fault(tool_call({"city": "Rome"}), both) is None
    assert fault(tool_call({}), both) == "tool_arguments"
    assert fault(Answer(text="{}"), both) is None
    assert fault(Answer(text="no"), both) == "bad_json"


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "Rome"},
        {"city": "Rome", "days": 3},
        {"city": "Rome", "days": 3.0},
        {"city": "Rome", "days": None},
        {"city": "Rome", "any": [1], "odd": "x", "unheard of": {}},
    ],
)
def test_tool_arguments_that_fit(arguments: dict[str, object]) -> None:
    assert fault(tool_call(arguments), TOOLS) is None


@pytest.mark.parametrize(
    "arguments",
    [None, {}, {"days": 3}, {"city": 3}, {"city": "Rome", "days": "3"}, {"city": "Rome", "days": True}, {"city": None}],
)
def test_tool_arguments_that_do_not(arguments: dict[str, object] | None) -> None:
    assert fault(tool_call(arguments), TOOLS) == "tool_arguments"


def test_a_tool_that_there_is_not() -> None:
    assert fault(tool_call({}, "wheather"), TOOLS) == "unknown_tool"
    assert fault(tool_call({}, "Ping"), TOOLS) == "unknown_tool"
    assert fault(tool_call({"anything": 1}, "ping"), TOOLS) is None


def test_every_tool_call_must_be_right() -> None:
    answer = Answer(tool_calls=(ToolCall("weather", {"city": "Rome"}), ToolCall("weather", {})))
    assert fault(answer, TOOLS) == "tool_arguments"


def test_text_where_a_tool_call_was_forced() -> None:
    forced = RouteRequest(text="x", tools=TOOLS.tools, forced_tool=True)
    assert fault(Answer(text="Rome is sunny."), forced) == "no_tool_call"
    assert fault(tool_call({"city": "Rome"}), forced) is None
    assert fault(Answer(text="Rome is sunny."), TOOLS) is None


def test_a_call_of_another_tool_than_the_one_that_was_forced() -> None:
    forced = RouteRequest(text="x", tools=TOOLS.tools, forced_tool="ping")
    assert fault(tool_call({"city": "Rome"}), forced) == "other_tool"
    assert fault(tool_call({}, "ping"), forced) is None
    assert fault(tool_call({}, "unheard of"), forced) == "unknown_tool"
    assert fault(Answer(text="Rome is sunny."), forced) == "no_tool_call"


def test_what_a_content_filter_withheld_is_no_fault() -> None:
    assert fault(Answer(text="", finish="content_filter")) is None


def test_only_the_faults_asked_for_count() -> None:
    refusal = Answer(text="I'm sorry, but I can't help with that.")
    assert fault(refusal, checks=checks_of(False)) is None
    assert fault(refusal, checks=checks_of({"empty"})) is None
    assert fault(Answer(), checks=checks_of({"empty"})) == "empty"
    with pytest.raises(ConfigError, match=r"\['refusals'\] unknown"):
        checks_of({"refusals"})


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["type", "properties", "required", "city", "items", "enum"])


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.dictionaries(KEYS, JSON, max_size=5))
def test_no_schema_however_odd_breaks_the_check(arguments: dict[str, object], schema: dict[str, object]) -> None:
    request = RouteRequest(text="x", tools=(ToolSpec("f", schema),))
    assert fault(tool_call(arguments, "f"), request) in (None, "tool_arguments")


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_no_text_breaks_the_check(text: str) -> None:
    assert fault(Answer(text=text)) in (None, "empty", "refusal")
    assert fault(Answer(text=text), STRUCTURED) in (None, "bad_json")
