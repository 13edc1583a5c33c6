"""Requests put in llama.cpp's terms, and its streams read back: no server needed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.local.completion import Ask, Json, Piece, Refused, Times
from slmroute.local.engine import without_oldest
from slmroute.local.llama_wire import CHAT, COMPLETION, TooLong, pieces, refusal
from slmroute.local.model_file import ModelFile
from slmroute.local.ollama_answer import OllamaAnswer
from slmroute.local.ollama_request import chat_ask, generate_ask, keep_alive_s, options
from slmroute.local.openai_wire import OpenAIAnswer, openai_ask

HELLO = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "messages",
            "prompt",
            "system",
            "options",
            "format",
            "tools",
            "think",
            "logprobs",
            "top_logprobs",
            "keep_alive",
            "raw",
            "stop",
            "response_format",
            "tool_choice",
            "reasoning_effort",
        ]
    ),
    JSON_VALUES,
)


@pytest.fixture(scope="module")
def file() -> ModelFile:
    return ModelFile.open(template="{{ tools }}<think></think>")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (0, 0.0),
        (1.5, 1.5),
        (-1, -1.0),
        ("0", 0.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("-1m", -1.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
    ],
)
def test_a_keep_alive_is_read_as_ollama_reads_it(value: object, seconds: float | None) -> None:
    assert keep_alive_s({"keep_alive": value}) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("soon", 'time: invalid duration "soon"'),
        ("", 'time: invalid duration ""'),
        ("1.2.3s", 'time: invalid duration "1.2.3s"'),
        (True, "Unsupported type: 'bool'"),
    ],
)
def test_a_keep_alive_that_is_none_is_refused(value: object, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        keep_alive_s({"keep_alive": value})
    assert caught.value.status == 400


@given(value=JSON_VALUES)
def test_any_keep_alive_is_read_or_refused(value: object) -> None:
    try:
        seconds = keep_alive_s({"keep_alive": value})
    except Refused as error:
        seconds = -float(error.status)
    assert seconds is None or seconds >= 0 or seconds in (-1, -400)


@given(body=BODIES)
def test_any_body_is_put_in_llama_cpps_terms_or_refused(file: ModelFile, body: dict[str, object]) -> None:
    for read in (chat_ask, generate_ask, openai_ask):
        try:
            ask = read(body, file)
        except Refused as error:
            status = error.status
        else:
            status = 200
            assert json.loads(json.dumps(ask.body)).keys() >= {"temperature", "cache_prompt"}
        assert status in (200, 400, 500)


def test_ollamas_defaults_are_sent(file: ModelFile) -> None:
    body = chat_ask({"messages": HELLO}, file).body
    assert (body["temperature"], body["top_k"], body["top_p"], body["min_p"]) == (0.8, 40, 0.9, 0.0)
    assert (body["repeat_penalty"], body["seed"], body["n_predict"]) == (1.0, -1, -1)
    assert "stop" not in body


def test_options_are_translated_and_those_of_the_load_are_left_alone() -> None:
    given = {"num_predict": 5.0, "num_ctx": 99, "temperature": 0, "stop": ["a", ""], "seed": None, "unknown": []}
    found = options({"options": given})
    assert (found["n_predict"], found["temperature"], found["stop"], found["seed"]) == (5, 0, ["a"], -1)
    assert not {"num_ctx", "n_ctx", "unknown"} & set(found)


@pytest.mark.parametrize(("limit", "sent"), [(-2, -1), (-1, -1), (0, 0), (5, 5)])
def test_every_limit_below_zero_means_none(limit: int, sent: int) -> None:
    assert options({"options": {"num_predict": limit}})["n_predict"] == sent


def test_a_history_with_tools_is_translated(file: ModelFile) -> None:
    history = [
        *HELLO,
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}]},
        {"role": "tool", "tool_name": "add", "content": "2"},
    ]
    body = chat_ask({"messages": history, "tools": [TOOL]}, file).body
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "2", "name": "add"},
    ]
    assert body["tools"] == [TOOL]


def test_thinking_is_switched_where_the_template_knows_it(file: ModelFile) -> None:
    def switched(think: object) -> object:
        return chat_ask({"messages": HELLO, "think": think}, file).body.get("chat_template_kwargs")

    assert switched(None) is None
    assert switched(False) == {"enable_thinking": False}
    assert switched(True) == {"enable_thinking": True}
    assert switched("high") == {"enable_thinking": True, "reasoning_effort": "high"}


@pytest.mark.parametrize(
    ("choice", "sent", "names"),
    [
        (None, None, ["add", "sub"]),
        ("auto", None, ["add", "sub"]),
        ("none", "none", ["add", "sub"]),
        ("required", "required", ["add", "sub"]),
        ({"type": "function", "function": {"name": "sub"}}, "required", ["sub"]),
    ],
)
def test_openais_choice_of_a_tool_is_kept_to(file: ModelFile, choice: object, sent: object, names: list[str]) -> None:
    tools = [TOOL, {"type": "function", "function": {"name": "sub"}}]
    body = openai_ask({"messages": HELLO, "tools": tools, "tool_choice": choice}, file).body
    assert body.get("tool_choice") == sent
    assert [tool["function"]["name"] for tool in body["tools"]] == names  # type: ignore[attr-defined]


def test_a_choice_of_a_tool_that_is_not_there_is_refused(file: ModelFile) -> None:
    choice = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(Refused, match="names no tool"):
        openai_ask({"messages": HELLO, "tools": [TOOL], "tool_choice": choice}, file)


async def stream(*events: object) -> AsyncIterator[str]:
    for event in events:
        yield event if isinstance(event, str) else f"data: {json.dumps(event)}"
        yield ""


async def read(path: str, *events: object, **body: object) -> list[Piece]:
    return [piece async for piece in pieces(Ask(path, body, alternatives=1), stream(*events))]


def delta(finish: str | None = None, **inside: object) -> Json:
    return {"choices": [{"index": 0, "delta": inside, "finish_reason": finish}]}


TIMINGS = {"cache_n": 31, "prompt_n": 1, "prompt_ms": 7.5, "predicted_n": 2, "predicted_ms": 20.25}


async def test_a_chat_is_read() -> None:
    token = {"id": 3, "token": "hi", "bytes": [104, 105], "logprob": -0.5}
    said = delta(content="hi")
    said["choices"][0]["logprobs"] = {"content": [{**token, "top_logprobs": [token, token]}]}  # type: ignore[index]
    found = await read(
        CHAT,
        delta(role="assistant", content=None),
        ": ping",
        delta(reasoning_content="hm"),
        said,
        {**delta("length"), "timings": TIMINGS},
        "data: [DONE]",
        logprobs=True,
    )
    assert [(piece.thinking, piece.text) for piece in found] == [("hm", ""), ("", "hi"), ("", "")]
    short = {"token": "hi", "logprob": -0.5, "bytes": [104, 105]}
    assert found[1].logprobs == [{**short, "top_logprobs": [short]}]
    end = found[-1].end
    assert end is not None
    assert (end.reason, end.prompt_tokens, end.cached_tokens, end.output_tokens) == ("length", 32, 31, 2)
    assert (end.prompt_ns, end.output_ns) == (7_500_000, 20_250_000)


async def test_tool_calls_are_gathered_from_fragments() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": ""}}
    found = await read(
        CHAT,
        delta(tool_calls=[first]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "now", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        {**delta("tool_calls"), "timings": TIMINGS},
    )
    (last,) = found
    assert last.calls == [
        {"id": "a", "function": {"index": 0, "name": "add", "arguments": {"x": 1}}},
        {"id": "b", "function": {"index": 1, "name": "now", "arguments": {}}},
    ]
    assert last.end is not None
    assert last.end.reason == "stop"
    whole = json.loads(OpenAIAnswer("m", Ask(CHAT, {}), False, False).whole(last, Times(1, 1)))
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"x": 1}'}
    ours = json.loads(OllamaAnswer("m", Ask(CHAT, {}), True, False).whole(last, Times(1, 0)))
    assert ours["message"]["tool_calls"] == last.calls
    assert ours["done_reason"] == "stop"
    assert "load_duration" not in ours


async def test_a_raw_completion_is_read() -> None:
    found = await read(
        COMPLETION,
        {"content": "a", "stop": False},
        {"content": "", "stop": False},
        {"content": "", "stop": True, "stop_type": "word", "timings": TIMINGS},
    )
    assert [piece.text for piece in found] == ["a", ""]
    assert found[-1].end is not None
    assert found[-1].end.reason == "stop"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([delta(content="a")], "unexpected EOF"),
        ([delta(content="a"), {"error": {"code": 500, "message": "out of memory"}}], "out of memory"),
        ([delta(content="a"), 'error: {"code": 500, "message": "out of memory"}'], "out of memory"),
        ([delta(content="a"), "data: {broken"], "unmarshalling"),
        (
            [
                delta(tool_calls=[{"index": 0, "function": {"name": "add", "arguments": "{"}}]),
                delta("tool_calls"),
            ],
            'invalid tool call arguments for "add"',
        ),
    ],
)
async def test_a_stream_that_breaks_is_an_error(events: list[object], message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        await read(CHAT, *events)
    assert caught.value.status == 500


@given(lines=st.lists(st.text() | JSON_VALUES.map(lambda value: f"data: {json.dumps(value)}"), max_size=5))
async def test_any_stream_is_read_or_refused(lines: list[str]) -> None:
    for path in (CHAT, COMPLETION):
        with pytest.raises(Refused):
            await read(path, *lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": {"code": 400, "message": "bad grammar"}}', "bad grammar"),
        (b'{"error": "plain"}', "plain"),
        (b"<html>", "unexpected error"),
        (b"[]", "unexpected error"),
    ],
)
def test_an_error_body_is_read(content: bytes, message: str) -> None:
    error = refusal(418, content)
    assert (error.status, error.message) == (418, message)


def test_the_oldest_messages_go_first_and_the_systems_stay() -> None:
    def messages(*roles: str) -> list[Json]:
        return [{"role": role, "content": "x" * 100} for role in roles]

    ask = Ask(CHAT, {"messages": messages("system", "user", "assistant", "user")})
    shorter = without_oldest(ask, TooLong(101, 100))
    assert shorter is not None
    assert shorter.body["messages"] == messages("system", "assistant", "user")
    long = Ask(CHAT, {"messages": messages("user", "assistant", "user", "system", "assistant", "user", "user")})
    much = without_oldest(long, TooLong(1000, 1))
    assert much is not None
    # Half of what seems too much, so that no more goes than must.
    assert much.body["messages"] == messages("system", "assistant", "user", "user")
    last = Ask(CHAT, {"messages": messages("system", "user")})
    assert without_oldest(last, TooLong(1000, 1)) is None
    assert without_oldest(Ask(COMPLETION, {"prompt": "x"}), TooLong(1000, 1)) is None
    assert without_oldest(Ask(CHAT, ask.body, truncate=False), TooLong(1000, 1)) is None
