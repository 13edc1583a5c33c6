"""A router may be asked in one event loop after another: a connection of the first breaks in the next."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from slmroute.testing import Reply
from tests.langchain.providers.conftest import over
from tests.langchain.providers.providers import Provider
from tests.langchain.stage import record_of


@pytest.mark.parametrize("given", ["string", "object"])
def test_one_event_loop_after_another_is_answered(
    provider: Provider, server: Any, closed_clients: list[Any], closed_sessions: list[Any], given: str
) -> None:
    server.script(provider.model, Reply("Paris."))
    routed = over(provider.tier(given, server.url))

    async def at_once() -> list[Any]:
        answers = await asyncio.gather(*(routed.ainvoke("Where is the Louvre?") for _ in range(3)))
        # What is left open here could not be closed anywhere else.
        for client in (*closed_clients, *closed_sessions):
            if isinstance(client, aiohttp.ClientSession):
                await client.close()
            elif isinstance(client, httpx.AsyncClient | httpx2.AsyncClient):
                await client.aclose()
        return answers

    answers = [answer for _ in range(3) for answer in asyncio.run(at_once())]
    answers.append(routed.invoke("Where is the Louvre?"))
    assert [record_of(answer)["tier"] for answer in answers] == ["asked"] * 10
    assert [len(record_of(answer)["attempts"]) for answer in answers] == [1] * 10
