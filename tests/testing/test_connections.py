"""Answers that are held, clients that hang up, and a server that is down."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
from urllib.parse import urlsplit

import httpx
import pytest

from slmroute.errors import ConfigError, SlmrouteError
from slmroute.testing import FakeServer, Fault, Reply

HELLO = [{"role": "user", "content": "hello there"}]


def ask(server: FakeServer) -> httpx.Response:
    return httpx.post(f"{server.url}/api/chat", json={"model": "m", "messages": HELLO, "stream": False})


def said(response: httpx.Response) -> str:
    return response.json()["message"]["content"]


def test_a_held_reply_sends_nothing_before_its_event(server: FakeServer) -> None:
    event = threading.Event()
    server.script("m", Reply("hi", hold=event))
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(said(ask(server))))
    thread.start()
    server.wait_until(lambda: server.open == 1)
    assert answers == []
    event.set()
    thread.join()
    assert answers == ["hi"]
    assert (server.open, server.cancelled) == (0, 0)


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_stream_is_held_after_a_number_of_chunks(server: FakeServer, chunks: int) -> None:
    event = threading.Event()
    server.script("m", Reply("one two three", hold_after=(chunks, event)))
    body = {"model": "m", "messages": HELLO}
    with httpx.stream("POST", f"{server.url}/api/chat", json=body) as response:
        lines = response.iter_lines()
        seen = [json.loads(next(lines))["message"]["content"] for _ in range(chunks)]
        assert seen == ["one", " two", " three"][:chunks]
        assert server.open == 1
        event.set()
        assert len(list(lines)) == 4 - chunks
    assert server.open == 0


def test_delays_pass_before_and_between_chunks(server: FakeServer) -> None:
    server.script("m", Reply("one two", first_delay_s=0.001, chunk_delay_s=0.001))
    assert said(ask(server)) == "one two"
    assert len(httpx.post(f"{server.url}/api/chat", json={"model": "m", "messages": HELLO}).text.splitlines()) == 3


def test_a_thousand_held_answers_take_one_thread() -> None:
    event = threading.Event()
    body = json.dumps({"model": "m", "messages": HELLO}).encode()
    request = b"POST /api/chat HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def one(port: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.endswith(b"0\r\n\r\n")

    async def main(server: FakeServer) -> list[bool]:
        calls = [asyncio.create_task(one(int(urlsplit(server.url).port or 0))) for _ in range(1000)]
        await asyncio.to_thread(server.wait_until, lambda: server.open == 1000, 30)
        event.set()
        return await asyncio.gather(*calls)

    with FakeServer({"m": Reply("one two three", hold=event)}) as server:
        assert all(asyncio.run(main(server)))
        assert server.open == 0
        assert server.bill["m"].output_tokens == 3000


@pytest.mark.parametrize(
    "entry",
    [
        Reply("one two three", hold_after=(1, threading.Event())),
        Fault(stall_after_chunks=1),
        Reply(chunks=["ha "] * 200_000),
    ],
    ids=["held", "stalled", "endless"],
)
def test_a_client_that_hangs_up_in_mid_stream_is_counted(server: FakeServer, entry: Reply | Fault) -> None:
    server.script("m", entry)
    with httpx.stream("POST", f"{server.url}/api/chat", json={"model": "m", "messages": HELLO}) as response:
        next(response.iter_lines())
    server.wait_until(lambda: server.cancelled == 1)
    assert (server.open, server.bill) == (0, {})


def test_a_client_that_times_out_before_the_first_byte_is_counted(server: FakeServer) -> None:
    server.script("m", Reply("hi", hold=threading.Event()))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{server.url}/api/chat", json={"model": "m", "messages": HELLO}, timeout=httpx.Timeout(5, read=0.05)
        )
    server.wait_until(lambda: server.cancelled == 1)
    assert server.open == 0


async def test_a_cancelled_coroutine_is_a_client_that_hangs_up(server: FakeServer) -> None:
    server.script("m", Reply("hi", hold=threading.Event()))
    async with httpx.AsyncClient(base_url=server.url) as client:
        call = asyncio.create_task(client.post("/api/chat", json={"model": "m", "messages": HELLO}))
        await asyncio.to_thread(server.wait_until, lambda: server.open == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.to_thread(server.wait_until, lambda: server.cancelled == 1)


def test_a_reply_that_was_sent_whole_is_not_cancelled(server: FakeServer) -> None:
    server.script("m", Reply("hi"))
    for _ in range(20):
        ask(server)
    assert server.cancelled == 0


def test_waiting_in_vain_says_what_the_books_hold(server: FakeServer) -> None:
    with pytest.raises(SlmrouteError, match="0 requests received, 0 open, 0 cancelled"):
        server.wait_until(lambda: False, timeout_s=0.01)


def test_a_server_that_refuses_is_really_down_and_comes_up_again(server: FakeServer) -> None:
    server.script("m", Reply("hi"))
    with httpx.Client(base_url=server.url) as client:
        body = {"model": "m", "messages": HELLO, "stream": False}
        assert client.post("/api/chat", json=body).status_code == 200
        server.script("m", Fault(refuse=True))
        for _ in range(2):
            with pytest.raises(httpx.ConnectError):
                client.post("/api/chat", json=body)
        server.script("m", Reply("back"))
        assert said(client.post("/api/chat", json=body)) == "back"
    assert len(server.calls()) == 2


def test_a_server_goes_down_when_refusing_is_next_in_the_script(server: FakeServer) -> None:
    server.script("m", Reply("one"), Reply("two"), Fault(refuse=True))
    with httpx.Client(base_url=server.url) as client:
        body = {"model": "m", "messages": HELLO, "stream": False}
        assert [said(client.post("/api/chat", json=body)) for _ in range(2)] == ["one", "two"]
        with pytest.raises(httpx.ConnectError):
            client.post("/api/chat", json=body)


def test_an_answer_under_way_is_finished_when_the_server_goes_down(server: FakeServer) -> None:
    event = threading.Event()
    server.script("m", Reply("one two", hold_after=(1, event)))
    with httpx.stream("POST", f"{server.url}/api/chat", json={"model": "m", "messages": HELLO}) as response:
        lines = response.iter_lines()
        next(lines)
        server.script("other", Fault(refuse=True))
        event.set()
        assert len(list(lines)) == 2


def test_a_server_may_be_down_from_the_start() -> None:
    with FakeServer({"m": Fault(refuse=True)}) as server, pytest.raises(httpx.ConnectError):
        ask(server)


def test_a_callable_cannot_refuse() -> None:
    with pytest.raises(ConfigError, match="callable"), FakeServer({"m": lambda body: Fault(refuse=True)}) as server:
        ask(server)


def test_what_connects_as_the_server_stops_is_closed_too(recwarn: pytest.WarningsRecorder) -> None:
    for _ in range(20):
        with FakeServer({"m": Reply("hi")}) as server:
            address = urlsplit(server.url)
            clients = [socket.create_connection((address.hostname, address.port)) for _ in range(5)]
        for client in clients:
            client.close()
    gc.collect()
    assert [str(each.message) for each in recwarn if each.category is ResourceWarning] == []
