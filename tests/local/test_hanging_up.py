"""Clients that hang up, full queues, processes that die: seen in the server's counts and in llama.cpp's own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import ollama
import pytest

from slmroute.errors import ConfigError
from slmroute.local import LocalServer, default_model
from slmroute.local import server as server_module

ENDLESS = {"temperature": 0, "num_predict": 100_000, "stop": []}
PROMPT = "0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1"


def slots(server: LocalServer) -> list[Mapping[str, object]]:
    """What llama.cpp itself says that it does now."""
    runner = server._engine.runner
    assert runner is not None
    return asyncio.run_coroutine_threadsafe(runner.slots(), server._running.result()[0]).result()


def until_idle(server: LocalServer) -> None:
    """Wait until llama.cpp itself generates nothing any more."""
    for _ in range(600):
        if not any(slot["is_processing"] for slot in slots(server)):
            return
        time.sleep(0.05)
    raise AssertionError("llama.cpp still generates")


def endless(server: LocalServer, *, stream: bool) -> dict[str, object]:
    """A request that is answered until the window is full."""
    return {"model": server.model, "prompt": PROMPT, "raw": True, "stream": stream, "options": ENDLESS}


def connect(server: LocalServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)))


def send(server: LocalServer, body: dict[str, object], path: str = "/api/generate") -> socket.socket:
    """Send a request, and leave the answer unread."""
    content = json.dumps(body).encode()
    open_ = connect(server)
    open_.sendall(
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content
    )
    return open_


@pytest.mark.parametrize("stream", [True, False])
def test_who_hangs_up_stops_the_model(local_server: LocalServer, stream: bool) -> None:
    before = local_server.counts
    with send(local_server, endless(local_server, stream=stream)) as open_:
        while not any(slot["is_processing"] for slot in slots(local_server)):
            time.sleep(0.01)
        if stream:
            assert open_.recv(100).startswith(b"HTTP/1.1 200")
        assert local_server.counts.open == before.open + 1
    local_server.wait_until(lambda counts: counts.cancelled == before.cancelled + 1)
    until_idle(local_server)
    assert local_server.counts.answers == before.answers
    assert local_server.counts.open == before.open


async def test_leaving_a_stream_and_cancelling_a_call_stop_the_model(local_server: LocalServer) -> None:
    before = local_server.counts
    request = {"prompt": PROMPT, "raw": True, "options": ENDLESS}
    async with ollama.AsyncClient(local_server.url) as client:
        stream = await client.generate(local_server.model, stream=True, **request)
        async for part in stream:
            assert not part.done
            break
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.to_thread(local_server.wait_until, lambda counts: counts.cancelled == before.cancelled + 1)
        call = asyncio.create_task(client.generate(local_server.model, **request))
        await asyncio.to_thread(local_server.wait_until, lambda counts: counts.open == 1)
        call.cancel()
        await asyncio.to_thread(local_server.wait_until, lambda counts: counts.cancelled == before.cancelled + 2)
    await asyncio.to_thread(until_idle, local_server)


def test_a_full_queue_is_told_and_leaving_it_makes_room(narrow_server: LocalServer) -> None:
    request = endless(narrow_server, stream=True)
    before = narrow_server.counts.cancelled
    with send(narrow_server, request) as answered:
        assert answered.recv(100).startswith(b"HTTP/1.1 200")
        with send(narrow_server, request):
            narrow_server.wait_until(lambda counts: counts.open == 2)
            refused = httpx.post(f"{narrow_server.url}/api/generate", json=request)
            assert refused.status_code == 503
            assert refused.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}
        narrow_server.wait_until(lambda counts: counts.cancelled == before + 1)
    narrow_server.wait_until(lambda counts: counts.cancelled == before + 2 and counts.open == 0)
    body = request | {"stream": False, "options": {"num_predict": 1}}
    assert httpx.post(f"{narrow_server.url}/api/generate", json=body, timeout=60).status_code == 200


def test_a_load_goes_on_when_the_client_that_asked_for_it_hangs_up(narrow_server: LocalServer) -> None:
    with ollama.Client(narrow_server.url) as client:
        client.generate(narrow_server.model, keep_alive=0)
    before = narrow_server.counts
    with send(narrow_server, {"model": narrow_server.model}):
        narrow_server.wait_until(lambda counts: counts.open == 1)
    narrow_server.wait_until(lambda counts: counts.cancelled == before.cancelled + 1)
    narrow_server.wait_until(lambda counts: counts.loads == before.loads + 1)


def test_a_runner_that_dies_ends_the_answer_with_an_error_and_comes_back(narrow_server: LocalServer) -> None:
    body = endless(narrow_server, stream=True)
    with httpx.stream("POST", f"{narrow_server.url}/api/generate", json=body, timeout=60) as response:
        lines = response.iter_lines()
        next(lines)
        runner = narrow_server._engine.runner
        assert runner is not None
        loads = narrow_server.counts.loads
        os.kill(runner.pid, signal.SIGKILL)
        last = list(lines)[-1]
    assert response.status_code == 200
    assert "model runner has unexpectedly stopped" in json.loads(last)["error"]
    with ollama.Client(narrow_server.url) as client:
        answer = client.generate(narrow_server.model, "Hello", options={"num_predict": 2})
    assert answer.eval_count == 2
    assert narrow_server.counts.loads == loads + 1


def test_a_generation_that_fills_the_window_ends_with_length(narrow_server: LocalServer) -> None:
    body = endless(narrow_server, stream=False) | {"prompt": "0 1 " * 110}
    answer = httpx.post(f"{narrow_server.url}/api/generate", json=body, timeout=120).json()
    assert answer["done_reason"] == "length"
    assert answer["eval_count"] > 10
    assert answer["prompt_eval_count"] + answer["eval_count"] == pytest.approx(narrow_server.num_ctx, abs=2)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("ending", ["close()", "kill()", "exit"])
def test_no_process_is_left_when_the_server_ends(ending: str) -> None:
    code = (
        "import os, sys\n"
        "from slmroute.local import LocalServer\n"
        "server = LocalServer().start()\n"
        "print(server._engine.runner.pid, flush=True)\n"
        "sys.stdin.readline()\n" + ("server.close()\n" if ending == "close()" else "")
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        if ending == "kill()":
            process.kill()
        else:
            process.communicate("\n")
    for _ in range(200):
        if not alive(pid):
            break
        time.sleep(0.05)
    assert not alive(pid)
    assert process.returncode == (-signal.SIGKILL if ending == "kill()" else 0)


def test_closing_breaks_off_what_is_under_way_and_frees_the_port() -> None:
    server = LocalServer(default_model(), preload=False).start()
    url = urlsplit(server.url)
    open_ = send(server, endless(server, stream=True))
    assert open_.recv(100).startswith(b"HTTP/1.1 200")
    server.close()
    try:
        while open_.recv(65536):
            pass
    except ConnectionResetError:
        pass
    open_.close()
    with socket.socket() as probe:
        assert probe.connect_ex((str(url.hostname), int(url.port or 0))) != 0
    server.close()


def runners() -> set[int]:
    """The processes of this machine that hold a model for this one."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except OSError:
            continue
        if b"runner.py" in command and int(status.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this machine does not tell of processes in /proc")
def test_closing_while_the_model_is_loading_leaves_no_process() -> None:
    before = runners()
    server = LocalServer(preload=False).start()
    with send(server, {"model": server.model}):
        server.wait_until(lambda counts: counts.open == 1)
        server.close()
    assert server.counts.loads == 0
    assert runners() == before


class Interrupted(Future[None]):
    """What a start waits for, with an interrupt that comes while it waits."""

    def result(self, timeout: float | None = None) -> None:
        raise KeyboardInterrupt


class Futures:
    """The class of futures, of which those without a result are interrupted."""

    def __class_getitem__(cls, item: object) -> object:
        return Interrupted if item is None else Future[item]  # type: ignore[valid-type]


def test_a_start_that_is_interrupted_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    server = LocalServer()
    monkeypatch.setattr(server_module, "Future", Futures)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConfigError, match="no address"):
        _ = server.url


def test_a_model_that_nobody_asks_for_is_put_out() -> None:
    with LocalServer(keep_alive=0.01) as server, ollama.Client(server.url) as client:
        while client.ps().models:
            time.sleep(0.01)
        assert client.generate(server.model, "Hello", options={"num_predict": 1}).eval_count == 1
        assert server.counts.loads == 2
