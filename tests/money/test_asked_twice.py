"""Tiers whose own classes ask more than once for an answer: each of these requests is on the bill, whatever comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from langchain_core.runnables import Runnable
from langchain_ollama import ChatOllama
from llama_index.core import PromptTemplate
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from llama_index_slmroute import RoutingLLM
from slmroute import Tier
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.request import estimate_tokens
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply

pytestmark = pytest.mark.usefixtures("shared_ssl", "closed_clients")

MODEL = "phi3:mini"
QUESTION = "Who is it?"
BROKEN = Reply('{"nick": 1}', input_tokens=400, output_tokens=30)
GOOD = '{"name": "Anna"}'
FIRST = Usage(400, 30)


class Person(BaseModel):
    """A person."""

    name: str


class Stubborn(ChatOllama):
    """Asks again for an object that it did not get."""

    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        chain = super().with_structured_output(schema, **kwargs)
        return chain.with_retry(wait_exponential_jitter=False, stop_after_attempt=2)


class StubbornLLM(Ollama):
    """Does so, too."""

    def structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().structured_predict(*args, **kwargs)
        except ValueError:
            return super().structured_predict(*args, **kwargs)


def tier(model: object) -> Tier:
    return Tier("small", model, input_price=1, output_price=10)


def asked_langchain(server: FakeServer, hook: Callable[[RouteRecord], None]) -> object:
    tiers = [tier(Stubborn(model=MODEL, base_url=server.url)), Tier("big", "dry-run:openai:gpt-4.1")]
    router: Any = RoutingChatModel(tiers=tiers, classifier=None, failover=False, hooks=[hook])
    return router.with_structured_output(Person).invoke(QUESTION)


def asked_llama_index(server: FakeServer, hook: Callable[[RouteRecord], None]) -> object:
    tiers = [tier(StubbornLLM(model=MODEL, base_url=server.url)), Tier("big", "dry-run:openai:gpt-4.1")]
    router = RoutingLLM(tiers=tiers, classifier=None, failover=False, hooks=[hook])
    return router.structured_predict(Person, PromptTemplate("{question}"), question=QUESTION)


both = pytest.mark.parametrize("ask", [asked_langchain, asked_llama_index])


def only(records: list[RouteRecord]) -> AttemptRecord:
    (record,) = records
    (attempt,) = record.attempts
    assert attempt.usage is not None
    assert attempt.cost == record.cost == Decimal(attempt.usage.input_tokens + 10 * attempt.usage.output_tokens) / 10**6
    return attempt


@both
def test_both_requests_are_counted(ask: Callable[..., object]) -> None:
    records: list[RouteRecord] = []
    with FakeServer({MODEL: [BROKEN, Reply(GOOD, input_tokens=500, output_tokens=20)]}) as server:
        assert ask(server, records.append) == Person(name="Anna")
        assert only(records).usage == server.bill[MODEL] == Usage(900, 50)
    assert records[0].baseline == Decimal(500 * 2 + 20 * 8) / 10**6  # of one request alone


@both
@pytest.mark.parametrize("silent_first", [True, False])
def test_a_sum_of_which_a_part_is_estimated_is_an_estimate(ask: Callable[..., object], silent_first: bool) -> None:
    records: list[RouteRecord] = []
    silent = Reply(BROKEN.text if silent_first else GOOD, usage=False)
    told = Reply(GOOD if silent_first else BROKEN.text, input_tokens=400, output_tokens=30)
    with FakeServer({MODEL: [silent, told] if silent_first else [told, silent]}) as server:
        assert ask(server, records.append) == Person(name="Anna")
    (usage, (record,)) = only(records).usage, records
    assert usage is not None
    assert (usage.source, usage.output_tokens) == ("estimated", 30 + estimate_tokens(silent.text))
    assert usage.input_tokens > 400
    assert "unmetered:small" in record.events


@both
def test_the_first_request_is_counted_where_the_second_fails(ask: Callable[..., object]) -> None:
    records: list[RouteRecord] = []
    with FakeServer({MODEL: [BROKEN, Fault(503)]}) as server:
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of it
            ask(server, records.append)
        assert only(records).usage == server.bill[MODEL] == FIRST


async def test_the_first_request_is_counted_where_the_second_is_given_up_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connecting, records = asyncio.Event(), list[RouteRecord]()

    async def never(*_: object, **__: object) -> object:
        connecting.set()
        return await asyncio.get_running_loop().create_future()

    def second_waits(_: object) -> Reply:
        monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", never)
        return BROKEN

    with FakeServer({MODEL: second_waits}) as server:
        unkept = {"limits": httpx.Limits(max_keepalive_connections=0)}
        model = Stubborn(model=MODEL, base_url=server.url, async_client_kwargs=unkept)
        tiers = [tier(model), Tier("big", "dry-run:openai:gpt-4.1")]
        router: Any = RoutingChatModel(tiers=tiers, classifier=None, hooks=[records.append])
        task = asyncio.ensure_future(router.with_structured_output(Person).ainvoke(QUESTION))
        await connecting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(server.calls()) == 1
    found = only(records)
    assert (found.usage and found.usage.output_tokens, found.error) == (30, "CancelledError")
    assert found.usage == FIRST


def test_of_rounds_that_fail_those_count_that_were_worked_on() -> None:
    prompts: list[int] = []
    for first, requests in ((Fault(503), 1), (Fault(die_after_chunks=0, reply=BROKEN), 2)):
        records: list[RouteRecord] = []
        with FakeServer({MODEL: [first, Fault(garbage=True)]}) as server:
            with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of it
                asked_langchain(server, records.append)
            assert (len(server.calls()), len(server.untold[MODEL])) == (2, requests)
        found = only(records).usage
        assert found is not None
        assert found.source == "estimated"
        prompts.append(found.input_tokens)
    assert prompts[1] == 2 * prompts[0]
