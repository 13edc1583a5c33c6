"""Many calls at once over one router: each answer carries its own record."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_slmroute import RouteCostCallback, RoutingChatModel, route_costs
from slmroute import Confidence, RouteRequest, Tier, route_context
from tests.langchain.stage import joined, record_of

CALLS = 1000


class Counting(GenericFakeChatModel):
    """Answers with the prompt's number, and says that it took that many tokens."""

    label: str

    def _answer(self, messages: Sequence[BaseMessage]) -> ChatResult:
        number = number_in(messages[-1].text)
        usage: Any = {"input_tokens": number + 1, "output_tokens": 1, "total_tokens": number + 2}
        message = AIMessage(f"{self.label} {number}", usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return self._answer(messages)

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        # Calls overtake each other: those that came first wait longest.
        for _ in range(7 - number_in(messages[-1].text) % 7):
            await asyncio.sleep(0)
        return self._answer(messages)

    async def _astream(self, messages: Any, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        whole = (await self._agenerate(messages)).generations[0].message
        name, _, number = whole.text.partition(" ")
        yield ChatGenerationChunk(message=AIMessageChunk(f"{name} "))
        await asyncio.sleep(0)
        usage: Any = whole.usage_metadata  # type: ignore[attr-defined]
        yield ChatGenerationChunk(message=AIMessageChunk(number, usage_metadata=usage))


def number_in(text: str) -> int:
    found = re.search(r"prompt (\d+)", text)
    assert found is not None
    return int(found[1])


def odd(request: RouteRequest) -> float:
    """Every other prompt is complex."""
    return number_in(request.text) % 2


async def judged(request: RouteRequest, answer: Any) -> float:
    """Every fourth of the small tier's answers is weak."""
    await asyncio.sleep(0)
    return 0.0 if number_in(request.text) % 4 == 0 else 1.0


def router(**settings: Any) -> RoutingChatModel:
    small = Counting(messages=iter(()), label="small")
    big = Counting(messages=iter(()), label="big")
    tiers = [
        Tier("small", small, local=True, input_price="1", output_price="1"),
        Tier("big", big, input_price="10", output_price="10"),
    ]
    return RoutingChatModel(tiers=tiers, classifier=Scorer(), escalation=Confidence(0.5, judge=judged), **settings)


def tier_for(number: int) -> str:
    return "big" if number % 2 or number % 4 == 0 else "small"


class Scorer:
    """Scores in the event loop, so that a thousand calls need no thread each."""

    def score(self, request: RouteRequest) -> float:
        return odd(request)

    async def ascore(self, request: RouteRequest) -> float:
        await asyncio.sleep(0)
        return odd(request)


def check(answers: Sequence[AIMessage]) -> None:
    """Each answer, and each record, is that of its own call."""
    for number, answer in enumerate(answers):
        tier = tier_for(number)
        assert answer.text == f"{tier} {number}"
        record = record_of(answer)
        assert (record["tier"], record["score"], record["key"]) == (tier, number % 2, f"key-{number}")
        assert record["escalated"] is (number % 4 == 0)
        paid = [each["usage"]["input_tokens"] for each in record["attempts"] if each["role"] in ("draft", "final")]
        assert set(paid) == {number + 1}
    assert len({record_of(answer)["call_id"] for answer in answers}) == len(answers)


async def test_a_thousand_calls_at_once_keep_their_records_apart() -> None:
    model = router()

    async def call(number: int) -> AIMessage:
        with route_context(key=f"key-{number}"):
            return await model.ainvoke(f"prompt {number}")

    with route_costs() as costs:
        check(await asyncio.gather(*(call(number) for number in range(CALLS))))
    assert costs.calls == CALLS


async def test_a_thousand_streams_at_once_keep_their_records_apart() -> None:
    model = router()

    async def call(number: int) -> AIMessage:
        with route_context(key=f"key-{number}"):
            return joined([chunk async for chunk in model.astream(f"prompt {number}")])

    check(await asyncio.gather(*(call(number) for number in range(CALLS // 4))))


def test_a_batch_in_threads_keeps_its_records_apart() -> None:
    model, counter = router(), RouteCostCallback()
    prompts = [f"prompt {number}" for number in range(CALLS // 4)]
    with route_costs() as costs, route_context(key="all"):
        answers = model.batch(prompts, {"max_concurrency": 16, "callbacks": [counter]})
    for number, answer in enumerate(answers):
        assert answer.text == f"{tier_for(number)} {number}"
        assert record_of(answer)["key"] == "all"
        paid = [each["usage"]["input_tokens"] for each in record_of(answer)["attempts"] if each["usage"]]
        assert set(paid) == {number + 1}
    assert costs.calls == counter.costs.calls == len(prompts)
    assert costs.cost == counter.costs.cost == sum(Decimal(record_of(answer)["cost"]) for answer in answers)
