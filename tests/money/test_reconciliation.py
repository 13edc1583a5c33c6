"""The ledger's bill and that of the server that served the calls are the same, token by token and cent by cent.

A thousand calls of every kind go over real HTTP, many at once, to a server that keeps books of its own. With
``SLMROUTE_CALLS=10000`` it is ten thousand.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.engine import Engine
from slmroute.gate import Chunk
from slmroute.health import Breaker
from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.summary import AttemptSummary
from slmroute.policy import Confidence, Policy
from slmroute.request import RouteRequest, ToolSpec
from slmroute.run import Run
from slmroute.steps import Answer, Call, ToolCall, Usage
from slmroute.testing import FakeServer, Fault, Reply
from slmroute.tier import Tier

CALLS = int(os.environ.get("SLMROUTE_CALLS", "1000"))

PRICES = {"small": ("0.05", "0.08", "0.02"), "mid": ("0.4", "1.6", "0.1"), "frontier": ("2", "8", "0.5")}
"""Dollars for a million input, output and cached tokens: whole nano-dollars a token, so that nothing is rounded."""

ADD = ToolSpec("add", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


@dataclass(frozen=True)
class Plan:
    """What one call asks for, what each tier is to do, and how the call is driven."""

    seed: int
    does: Mapping[str, str]
    way: str
    kind: str
    score: float

    @property
    def prompt(self) -> str:
        return json.dumps({"seed": self.seed, "does": dict(self.does), "kind": self.kind})

    @property
    def request(self) -> RouteRequest:
        request = RouteRequest(text=self.prompt, tokens=50, tags=(self.kind, f"category:{self.kind}"), key=self.way)
        match self.kind:
            case "tools":
                return replace(request, tools=(ADD,))
            case "tool loop":
                return replace(request, tools=(ADD,), pin="small")
            case "structured":
                return replace(request, schema=SCHEMA)
            case "explicit":
                return replace(request, tier="frontier")
            case _:
                return request


WAYS = ("whole", "stream", "closed", "async", "async stream", "async closed", "async cancelled")
KINDS = ("text", "text", "tools", "tool loop", "structured", "explicit")
DOINGS = ("good", "good", "weak", "empty", "down", "dies", "silent", "cached")


def plans(count: int) -> list[Plan]:
    dice = random.Random(11)  # noqa: S311  the same calls every time
    return [
        Plan(
            seed=number,
            does={tier: dice.choice(DOINGS) for tier in PRICES},
            way=dice.choice(WAYS),
            kind=dice.choice(KINDS),
            score=dice.random(),
        )
        for number in range(count)
    ]


def reply(body: Mapping[str, Any]) -> Reply | Fault:
    """What a tier answers: all of it is in the prompt."""
    plan, tier = json.loads(body["messages"][-1]["content"]), str(body["model"])
    dice = random.Random(f"{plan['seed']} {tier}")  # noqa: S311
    does = plan["does"][tier]
    numbers = {"input_tokens": dice.randrange(20, 4000), "output_tokens": dice.randrange(3, 900)}
    if does == "down":
        return Fault(503)
    if does == "dies":
        whole = (Fault(die_after_chunks=2), Fault(end_after_chunks=2), Fault(die_before_first=True))
        return whole[0] if body.get("stream") else whole[plan["seed"] % 3]
    if does == "empty":
        return Reply("", **numbers)
    if does == "cached":
        numbers["cached_tokens"] = dice.randrange(numbers["input_tokens"])
        numbers["reasoning_tokens"] = dice.randrange(numbers["output_tokens"])
    usage = does != "silent"
    held = (1, threading.Event()) if body.get("hold") else None
    words = f"{'weak' if does == 'weak' else 'good'} answer in several words"
    if plan["kind"] in ("tools", "tool loop"):
        arguments = {"a": 1} if does != "weak" else {"b": 1}
        return Reply(tool_calls=[("add", arguments)], usage=usage, hold_after=held, **numbers)
    if plan["kind"] == "structured":
        words = '{"name": "Anna"}' if does != "weak" else '{"name": '
    return Reply(words, usage=usage, hold_after=held, **numbers)


class Wire:
    """Calls tiers over OpenAI's wire with a plain HTTP client."""

    def __init__(
        self, url: str, plan: Plan, client: httpx.Client | None = None, aclient: httpx.AsyncClient | None = None
    ) -> None:
        self._url = f"{url}/chat/completions"
        self._plan = plan
        self._client = client
        self._aclient = aclient

    def call(self, call: Call) -> Answer:
        assert self._client is not None
        response = self._client.post(self._url, json=self._body(call))
        response.raise_for_status()
        return answer(response.json()["choices"][0]["message"], response.json().get("usage"), call)

    async def acall(self, call: Call) -> Answer:
        assert self._aclient is not None
        response = await self._aclient.post(self._url, json=self._body(call))
        response.raise_for_status()
        return answer(response.json()["choices"][0]["message"], response.json().get("usage"), call)

    def stream(self, call: Call) -> Generator[Chunk]:
        assert self._client is not None
        with self._client.stream("POST", self._url, json=self._body(call, stream=True)) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if (piece := chunk(line)) is not None:
                    yield piece

    async def astream(self, call: Call) -> AsyncGenerator[Chunk]:
        assert self._aclient is not None
        async with self._aclient.stream("POST", self._url, json=self._body(call, stream=True)) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if (piece := chunk(line)) is not None:
                    yield piece

    def collect(self, call: Call, natives: Sequence[Any]) -> Answer:
        message: dict[str, Any] = {"content": "", "tool_calls": []}
        usage = None
        for native in natives:
            usage = native.get("usage") or usage
            for choice in native["choices"]:
                message["content"] += choice["delta"].get("content") or ""
                for part in choice["delta"].get("tool_calls") or ():
                    if part["index"] == len(message["tool_calls"]):
                        message["tool_calls"].append({"function": {"name": part["function"]["name"], "arguments": ""}})
                    message["tool_calls"][-1]["function"]["arguments"] += part["function"].get("arguments") or ""
        return answer(message, usage, call)

    def _body(self, call: Call, *, stream: bool = False) -> dict[str, Any]:
        body: dict[str, Any] = {"model": call.tier.name, "messages": [{"role": "user", "content": self._plan.prompt}]}
        if self._plan.kind in ("tools", "tool loop"):
            body["tools"] = [{"type": "function", "function": {"name": "add", "parameters": ADD.parameters}}]
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            # A caller that leaves does so in the midst of an answer: the server must not have finished it by then.
            at_once = call.last or (call.mode == "text" and not call.hold)
            body["hold"] = at_once and self._plan.way in ("closed", "async closed", "async cancelled")
        return body


