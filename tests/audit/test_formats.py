"""Telling a log's format, and saying where things stand in one that is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from slmroute.audit.formats import at, find_format, first_prompt, mapped
from slmroute.demo.requests import load_requests
from slmroute.errors import ConfigError

Rows = Callable[..., list[Mapping[str, Any]]]
FORMATS = ("OpenAI requests and responses", "LangSmith runs", "Langfuse observations", "LiteLLM logs", "plain prompts")


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_is_told_from_its_records(name: str, rows: Rows) -> None:
    docs = rows(name)
    found = find_format(docs, "log")
    assert found.name == name
    prompts = [first_prompt(doc, found) for doc in docs]
    assert [prompt.text for prompt in prompts if prompt] == [request.prompt for request in load_requests()]


def test_batch_requests_and_bare_messages_are_openai_s(rows: Rows) -> None:
    docs = rows("batch")[:5]
    assert find_format(docs, "log").name == "OpenAI requests and responses"
    assert find_format([{"messages": [{"role": "user", "content": "Hi?"}]}], "log").serves == "openai"


def test_records_of_other_kinds_do_not_hide_a_format(rows: Rows) -> None:
    chains = [{"run_type": "chain", "trace_id": "1", "inputs": {"docs": []}}] * 100
    assert find_format([*chains, *rows("LangSmith runs")[:20]], "log").name == "LangSmith runs"


def test_an_unknown_format_names_its_fields_and_the_option() -> None:
    with pytest.raises(ConfigError, match=r"fields when, body_text, meta, meta\.who.*--map prompt=FIELD"):
        find_format([{"when": 1, "body_text": "Hello?", "meta": {"who": "me"}}], "strange.jsonl")


def test_fields_can_be_mapped() -> None:
    docs = [{"prompt": "other", "said": {"by.user": "Hello?"}, "n": {"in": "12"}}]
    found = mapped(find_format(docs, "log"), {"prompt": "said", "input_tokens": "n.in"}, docs)
    assert found.prompt == ("said",)
    assert at(docs[0], found.input_tokens[0]) == "12"


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"prompt": "promt"}, "no record has that field; there are for example prompt"),
        ({"prompts": "prompt"}, "no 'prompts' to map; there are prompt, input_tokens"),
        ({"keep": "prompt"}, "no 'keep' to map"),
    ],
)
def test_what_cannot_be_mapped_is_told(places: dict[str, str], words: str) -> None:
    docs = [{"prompt": "Hello?"}]
    with pytest.raises(ConfigError, match=words):
        mapped(find_format(docs, "log"), places, docs)


def test_places_are_found_in_objects_lists_texts_and_names_with_points() -> None:
    doc = {"a": {"b": [{"c": 5}]}, "t": '{"x": {"y": 6}}', "gen_ai.usage": 7, "n": None, "broken": "{no"}
    assert at(doc, "a.b.0.c") == 5
    assert at(doc, "t.x.y") == 6
    assert at(doc, "gen_ai.usage") == 7
    assert [at(doc, place) for place in ("a.b.1.c", "a.b.c", "n.x", "broken.x", "z", "a.b.0.c.d")] == [None] * 6
