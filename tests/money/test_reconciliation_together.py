"""Both frameworks write one ledger at the same time, from two ledger objects, and its bill is that of one server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from slmroute.ledger import Ledger
from tests.money import langchain_calls, llama_index_calls
from tests.money.bill import Script, check_bills, check_variety, run_all

CALLS = int(os.environ.get("SLMROUTE_CALLS", "200"))

pytestmark = [
    pytest.mark.usefixtures("shared_ssl", "closed_clients"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step"),
]


async def test_the_bill_of_both_frameworks_is_the_server_s(tmp_path: Path, refusing_url: str) -> None:
    of_langchain = langchain_calls.plans(CALLS // 2, seed=21)
    of_llama_index = llama_index_calls.plans(CALLS // 2, seed=22, first=CALLS)
    script, path = Script([*of_langchain, *of_llama_index]), tmp_path / "ledger.db"
    with script.server() as server:
        with Ledger(path, limit=100_000) as one, Ledger(path, limit=100_000) as other:
            langchain = langchain_calls.LangChainCalls(server, script, one, refusing_url)
            llama_index = llama_index_calls.LlamaIndexCalls(server, script, other, refusing_url)
            await asyncio.gather(
                run_all(of_langchain, langchain.one, langchain.aone, langchain_calls.expected),
                run_all(of_llama_index, llama_index.one, llama_index.aone, llama_index_calls.expected),
            )
        assert one.dropped == other.dropped == 0
        books = check_bills(server, script, path)
    check_variety(books)
    assert len(books.records) == len(langchain.records) + len(llama_index.records) >= CALLS
