"""What single calls are charged where it is easily got wrong: by caches, by clients that parse, in v3 streams."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import BaseModel

from langchain_slmroute import RouteCostCallback, RoutingChatModel
from langchain_slmroute.messages import answer_of
from slmroute import Tier
from slmroute.hooks import HookRunner
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, Stage, record_of

MID = "gpt-4.1-mini"


class Person(BaseModel):
    """A person."""

    name: str


GOOD = Reply('{"name": "Anna"}', input_tokens=100, output_tokens=10)
TOKENS: dict[str, Any] = {"input_tokens": 1000, "output_tokens": 200, "cached_tokens": 400, "reasoning_tokens": 50}
BAD = Reply('{"name": ', **TOKENS)
CUT = Reply('{"name": "An', finish="length", **TOKENS)


NEVER = threading.Event()


@pytest.fixture(autouse=True)
def _told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks run in a thread of their own; here what they were told is looked at straight after a call."""
    monkeypatch.setattr(HookRunner, "tell", lambda self, record: [hook(record) for hook in self._hooks])


@pytest.fixture
def records() -> list[Any]:
    return []


@pytest.fixture
def structured(stage: Stage, records: list[Any]) -> Any:
    """A router whose first tier is OpenAI's, too, with answers that are to be objects."""
    stage.server.script(BIG, GOOD)
    args = {"base_url": stage.server.openai_url, "api_key": "canary"}
    tiers = [Tier("mid", f"openai:{MID}", model_args=args), Tier("big", f"openai:{BIG}", model_args=args)]
    prices = {"mid": ("0.4", "1.6", "0.1")}
    router = RoutingChatModel(tiers=tiers, classifier=None, prices=prices, hooks=[records.append])
    return router.with_structured_output(Person)


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.generate, ways.agenerate], ids=ways.name_of)
async def test_an_answer_without_usage_is_free_too_when_it_comes_out_of_a_cache(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, Reply("Blue.", usage=False))
    model = stage.router("big", cache=InMemoryCache())
    first, second = [record_of(await ask(model, "What is blue?")) for _ in range(2)]
    assert len(stage.server.calls(BIG)) == 1
    assert float(first["cost"]) > 0
    assert first["attempts"][-1]["usage"]["source"] == "estimated"
    assert second["attempts"][-1]["usage"]["source"] == "cached"
    assert float(second["cost"]) == float(second["saved"]) == 0


