"""The server seen from a bare HTTP client: its life, its scripts, its books."""

from __future__ import annotations

import doctest
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import pytest

import slmroute.testing.clock
import slmroute.testing.script
import slmroute.testing.server
from slmroute.errors import ConfigError
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply

HELLO = [{"role": "user", "content": "hello there"}]


def ask(server: FakeServer, model: str = "m", **more: object) -> httpx.Response:
    return httpx.post(f"{server.url}/api/chat", json={"model": model, "messages": HELLO, "stream": False, **more})


def said(response: httpx.Response) -> str:
    return response.json()["message"]["content"]


@pytest.mark.parametrize("module", [slmroute.testing.clock, slmroute.testing.script, slmroute.testing.server])
def test_the_examples_of_the_docstrings_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted >= 2
    assert result.failed == 0


def test_the_fakes_need_only_the_standard_library() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import slmroute.testing as t\n"
        "with t.FakeServer({'m': t.Reply('hi')}): pass\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - sys.stdlib_module_names - {'slmroute'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_leaving_it_ends_its_thread_and_its_connections() -> None:
    before = set(threading.enumerate())
    with FakeServer({"m": Reply("hi")}) as server, httpx.Client(base_url=server.url) as client:
        client.get("/")
        address = urlsplit(server.url)
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) == before
    with socket.socket() as probe:
        assert probe.connect_ex((str(address.hostname), int(address.port or 0))) != 0


def test_leaving_it_breaks_off_answers_that_are_held_or_stalled() -> None:
    failures: list[type[BaseException]] = []

    def call(model: str) -> None:
        try:
            ask(server, model)
        except httpx.TransportError as error:
            failures.append(type(error))

    with FakeServer({"held": Reply("x", hold=threading.Event()), "stalled": Fault(stall_after_chunks=1)}) as server:
        threads = [threading.Thread(target=call, args=(model,)) for model in ("held", "stalled")]
        for thread in threads:
            thread.start()
        server.wait_until(lambda: server.open == 2)
    for thread in threads:
        thread.join()
    assert len(failures) == 2
    assert (server.open, server.cancelled) == (0, 0)


def test_it_runs_once_at_a_time_and_again_on_the_same_port() -> None:
    server = FakeServer({"m": Reply("hi")})
    with pytest.raises(ConfigError, match="with FakeServer"):
        _ = server.url
    with server:
        url = server.url
        with pytest.raises(ConfigError, match="runs already"):
            server.__enter__()
    with server:
        assert server.url == url
        assert said(ask(server)) == "hi"


def test_replies_come_in_order_and_the_last_repeats(server: FakeServer) -> None:
    server.script("m", Reply("one"), Fault(503), Reply("two"))
    assert said(ask(server)) == "one"
    assert ask(server).status_code == 503
    assert [said(ask(server)) for _ in range(3)] == ["two", "two", "two"]


def test_a_script_is_a_reply_a_sequence_or_a_callable() -> None:
    def echo(body: Mapping[str, object]) -> Reply:
        return Reply(json.dumps(body["options"]))

    with FakeServer({"one": Reply("1"), "many": [Reply("1"), Reply("2")], "call": echo}) as server:
        assert said(ask(server, "one")) == "1"
        assert [said(ask(server, "many")) for _ in range(2)] == ["1", "2"]
        assert said(ask(server, "call", options={"seed": 7})) == '{"seed": 7}'


def test_what_a_callable_raises_comes_out_where_the_server_is_left() -> None:
    def wrong(body: Mapping[str, object]) -> Reply:
        raise LookupError("no such thing")

    server = FakeServer({"m": wrong})
    with pytest.raises(LookupError, match="no such thing"), server:
        ask(server)
    assert server.open == 0


def test_a_script_without_entries_is_refused(server: FakeServer) -> None:
    with pytest.raises(ConfigError, match="empty"):
        server.script("m")


def test_the_books_hold_the_requests_but_no_credentials(server: FakeServer) -> None:
    server.script("m", Reply("hi"))
    body = {"model": "m", "messages": HELLO}
    httpx.get(f"{server.url}/api/tags")
    httpx.post(
        f"{server.openai_url}/chat/completions", json=body, headers={"Authorization": "Bearer canary", "X-Trace": "t"}
    )
    listing, call = server.requests
    assert (listing.method, listing.path, listing.model, listing.authorized) == ("GET", "/api/tags", None, False)
    assert (call.path, call.model, call.body, call.authorized) == ("/v1/chat/completions", "m", body, True)
    assert call.headers["x-trace"] == "t"
    assert "canary" not in str(dict(call.headers))
    assert "hello" not in repr(call)
    assert server.calls() == server.calls("m") == [call]
    assert server.calls("other") == []


