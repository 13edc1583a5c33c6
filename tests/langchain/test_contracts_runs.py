"""The runs of a routed call: one chain's run for the router, one model's run for each HTTP call, and who is told."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import register_configure_hook
from langchain_core.tracers.schemas import Run

from slmroute import Tier
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, Tracer

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def trees_of(tracer: Tracer) -> list[Any]:
    return [branch(run) for run in tracer.roots]


def branch(run: Run) -> Any:
    name = f"{run.run_type}:{run.name}"
    return (name, [branch(child) for child in run.child_runs]) if run.child_runs else name


ROUTED = ("chain:RoutingChatModel", ["llm:ChatOpenAI"])
ESCALATED = ("chain:RoutingChatModel", ["llm:ChatOllama", "llm:ChatOpenAI"])


@pytest.mark.parametrize("ask", ways.PUBLIC, ids=ways.name_of)
async def test_each_http_call_is_one_run_beneath_the_routers(stage: Stage, ask: ways.Ask) -> None:
    tracer = Tracer()
    await ask(stage.router("big"), "What is blue?", {"callbacks": [tracer]})
    await ask(stage.escalating(), "What is blue?", {"callbacks": [tracer]})
    assert trees_of(tracer) == [ROUTED, ESCALATED]
    assert all(run.end_time and not run.error for root in tracer.roots for run in (root, *root.child_runs))


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_runs_name_provider_model_and_decision(stage: Stage, ask: ways.Ask) -> None:
    tracer = Tracer()
    await ask(stage.escalating(), "What is blue?", {"callbacks": [tracer]})
    found = [
        tuple((run.extra or {})["metadata"][key] for key in ("ls_provider", "ls_model_name", "slmroute_tier"))
        for run in tracer.roots[0].child_runs
    ]
    assert found == [("ollama", SMALL, "small"), ("openai", BIG, "big")]


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_the_run_id_and_name_of_the_config_are_the_routers(stage: Stage, ask: ways.Ask) -> None:
    tracer, run_id = Tracer(), uuid4()
    config = {"callbacks": [tracer], "run_id": run_id, "run_name": "Mine", "tags": ["a"], "metadata": {"who": "me"}}
    answer = await ask(stage.escalating(), "What is blue?", config)
    (root,) = tracer.roots
    assert (root.id, root.name) == (run_id, "Mine")
    assert [child.name for child in root.child_runs] == ["ChatOllama", "ChatOpenAI"]
    assert str(answer.id).startswith(f"lc_run--{root.child_runs[-1].id}")
    for run in (root, *root.child_runs):
        assert run.tags == ["a"]
        assert (run.extra or {})["metadata"]["who"] == "me"


def test_in_a_chain_the_router_stands_beneath_it(stage: Stage) -> None:
    tracer = Tracer()
    chain = RunnableLambda(str.upper) | stage.router("big")
    chain.invoke("what is blue?", {"callbacks": [tracer]})
    assert trees_of(tracer) == [("chain:RunnableSequence", ["chain:upper", ROUTED])]
    assert "WHAT IS BLUE?" in str(stage.server.calls()[-1].body)


class Seen(BaseCallbackHandler):
    """Counts what it is told of."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.text = ""

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("chain")

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("model")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("model_end")

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("model_error")

    def on_chain_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("chain_end")

    def on_chain_error(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("chain_error")

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.text += token


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_the_constructors_callbacks_tags_and_metadata_reach_the_tiers_runs_once(
    stage: Stage, ask: ways.Ask
) -> None:
    seen, tracer = Seen(), Tracer()
    model = stage.escalating(callbacks=[seen, tracer], tags=["team-a"], metadata={"who": "me"})
    await ask(model, "What is blue?")
    assert sorted(seen.events) == sorted(["chain", "model", "model_end", "model", "model_end", "chain_end"])
    for run in tracer.roots[0].child_runs:
        assert run.tags == ["team-a"]
        assert (run.extra or {})["metadata"]["who"] == "me"


async def test_the_constructors_tags_do_not_bring_in_handlers_that_the_config_leaves_out(stage: Stage) -> None:
    outer = Seen()
    model = stage.router("big", tags=["team-a"])

    def step(prompt: str) -> AIMessage:
        return model.invoke(prompt, {"callbacks": []})

    RunnableLambda(step).invoke("What is blue?", {"callbacks": [outer]})
    assert outer.events == ["chain", "chain_end"]


def test_what_is_bound_to_a_tier_reaches_its_run_and_only_its(stage: Stage) -> None:
    seen, tracer = Seen(), Tracer()
    small = stage.bare_small().with_config(tags=["cheap"], callbacks=[seen]).bind(stop=["END"])
    model = stage.escalating(tiers=[Tier("small", small, local=True), stage.big()])
    outer = Seen()
    RunnableLambda(model.invoke).invoke("Blue?", {"callbacks": [outer, tracer]})
    small_run, big_run = tracer.roots[0].child_runs[0].child_runs
    assert small_run.tags == ["cheap"]
    assert not big_run.tags
    assert seen.events == ["model", "model_end"]
    assert outer.events.count("model") == outer.events.count("model_end") == 2
    assert stage.server.calls(SMALL)[0].body["options"]["stop"] == ["END"]  # type: ignore[index]


def test_listeners_of_a_tier_are_told(stage: Stage) -> None:
    told: list[str] = []
    big = stage.bare_big().with_listeners(
        on_start=lambda run: told.append("start"), on_end=lambda run: told.append("end")
    )
    stage.router("big", tiers=[stage.small(), Tier("big", big)]).invoke("Blue?")
    assert told == ["start", "end"]


counted: ContextVar[Seen | None] = ContextVar("counted", default=None)
register_configure_hook(counted, inheritable=True)


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_handlers_that_a_context_variable_adds_are_told_of_each_run_once(stage: Stage, ask: ways.Ask) -> None:
    seen = Seen()
    token = counted.set(seen)
    try:
        await ask(stage.escalating(), "What is blue?")
    finally:
        counted.reset(token)
    assert seen.events.count("model") == 2
    assert seen.events.count("model_end") == 2


async def test_a_failed_tier_marks_its_own_run_and_not_the_routers(stage: Stage) -> None:
    stage.server.script(SMALL, Fault(503))
    for ask in ways.CORE:
        seen = Seen()
        await ask(stage.router("small"), "What is blue?", {"callbacks": [seen]})
        assert seen.events == ["chain", "model", "model_error", "model", "model_end", "chain_end"]


async def test_an_error_marks_both_runs_and_comes_out_unchanged(stage: Stage) -> None:
    from openai import BadRequestError

    stage.server.script(BIG, Fault(400, body='{"error": {"message": "No."}}'))
    for ask in ways.CORE:
        seen = Seen()
        with pytest.raises(BadRequestError):
            await ask(stage.router("big"), "What is blue?", {"callbacks": [seen]})
        assert seen.events == ["chain", "model", "model_error", "chain_error"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_early_close_closes_all_runs(stage: Stage, is_async: bool) -> None:
    seen = Seen()
    config: Any = {"callbacks": [seen]}
    if is_async:
        stream = stage.router("big").astream("Count.", config)
        await anext(stream)
        await stream.aclose()
    else:
        stream = stage.router("big").stream("Count.", config)
        next(stream)
        stream.close()
    assert seen.events == ["chain", "model", "model_error", "chain_error"]


async def cancelled(stage: Stage, ask: ways.Ask, model: Any) -> list[str]:
    """Cancel a call whose tier is at work; gives what a handler is told."""
    never, seen = threading.Event(), Seen()
    stage.server.script(BIG, Reply("Never.", hold=never))
    task = asyncio.ensure_future(ask(model, "Count.", {"callbacks": [seen]}))
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.open == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    never.set()
    await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.open == 0)
    return seen.events


async def test_a_cancelled_stream_closes_all_runs(stage: Stage) -> None:
    assert await cancelled(stage, ways.astream, stage.bare_big()) == ["model", "model_error"]
    assert await cancelled(stage, ways.astream, stage.router("big")) == ["chain", "model", "model_error", "chain_error"]


async def test_a_cancelled_call_closes_the_routers_run_where_langchain_leaves_the_models_open(stage: Stage) -> None:
    assert await cancelled(stage, ways.ainvoke, stage.bare_big()) == ["model"]
    assert await cancelled(stage, ways.ainvoke, stage.router("big")) == ["chain", "model", "chain_error"]


class Limiter(InMemoryRateLimiter):
    """Counts how often it was asked, and lets everyone through."""

    def __init__(self) -> None:
        super().__init__(requests_per_second=1)
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_the_rate_limiter_is_asked_once_a_call(stage: Stage, ask: ways.Ask) -> None:
    limiter = Limiter()
    await ask(stage.escalating(rate_limiter=limiter), "What is blue?")
    assert limiter.asked == 1


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_tiers_own_rate_limiter_is_asked_for_each_of_its_calls(stage: Stage, ask: ways.Ask) -> None:
    limiter = Limiter()
    model = stage.escalating(tiers=[stage.small(rate_limiter=limiter), stage.big(rate_limiter=limiter)])
    await ask(model, "What is blue?")
    assert limiter.asked == 2
