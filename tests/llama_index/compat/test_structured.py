"""Structured answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from pydantic import BaseModel, ValidationError

from slmroute.testing import Reply

if TYPE_CHECKING:
    from conftest import Subject


class City(BaseModel):
    """A city."""

    name: str
    people: int


PARIS = City(name="Paris", people=2_100_000)
JSON = Reply(PARIS.model_dump_json(), input_tokens=100, output_tokens=10, logprobs=[-0.01] * 4)
PROMPT = PromptTemplate("Which city is {what}?")


def wants_a_schema(subject: Subject) -> bool:
    name = "format" if subject.is_ollama else "response_format"
    return all(call.body.get(name) for call in subject.calls)


def test_structured_predict(subject: Subject) -> None:
    subject.says(JSON)
    assert subject.llm.structured_predict(City, PROMPT, what="it") == PARIS
    assert wants_a_schema(subject)
    assert "Which city is it?" in str(subject.calls[-1].body["messages"])


async def test_astructured_predict(subject: Subject) -> None:
    subject.says(JSON)
    assert await subject.llm.astructured_predict(City, PROMPT, what="it") == PARIS
    assert wants_a_schema(subject)


def as_city(part: Any) -> City:
    return City.model_validate(part.model_dump())


def test_stream_structured_predict(subject: Subject) -> None:
    subject.says(JSON)
    parts = list(subject.llm.stream_structured_predict(City, PROMPT, what="it"))
    assert as_city(parts[-1]) == PARIS
    assert wants_a_schema(subject)


async def test_astream_structured_predict(subject: Subject) -> None:
    subject.says(JSON)
    parts = [part async for part in await subject.llm.astream_structured_predict(City, PROMPT, what="it")]
    assert as_city(parts[-1]) == PARIS
    assert wants_a_schema(subject)


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # LlamaIndex's own StructuredLLM calls it
async def test_as_structured_llm(subject: Subject) -> None:
    subject.says(JSON)
    structured = subject.llm.as_structured_llm(City)
    asked = [ChatMessage(content="Which city?")]
    assert structured.chat(asked).raw == PARIS
    assert (await structured.achat(asked)).raw == PARIS
    assert as_city(list(structured.stream_chat(asked))[-1].raw) == PARIS
    assert City.model_validate_json(structured.complete("Which city?").text) == PARIS


def test_a_prompt_of_several_messages(subject: Subject) -> None:
    subject.says(JSON)
    prompt = ChatPromptTemplate.from_messages([("system", "Know {all} cities."), ("user", "Which is {what}?")])
    assert subject.llm.structured_predict(City, prompt, all="the", what="it") == PARIS
    sent = [(message["role"], message["content"]) for message in subject.calls[-1].body["messages"]]
    assert sent == [("system", "Know the cities."), ("user", "Which is it?")]


def test_an_answer_that_does_not_parse_raises(subject: Subject) -> None:
    subject.all_say(Reply("It is Paris."))
    with pytest.raises(ValidationError):
        subject.llm.structured_predict(City, PROMPT, what="it")


def test_an_answer_that_lacks_a_field_raises(subject: Subject) -> None:
    subject.all_say(Reply('{"name": "Paris"}'))
    with pytest.raises(ValidationError, match="people"):
        subject.llm.structured_predict(City, PROMPT, what="it")
