"""Answers that follow a schema: the object is all that is generated, counted, timed and limited."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import jsonschema
import ollama
import openai
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slmroute.json_schema import fits
from slmroute.local import LocalServer
from slmroute.local.json_grammar import grammar_of
from slmroute.local.model_file import ModelFile
from slmroute.local.ollama_request import chat_ask
from slmroute.local.value_grammar import Beyond, between, text_of

ASKED: Any = [{"role": "user", "content": "Positive or negative? I loved it."}]
LABEL = {"type": "object", "properties": {"label": {"enum": ["positive", "negative"]}}, "required": ["label"]}
TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
FORMAT_CHECKER = jsonschema.FormatChecker(["date", "uuid"])
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]}},
    "required": ["x"],
}
FLAG = {"title": "Flag", "type": "object", "properties": {"ok": {"type": "boolean"}}}
SCHEMAS: dict[str, Any] = {
    "an enumeration": LABEL,
    "any object": {"type": "object"},
    "what JSON writes with escapes": {
        "type": "object",
        "properties": {'a "q" \\ \n \u00e9': {"const": 'x"\\\n\u00e9\u2028'}},
        "required": ['a "q" \\ \n \u00e9'],
    },
    "kinds": {"type": "object", "properties": {"a": {"type": ["boolean", "null"]}}, "required": ["a"]},
    "members that may be left out": {
        "title": "Point",
        "type": "object",
        "properties": {n: {"type": "boolean", "description": n} for n in "abcd"},
        "required": ["c"],
        "additionalProperties": False,
    },
    "none that must be there": {"properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}}},
    "a list": {
        "type": "array",
        "items": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]},
        "minItems": 2,
        "maxItems": 3,
    },
    "an empty list": {"type": "array", "maxItems": 0},
    "a short text": {"type": "string", "minLength": 2, "maxLength": 5},
    "a map": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "nothing": {"type": "object", "additionalProperties": False},
    "what holds itself": {"$ref": "#/$defs/Point", "$defs": {"Point": POINT}},
    "one of two": {"oneOf": [{"type": "boolean"}, {"const": 7}]},
    "a pattern": {"type": "string", "pattern": r"^(?:[A-Z][^a-m\d]{1,3}|\d{2}-)[!-~]?\.\w*$"},
    "an empty pattern": {"type": "string", "pattern": "^$"},
    "a date": {"type": "string", "format": "date"},
    "a time": {"type": "string", "format": "date-time"},
    "an id": {"type": "string", "format": "uuid"},
    "a whole number between bounds": {"type": "integer", "minimum": 97, "exclusiveMaximum": 1205},
    "a whole number on both sides of zero": {"type": "integer", "exclusiveMinimum": -12.5, "maximum": 7},
    "a whole number below zero": {"type": "integer", "maximum": -30},
    "all of one": {"allOf": [LABEL], "description": "as pydantic 1 writes it"},
    "all of several": {"allOf": [LABEL, {"$ref": "#/$defs/Flag"}], "required": ["ok"], "$defs": {"Flag": FLAG}},
    "a pair": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
}
BEYOND: list[Any] = [
    {"type": "nonsense"},
    {"type": []},
    {"type": "string", "pattern": "^a"},
    {"type": "string", "maxLength": 100_000},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "string", "pattern": "^(?=a)b$"},
    {"type": "string", "pattern": "^($"},
    {"type": "string", "pattern": r"^(a)\1$"},
    {"type": "string", "pattern": "^a{2000}$"},
    {"type": "string", "pattern": 3},
    {"type": "integer", "minimum": 3, "maximum": 2},
    {"type": "integer", "minimum": "3"},
    {"allOf": []},
    {"allOf": [LABEL, {"type": "string"}]},
    {"allOf": [LABEL, {"properties": {"label": {"type": "string"}}}]},
    {"allOf": [LABEL, {"$ref": "#/$defs/Missing"}]},
    {"allOf": [LABEL, {"properties": []}]},
    {"type": "array", "prefixItems": []},
    {"enum": []},
    {"$ref": "#/$defs/Missing"},
    {"$ref": "https://example.com/schema"},
    {**LABEL, "additionalProperties": {"type": "string"}},
    {**LABEL, "required": ["other"]},
    {"type": "object", "properties": {"a": False}},
    {"type": "object", "properties": []},
]


@pytest.fixture
def client(local_server: LocalServer) -> Iterator[ollama.Client]:
    with ollama.Client(local_server.url) as made:
        yield made


@pytest.mark.parametrize("name", SCHEMAS)
def test_whatever_is_generated_under_a_grammar_follows_its_schema(
    client: ollama.Client, local_server: LocalServer, name: str
) -> None:
    schema = SCHEMAS[name]
    assert grammar_of(schema) is not None
    for seed in range(3):
        options = {"temperature": 1.5, "seed": seed, "num_predict": 120}
        answer = client.chat(local_server.model, ASKED, format=schema, options=options, logprobs=True)
        assert "".join(token.token for token in answer.logprobs or ()) == answer.message.content
        if answer.done_reason == "stop":
            value = json.loads(answer.message.content or "")
            assert fits(value, schema)
            assert jsonschema.Draft202012Validator(schema, format_checker=FORMAT_CHECKER).is_valid(value)


@pytest.mark.parametrize("schema", BEYOND, ids=json.dumps)
def test_what_a_grammar_does_not_say_is_left_to_llama_cpp(schema: dict[str, object]) -> None:
    assert grammar_of(schema) is None
    body = chat_ask({"messages": ASKED, "format": schema}, ModelFile.open()).body
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "schema", "schema": schema}}
    assert "grammar" not in body


def test_after_thoughts_an_object_is_left_to_llama_cpp_too() -> None:
    file = ModelFile.open(template="{{ tools }}<think></think>")
    asked = {"messages": ASKED, "format": LABEL}
    assert "grammar" not in chat_ask(asked, file).body
    assert "grammar" in chat_ask({**asked, "think": False}, file).body


def test_a_template_is_told_of_tools_beside_a_schema() -> None:
    file = ModelFile.open(template="{{ tools }}<think></think>")
    body = chat_ask({"messages": ASKED, "format": LABEL, "think": False, "tools": [TOOL]}, file).body
    assert body["grammar"] == grammar_of(LABEL)
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "tools": [TOOL]}
    assert "tools" not in body


def test_an_object_is_all_that_is_generated_beside_tools(narrow_server: LocalServer) -> None:
    with ollama.Client(narrow_server.url) as client:
        asked: Any = {"format": LABEL, "logprobs": True, "options": {"temperature": 0}}
        plain = client.chat(narrow_server.model, ASKED, **asked)
        tooled = client.chat(narrow_server.model, ASKED, tools=[TOOL], **asked)
    assert (tooled.prompt_eval_count or 0) > (plain.prompt_eval_count or 0)
    assert "".join(token.token for token in tooled.logprobs or ()) == tooled.message.content
    assert fits(json.loads(tooled.message.content or ""), LABEL)


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**6) | st.integers(0, 10**15), st.data())
def test_the_whole_numbers_between_bounds_are_all_that_is_permitted(low: int, more: int, data: st.DataObject) -> None:
    high = low + more
    permitted = re.compile(re.sub(r'"(.*?)"| ', r"\1", between(low, high)))
    inside = data.draw(st.integers(low, high))
    assert all(permitted.fullmatch(str(each)) for each in (low, inside, high))
    outside = data.draw(st.integers(max_value=low - 1) | st.integers(min_value=high + 1))
    assert not any(permitted.fullmatch(str(each)) for each in (low - 1, high + 1, outside))


PIECES = [
    "a",
    "é",
    '"',
    r"\\",
    r"\.",
    "[a-c]",
    "[^b-d]",
    r"[^!-\\]",
    r"[\w.-]",
    "[!-~]",
    r"\d",
    r"\W",
    ".",
    "(a|bc)",
    "(?:x|)",
]
TIMES = ["", "", "*", "+", "?", "{2}", "{1,3}", "+?"]


CANDIDATES = ["".join(each) for length in range(4) for each in product('abx5."\\\x7fé-!', repeat=length)]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(TIMES)), max_size=3))
def test_a_patterns_grammar_permits_what_the_pattern_matches(parts: list[tuple[str, str]]) -> None:
    pattern = f"^{''.join(piece + times for piece, times in parts)}$"
    token = re.compile(r'(?P<text>"(?:\\.|[^"\\])*")|(?P<set>\[(?:\\.|[^\]])*\])|(?P<space> )')

    def translated(found: re.Match[str]) -> str:
        return "" if found["space"] else found["set"] or f"(?:{re.escape(json.loads(found['text']))})"

    permitted, matching = re.compile(token.sub(translated, text_of(pattern))), re.compile(pattern)
    for text in CANDIDATES:
        if permitted.fullmatch(json.dumps(text, ensure_ascii=False)):
            assert matching.fullmatch(text)
        elif not set(text) & set('"\\\x7fé'):
            assert not matching.fullmatch(text)


@example("[[")
@example("[a--b]")
@given(st.text("ab-^$[](){}|*+?.\\dwWx1,:=!", max_size=12))
def test_any_pattern_is_put_in_a_grammar_or_refused(inside: str) -> None:
    with suppress(Beyond):
        assert text_of(f"^{inside}$").startswith('"\\""')


def test_a_completion_without_a_chat_is_refused_where_its_schema_makes_no_sense(
    client: ollama.Client, local_server: LocalServer
) -> None:
    for schema in BEYOND[:2]:
        with pytest.raises(ollama.ResponseError, match="invalid JSON schema in format") as refused:
            client.generate(local_server.model, "Say so:", raw=True, format=schema)
        assert refused.value.status_code == 500


@pytest.mark.parametrize("wanted", [LABEL, "json"], ids=["schema", "json"])
@pytest.mark.parametrize("endpoint", ["chat", "generate"])
def test_the_tokens_of_an_object_make_its_text(
    client: ollama.Client, local_server: LocalServer, endpoint: str, wanted: Any
) -> None:
    asked: dict[str, Any] = {"format": wanted, "logprobs": True, "options": {"temperature": 0, "num_predict": 60}}
    if endpoint == "chat":
        whole = client.chat(local_server.model, ASKED, **asked)
        parts = list(client.chat(local_server.model, ASKED, stream=True, **asked))
        texts = [answer.message.content for answer in (whole, *parts)]
    else:
        whole = client.generate(local_server.model, ASKED[0]["content"], **asked)
        parts = list(client.generate(local_server.model, ASKED[0]["content"], stream=True, **asked))
        texts = [answer.response for answer in (whole, *parts)]
    tokens = [token.token for token in whole.logprobs or ()]
    assert texts[0].startswith(tokens[0])
    assert texts[0][0] == "{"
    assert "".join(tokens) == texts[0] == "".join(texts[1:])
    assert [token.token for part in parts for token in part.logprobs or ()] == tokens
    # The token that ends the answer is counted, and is no text.
    assert whole.eval_count == len(tokens) + (whole.done_reason == "stop")


def test_a_limit_is_spent_on_the_object(client: ollama.Client, local_server: LocalServer) -> None:
    answer = client.chat(local_server.model, ASKED, format=LABEL, options={"temperature": 0, "num_predict": 8})
    assert answer.eval_count == 8
    assert (answer.message.content or "").startswith("{")
    assert "label" in (answer.message.content or "")


@pytest.mark.parametrize("kind", ["json_schema", "json_object"])
def test_the_tokens_of_an_object_make_its_text_on_openais_wire(local_server: LocalServer, kind: str) -> None:
    wanted: dict[str, Any] = {"type": kind}
    if kind == "json_schema":
        wanted["json_schema"] = {"name": "label", "schema": LABEL, "strict": True}
    asked: dict[str, Any] = {"response_format": wanted, "logprobs": True, "temperature": 0, "max_tokens": 60}
    with openai.OpenAI(base_url=f"{local_server.url}/v1", api_key="none") as client:
        whole = client.chat.completions.create(model=local_server.model, messages=ASKED, **asked).choices[0]
        with client.chat.completions.create(model=local_server.model, messages=ASKED, stream=True, **asked) as stream:
            parts = [part.choices[0] for part in stream if part.choices]
    assert whole.logprobs is not None
    tokens = [token.token for token in whole.logprobs.content or ()]
    assert "".join(tokens) == whole.message.content == "".join(part.delta.content or "" for part in parts)
    streamed = [part.logprobs.content or [] for part in parts if part.logprobs is not None]
    assert [token.token for each in streamed for token in each] == tokens
    assert json.loads(whole.message.content or "").keys() >= ({"label"} if kind == "json_schema" else set())
