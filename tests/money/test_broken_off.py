"""Answers that break off, or do not come in time: what they may have taken is counted, and they are none to judge."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_ollama import ChatOllama, OllamaLLM
from langchain_openai import ChatOpenAI
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from langchain_slmroute import RoutingChatModel
from slmroute import Budget, Confidence, Judgement, Ledger, LedgerReader, Tier
from slmroute.overheard import ModelCall
from slmroute.request import estimate_tokens
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply
from tests.money.asking import BIG, FRAMEWORKS, SMALL, TOOL, WAYS, Framework, add, make_router

pytestmark = pytest.mark.usefixtures("closed_clients")


def test_answers_that_broke_off_are_none_that_can_have_failed(tmp_path: Path) -> None:
    with FakeServer() as server, Ledger(tmp_path / "calls.db") as ledger:
        server.script("phi3:mini", Fault(error_line_after_chunks=2, reply=Reply("a b c d e")), Reply("whole"))
        tiers = [
            Tier("small", "ollama:phi3:mini", local=True, model_args={"base_url": server.url}),
            Tier("big", "dry-run:openai:gpt-4.1"),
        ]
        model = RoutingChatModel(tiers=tiers, classifier=None, ledger=ledger)
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of it
            list(model.stream("hi"))
        assert "".join(chunk.text for chunk in model.stream("hi")) == "whole"
        ledger.flush()
        (rate,) = [each for each in LedgerReader(tmp_path / "calls.db").failures() if each.tier == "small"]
        assert (rate.answers, rate.failures) == (1, 0)


def test_tokens_of_which_more_are_cached_than_there_are_are_not_believed_of_a_judge() -> None:
    told = Judgement(0.9, usage=Usage(5, 3, cached_tokens=9)).usage
    assert ModelCall.told(told, "gpt-4.1", "openai") is None
    assert ModelCall.told(Usage(5, 3, cached_tokens=5), "gpt-4.1", "openai") is not None


EVERY = [
    pytest.param(framework, way, id=f"{framework.name}-{way.__name__}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name]
]
BROKEN_OFF = [Fault(die_after_chunks=2), Fault(die_after_chunks=2, reset=False), Fault(garbage=True)]
UNANSWERED = [Fault(die_before_first=True), Fault(die_before_first=True, reset=False), Fault(503), Fault(401)]


async def failed(framework: Framework, ask: Any, server: FakeServer, model: str, path: Path) -> tuple[Any, Budget]:
    """Have the one tier of a router fail; gives the call's attempt, and what was counted of it."""
    budget, records = Budget(day=20), list[Any]()
    to = "small" if model == SMALL else "frontier"
    prices = {"small": ("1", "2"), "frontier": ("10", "20")}
    with Ledger(path) as ledger:
        settings = {"failover": False, "prices": prices, "budget": budget, "ledger": ledger, "hooks": [records.append]}
        router = make_router(framework, server, to, **settings)
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of it
            await ask(router, "Is it?")
        assert router.engine.hooks.flush()
    (attempt,) = [each for each in records[0].attempts if each.role != "classifier"]
    assert records[0].cost == attempt.cost == LedgerReader(path).total().cost
    return attempt, budget


@pytest.mark.parametrize("model", [SMALL, BIG])
@pytest.mark.parametrize("fault", BROKEN_OFF, ids=repr)
@pytest.mark.parametrize(("framework", "ask"), EVERY)
async def test_an_answer_that_broke_off_is_on_both_bills(
    framework: Framework, ask: Any, fault: Fault, model: str, tmp_path: Path
) -> None:
    with FakeServer({model: fault}) as server:
        attempt, budget = await failed(framework, ask, server, model, tmp_path / "calls.db")
        assert [len(answers) for answers in server.untold.values()] == [len(server.calls())] == [1]
    usage, price = attempt.usage, Decimal(10 if model == BIG else 1) / 1_000_000
    assert (usage.source, usage.input_tokens > 0) == ("estimated", True)
    assert attempt.cost == usage.input_tokens * price + usage.output_tokens * 2 * price > 0
    assert budget.used() == {"day": attempt.cost}
    assert LedgerReader(tmp_path / "calls.db").total().tokens.estimated_attempts == 1


