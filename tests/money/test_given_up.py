"""Calls that are given up before their request has left cost nothing; those that may have sent it, what it may cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel
from llama_index_slmroute import RoutingLLM
from slmroute.errors import DeadlineExceeded
from slmroute.record import RouteRecord
from slmroute.testing import FakeServer, Reply
from slmroute.tier import Tier
from slmroute.unanswered import given_up

SMALL = Tier("small", "ollama:a", local=True, input_price=0, output_price=0)


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have no server take a connection, as one far away does not at once; set when one is asked for."""
    asked = asyncio.Event()

    async def wait(*_: object, **__: object) -> Any:
        asked.set()
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", wait)
    return asked


def made(adapter: Any, tier: Tier, **settings: Any) -> tuple[Any, list[RouteRecord]]:
    records: list[RouteRecord] = []
    return adapter(tiers=[SMALL, tier], classifier=lambda _: 1.0, hooks=[records.append], **settings), records


def at(url: str, **changes: Any) -> Tier:
    return Tier("big", "openai:gpt-4.1", model_args={"base_url": url, "api_key": "x", "max_retries": 0} | changes)


async def streamed(chunks: Any) -> list[Any]:
    chunks = await chunks if asyncio.iscoroutine(chunks) else chunks
    return [chunk async for chunk in chunks]


WAYS: dict[str, tuple[Any, Callable[[Any], Awaitable[object]]]] = {
    "ainvoke": (RoutingChatModel, lambda router: router.ainvoke("Prove it.")),
    "astream": (RoutingChatModel, lambda router: streamed(router.astream("Prove it."))),
    "acomplete": (RoutingLLM, lambda router: router.acomplete("Prove it.")),
    "astream_complete": (RoutingLLM, lambda router: streamed(router.astream_complete("Prove it."))),
}


async def cancelled(start: Awaitable[object], arrived: Awaitable[object]) -> None:
    task = asyncio.ensure_future(start)
    await arrived
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_cancelled_while_it_connects_costs_nothing(way: str, connecting: asyncio.Event) -> None:
    adapter, start = WAYS[way]
    router, records = made(adapter, at("http://127.0.0.1:1/v1"))
    await cancelled(start(router), connecting.wait())
    (record,) = records
    (attempt,) = [each for each in record.attempts if each.tier == "big"]
    assert (record.status, attempt.usage, attempt.cost, record.cost) == ("cancelled", None, 0, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_a_deadline_that_passes_while_it_connects_costs_nothing(
    way: str, connecting: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, start = WAYS[way]
    router, records = made(adapter, at("http://127.0.0.1:1/v1"), deadline_s=3_600)
    task = asyncio.ensure_future(start(router))
    await connecting.wait()
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as later:
        later.setattr(loop, "time", lambda now=loop.time: now() + 3_600)
        with pytest.raises(DeadlineExceeded):
            await task
    (record,) = records
    assert ("deadline:big" in record.events, record.cost) == (True, 0)


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_cancelled_once_it_is_sent_is_estimated(way: str) -> None:
    with FakeServer({"gpt-4.1": Reply("late", first_delay_s=30)}) as server:
        adapter, start = WAYS[way]
        router, records = made(adapter, at(server.openai_url))
        await cancelled(start(router), asyncio.to_thread(server.wait_until, lambda: bool(server.calls())))
    (record,) = records
    (attempt,) = [each for each in record.attempts if each.tier == "big"]
    assert attempt.usage is not None
    assert (attempt.usage.source, bool(record.cost)) == ("estimated", True)


async def test_a_call_that_waits_for_a_rate_limiter_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter, asked = InMemoryRateLimiter(requests_per_second=0.001), asyncio.Event()
    monkeypatch.setattr(InMemoryRateLimiter, "_consume", lambda _: asked.set())
    limited: Any = ChatOpenAI(model="gpt-4.1", api_key="x", rate_limiter=limiter)  # type: ignore[arg-type]
    router, records = made(RoutingChatModel, Tier("big", limited, input_price=2, output_price=8))
    await cancelled(router.ainvoke("Prove it."), asked.wait())
    assert [record.cost for record in records] == [0]


@pytest.mark.parametrize("way", ["ainvoke", "acomplete"])
async def test_a_call_whose_client_still_learns_what_machine_it_is_on_has_sent_nothing(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, leave = threading.Event(), threading.Event()

    def platform() -> str:
        asked.set()
        leave.wait()
        return "Linux"

    monkeypatch.setattr("openai._base_client.get_platform", platform)
    adapter, start = WAYS[way]
    with FakeServer({"gpt-4.1": Reply("late")}) as server:
        router, records = made(adapter, at(server.openai_url))
        await cancelled(start(router), asyncio.to_thread(asked.wait))
        leave.set()
        assert server.calls() == []
    assert [record.cost for record in records] == [0]


@pytest.mark.parametrize(("again", "unsent"), [("0", True), ("1", False)])
def test_a_request_that_is_sent_again_has_been_sent(again: str, unsent: bool) -> None:
    client: dict[str, Any] = {"__name__": "httpcore._async.connection"}
    exec("def _connect(request): raise KeyboardInterrupt", client)  # noqa: S102  stands for httpcore
    with pytest.raises(KeyboardInterrupt) as caught:
        client["_connect"](httpx.Request("POST", "http://localhost", headers={"x-stainless-retry-count": again}))
    assert given_up(caught.value) == (0 if unsent else 1)
