"""The unmodified ChatOllama, LlamaIndex Ollama and openai clients against the real small model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_ollama import ChatOllama
from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

from slmroute.local import LocalServer

pytestmark = pytest.mark.usefixtures("closed_clients")

PROMPT = "Say hello."


class Fruit(BaseModel):
    """A fruit."""

    name: Literal["apple", "pear"]
    ripe: bool


def weather(city: str) -> str:
    """Give the weather of a city."""
    return f"sunny in {city}"


@pytest.fixture
def chat_model(local_server: LocalServer) -> ChatOllama:
    return ChatOllama(
        model=local_server.model,
        base_url=local_server.url,
        temperature=0,
        num_predict=10,
        logprobs=True,
        validate_model_on_init=True,
    )


@pytest.fixture
def llm(local_server: LocalServer) -> Ollama:
    return Ollama(
        model=local_server.model,
        base_url=local_server.url,
        temperature=0,
        request_timeout=60,
        additional_kwargs={"num_predict": 10},
    )


@pytest.fixture
def client(local_server: LocalServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=local_server.openai_url, api_key="unused", max_retries=0) as made:
        yield made


async def test_chat_ollama_answers_in_all_four_ways(chat_model: ChatOllama) -> None:
    chunks = list(chat_model.stream(PROMPT))
    achunks = [chunk async for chunk in chat_model.astream(PROMPT)]
    assert len(chunks) > 5
    answers = [chat_model.invoke(PROMPT), await chat_model.ainvoke(PROMPT), joined(chunks), joined(achunks)]
    assert len({str(answer.content) for answer in answers}) == 1
    assert answers[0].content
    for answer in answers:
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] == 10
        assert answer.response_metadata["done_reason"] == "length"
        assert answer.response_metadata["model_name"] == "smollm2:135m"
        assert len(answer.response_metadata["logprobs"]) == 10
        assert all(token["logprob"] <= 0 for token in answer.response_metadata["logprobs"])


async def test_chat_ollama_answers_a_batch(chat_model: ChatOllama) -> None:
    prompts = [f"Say {word}." for word in ("hello", "good bye", "thanks", "please")]
    answers = [*chat_model.batch(list(prompts)), *await chat_model.abatch(list(prompts))]
    assert len(answers) == 8
    assert all(answer.content for answer in answers)


async def test_chat_ollama_parses_structured_output(local_server: LocalServer) -> None:
    model = ChatOllama(model=local_server.model, base_url=local_server.url)
    structured = model.with_structured_output(Fruit, method="json_schema")
    assert isinstance(structured.invoke("Describe an apple."), Fruit)
    assert isinstance(await structured.ainvoke("Describe an apple."), Fruit)


async def test_llama_index_answers_in_all_four_ways(llm: Ollama) -> None:
    hello = [ChatMessage(content=PROMPT)]
    parts = list(llm.stream_chat(hello))
    aparts = [part async for part in await llm.astream_chat(hello)]
    texts = {
        llm.chat(hello).message.content,
        (await llm.achat(hello)).message.content,
        "".join(part.delta or "" for part in parts),
        "".join(part.delta or "" for part in aparts),
        llm.complete(PROMPT).text,
        (await llm.acomplete(PROMPT)).text,
    }
    assert len(texts) == 1
    assert texts != {""}
    assert parts[-1].raw["eval_count"] == 10


async def test_llama_index_takes_the_window_and_parses_structured_output(llm: Ollama) -> None:
    assert llm.metadata.context_window == 8192
    llm.additional_kwargs = {}
    assert isinstance(llm.as_structured_llm(Fruit).complete("Describe an apple.").raw, Fruit)
    assert isinstance((await llm.as_structured_llm(Fruit).acomplete("Describe an apple.")).raw, Fruit)


def test_the_frameworks_used_in_turn_do_not_reload_the_model(
    chat_model: ChatOllama, llm: Ollama, local_server: LocalServer
) -> None:
    chat_model.invoke(PROMPT)
    loads = local_server.counts.loads
    # LlamaIndex sends the whole window as num_ctx, ChatOllama sends none: Ollama would load the model at each turn.
    for _ in range(2):
        llm.complete(PROMPT)
        chat_model.invoke(PROMPT)
    assert local_server.counts.loads == loads


def test_openai_answers_with_usage_and_log_probabilities(client: openai.OpenAI, local_server: LocalServer) -> None:
    answer = client.chat.completions.create(
        model=local_server.model,
        messages=[{"role": "user", "content": [{"type": "text", "text": PROMPT}]}],
        temperature=0,
        max_completion_tokens=5,
        logprobs=True,
        top_logprobs=2,
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert "".join(token.token for token in tokens) == choice.message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


async def test_openai_streams(local_server: LocalServer) -> None:
    async with openai.AsyncOpenAI(base_url=local_server.openai_url, api_key="unused") as client:
        stream = await client.chat.completions.create(
            model=local_server.model,
            messages=[{"role": "developer", "content": "Be kind."}, {"role": "user", "content": PROMPT}],
            temperature=0,
            max_tokens=5,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    assert len({chunk.id for chunk in chunks}) == 1


def test_openai_parses_a_schema_and_stops(client: openai.OpenAI, local_server: LocalServer) -> None:
    parsed = client.chat.completions.parse(
        model=local_server.model, messages=[{"role": "user", "content": "Describe an apple."}], response_format=Fruit
    )
    assert isinstance(parsed.choices[0].message.parsed, Fruit)
    stopped = client.chat.completions.create(
        model=local_server.model,
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=20,
        stop=list("aeio"),
    )
    assert not set(stopped.choices[0].message.content or "") & set("aeio")
    assert stopped.choices[0].finish_reason == "stop"


def test_openai_lists_models_and_gets_openai_errors(client: openai.OpenAI, local_server: LocalServer) -> None:
    assert [model.id for model in client.models.list()] == [local_server.model]
    assert client.models.retrieve("smollm2").id == "smollm2"
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found") as missing:
        client.chat.completions.create(model="nope", messages=[{"role": "user", "content": PROMPT}])
    assert missing.value.type == "not_found_error"
    with pytest.raises(openai.BadRequestError, match="too short"):
        client.chat.completions.create(model=local_server.model, messages=[])
    with pytest.raises(openai.InternalServerError, match="no replacement for Ollama"):
        client.embeddings.create(model=local_server.model, input="x", encoding_format="float")


def shown_how() -> list[dict[str, object]]:
    """A history that even the smallest model goes on with: a call for each question."""
    history: list[dict[str, object]] = []
    for number, city in enumerate(("Rome", "Oslo", "Berlin")):
        call = {"name": "weather", "arguments": f'{{"city": "{city}"}}'}
        history += [
            {"role": "user", "content": f"What is the weather in {city}?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": f"call_{number}", "type": "function", "function": call}],
            },
        ]
    return [*history, {"role": "user", "content": "What is the weather in Paris?"}]


async def test_tools_are_called_where_the_template_knows_them(narrow_server: LocalServer) -> None:
    model = ChatOllama(model=narrow_server.model, base_url=narrow_server.url, temperature=0, num_predict=60)
    tooled = model.bind_tools([weather])
    called = await asyncio.to_thread(tooled.invoke, shown_how())
    streamed = joined([chunk async for chunk in tooled.astream(shown_how())])
    for answer in (called, streamed):
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", {"city": "Paris"})]
        assert answer.tool_calls[0]["id"]


async def test_a_tools_call_comes_with_its_log_probabilities(narrow_server: LocalServer) -> None:
    model = ChatOllama(
        model=narrow_server.model, base_url=narrow_server.url, temperature=0, num_predict=60, logprobs=True
    )
    tooled = model.bind_tools([weather])
    called = await asyncio.to_thread(tooled.invoke, shown_how())
    streamed = joined([chunk async for chunk in tooled.astream(shown_how())])
    for answer in (called, streamed):
        assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", {"city": "Paris"})]
        written = "".join(token["token"] for token in answer.response_metadata["logprobs"])
        assert "Paris" in written
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] >= len(answer.response_metadata["logprobs"])


@pytest.mark.parametrize("stream", [False, True])
def test_openai_tools_are_called_and_their_results_are_taken(narrow_server: LocalServer, stream: bool) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    asked = {
        "model": narrow_server.model,
        "messages": shown_how(),
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "temperature": 0,
        "max_tokens": 60,
    }
    with openai.OpenAI(base_url=narrow_server.openai_url, api_key="unused", max_retries=0) as client:
        if stream:
            chunks = list(client.chat.completions.create(**asked, stream=True))  # type: ignore[call-overload]
            deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
            calls, finish = deltas, chunks[-1].choices[0].finish_reason
        else:
            (choice,) = client.chat.completions.create(**asked).choices  # type: ignore[call-overload]
            calls, finish = choice.message.tool_calls or [], choice.finish_reason
        assert [(call.function.name, call.function.arguments) for call in calls] == [("weather", '{"city": "Paris"}')]
        assert finish == "tool_calls"
        result = {"role": "tool", "tool_call_id": calls[0].id, "content": "sunny"}
        said = {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": calls[0].id,
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Paris"}'},
                }
            ],
        }
        history = [*shown_how(), said, result]
        answer = client.chat.completions.create(model=narrow_server.model, messages=history, max_tokens=8)  # type: ignore[arg-type]
        assert answer.choices[0].finish_reason in ("length", "stop")


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total
