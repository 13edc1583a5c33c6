"""Chats and completions, whole and in chunks, sync and async."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms import LLM, ChatMessage, ImageBlock, TextBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate

from slmroute.testing import Fault, Reply

if TYPE_CHECKING:
    from conftest import Subject

HELLO = [ChatMessage(content="Where is it?")]
PARIS = Reply("Paris it is.", input_tokens=100, output_tokens=10, logprobs=[-0.01, -0.01, -0.01])
PIXEL = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"


def test_the_class_is_a_base_llm(subject: Subject) -> None:
    names = [base.__name__ for base in type(subject.llm).__mro__]
    assert BaseLLM.__name__ in names
    assert isinstance(subject.llm, LLM)
    assert isinstance(subject.llm, FunctionCallingLLM)


def test_chat(subject: Subject) -> None:
    subject.says(PARIS)
    response = subject.llm.chat(HELLO)
    assert response.message.role == "assistant"
    assert response.message.content == "Paris it is."
    assert str(response).strip() != ""
    assert response.raw is not None


async def test_achat(subject: Subject) -> None:
    subject.says(PARIS)
    assert (await subject.llm.achat(HELLO)).message.content == "Paris it is."


def deltas(chunks: list[Any]) -> str:
    assert all(chunk.delta is not None for chunk in chunks)
    return "".join(chunk.delta for chunk in chunks)


def test_stream_chat(subject: Subject) -> None:
    subject.says(PARIS)
    chunks = list(subject.llm.stream_chat(HELLO))
    assert deltas(chunks) == "Paris it is."
    assert chunks[-1].message.content == "Paris it is."
    assert [chunk.message.content for chunk in chunks] == sorted((chunk.message.content for chunk in chunks), key=len)


async def test_astream_chat(subject: Subject) -> None:
    subject.says(PARIS)
    chunks = [chunk async for chunk in await subject.llm.astream_chat(HELLO)]
    assert deltas(chunks) == chunks[-1].message.content == "Paris it is."


def test_complete(subject: Subject) -> None:
    subject.says(PARIS)
    response = subject.llm.complete("Where is it?")
    assert response.text == str(response) == "Paris it is."


async def test_acomplete(subject: Subject) -> None:
    subject.says(PARIS)
    assert (await subject.llm.acomplete("Where is it?")).text == "Paris it is."


def test_stream_complete(subject: Subject) -> None:
    subject.says(PARIS)
    chunks = list(subject.llm.stream_complete("Where is it?"))
    assert deltas(chunks) == chunks[-1].text == "Paris it is."


async def test_astream_complete(subject: Subject) -> None:
    subject.says(PARIS)
    chunks = [chunk async for chunk in await subject.llm.astream_complete("Where is it?")]
    assert deltas(chunks) == chunks[-1].text == "Paris it is."


def test_predict_and_its_stream(subject: Subject) -> None:
    subject.says(PARIS)
    prompt = PromptTemplate("Where is {what}?")
    assert subject.llm.predict(prompt, what="the tower") == "Paris it is."
    assert "".join(subject.llm.stream(prompt, what="the tower")) == "Paris it is."
    assert all("Where is the tower?" in last_message(call.body) for call in subject.calls)


async def test_apredict_and_its_stream(subject: Subject) -> None:
    subject.says(PARIS)
    prompt = PromptTemplate("Where is {what}?")
    assert await subject.llm.apredict(prompt, what="the tower") == "Paris it is."
    assert "".join([token async for token in await subject.llm.astream(prompt, what="it")]) == "Paris it is."


def last_message(body: Any) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def test_a_system_prompt_stands_first(subject: Subject) -> None:
    subject.says(PARIS)
    subject.llm.chat([ChatMessage(role="system", content="Be terse."), *HELLO])
    (call,) = subject.calls
    assert [message["role"] for message in call.body["messages"]] == ["system", "user"]
    assert call.body["messages"][0]["content"] == "Be terse."


def test_earlier_turns_are_passed_on(subject: Subject) -> None:
    subject.says(PARIS)
    first = subject.llm.chat(HELLO)
    subject.llm.chat([*HELLO, first.message, ChatMessage(content="And now?")])
    messages = subject.calls[-1].body["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "Where is it?"),
        ("assistant", "Paris it is."),
        ("user", "And now?"),
    ]
    assert all(set(message) <= {"role", "content"} for message in messages)


def test_the_callers_messages_stay_as_they_are(subject: Subject) -> None:
    subject.says(PARIS)
    messages = [ChatMessage(role="system", content="Be terse."), *HELLO]
    before = [message.model_dump() for message in messages]
    subject.llm.chat(messages)
    assert [message.model_dump() for message in messages] == before


def test_images_are_passed_on(subject: Subject) -> None:
    subject.says(PARIS)
    if subject.is_ollama:  # a router asks whether the model sees anything
        subject.server.script(subject.model, PARIS, capabilities=("completion", "tools", "vision"))
    message = ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), ImageBlock(image=PIXEL)])
    assert subject.llm.chat([message]).message.content == "Paris it is."
    (sent,) = subject.calls[-1].body["messages"]
    assert "images" in sent if subject.is_ollama else sent["content"][1]["type"] == "image_url"


@pytest.mark.parametrize("text", ["Zürich, 東京 und 🗼.", 'Braces {like} {{these}} and "quotes".', "a\nb\n\n  c"])
def test_any_text_comes_through(subject: Subject, text: str) -> None:
    subject.says(Reply(text))
    assert subject.llm.complete(text).text == text
    assert "".join(chunk.delta or "" for chunk in subject.llm.stream_complete(text)) == text
    assert all(last_message(call.body) == text for call in subject.calls)


async def test_many_calls_at_once(subject: Subject) -> None:
    subject.says(PARIS)
    responses = await asyncio.gather(*(subject.llm.achat(HELLO) for _ in range(20)))
    assert {response.message.content for response in responses} == {"Paris it is."}
    assert len(subject.calls) == 20


def test_the_users_own_errors_pass_through_unchanged(subject: Subject) -> None:
    subject.says(Fault(400))
    with pytest.raises(Exception, match=r"400|bad|invalid|Bad") as raised:
        subject.llm.chat(HELLO)
    assert type(raised.value).__module__.partition(".")[0] in ("ollama", "openai")


def test_a_stream_that_is_left_early_ends(subject: Subject) -> None:
    subject.says(Reply("one two three four five six seven", chunk_delay_s=0.01))
    stream = subject.llm.stream_chat(HELLO)
    first = next(chunk for chunk in stream if chunk.delta)
    assert first.delta.strip() == "one"
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


async def test_a_cancelled_call_is_cancelled(subject: Subject) -> None:
    subject.says(Reply("late", first_delay_s=30))
    task = asyncio.create_task(subject.llm.achat(HELLO))
    await asyncio.to_thread(subject.server.wait_until, lambda: len(subject.calls) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
