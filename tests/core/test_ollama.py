"""Ollama housekeeping: addresses, health, models, pulls, warm-ups, and what is said when it is not there."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError, ModelMissing, ServerUnreachable
from slmroute.ollama import OllamaServer, same_model
from slmroute.ollama_address import OllamaAddress, server_url
from slmroute.testing import FakeServer, Fault, Reply


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with FakeServer({"phi3:mini": Reply("Hi.")}) as running:
        yield running


@pytest.mark.parametrize(
    ("given_host", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:8080", "http://gpu-box:8080"),
        ("10.0.0.5", "http://10.0.0.5:11434"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu-box", "https://gpu-box:443"),
        ("https://gpu-box/ollama/", "https://gpu-box:443/ollama"),
        ("http://user:pass@gpu-box:8080", "http://gpu-box:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        (":8080", "http://127.0.0.1:8080"),
    ],
)
def test_addresses_are_read_as_the_client_reads_them(given_host: str | None, url: str) -> None:
    assert server_url(given_host) == url
    with ollama.Client(given_host) as client:
        assert str(client._client.base_url).rstrip("/") == str(httpx.URL(url)).rstrip("/")


def test_the_environment_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:1234")
    assert OllamaServer().url == "http://gpu-box:1234"
    assert OllamaServer("other").url == "http://other:11434"


def test_what_is_no_address_is_refused_without_being_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="host= is not an address") as caught:
        server_url("ftp://user:SECRET@gpu-box")
    assert "SECRET" not in str(caught.value)
    monkeypatch.setenv("OLLAMA_HOST", "http://gpu-box:notaport")
    with pytest.raises(ConfigError, match="OLLAMA_HOST= is not an address"):
        server_url()


@pytest.mark.parametrize("host", ["nope nope", "http://gpu box:1234", "gpu\u00a0box"])
def test_no_host_has_a_blank_in_its_name(host: str) -> None:
    with pytest.raises(ConfigError, match="host= is not an address"):
        server_url(host)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_an_address(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert server_url(text).startswith(("http://", "https://"))


def test_an_address_pickles() -> None:
    address = OllamaAddress("gpu-box")
    address._verify()
    assert pickle.loads(pickle.dumps(address)).url == address.url  # noqa: S301


def test_names_without_a_tag_mean_the_latest() -> None:
    assert same_model("phi3", "phi3:latest")
    assert same_model("hub.example.com:5000/phi3", "hub.example.com:5000/phi3:latest")
    assert not same_model("phi3", "phi3:mini")


async def test_a_server_that_is_there(fake: FakeServer) -> None:
    server = OllamaServer(fake.url)
    assert server.health() == await server.ahealth()
    assert [model.name for model in server.models()] == ["phi3:mini"]
    assert server.has("phi3:mini")
    assert not server.has("phi3")
    server.require("phi3:mini")


async def test_what_a_model_is_and_can_do(fake: FakeServer) -> None:
    fake.script("llava", Reply("A cat."), window=4096, capabilities=("completion", "vision", "tools"))
    server = OllamaServer(fake.url)
    facts = server.show("llava")
    assert facts == await server.ashow("llava")
    assert facts.window == 4096
    assert facts.abilities == {"images", "tools", "schema"}
    assert server.show("phi3:mini").abilities == {"tools", "schema"}


async def test_a_model_that_is_not_there_says_how_to_get_it(fake: FakeServer) -> None:
    server = OllamaServer(fake.url)
    with pytest.raises(ModelMissing, match=r"`ollama pull phi3:min`\. It has phi3:mini"):
        server.require("phi3:min")
    for ask in (server.show, server.warm_up):
        with pytest.raises(ModelMissing, match="ollama pull gemma"):
            ask("gemma")
    for ask_async in (server.ashow, server.awarm_up):
        with pytest.raises(ModelMissing, match="ollama pull gemma"):
            await ask_async("gemma")


async def test_a_warm_up_loads_with_the_context_of_its_callers(fake: FakeServer) -> None:
    server = OllamaServer(fake.url)
    server.warm_up("phi3:mini", num_ctx=2048)
    await server.awarm_up("phi3:mini")
    sent = [request.body for request in fake.requests]
    assert [body.get("messages") or [] for body in sent] == [[], []]
    assert sent[0]["options"] == {"num_ctx": 2048}
    assert not fake.calls()


async def test_a_server_that_is_not_there_says_how_to_start_it(fake: FakeServer) -> None:
    fake.script("down", Fault(refuse=True))
    server = OllamaServer(fake.url)
    for ask in (server.health, server.models, lambda: server.show("x"), lambda: server.warm_up("x")):
        with pytest.raises(ServerUnreachable, match="ollama serve"):
            ask()
    for ask_async in (server.ahealth, lambda: server.ashow("x"), lambda: server.awarm_up("x")):
        with pytest.raises(ServerUnreachable, match="slmroute serve"):
            await ask_async()


@contextlib.contextmanager
def elsewhere(body: bytes) -> Iterator[str]:
    """A server that answers everything with one body; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"version": 3}', b"{}"])
async def test_what_answers_and_is_no_ollama_is_named(body: bytes) -> None:
    with elsewhere(body) as host:
        with pytest.raises(ServerUnreachable, match="does not speak Ollama's protocol"):
            OllamaServer(host).health()
        with pytest.raises(ServerUnreachable, match="does not speak Ollama's protocol"):
            await OllamaServer(host).ahealth()


async def test_a_server_that_says_nothing_is_not_waited_for_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = OllamaServer(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(ServerUnreachable, match=r"did not answer in time \(timeout_s=\)"):
            server.models()
        with pytest.raises(ServerUnreachable, match=r"did not answer in time \(timeout_s=\)"):
            await server.ahealth()


def test_its_repr_shows_no_password() -> None:
    assert repr(OllamaServer("http://user:SECRET@gpu-box")) == "OllamaServer('http://gpu-box:80')"


def test_pulling_tells_how_far_it_is() -> None:
    lines = (
        b'{"status":"pulling manifest"}\n{"status":"pulling abc","total":100,"completed":40}\n{"status":"success"}\n'
    )
    with elsewhere(lines) as host:
        progress = list(OllamaServer(host).pull("phi3"))
    assert [(each.status, each.completed, each.total) for each in progress] == [
        ("pulling manifest", 0, 0),
        ("pulling abc", 40, 100),
        ("success", 0, 0),
    ]
    with (
        elsewhere(b'{"error":"pull model manifest: file does not exist"}\n') as host,
        pytest.raises(ModelMissing, match="The registry has no model 'phi33'"),
    ):
        list(OllamaServer(host).pull("phi33"))
