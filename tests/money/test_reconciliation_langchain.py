"""The ledger's bill and that of the server are the same, call by call, whichever way LangChain is asked.

By default it is some hundred calls; with ``SLMROUTE_CALLS=10000`` more than ten thousand.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmroute import route_costs
from slmroute.ledger import Ledger
from tests.money.bill import Script, check_bills, check_variety, run_all
from tests.money.langchain_calls import LangChainCalls, expected, plans

CALLS = int(os.environ.get("SLMROUTE_CALLS", "200"))

pytestmark = [
    pytest.mark.usefixtures("shared_ssl", "closed_clients"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    # Of LangChain's bare OpenAI model, too, when it streams objects of a class.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]


async def test_the_ledger_s_bill_is_the_server_s(tmp_path: Path, refusing_url: str) -> None:
    everything = plans(CALLS)
    script, path = Script(everything), tmp_path / "ledger.db"
    with script.server() as server:
        with Ledger(path, limit=100_000) as ledger, route_costs() as costs:
            calls = LangChainCalls(server, script, ledger, refusing_url)
            errors = await run_all(everything, calls.one, calls.aone, expected)
        assert ledger.dropped == 0
        books = check_bills(server, script, path)
    assert errors.keys() >= {"NoTierAnswered", "ReadError", "ServerUnreachable"}
    check_variety(books)
    assert len(books.records) == len(calls.records) >= CALLS
    assert costs.cost == calls.counter.costs.cost == sum(record.cost or 0 for record in books.records)