def test_a_model_that_says_what_it_cost_is_not_taken_for_a_cache() -> None:
    usage: Any = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12, "total_cost": 0.01}
    answer = answer_of(AIMessage("Blue.", usage_metadata=usage), "openai")
    assert answer.usage is not None
    assert answer.usage.source == "reported"


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_a_cost_callback_counts_every_call_once(stage: Stage, ask: ways.Ask) -> None:
    counter, records = RouteCostCallback(), list[Any]()
    model = stage.escalating(hooks=[records.append])
    await ask(model, "What is blue?", {"callbacks": [counter]})
    assert counter.costs.calls == len(records) == 1
    assert counter.costs.cost == records[0].cost > 0


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("ask", ways.PRIVATE, ids=ways.name_of)
async def test_a_cost_callback_counts_calls_that_fail(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, Fault(die_after_chunks=2))
    counter, records = RouteCostCallback(), list[Any]()
    model = stage.router("big", hooks=[records.append], failover=False)
    with pytest.raises(Exception):  # noqa: B017, PT011  whichever the client's
        await ask(model, "What is blue?", {"callbacks": [counter]})
    assert counter.costs.failures == len(records) == 1
    assert counter.costs.cost == records[0].cost > 0


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke], ids=ways.name_of)
@pytest.mark.parametrize("reply", [BAD, CUT], ids=["bad", "cut"])
async def test_an_answer_that_openais_client_cannot_parse_is_paid_for_and_escalates(
    stage: Stage, structured: Any, records: list[Any], ask: ways.Ask, reply: Reply
) -> None:
    stage.server.script(MID, reply)
    assert await ask(structured, "Who is it?") == Person(name="Anna")
    draft, final = records[0].attempts
    assert (draft.role, draft.fault, final.tier) == ("draft", "bad_json", "big")
    assert draft.usage == stage.server.bill[MID]
    # 600 fresh tokens, 400 out of OpenAI's cache, 200 generated.
    assert draft.cost == Decimal("0.00024") + Decimal("0.00004") + Decimal("0.00032")
    assert records[0].events == (("truncated:mid",) if reply is CUT else ())


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize(("method", "reported"), [("json_mode", True), ("json_schema", False)])
async def test_an_answer_that_is_streamed_for_handlers_alone_is_paid_for_too(
    stage: Stage, structured: Any, records: list[Any], method: str, reported: bool
) -> None:
    stage.server.script(MID, CUT)
    model = structured.router.with_structured_output(Person, method=method)

    async def step(question: str, config: RunnableConfig) -> Any:
        return await model.ainvoke(question, config)

    answered = RunnableLambda(step)
    events = [event async for event in answered.astream_events("Who is it, in JSON?", version="v2")]
    assert events[-1]["data"]["output"] == Person(name="Anna")
    draft, _ = records[0].attempts
    if reported:
        assert draft.usage == stage.server.bill[MID]
    else:  # it parses as it reads, and stops reading before the usage comes
        assert (draft.usage.source, draft.usage.output_tokens > 0) == ("estimated", True)
    assert draft.cost > 0


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("text", ['{"name": ', '{"surname": "Doe"}', "I am no JSON at all.", ""])
async def test_a_stream_that_openais_client_cannot_parse_is_paid_for_and_escalates(
    stage: Stage, structured: Any, records: list[Any], text: str, is_async: bool
) -> None:
    stage.server.script(MID, Reply(text, **TOKENS))
    if is_async:
        parts = [part async for part in structured.astream("Who is it?")]
    else:
        parts = list(structured.stream("Who is it?"))
    assert parts[-1] == Person(name="Anna")
    draft, final = records[0].attempts
    assert (draft.role, draft.fault, final.tier) == ("draft", "bad_json", "big")
    if text:  # the client stops reading there, before the usage comes
        assert (draft.usage.source, draft.usage.input_tokens > 0) == ("estimated", True)
        assert (draft.usage.output_tokens > 0) is text.startswith("{")  # what is no JSON, it does not even hand on
        assert records[0].events == ("unmetered:mid",)
    else:
        assert draft.usage == stage.server.bill[MID]
    assert draft.cost > 0


def test_a_stream_whose_last_answer_cannot_be_parsed_raises_as_the_bare_client_does(
    stage: Stage, structured: Any, records: list[Any]
) -> None:
    for model in (MID, BIG):
        stage.server.script(model, BAD)
    with pytest.raises(ValueError, match="Person"):
        list(structured.stream("Who is it?"))
    assert [attempt.cost > 0 for attempt in records[0].attempts] == [True, True]
    assert stage.models_called == [MID, BIG]


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.stream, ways.astream], ids=ways.name_of)
async def test_what_a_client_waited_for_in_vain_is_estimated(stage: Stage, records: list[Any], ask: ways.Ask) -> None:
    stage.server.script(BIG, Reply("Too late.", hold=NEVER))
    model = stage.router("big", tiers=[stage.small(), stage.big(timeout=0.1)], hooks=[records.append])
    assert record_of(await ask(model, "What is blue?"))["tier"] == "small"
    late = records[0].attempts[-2]
    assert (late.tier, late.role, late.usage.source) == ("big", "failed", "estimated")
    assert (late.usage.input_tokens > 0, late.usage.output_tokens) == (True, 0)
    assert late.cost > 0


@pytest.mark.parametrize("ask", [ways.invoke, ways.astream], ids=ways.name_of)
async def test_what_a_client_asked_for_again_in_vain_is_estimated_each_time(
    stage: Stage, records: list[Any], ask: ways.Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    stage.server.script(BIG, Reply("Too late.", hold=NEVER))
    tokens = []
    for retries in (0, 2):
        model = stage.router(
            "big", tiers=[stage.small(), stage.big(timeout=0.1, max_retries=retries)], hooks=[records.append]
        )
        assert record_of(await ask(model, "What is blue?"))["tier"] == "small"
        tokens.append(records[-1].attempts[-2].usage.input_tokens)
    assert stage.models_called.count(BIG) == 1 + 3
    assert tokens[1] == 3 * tokens[0] > 0
