"""The ledger's bill and that of the server are the same, call by call, whichever way a framework is asked.

By default it is some hundred calls of each; with ``SLMROUTE_CALLS=10000`` more than ten thousand.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slmroute import route_costs
from slmroute.ledger import Ledger
from tests.money import langchain_calls, llama_index_calls
from tests.money.bill import Script, check_bills, check_variety, run_all

CALLS = int(os.environ.get("SLMROUTE_CALLS", "200"))

LANGCHAIN = pytest.param(
    langchain_calls,
    langchain_calls.LangChainCalls,
    id="langchain",
    marks=[
        pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
        # Of LangChain's bare OpenAI model, too, when it streams objects of a class.
        pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    ],
)
LLAMA_INDEX = pytest.param(
    llama_index_calls,
    llama_index_calls.LlamaIndexCalls,
    id="llama_index",
    marks=[
        pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
        pytest.mark.filterwarnings("ignore:is_running called from within a step"),
    ],
)


@pytest.mark.usefixtures("shared_ssl", "closed_clients")
@pytest.mark.parametrize(("framework", "kind"), [LANGCHAIN, LLAMA_INDEX])
async def test_the_ledger_s_bill_is_the_server_s(
    framework: ModuleType, kind: Any, tmp_path: Path, refusing_url: str
) -> None:
    everything = framework.plans(CALLS)
    script, path = Script(everything), tmp_path / "ledger.db"
    with script.server() as server:
        with Ledger(path, limit=100_000) as ledger, route_costs() as costs:
            calls = kind(server, script, ledger, refusing_url)
            errors = await run_all(everything, calls.one, calls.aone, framework.expected)
        assert ledger.dropped == 0
        books = check_bills(server, script, path)
    assert errors.keys() >= {"NoTierAnswered", "ReadError", "ServerUnreachable"}
    check_variety(books)
    assert len(books.records) == len(calls.records) >= CALLS
    assert costs.cost == calls.counter.costs.cost == sum(record.cost or 0 for record in books.records)