def test_the_bill_adds_up_what_was_reported(server: FakeServer) -> None:
    server.script("m", Reply("hi", input_tokens=100, output_tokens=10, cached_tokens=40, reasoning_tokens=4))
    server.script("silent", Reply("hi", usage=False))
    body = {"messages": HELLO, "stream": True}
    usage = {"stream_options": {"include_usage": True}}
    ask(server)
    httpx.post(f"{server.openai_url}/chat/completions", json=body | {"model": "m", "stream": False})
    httpx.post(f"{server.openai_url}/chat/completions", json=body | {"model": "m"} | usage)
    httpx.post(f"{server.openai_url}/chat/completions", json=body | {"model": "m"})
    ask(server, "silent")
    # Ollama reports neither cached nor reasoning tokens, and the last stream did not ask for usage.
    assert server.bill == {"m": Usage(300, 30, cached_tokens=80, reasoning_tokens=8)}


def test_tokens_that_are_not_scripted_are_counted(server: FakeServer) -> None:
    server.script("m", Reply("one two three"))
    answer = ask(server).json()
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (2, 3)


def test_a_model_that_is_not_scripted_is_not_found(server: FakeServer) -> None:
    assert ask(server, "no").json() == {"error": "model 'no' not found"}
    response = httpx.post(f"{server.openai_url}/chat/completions", json={"model": "no", "messages": HELLO})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert server.calls()[0].model == "no"


def test_a_name_without_a_tag_is_the_latest(server: FakeServer) -> None:
    server.script("phi3", Reply("hi"))
    assert said(ask(server, "phi3:latest")) == "hi"
    assert httpx.get(f"{server.url}/api/tags").json()["models"][0]["name"] == "phi3:latest"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 200),
        ("GET", "/api/nothing", 404),
        ("GET", "/v1/models/no", 404),
        ("DELETE", "/api/chat", 404),
        ("POST", "/v1/embeddings", 404),
    ],
)
def test_other_paths(server: FakeServer, method: str, path: str, status: int) -> None:
    response = httpx.request(method, server.url + path)
    assert response.status_code == status
    assert server.open == 0


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_a_bad_request(server: FakeServer, path: str, content: bytes) -> None:
    response = httpx.post(server.url + path, content=content)
    assert response.status_code == 400
    assert response.json()["error"]


@pytest.mark.parametrize(
    "junk",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_junk_on_a_connection_is_a_bad_request(server: FakeServer, junk: bytes) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5) as raw:
        raw.sendall(junk)
        assert raw.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


def test_a_request_in_pieces_and_two_in_one_are_understood(server: FakeServer) -> None:
    server.script("m", Reply("one"), Reply("two"))
    body = json.dumps({"model": "m", "messages": HELLO, "stream": False}).encode()
    request = b"POST /api/chat HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    last = request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    address = urlsplit(server.url)
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5) as raw:
        raw.sendall(request[:30])
        raw.sendall(request[30:] + last)
        answers = raw.makefile("rb").read()
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.index(b'"one"') < answers.index(b'"two"')


def test_a_large_prompt_and_strange_text_arrive_whole(server: FakeServer) -> None:
    server.script("m", Reply("ok \x00 \u202e שלום 🎉"))
    text = "x" * 3_000_000 + "\x00🎉"
    response = ask(server, messages=[{"role": "user", "content": text}])
    assert said(response) == "ok \x00 \u202e שלום 🎉"
    assert server.requests[0].body["messages"] == [{"role": "user", "content": text}]


def test_connections_are_kept_alive(server: FakeServer) -> None:
    server.script("m", Reply("hi"))
    with httpx.Client(base_url=server.url) as client:
        streams = [client.get("/").extensions["network_stream"] for _ in range(3)]
        ports = {stream.get_extra_info("client_addr") for stream in streams}
    assert len(ports) == 1


@pytest.mark.parametrize("body", ["plain", b"plain", {"error": "own"}])
def test_a_fault_can_have_its_own_body_and_headers(server: FakeServer, body: str | bytes | dict[str, object]) -> None:
    server.script("m", Fault(418, body=body, headers={"Content-Type": "text/x", "Retry-After": "soon"}))
    response = ask(server)
    assert response.status_code == 418
    assert response.text in ("plain", '{"error":"own"}')
    assert (response.headers["content-type"], response.headers["retry-after"]) == ("text/x", "soon")


def test_a_rate_limit_says_when_to_come_back(server: FakeServer) -> None:
    server.script("m", Fault(429), Fault(429, headers={"Retry-After": "20"}))
    assert [ask(server).headers["retry-after"] for _ in range(2)] == ["1", "20"]