def chunk(line: str) -> Chunk | None:
    data = line.removeprefix("data: ")
    if not line.startswith("data: ") or data == "[DONE]":
        return None
    native = json.loads(data)
    delta = native["choices"][0]["delta"] if native["choices"] else {}
    return Chunk(native, delta.get("content") or "", tool_call=bool(delta.get("tool_calls")))


def answer(message: Mapping[str, Any], usage: Mapping[str, Any] | None, call: Call) -> Answer:
    tools = [(each["function"]["name"], each["function"]["arguments"]) for each in message.get("tool_calls") or ()]
    return Answer(
        text=message["content"] or "",
        tool_calls=tuple(ToolCall(name, json.loads(arguments)) for name, arguments in tools),
        usage=None
        if usage is None
        else Usage(
            usage["prompt_tokens"],
            usage["completion_tokens"],
            cached_tokens=usage["prompt_tokens_details"]["cached_tokens"],
            reasoning_tokens=usage["completion_tokens_details"]["reasoning_tokens"],
        ),
        model=call.tier.name,
        provider="openai",
    )


def ends(error: Exception) -> bool:
    """Whether an error is one that a call with such a plan may end in."""
    return isinstance(error, httpx.HTTPError | json.JSONDecodeError | ExceptionGroup)


def run_one(engine: Engine, url: str, client: httpx.Client, plan: Plan) -> None:
    run, wire = Run(engine, plan.request), Wire(url, plan, client)
    try:
        if plan.way == "whole":
            drive(run, wire)
            return
        with closing(drive_stream(run, wire)) as stream:
            for _ in stream:
                if plan.way == "closed":
                    break
    except Exception as error:
        if not ends(error):
            raise


async def arun_one(engine: Engine, url: str, aclient: httpx.AsyncClient, plan: Plan) -> None:
    run, wire = Run(engine, plan.request), Wire(url, plan, aclient=aclient)
    shown = asyncio.Event()

    async def consume() -> None:
        async with aclosing(adrive_stream(run, wire)) as stream:
            async for _ in stream:
                shown.set()
                if plan.way == "async closed":
                    break

    try:
        if plan.way == "async":
            await adrive(run, wire)
        elif plan.way == "async cancelled":
            task = asyncio.ensure_future(consume())
            await asyncio.wait([task, asyncio.ensure_future(shown.wait())], return_when=asyncio.FIRST_COMPLETED)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not shown.is_set():
                shown.set()
        else:
            await consume()
    except Exception as error:
        if not ends(error):
            raise


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(dict.fromkeys(PRICES, reply)) as running:
        yield running


@pytest.fixture
def engine(server: FakeServer, tmp_path: Path) -> Iterator[Engine]:
    tiers = [
        Tier(
            name, f"openai:{name}", local=name == "small", window=100_000, abilities=("tools", "schema", "tool_choice")
        )
        for name in PRICES
    ]
    judge = Confidence(0.85, judge=lambda _request, found: 0.1 if found.text.startswith("weak") else 0.95)
    policy = Policy.build(tiers, thresholds=[0.5, 0.8], escalation=judge)
    with Ledger(tmp_path / "ledger.db", limit=100_000) as ledger:
        engine = Engine(policy, score, ledger=ledger, prices=PRICES)
        engine.breakers = {name: Breaker(failures_to_open=10**9) for name in PRICES}
        yield engine


