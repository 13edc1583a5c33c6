"""route_costs() and RouteCostCallback add up what routed calls cost, whoever makes them and however they end."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_slmroute import RouteCostCallback, RouteCosts, RoutingChatModel, route_costs
from slmroute import Tier
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

# 20 and 5 tokens at 0.05 and 0.08 dollars a million; 100 and 10 at what gpt-4.1 is listed for, 2 and 8.
SMALL_COST = Decimal("0.0000014")
BIG_COST = Decimal("0.00028")


@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_both_count_drafts_and_answers_in_every_way_of_asking(stage: Stage, ask: ways.Ask) -> None:
    counter = RouteCostCallback()
    with route_costs() as costs:
        answer = await ask(stage.escalating(), "What is blue?", {"callbacks": [counter]})
    for sums in (costs, counter.costs):
        assert (sums.calls, sums.escalations, sums.failures, sums.unpriced) == (1, 1, 0, 0)
        assert sums.cost == SMALL_COST + BIG_COST
        assert sums.roles == {"draft": SMALL_COST, "final": BIG_COST}
        assert sums.baseline >= BIG_COST - Decimal("0.0002")
        assert sums.saved == sums.baseline - sums.cost < 0
        assert sums.total_tokens == 135
        small, big = sums.tiers["small"], sums.tiers["big"]
        assert (small.attempts, small.answers, small.cost) == (1, 0, SMALL_COST)
        assert (big.attempts, big.answers, big.cost) == (1, 1, BIG_COST)
        assert 0 < small.mean_ms < small.total_ms + big.total_ms
    assert record_of(answer)["cost"] == format(SMALL_COST + BIG_COST, "f")


async def test_a_call_on_the_small_tier_saves_what_the_big_one_would_have_cost(stage: Stage) -> None:
    with route_costs() as costs:
        await stage.router("small").ainvoke("What is blue?")
    # 20 and 5 tokens at gpt-4.1's prices.
    assert costs.baseline == Decimal("0.00008")
    assert costs.saved == Decimal("0.00008") - SMALL_COST


async def test_blocks_nest(stage: Stage) -> None:
    with route_costs() as outer:
        await stage.router("small").ainvoke("One.")
        with route_costs() as inner:
            stage.router("big").invoke("Two.")
        await stage.router("small").ainvoke("Three.")
    stage.router("big").invoke("Outside.")
    assert (outer.calls, inner.calls) == (3, 1)
    assert inner.cost == BIG_COST
    assert outer.cost == BIG_COST + 2 * SMALL_COST


async def test_threads_and_tasks_that_carry_the_context_count(stage: Stage) -> None:
    model = stage.router("small")
    with route_costs() as costs:
        model.batch([f"Prompt {number}" for number in range(10)], {"max_concurrency": 4})
        await asyncio.gather(*(model.ainvoke("One.") for _ in range(5)))
        await asyncio.to_thread(model.invoke, "Two.")
        await asyncio.create_task(model.ainvoke("Three."))
    assert costs.calls == 17
    assert costs.cost == 17 * SMALL_COST


async def test_blocks_side_by_side_in_tasks_do_not_mix(stage: Stage) -> None:
    model = stage.router("small")

    async def work(times: int) -> RouteCosts:
        with route_costs() as costs:
            for _ in range(times):
                await model.ainvoke("One.")
        return costs

    found = await asyncio.gather(*(work(times) for times in range(1, 6)))
    assert [costs.calls for costs in found] == [1, 2, 3, 4, 5]


async def test_threads_of_their_own_do_not_count(stage: Stage) -> None:
    model = stage.router("small")
    with route_costs() as costs:
        thread = threading.Thread(target=model.invoke, args=("One.",))
        thread.start()
        thread.join()
    assert costs.calls == 0


@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_calls_that_get_no_answer_count_as_failures_with_what_they_cost(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(BIG, Fault(400, body='{"error": {"message": "Bad."}}'))
    counter = RouteCostCallback()
    with route_costs() as costs, pytest.raises(Exception, match="Bad"):
        await ask(stage.escalating(), "What is blue?", {"callbacks": [counter]})
    for sums in (costs, counter.costs):
        assert (sums.calls, sums.failures) == (1, 1)
        assert sums.cost >= SMALL_COST
        assert sums.roles["draft"] == SMALL_COST


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_stream_that_is_closed_early_counts_with_an_estimate(stage: Stage, is_async: bool) -> None:
    stage.server.script(BIG, Reply("one two three four five six seven eight", hold_after=(4, threading.Event())))
    counter = RouteCostCallback()
    config: Any = {"callbacks": [counter]}
    with route_costs() as costs:
        if is_async:
            stream = stage.router("big").astream("Count.", config)
            await anext(stream)
            await stream.aclose()
        else:
            iterator = stage.router("big").stream("Count.", config)
            next(iterator)
            iterator.close()
    for sums in (costs, counter.costs):
        assert (sums.calls, sums.failures) == (1, 1)
        assert sums.tiers["big"].input_tokens > 0
        assert sums.cost > 0


async def test_a_cancelled_call_counts(stage: Stage) -> None:
    never = threading.Event()
    stage.server.script(BIG, Reply("Never.", hold=never))
    counter = RouteCostCallback()
    with route_costs() as costs:
        task = asyncio.create_task(stage.router("big").ainvoke("Count.", {"callbacks": [counter]}))
        await asyncio.to_thread(stage.server.wait_until, lambda: stage.server.open == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    never.set()
    for sums in (costs, counter.costs):
        assert (sums.calls, sums.failures) == (1, 1)
        assert sums.tiers["big"].input_tokens > 0


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke, ways.batch, ways.generate], ids=ways.name_of)
async def test_answers_out_of_a_cache_count_and_cost_nothing(stage: Stage, ask: ways.Ask) -> None:
    counter = RouteCostCallback()
    model = stage.escalating(cache=InMemoryCache())
    with route_costs() as costs:
        for _ in range(3):
            await ask(model, "What is blue?", {"callbacks": [counter]})
    for sums in (costs, counter.costs):
        assert sums.calls == 3
        assert sums.cost == SMALL_COST + BIG_COST
        assert sums.total_tokens == 135
        assert (sums.tiers["small"].cached, sums.tiers["big"].cached) == (2, 2)


async def test_a_classifier_that_is_a_model_is_charged(stage: Stage) -> None:
    from slmroute.classify.protocol import Classification
    from slmroute.steps import Usage

    class Paid:
        version = "paid-1"
        input_price = "1"
        output_price = "1"

        def classify(self, request: object) -> Classification:
            return Classification(0.1, usage=Usage(40, 2), model="phi3:mini", provider="ollama")

        def score(self, request: object) -> float:
            return 0.1

    with route_costs() as costs:
        await stage.router(classifier=Paid()).ainvoke("What is blue?")
    assert costs.roles["classifier"] == Decimal("0.000042")
    assert costs.cost == Decimal("0.000042") + SMALL_COST
    assert costs.tiers["paid-1"].input_tokens == 40


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_chains_and_agents_count_each_call_once(stage: Stage, is_async: bool) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    stage.server.script(SMALL, Reply(tool_calls=[("add", {"a": 1, "b": 2})]), Reply("The sum is 3."))
    chain = ChatPromptTemplate.from_template("What is {colour}?") | stage.router("big") | StrOutputParser()
    agent: Any = create_agent(stage.router("small"), [add])
    counter = RouteCostCallback()
    config: Any = {"callbacks": [counter]}
    given: Any = {"messages": "What is 1+2?"}
    with route_costs() as costs:
        if is_async:
            await chain.ainvoke({"colour": "blue"}, config)
            await agent.ainvoke(given, config)
        else:
            chain.invoke({"colour": "blue"}, config)
            agent.invoke(given, config)
    for sums in (costs, counter.costs):
        assert sums.calls == 3
        assert {name: tier.answers for name, tier in sums.tiers.items() if tier.answers} == {"big": 1, "small": 2}


async def test_a_callback_of_the_constructor_counts_all_calls_of_its_router(stage: Stage) -> None:
    counter = RouteCostCallback()
    model = stage.router("small", callbacks=[counter])
    for ask in ways.EVERY:
        await ask(model, "What is blue?")
    assert counter.costs.calls == len(ways.EVERY)


def test_sums_are_written_as_plain_json(stage: Stage) -> None:
    with route_costs() as costs:
        stage.escalating().invoke("What is blue?")
    written: Any = costs.to_dict()
    assert written["cost"] == "0.0002814"
    assert written["tiers"]["big"]["answers"] == 1
    assert repr(costs).startswith("<RouteCosts: 1 calls, $0.0002814")


def test_what_has_no_price_is_said_beside_the_amounts(stage: Stage) -> None:
    with route_costs() as costs:
        RoutingChatModel(tiers=[Tier("small", stage.bare_small()), stage.big()], classifier=None).invoke("Blue?")
    assert repr(costs) == "<RouteCosts: 1 calls, $0, saved $0, 1 of them unpriced>"
