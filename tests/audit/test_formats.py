"""Telling a log's format, and saying where things stand in one that is not known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from slmroute.audit import audit
from slmroute.audit.formats import at, find_format, first_prompt, mapped
from slmroute.demo.requests import load_requests
from slmroute.errors import ConfigError

Rows = Callable[..., list[Mapping[str, Any]]]
Write = Callable[[str, Iterable[Mapping[str, Any]]], Path]
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


@pytest.mark.parametrize("name", FORMATS[:-1])
@pytest.mark.parametrize("stray", [{"prompt": "hello"}, {"messages": [{"role": "user", "content": "Hi?"}]}])
def test_a_stray_record_does_not_change_a_logs_format(name: str, stray: dict[str, Any], rows: Rows) -> None:
    assert find_format([*rows(name)[:20], stray], "log").name == name
    assert find_format([stray, *rows(name)[:20]], "log").name == name


def test_a_format_that_half_of_the_records_fit_is_taken_before_plain_prompts(rows: Rows) -> None:
    plain = [{"prompt": "hello"}] * 20
    assert find_format([*plain, *rows(FORMATS[0])[:20]], "log").name == FORMATS[0]
    assert find_format([*plain, *rows(FORMATS[0])[:19]], "log").name == "plain prompts"


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


def traces(rows: Rows) -> list[dict[str, Any]]:
    return [
        {"id": row["id"], "timestamp": "2026-11-16T08:00:00Z", "name": "qa", "input": row["input"], "output": "ok",
         "latency": 1.3, "totalCost": 0.002, "observations": ["one", "two"], "scores": []}
        for row in rows("Langfuse observations")
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_traces_of_langfuse_cost_and_take_what_they_say(ending: str, rows: Rows, write: Write) -> None:
    found = audit([write(f"traces.{ending}", traces(rows))])
    assert found.files[0].form == "Langfuse traces"
    assert (found.cost_sources, found.median_ms) == ({"logged": 68}, 1300)
    assert found.today == pytest.approx(68 * 0.002)
    assert "A trace of Langfuse is taken for one call" in found.assumed[0]


def test_the_arguments_of_a_function_that_langfuse_watches_are_the_prompt(rows: Rows, write: Write) -> None:
    watched = [{**trace, "input": {"args": [trace["input"][1]["content"]], "kwargs": {}}} for trace in traces(rows)]
    assert audit([write("traces.jsonl", watched)]).simple == audit([write("asked.jsonl", traces(rows))]).simple


def test_pages_of_litellm_and_lists_of_texts_are_read(tmp_path: Path, rows: Rows, write: Write) -> None:
    page = tmp_path / "page.json"
    page.write_text(json.dumps({"data": rows("LiteLLM logs"), "total": 68, "page": 1, "total_pages": 1}))
    assert audit([page]).files[0].form == "LiteLLM logs"
    texts = [request.prompt for request in load_requests()]
    asked = audit([write("asked.jsonl", [{"prompt": text} for text in texts])])
    for name, content in (("list.json", json.dumps(texts)), ("lines.jsonl", "\n".join(map(json.dumps, texts)))):
        (tmp_path / name).write_text(content)
        found = audit([tmp_path / name])
        assert (found.looked_at, found.simple, found.files[0].bad) == (68, asked.simple, 0)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"custom_id": "1", "response": {"body": {"choices": []}}},
            "a batch.*audit the file of its requests",
        ),
        ({"object": "chat.completion", "choices": [{}], "usage": {}}, "answers of OpenAI's.*request's messages"),
    ],
)
def test_answers_without_their_requests_are_told(record: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find_format([record] * 3, "answers.jsonl")


@pytest.mark.parametrize("places", [{}, {"prompt": "charged"}])
def test_a_prompt_in_the_place_of_a_fields_name_is_not_shown(tmp_path: Path, places: dict[str, str]) -> None:
    (tmp_path / "bare.csv").write_text('"My card 4111 was charged twice, what now?"\n"And where is my parcel?"\n')
    with pytest.raises(ConfigError, match=r"give it a first line that names them|no record has that field") as caught:
        audit([tmp_path / "bare.csv"], places=places)
    assert "4111" not in str(caught.value)


@pytest.mark.parametrize(("cost", "source"), [("0,01", "unreadable"), ("$0.01", "logged"), ("", "assumed")])
def test_costs_that_are_no_numbers_are_told(cost: str, source: str, write: Write) -> None:
    found = audit([write("log.jsonl", [{"prompt": "Is this positive? I loved it.", "cost": cost}] * 3)])
    assert found.cost_sources == {source: 3}
    assert any("a cost that is no number" in line for line in found.assumed) == (source == "unreadable")