def score(request: RouteRequest) -> float:
    return random.Random(request.text).random()  # noqa: S311


def run_all(engine: Engine, server: FakeServer, everything: Sequence[Plan]) -> None:
    """Run all plans: those that are async in one loop, the others in four threads, at the same time."""
    errors: list[BaseException] = []

    def watched(work: Callable[[], object]) -> Callable[[], None]:
        def target() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001  raised again below
                errors.append(error)

        return target

    def in_thread(share: Sequence[Plan]) -> None:
        with httpx.Client() as client:
            for plan in share:
                run_one(engine, server.openai_url, client, plan)

    async def in_loop(share: Sequence[Plan]) -> None:
        slots = asyncio.Semaphore(20)
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=40)) as aclient:

            async def one(plan: Plan) -> None:
                async with slots:
                    await arun_one(engine, server.openai_url, aclient, plan)

            await asyncio.gather(*(one(plan) for plan in share))

    sync = [plan for plan in everything if not plan.way.startswith("async")]
    work: list[Callable[[], object]] = [lambda share=sync[place::4]: in_thread(share) for place in range(4)]
    work.append(lambda: asyncio.run(in_loop([plan for plan in everything if plan.way.startswith("async")])))
    threads = [threading.Thread(target=watched(each)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_the_ledger_s_bill_is_the_server_s(engine: Engine, server: FakeServer, tmp_path: Path) -> None:
    run_all(engine, server, plans(CALLS))
    assert isinstance(engine.ledger, Ledger)
    assert engine.ledger.flush(60)
    reader = LedgerReader(tmp_path / "ledger.db")
    assert engine.ledger.dropped == 0
    assert reader.total().calls == CALLS
    server.wait_until(lambda: server.open == 0)

    reported: dict[str, Usage] = {}
    costs: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    estimated: Counter[str] = Counter()
    for stored in reader.calls():
        for attempt in stored.record.attempts:
            if attempt.tier not in PRICES:
                continue
            sent[attempt.tier] += 1
            estimated[attempt.tier] += attempt.usage is not None and attempt.usage.source == "estimated"
            if attempt.usage is not None and attempt.usage.source == "reported":
                reported[attempt.tier] = added(reported.get(attempt.tier, Usage()), attempt.usage)
                costs[attempt.tier] += nanos(attempt.cost)
    assert reported == server.bill
    assert estimated == {tier: len(answers) for tier, answers in server.untold.items()}
    assert sent == {tier: len(server.calls(tier)) for tier in PRICES}
    assert costs == {tier: nanos(price(tier, usage)) for tier, usage in server.bill.items()}


def added(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
    )


def nanos(amount: Decimal | None) -> int:
    assert amount is not None
    assert amount == round(amount, 9)
    return int(amount.scaleb(9))


def price(tier: str, usage: Usage) -> Decimal:
    """The bill as its provider would write it."""
    fresh, output, cached = (Decimal(each) / 1_000_000 for each in PRICES[tier])
    return (
        (usage.input_tokens - usage.cached_tokens) * fresh + usage.cached_tokens * cached + usage.output_tokens * output
    )


def test_every_kind_of_call_was_among_them_and_all_sums_agree(
    engine: Engine, server: FakeServer, tmp_path: Path
) -> None:
    run_all(engine, server, plans(300))
    assert isinstance(engine.ledger, Ledger)
    assert engine.ledger.flush(60)
    reader = LedgerReader(tmp_path / "ledger.db")
    total = reader.total()
    assert {"ok", "error", "cancelled", "partial"} <= total.statuses.keys()
    roles: dict[str | None, AttemptSummary] = {group.group: group for group in reader.attempt_sums("role")}
    assert {"classifier", "draft", "judge", "final", "failed"} <= roles.keys()
    assert {"low_confidence", "empty", "tool_arguments", "bad_json"} <= roles["draft"].faults.keys()
    assert total.escalated > 10
    assert total.degraded > 10
    assert total.tokens.cached_tokens > 0
    assert total.tokens.estimated_attempts > 10
    assert total.saved == total.baseline - total.compared_cost
    assert total.unpriced == 0
    records = [stored.record for stored in reader.calls()]
    assert all(record.saved == (record.baseline or 0) - (record.cost or 0) for record in records)
    for by in ("tier", "category", "key", "status", "reason", "day"):
        groups = reader.sums(by)
        assert sum(group.cost for group in groups) == total.cost
        assert sum(group.saved for group in groups) == total.saved
    assert sum(group.cost for group in reader.attempt_sums("tier")) == total.cost
