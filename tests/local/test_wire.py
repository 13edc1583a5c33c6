"""The local server seen from a bare HTTP client: exact bodies, status codes and headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from slmroute.local import LocalServer

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
HELLO = [{"role": "user", "content": "Say hello."}]
SHORT = {"num_predict": 3, "temperature": 0}


@pytest.fixture
def http(local_server: LocalServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=local_server.url, timeout=60) as client:
        yield client


def test_it_says_what_ollama_says(http: httpx.Client) -> None:
    root = http.get("/")
    assert (root.status_code, root.text) == (200, "Ollama is running")
    assert http.head("/").status_code == 200
    assert http.get("/api/version").json() == {"version": "0.13.0-slmroute"}
    assert http.head("/api/tags").content == b""


def test_an_answer_streams_unless_told_otherwise(http: httpx.Client, local_server: LocalServer) -> None:
    response = http.post("/api/chat", json={"model": local_server.model, "messages": HELLO, "options": SHORT})
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert len(lines) == 4
    for line in lines[:-1]:
        assert set(line) == {"model", "created_at", "message", "done"}
        assert set(line["message"]) == {"role", "content"}
        assert line["done"] is False
    last = lines[-1]
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "length", 3)


def test_durations_are_nanoseconds_and_what_is_zero_is_left_out(http: httpx.Client, local_server: LocalServer) -> None:
    body = {"model": local_server.model, "messages": HELLO, "options": SHORT, "stream": False}
    answer = http.post("/api/chat", json=body).json()
    assert MOMENT.fullmatch(answer["created_at"])
    durations = [answer[name] for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")]
    assert all(isinstance(duration, int) and duration > 0 for duration in durations)
    # A single token takes more than ten microseconds, and less than a minute.
    assert 10_000 < answer["total_duration"] < 60_000_000_000
    assert answer["total_duration"] >= answer["prompt_eval_duration"]
    loaded = http.post("/api/chat", json={"model": local_server.model, "messages": []}).json()
    assert set(loaded) == {"model", "created_at", "message", "done", "done_reason"}
    assert not {"logprobs", "tool_calls", "thinking"} & (set(answer) | set(answer["message"]))


def test_generate_answers_in_its_own_words(http: httpx.Client, local_server: LocalServer) -> None:
    body = {"model": local_server.model, "prompt": "Say hello.", "options": SHORT, "stream": False, "logprobs": True}
    answer = http.post("/api/generate", json=body).json()
    assert "message" not in answer
    assert answer["response"]
    assert [set(token) for token in answer["logprobs"]] == [{"token", "logprob", "bytes"}] * 3
    assert bytes(answer["logprobs"][0]["bytes"]).decode() == answer["logprobs"][0]["token"]
    assert http.post("/api/generate", json={"model": local_server.model}).json()["response"] == ""


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/chat", {"messages": HELLO}, 400, "model is required"),
        ("/api/generate", {"prompt": "x"}, 404, "model '' not found"),
        ("/api/show", {}, 400, "model is required"),
        ("/api/show", {"name": "other"}, 404, "model 'other' not found"),
        ("/api/chat", {"model": 3}, 400, "json: cannot unmarshal number into Go struct field model of type string"),
        (
            "/api/chat",
            {"messages": [{"role": "user", "content": ["x"]}]},
            400,
            "json: cannot unmarshal array into Go struct field messages.content of type string",
        ),
        ("/api/chat", {"messages": [{"role": "nobody", "content": "x"}]}, 400, 'invalid role: "nobody"'),
        (
            "/api/chat",
            {"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
            400,
            "registry.ollama.ai/library/smollm2:135m does not support vision",
        ),
        (
            "/api/chat",
            {"messages": HELLO, "format": "xml"},
            500,
            'invalid format: "xml"; expected "json" or a valid JSON Schema object',
        ),
        (
            "/api/generate",
            {"prompt": "x", "suffix": "y"},
            400,
            "registry.ollama.ai/library/smollm2:135m does not support insert",
        ),
        (
            "/api/generate",
            {"prompt": "x", "raw": True, "system": "y"},
            400,
            "raw mode does not support template, system, or context",
        ),
        ("/api/chat", {"messages": HELLO, "options": {"stop": "x"}}, 500, 'option "stop" must be of type array'),
        ("/api/chat", {"messages": HELLO, "options": {"seed": True}}, 500, 'option "seed" must be of type integer'),
    ],
)
def test_wrong_requests_get_ollamas_errors(
    http: httpx.Client, local_server: LocalServer, path: str, body: dict[str, object], status: int, message: str
) -> None:
    if "model" not in body and "model" not in message:
        body = {"model": local_server.model, **body}
    response = http.post(path, json=body)
    assert (response.status_code, response.json()) == (status, {"error": message})


def test_a_schema_that_llama_cpp_does_not_know_is_an_error_and_no_answer(
    http: httpx.Client, local_server: LocalServer
) -> None:
    body = {"model": local_server.model, "messages": HELLO, "format": {"type": "nonsense"}}
    response = http.post("/api/chat", json=body)
    assert response.status_code == 400
    assert "nonsense" in response.json()["error"]


NO_OBJECTS = [
    b"{",
    b"[]",
    b"\xff\xfe",
    b"null",
    b'"x"',
    b"[" * 100_000,
    b'{"options": {"seed": 1e400}}',
    b'{"seed": NaN}',
]


@pytest.mark.parametrize("content", NO_OBJECTS, ids=lambda content: repr(content[:40]))
def test_a_body_that_is_no_object_is_refused(http: httpx.Client, content: bytes) -> None:
    ollama = http.post("/api/chat", content=content)
    assert ollama.status_code == 400
    assert isinstance(ollama.json()["error"], str)
    openai = http.post("/v1/chat/completions", content=content)
    assert openai.status_code == 400
    assert openai.json()["error"]["type"] == "invalid_request_error"


def test_a_schema_of_any_depth_is_answered(http: httpx.Client, local_server: LocalServer) -> None:
    asked = {"model": local_server.model, "messages": HELLO, "options": {"num_predict": 1}}
    head = json.dumps(asked).removesuffix("}") + ', "format": '
    for depth in range(900, 1000, 5):
        body = head + '{"a":' * depth + "1" + "}" * (depth + 1)
        assert http.post("/api/chat", content=body.encode()).status_code in (200, 400)


def test_half_a_surrogate_pair_is_replaced_as_ollama_does(http: httpx.Client, local_server: LocalServer) -> None:
    head = f'{{"model": "{local_server.model}", "stream": false, "options": {{"num_predict": 1}}, "messages": '
    texts = (r"\ud83d \ud83d\ude00 \\ud83d \udE00", "\N{REPLACEMENT CHARACTER} \N{GRINNING FACE} \\\\ud83d \ufffd")
    answers = [
        http.post("/api/chat", content=f'{head}[{{"role": "user", "content": "{text}"}}]}}'.encode()) for text in texts
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    counts = [answer.json()["prompt_eval_count"] for answer in answers]
    assert counts[0] == counts[1]


def test_an_empty_body_and_wrong_addresses_are_refused_as_ollama_does(http: httpx.Client) -> None:
    assert http.post("/api/chat").json() == {"error": "missing request body"}
    assert (http.get("/nope").status_code, http.get("/nope").text) == (404, "404 page not found")
    # A client that asks whether Ollama's newest endpoint is there must be able to fall back.
    assert http.post("/v1/systemone", json={}).status_code == 404
    assert (http.get("/api/chat").status_code, http.get("/api/chat").text) == (405, "405 method not allowed")
    assert http.post("/api/tags", json={}).status_code == 405


@pytest.mark.parametrize("path", ["/api/pull", "/api/push", "/api/create", "/api/embed", "/v1/embeddings"])
def test_what_is_not_supported_says_so(http: httpx.Client, path: str) -> None:
    response = http.post(path, json={"model": "phi3:mini"})
    assert response.status_code == 501
    assert "slmroute serve" in response.text
    assert isinstance(response.json()["error"], dict if path.startswith("/v1") else str)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:11434", 200),
        ("127.0.0.1", 200),
        ("[::1]:11434", 200),
        ("mine.localhost", 200),
        ("evil.example", 403),
        ("localhost.evil.example:11434", 403),
    ],
)
def test_pages_of_other_sites_cannot_use_it_through_a_browser(http: httpx.Client, host: str, status: int) -> None:
    assert http.get("/api/tags", headers={"host": host}).status_code == status


def test_a_connection_serves_many_requests(local_server: LocalServer) -> None:
    with httpx.Client(base_url=local_server.url, limits=httpx.Limits(max_connections=1)) as client:
        body = {"model": local_server.model, "messages": HELLO, "options": SHORT}
        answers = [client.post("/api/chat", json={**body, "stream": stream}) for stream in (True, False) * 3]
    assert [answer.status_code for answer in answers] == [200] * 6


def test_the_oldest_messages_are_left_out_where_the_window_is_too_small(narrow_server: LocalServer) -> None:
    system = {"role": "system", "content": "You are terse."}
    turns = [{"role": role, "content": f"{number} " * 20} for number in range(40) for role in ("user", "assistant")]
    body = {
        "model": narrow_server.model,
        "messages": [system, *turns, *HELLO],
        "stream": False,
        "options": {"num_predict": 1},
    }
    with httpx.Client(base_url=narrow_server.url, timeout=60) as client:
        answer = client.post("/api/chat", json=body).json()
        # Most of the window is used: no more is left out than must be.
        assert narrow_server.num_ctx / 2 < answer["prompt_eval_count"] < narrow_server.num_ctx
        whole = client.post("/api/chat", json={**body, "truncate": False})
        single = client.post("/api/chat", json={**body, "messages": [{"role": "user", "content": "word " * 900}]})
    for refused in (whole, single):
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("the prompt is longer than the context length")


def test_a_conversation_that_fits_is_not_touched(narrow_server: LocalServer) -> None:
    messages = [{"role": "user", "content": "One."}, {"role": "assistant", "content": "Two."}, *HELLO]
    body = {"model": narrow_server.model, "messages": messages, "stream": False, "options": {"num_predict": 1}}
    shorter = {**body, "messages": messages[1:]}
    with httpx.Client(base_url=narrow_server.url, timeout=60) as client:
        counts = [client.post("/api/chat", json=each).json()["prompt_eval_count"] for each in (body, shorter)]
    assert counts[0] > counts[1]


def test_any_gguf_file_is_served_under_its_own_name(narrow_server: LocalServer) -> None:
    assert narrow_server.model == "my-own-model.q4_1:latest"
    with httpx.Client(base_url=narrow_server.url, timeout=60) as client:
        (model,) = client.get("/api/tags").json()["models"]
        assert model["name"] == narrow_server.model
        shown = client.post("/api/show", json={"model": "my-own-model.q4_1"}).json()
        assert shown["capabilities"] == ["completion", "tools"]
        assert shown["parameters"].split() == ["num_ctx", "512"]
        assert "<tool_call>" in shown["template"]
        assert shown["model_info"]["general.parameter_count"] == 134_515_008
        body = {"model": "my-own-model.q4_1", "messages": HELLO, "stream": False, "options": SHORT}
        assert client.post("/api/chat", json=body).json()["message"]["content"]
        assert client.post("/api/chat", json={**body, "model": "smollm2:135m"}).status_code == 404
