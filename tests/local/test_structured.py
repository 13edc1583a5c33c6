"""Answers that follow a schema: the object is all that is generated, counted, timed and limited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import ollama
import openai
import pytest

from slmroute.json_schema import fits
from slmroute.local import LocalServer
from slmroute.local.json_grammar import grammar_of
from slmroute.local.model_file import ModelFile
from slmroute.local.ollama_request import chat_ask

ASKED: Any = [{"role": "user", "content": "Positive or negative? I loved it."}]
LABEL = {"type": "object", "properties": {"label": {"enum": ["positive", "negative"]}}, "required": ["label"]}
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]}},
    "required": ["x"],
}
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
}
BEYOND: list[Any] = [
    {"type": "nonsense"},
    {"type": []},
    {"type": "string", "pattern": "^a"},
    {"type": "string", "maxLength": 100_000},
    {"type": "string", "minLength": 3, "maxLength": 2},
    {"type": "integer", "minimum": 3},
    {"allOf": [LABEL]},
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
            assert fits(json.loads(answer.message.content or ""), schema)


@pytest.mark.parametrize("schema", BEYOND, ids=json.dumps)
def test_what_a_grammar_does_not_say_is_left_to_llama_cpp(schema: dict[str, object]) -> None:
    assert grammar_of(schema) is None
    body = chat_ask({"messages": ASKED, "format": schema}, ModelFile.open()).body
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "schema", "schema": schema}}
    assert "grammar" not in body


def test_before_a_tool_and_after_thoughts_an_object_is_left_to_llama_cpp_too() -> None:
    file = ModelFile.open(template="{{ tools }}<think></think>")
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    asked = {"messages": ASKED, "format": LABEL}
    assert "grammar" not in chat_ask(asked, file).body
    assert "grammar" not in chat_ask({**asked, "think": False, "tools": [tool]}, file).body
    assert "grammar" in chat_ask({**asked, "think": False}, file).body


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
