"""Budgets, deadlines, crowds and what is not installed."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from llama_index_slmroute import RoutingLLM
from slmroute import BudgetExceeded, DeadlineExceeded, MissingExtra, Tier, route_context
from slmroute.budget import Budget
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HARD = [ChatMessage(content="A hard one.")]
GOOD = Reply("It is so.", input_tokens=100_000, output_tokens=10_000)


def test_a_budget_holds_for_llama_index_too(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Perhaps."))
    server.script(FRONTIER, GOOD)
    made = bench(budget=Budget(day="0.2"))
    made.llm.chat(HARD)  # it costs $0.28
    made.llm.chat(HARD)
    assert made.tiers == ["frontier", "small"]
    strict = bench(budget=Budget(day="0.2", on_limit="raise"))
    strict.llm.chat(HARD)
    with pytest.raises(BudgetExceeded):
        strict.llm.chat(HARD)


async def test_a_deadline_cuts_what_is_awaited(bench: Any, server: FakeServer) -> None:
    server.script(FRONTIER, Reply("late", first_delay_s=30))
    server.script(SMALL, Reply("late", first_delay_s=30))
    made = bench(deadline_s=0.2)
    with pytest.raises(DeadlineExceeded):
        await made.llm.achat(HARD)
    with pytest.raises(DeadlineExceeded):
        [chunk async for chunk in await made.llm.astream_chat(HARD)]
    assert [record.error for record in made.records] == ["DeadlineExceeded"] * 2


def test_many_threads_can_share_a_router(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Fine."))
    server.script(FRONTIER, Reply("It is so."))
    made = bench(strings=True)

    def ask(number: int) -> str:
        text = "hard" if number % 2 else "easy"
        response = made.llm.chat([ChatMessage(content=text)])
        return response.message.additional_kwargs["slmroute"]["tier"]

    with ThreadPoolExecutor(16) as pool:
        tiers = list(pool.map(ask, range(64)))
    assert tiers == ["small", "frontier"] * 32
    assert len(made.records) == 64


async def test_keys_and_tags_of_the_context_stand_in_the_record(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Fine."))
    made = bench()

    async def ask(key: str) -> None:
        with route_context(key=key, tags=["billing"]):
            await made.llm.achat([ChatMessage(content="Hello?")])

    await asyncio.gather(*(ask(f"team-{number}") for number in range(8)))
    assert sorted(str(record.key) for record in made.records) == [f"team-{number}" for number in range(8)]
    assert {record.tags for record in made.records} == {("billing",)}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_index.llms.ollama", None)
    llm = RoutingLLM(tiers=[Tier("small", f"ollama:{SMALL}"), Tier("frontier", "openai:gpt-4.1")], classifier=None)
    with pytest.raises(MissingExtra, match=r"slmroute\[llama-index\]"):
        llm.chat(HARD)