STREAMED = [
    pytest.param(framework, way, model, id=f"{framework.name}-{way.__name__}-{model}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name]
    for model in (SMALL, BIG)
    if "stream" in way.__name__ or (framework is FRAMEWORKS[0] and model == SMALL)  # whose class always streams
]


@pytest.mark.parametrize(("framework", "ask", "model"), STREAMED)
async def test_an_error_before_the_first_chunk_of_an_answer_that_began_well_is_on_both_bills(
    framework: Framework, ask: Any, model: str, tmp_path: Path
) -> None:
    with FakeServer({model: Fault(error_line_after_chunks=0)}) as server:
        attempt, budget = await failed(framework, ask, server, model, tmp_path / "calls.db")
        assert [each.output_tokens for each in server.untold[model]] == [0]
    assert (attempt.usage.source, attempt.usage.output_tokens) == ("estimated", 0)
    assert attempt.cost == attempt.usage.input_tokens * Decimal(10 if model == BIG else 1) / 1_000_000 > 0
    assert budget.used() == {"day": attempt.cost}


@pytest.mark.parametrize("ask", WAYS["langchain"])
async def test_a_stream_that_ends_with_nothing_in_it_is_on_both_bills(ask: Any, tmp_path: Path) -> None:
    with FakeServer({SMALL: Fault(end_after_chunks=0)}) as server:
        attempt, _ = await failed(FRAMEWORKS[0], ask, server, SMALL, tmp_path / "calls.db")
        assert [each.output_tokens for each in server.untold[SMALL]] == [0]
    assert (attempt.usage.source, attempt.usage.input_tokens > 0) == ("estimated", True)


@pytest.mark.parametrize("model", [SMALL, BIG])
@pytest.mark.parametrize("fault", UNANSWERED, ids=repr)
@pytest.mark.parametrize(("framework", "ask"), EVERY)
async def test_what_was_not_answered_at_all_is_on_neither_bill(
    framework: Framework, ask: Any, fault: Fault, model: str, tmp_path: Path
) -> None:
    with FakeServer({model: fault}) as server:
        attempt, budget = await failed(framework, ask, server, model, tmp_path / "calls.db")
        assert (server.untold, server.bill) == ({}, {})
    assert (attempt.usage, attempt.cost, budget.used()) == (None, 0, {"day": 0})


@pytest.mark.parametrize("ask", WAYS["langchain"][:2])
async def test_what_a_class_has_streamed_beneath_a_whole_answer_is_counted(ask: Any, tmp_path: Path) -> None:
    reply = Reply(" ".join(["word"] * 100))
    with FakeServer({SMALL: Fault(error_line_after_chunks=80, reply=reply)}) as server:
        attempt, _ = await failed(FRAMEWORKS[0], ask, server, SMALL, tmp_path / "calls.db")
        assert [each.output_tokens for each in server.untold[SMALL]] == [80]
    assert attempt.usage.output_tokens == estimate_tokens(" ".join(["word"] * 80))


JUDGE = "gpt-4.1-mini"
LANGCHAIN, LLAMA_INDEX = FRAMEWORKS
WORDS = Reply(" ".join(["word"] * 100))
CALLS = Reply(tool_calls=[("add", {"a": each, "b": 2}) for each in range(4)])


def ollama(server: FakeServer) -> ChatOllama:
    return ChatOllama(model=JUDGE, base_url=server.url)


def openai(server: FakeServer) -> ChatOpenAI:
    return ChatOpenAI(model=JUDGE, base_url=server.openai_url, api_key="canary", max_retries=0)  # type: ignore[arg-type]


def plain(server: FakeServer) -> OllamaLLM:
    return OllamaLLM(model=JUDGE, base_url=server.url)


def index_ollama(server: FakeServer) -> Any:
    return Ollama(model=JUDGE, base_url=server.url, context_window=4096)


def index_openai(server: FakeServer) -> Any:
    return OpenAI(model=JUDGE, api_base=server.openai_url, api_key="canary", max_retries=0)


JUDGES: dict[str, tuple[Framework, Reply, Callable[[FakeServer], object]]] = {
    "langchain-ollama": (LANGCHAIN, WORDS, lambda on: ollama(on).invoke("Good?")),
    "langchain-ollama-stream": (LANGCHAIN, WORDS, lambda on: list(ollama(on).stream("Good?"))),
    "langchain-ollama-tools": (LANGCHAIN, CALLS, lambda on: ollama(on).bind_tools([add]).invoke("Good?")),
    "langchain-plain": (LANGCHAIN, WORDS, lambda on: plain(on).invoke("Good?")),
    "langchain-plain-stream": (LANGCHAIN, WORDS, lambda on: list(plain(on).stream("Good?"))),
    "langchain-openai": (LANGCHAIN, WORDS, lambda on: list(openai(on).stream("Good?"))),
    "langchain-openai-tools": (LANGCHAIN, CALLS, lambda on: list(openai(on).bind_tools([add]).stream("Good?"))),
    "index-ollama": (LLAMA_INDEX, WORDS, lambda on: list(index_ollama(on).stream_complete("Good?"))),
    "index-ollama-tools": (LLAMA_INDEX, CALLS, lambda on: list(index_ollama(on).stream_chat_with_tools([TOOL], "Go?"))),
    "index-openai": (LLAMA_INDEX, WORDS, lambda on: list(index_openai(on).stream_complete("Good?"))),
    "index-openai-tools": (LLAMA_INDEX, CALLS, lambda on: list(index_openai(on).stream_chat_with_tools([TOOL], "Go?"))),
}


def judged(framework: Framework, ask: Callable[[FakeServer], object], server: FakeServer) -> Any:
    """Have an answer judged in vain; gives the judge's attempt."""

    def judge(*_: object) -> float:
        ask(server)
        return 0.9

    records = list[Any]()
    prices = {"small": (0, 0), "frontier": (0, 0), f"ollama:{JUDGE}": ("1", "2"), f"openai:{JUDGE}": ("1", "2")}
    settings = {"escalation": Confidence(0.5, judge=judge), "prices": prices, "hooks": [records.append]}
    router = make_router(framework, server, "small", **settings)
    router.invoke("Is it?") if framework is LANGCHAIN else router.complete("Is it?")
    assert router.engine.hooks.flush()
    (attempt,) = [each for each in records[0].attempts if each.role == "judge"]
    assert attempt.error is not None
    return attempt


@pytest.mark.parametrize("chunks", [0, 1, 3])
@pytest.mark.parametrize("way", JUDGES)
def test_what_a_judge_s_model_had_answered_before_an_error_is_on_both_bills(way: str, chunks: int) -> None:
    framework, reply, ask = JUDGES[way]
    with FakeServer({SMALL: Reply("German."), JUDGE: Fault(error_line_after_chunks=chunks, reply=reply)}) as server:
        attempt = judged(framework, ask, server)
        assert [each.output_tokens for each in server.untold[JUDGE]] == [chunks]
    usage = attempt.usage
    assert (usage.source, usage.input_tokens > 0, usage.output_tokens > 0) == ("estimated", True, chunks > 0)
    if reply is WORDS:
        assert usage.output_tokens == estimate_tokens(" ".join(["word"] * chunks))
    assert attempt.cost == Decimal(usage.input_tokens + 2 * usage.output_tokens) / 1_000_000


@pytest.mark.parametrize("way", [name for name in JUDGES if name.startswith(("langchain-ollama", "langchain-plain"))])
def test_a_judge_s_stream_that_ends_with_nothing_in_it_is_on_both_bills(way: str) -> None:
    framework, reply, ask = JUDGES[way]
    with FakeServer({SMALL: Reply("German."), JUDGE: Fault(end_after_chunks=0, reply=reply)}) as server:
        usage = judged(framework, ask, server).usage
        assert [each.output_tokens for each in server.untold[JUDGE]] == [0]
    assert (usage.source, usage.input_tokens > 0, usage.output_tokens) == ("estimated", True, 0)


async def test_what_a_judge_s_model_had_answered_before_a_deadline_is_counted() -> None:
    async def judge(*_: object) -> float:
        await ollama(server).ainvoke("Good?")
        return 0.9

    with FakeServer({SMALL: Reply("German."), JUDGE: Fault(stall_after_chunks=80, reply=WORDS)}) as server:
        escalation = Confidence(0.5, judge=judge)
        router = make_router(LANGCHAIN, server, "small", escalation=escalation, deadline_s=2)
        answer = await router.ainvoke("Is it?")
    attempts = answer.response_metadata["slmroute"]["attempts"]
    (usage,) = [each["usage"] for each in attempts if each["role"] == "judge"]
    assert (usage["source"], usage["output_tokens"]) == ("estimated", estimate_tokens(" ".join(["word"] * 80)))
