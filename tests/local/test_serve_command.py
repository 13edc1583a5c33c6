"""``slmroute serve``: what it says, how it ends, and the settings it refuses."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ollama
import pytest

from slmroute.cli import main
from slmroute.local import LocalServer

COMMAND = [sys.executable, "-m", "slmroute.cli", "serve"]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command, and give its process and the address that it tells."""
    # Where the tests run in a shell's background SIGINT is ignored, and a process that is started ignores it as well.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.search(r"served at (http://\S+)", told)
            assert found, told + (process.stderr.read() if process.stderr else "")
            yield process, found[1]
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_says_what_it_is_and_ends_when_told(ending: signal.Signals, model_link: Path) -> None:
    with serving("--port", "0", "--model", str(model_link), "--name", "mine", "--num-ctx", "256") as (process, url):
        with ollama.Client(url) as client:
            assert [model.model for model in client.list().models] == ["mine:latest"]
            assert client.generate("mine", "Hello", options={"num_predict": 1}).eval_count == 1
        assert process.stdout is not None
        told = process.stdout.readline()
        process.send_signal(ending)
        _, err = process.communicate(timeout=30)
    assert "machines without Ollama" in told
    assert "no replacement" in told
    assert err == ""
    assert process.returncode == 130


def test_it_warns_where_others_can_reach_it() -> None:
    with serving("--port", "0", "--host", "0.0.0.0") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert "is not loopback" in err
    assert "no password" in err


def test_a_port_that_is_taken_is_told(local_server: LocalServer, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--port", local_server.url.rpartition(":")[2]])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "cannot be had" in told
    assert "Ollama" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "nowhere.gguf"], "nowhere.gguf"),
        (["--name", "a b"], "not a model's name"),
        (["--host", "no.such.host.invalid", "--port", "0"], "host"),
        (["--template", "nowhere.jinja"], "nowhere.jinja"),
        (["--parallel", "0"], "parallel"),
    ],
)
def test_wrong_settings_are_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


async def test_a_server_can_be_entered_asynchronously(model_link: Path) -> None:
    async with LocalServer(model_link, num_ctx=256, host="localhost") as server:
        async with ollama.AsyncClient(server.url) as client:
            answer = await client.generate(server.model, "Hello", options={"num_predict": 1})
        assert answer.eval_count == 1
        assert "my-own-model" in repr(server)
    assert "not started" in repr(server)


def test_a_server_listens_on_ipv6(model_link: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with LocalServer(model_link, host="::1", preload=False) as server:
        assert server.url.startswith("http://[::1]:")
        with ollama.Client(server.url) as client:
            assert len(client.list().models) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_library_warns_as_well(host: str, model_link: Path, caplog: pytest.LogCaptureFixture) -> None:
    if host == "::" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with LocalServer(model_link, host=host, preload=False) as server:
        assert re.match(r"http://(127\.0\.0\.1|\[::1\]):", server.url)
    assert "not loopback" in caplog.text
