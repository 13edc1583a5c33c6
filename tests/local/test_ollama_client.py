"""The unmodified ollama client against the real small model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from math import exp
from typing import Literal

import ollama
import pytest
from pydantic import BaseModel

from slmroute.local import LocalServer

HELLO = [{"role": "user", "content": "Say hello."}]
EXACT = {"temperature": 0, "num_predict": 12}


class Fruit(BaseModel):
    name: Literal["apple", "pear"]
    ripe: bool


@pytest.fixture
def client(local_server: LocalServer) -> Iterator[ollama.Client]:
    with ollama.Client(local_server.url) as made:
        yield made


@pytest.fixture
async def aclient(local_server: LocalServer) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(local_server.url) as made:
        yield made


async def test_an_answer_is_the_same_in_all_four_ways(
    client: ollama.Client, aclient: ollama.AsyncClient, local_server: LocalServer
) -> None:
    model = local_server.model
    whole = client.chat(model, HELLO, options=EXACT)
    awhole = await aclient.chat(model, HELLO, options=EXACT)
    parts = list(client.chat(model, HELLO, options=EXACT, stream=True))
    aparts = [part async for part in await aclient.chat(model, HELLO, options=EXACT, stream=True)]
    texts = {
        whole.message.content,
        awhole.message.content,
        "".join(part.message.content or "" for part in parts),
        "".join(part.message.content or "" for part in aparts),
    }
    assert len(texts) == 1
    assert whole.message.content
    assert len(parts) > 5
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    for last in (whole, awhole, parts[-1], aparts[-1]):
        assert last.prompt_eval_count == whole.prompt_eval_count
        assert last.eval_count == 12
        assert last.done_reason == "length"


async def test_generate_is_the_same_in_all_four_ways(
    client: ollama.Client, aclient: ollama.AsyncClient, local_server: LocalServer
) -> None:
    model = local_server.model
    whole = client.generate(model, "Say hello.", options=EXACT)
    awhole = await aclient.generate(model, "Say hello.", options=EXACT)
    parts = list(client.generate(model, "Say hello.", options=EXACT, stream=True))
    aparts = [part async for part in await aclient.generate(model, "Say hello.", options=EXACT, stream=True)]
    chat = client.chat(model, HELLO, options=EXACT)
    assert whole.response == awhole.response == chat.message.content
    assert "".join(part.response for part in parts) == "".join(part.response for part in aparts) == whole.response
    assert parts[-1].done_reason == whole.done_reason == "length"


def test_a_system_prompt_and_a_raw_prompt_change_what_the_model_sees(
    client: ollama.Client, local_server: LocalServer
) -> None:
    model = local_server.model
    plain = client.generate(model, "Say hello.", options=EXACT)
    with_system = client.generate(model, "Say hello.", system="You speak like a pirate, matey.", options=EXACT)
    raw = client.generate(model, "One, two, three,", raw=True, options={"temperature": 0, "num_predict": 4})
    assert with_system.prompt_eval_count != plain.prompt_eval_count
    assert raw.prompt_eval_count is not None
    assert raw.prompt_eval_count < 10
    assert "four" in raw.response


@pytest.mark.parametrize("raw", [False, True])
def test_a_schema_is_kept_to(client: ollama.Client, local_server: LocalServer, raw: bool) -> None:
    response = client.generate(
        local_server.model, "Describe an apple as JSON.", format=Fruit.model_json_schema(), raw=raw
    )
    Fruit.model_validate_json(response.response)
    assert response.done_reason == "stop"


def test_any_json_is_json(client: ollama.Client, local_server: LocalServer) -> None:
    for _ in range(3):
        response = client.chat(local_server.model, HELLO, format="json", options={"num_predict": 300, "num_ctx": 2048})
        if response.done_reason == "stop":
            assert isinstance(json.loads(response.message.content or ""), dict)
            return
    assert (response.message.content or "").lstrip().startswith("{")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", ["chat", "generate", "raw"])
def test_every_token_has_its_log_probability(
    client: ollama.Client, local_server: LocalServer, endpoint: str, stream: bool
) -> None:
    wanted = {"logprobs": True, "top_logprobs": 3, "options": EXACT, "stream": True}
    if endpoint == "chat":
        parts = list(client.chat(local_server.model, HELLO, **wanted))
    else:
        parts = list(client.generate(local_server.model, "Say hello.", raw=endpoint == "raw", **wanted))
    tokens = [token for part in parts for token in part.logprobs or ()]
    assert len(tokens) == parts[-1].eval_count == 12
    for token in tokens:
        assert token.logprob <= 0
        assert len(token.top_logprobs or ()) == 3
        # The most probable token is chosen at temperature 0.
        assert token.logprob == max(other.logprob for other in token.top_logprobs or ())
        assert sum(exp(other.logprob) for other in token.top_logprobs or ()) <= 1.0001


def test_log_probabilities_come_without_alternatives_and_only_when_asked(
    client: ollama.Client, local_server: LocalServer
) -> None:
    plain = client.chat(local_server.model, HELLO, options=EXACT)
    asked = client.chat(local_server.model, HELLO, options=EXACT, logprobs=True)
    assert plain.logprobs is None
    assert len(asked.logprobs or ()) == 12
    assert all(token.top_logprobs is None for token in asked.logprobs or ())
    assert "".join(token.token for token in asked.logprobs or ()) == asked.message.content == plain.message.content


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_ends_before_a_stop_text(client: ollama.Client, local_server: LocalServer, stream: bool) -> None:
    options = {"temperature": 0, "num_predict": 30}
    prompt = "One, two, three,"
    free = client.generate(local_server.model, prompt, raw=True, options=options).response
    assert "six" in free
    stopped = client.generate(
        local_server.model, prompt, raw=True, stream=True, options={**options, "stop": ["nothing", "six"]}
    )
    parts = list(stopped)
    assert "".join(part.response for part in parts) == free[: free.index("six")]
    assert parts[-1].done_reason == "stop"


def test_a_seed_makes_chance_repeatable(client: ollama.Client, local_server: LocalServer) -> None:
    def said(seed: int) -> str:
        options = {"temperature": 1.5, "seed": seed, "num_predict": 12}
        return client.generate(local_server.model, "Once upon a time", raw=True, options=options).response

    assert said(1) == said(1)
    assert len({said(seed) for seed in range(4)}) > 1


def test_one_choice_is_no_choice(client: ollama.Client, local_server: LocalServer) -> None:
    certain = client.generate(local_server.model, "Once upon a time", raw=True, options=EXACT).response
    for narrowing in ({"top_k": 1}, {"top_p": 0.0001}, {"min_p": 1.0}):
        options = {"temperature": 1.0, "num_predict": 12, **narrowing}
        assert client.generate(local_server.model, "Once upon a time", raw=True, options=options).response == certain


async def test_requests_at_the_same_time_are_all_answered(
    aclient: ollama.AsyncClient, local_server: LocalServer
) -> None:
    before = local_server.counts
    prompts = [f"{number}, {number + 1}, {number + 2}," for number in range(12)]
    calls = [
        aclient.generate(local_server.model, prompt, raw=True, options={"temperature": 0, "num_predict": 6})
        for prompt in prompts
    ]
    answers = await asyncio.gather(*calls)
    assert all(str(number + 3) in answer.response for number, answer in enumerate(answers))
    assert local_server.counts.answers == before.answers + 12


def test_text_of_several_bytes_to_a_token_comes_out_whole(client: ollama.Client, local_server: LocalServer) -> None:
    prompt = "😀🎉 日本語 😀🎉 日本語 😀🎉"
    options = {"temperature": 0, "num_predict": 20}
    whole = client.generate(local_server.model, prompt, raw=True, options=options).response
    parts = list(client.generate(local_server.model, prompt, raw=True, options=options, stream=True))
    assert "".join(part.response for part in parts) == whole
    assert any(ord(letter) > 0x3000 for letter in whole)
    assert "\ufffd" not in whole


def test_a_prompt_that_was_read_before_is_not_read_again(client: ollama.Client, local_server: LocalServer) -> None:
    examples = [
        message
        for number in range(20)
        for message in (
            {"role": "user", "content": f"What is the number after {number}?"},
            {"role": "assistant", "content": str(number + 1)},
        )
    ]

    def ask(number: int) -> tuple[int, int]:
        before = local_server.counts
        question = {"role": "user", "content": f"What is the number after {number}?"}
        response = client.chat(local_server.model, [*examples, question], options={"num_predict": 1})
        read = local_server.counts.cached_tokens - before.cached_tokens
        return response.prompt_eval_count or 0, (response.prompt_eval_count or 0) - read

    first_total, _ = ask(50)
    total, evaluated = ask(61)
    # As with Ollama, what is reported is the whole prompt, whatever of it was in the cache.
    assert total == first_total > 300
    assert 0 < evaluated < 20


def test_the_model_is_listed_and_described(client: ollama.Client, local_server: LocalServer) -> None:
    (listed,) = client.list().models
    assert listed.model == local_server.model == "smollm2:135m"
    assert (listed.size or 0) > 90_000_000
    assert listed.details is not None
    assert listed.details.parameter_size == "134.52M"
    assert listed.details.quantization_level == "Q4_1"
    shown = client.show("smollm2:135m")
    assert shown.capabilities == ["completion"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.context_length"] == 8192
    assert shown.parameters is not None
    assert shown.parameters.split() == ["num_ctx", "8192"]
    (loaded,) = client.ps().models
    assert loaded.name == local_server.model
    assert loaded.context_length == local_server.num_ctx == 8192
    assert loaded.expires_at is not None


@pytest.mark.parametrize("name", ["smollm2", "smollm2:latest", "SmolLM2:135m", "library/smollm2:135m"])
def test_the_model_answers_to_other_names_that_mean_it(
    client: ollama.Client, local_server: LocalServer, name: str
) -> None:
    assert client.chat(name, HELLO, options={"num_predict": 1}).model == name
    assert client.show(name).details is not None


def test_a_model_is_put_out_and_loaded_again(client: ollama.Client, local_server: LocalServer) -> None:
    loads = local_server.counts.loads
    assert client.chat(local_server.model, [], keep_alive=0).done_reason == "unload"
    assert client.ps().models == []
    assert client.chat(local_server.model, []).done_reason == "load"
    assert len(client.ps().models) == 1
    assert client.generate(local_server.model).done_reason == "load"
    assert local_server.counts.loads == loads + 1
    assert client.generate(local_server.model, keep_alive="0s").done_reason == "unload"
    answer = client.chat(local_server.model, HELLO, options=EXACT)
    assert answer.message.content
    assert (answer.load_duration or 0) > 1_000_000
    assert local_server.counts.loads == loads + 2


def test_a_model_stays_as_long_as_a_request_says(client: ollama.Client, local_server: LocalServer) -> None:
    client.chat(local_server.model, HELLO, options={"num_predict": 1}, keep_alive=-1)
    (forever,) = client.ps().models
    client.chat(local_server.model, HELLO, options={"num_predict": 1}, keep_alive="10m")
    (ten_minutes,) = client.ps().models
    assert forever.expires_at is not None
    assert ten_minutes.expires_at is not None
    assert (forever.expires_at - ten_minutes.expires_at).days > 10_000
    loads = local_server.counts.loads
    client.chat(local_server.model, HELLO, options={"num_predict": 1}, keep_alive=0)
    assert client.ps().models == []
    assert local_server.counts.loads == loads


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"think": True}, 400, '"smollm2:135m" does not support thinking'),
        (
            {"tools": [{"type": "function", "function": {"name": "add"}}]},
            400,
            "registry.ollama.ai/library/smollm2:135m does not support tools",
        ),
        ({"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ({"options": {"temperature": "hot"}}, 500, 'option "temperature" must be of type float32'),
        ({"keep_alive": "5 minutes"}, 400, 'time: invalid duration "5 minutes"'),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_ollamas(
    client: ollama.Client,
    local_server: LocalServer,
    arguments: dict[str, object],
    status: int,
    message: str,
    stream: bool,
) -> None:
    call = {"model": local_server.model, "messages": HELLO, "stream": stream, **arguments}
    with pytest.raises(ollama.ResponseError) as caught:
        list(client.chat(**call))  # type: ignore[call-overload]
    assert (caught.value.status_code, caught.value.error) == (status, message)


def test_what_only_ollama_can_do_is_refused_with_a_way_out(client: ollama.Client, local_server: LocalServer) -> None:
    for call in (lambda: client.pull("phi3:mini"), lambda: client.embed(local_server.model, "x")):
        with pytest.raises(ollama.ResponseError, match="no replacement for Ollama") as caught:
            call()
        assert caught.value.status_code == 501
