"""Random calls of every kind, a server that answers them as they were planned, and its bill against the ledger's.

Each prompt holds the number of its plan, so that the server knows what each tier is to do, and both sides can be
compared call by call and not only in total.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from slmroute import Confidence, RouteRequest, Tier
from slmroute.health import Breaker
from slmroute.ledger import LedgerReader
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.request import estimate_tokens
from slmroute.steps import Answer, Usage
from slmroute.testing import FakeServer, Fault, Reply

SMALL, MID, BIG = "phi3:mini", "gpt-4.1-mini", "gpt-4.1"
MODELS = {"small": SMALL, "mid": MID, "frontier": BIG}
PRICES = {"small": ("0.05", "0.08"), f"openai:{MID}": ("0.4", "1.6", "0.1"), f"openai:{BIG}": ("2", "8", "0.5")}
"""Dollars for a million input, output and cached tokens: whole nano-dollars a token, so that nothing is rounded."""
BY_MODEL = {SMALL: PRICES["small"], MID: PRICES[f"openai:{MID}"], BIG: PRICES[f"openai:{BIG}"]}

ANSWERING = ("good", "good", "weak", "hopeless", "hopeless", "cut", "silent")
DOINGS = (*ANSWERING, "good", "good", "empty", "down", "busy", "dies", "breaks", "ends", "error line")
TEXT = "answer in some more words than that"
PERSON = '{"name": "Anna", "age": 7}'
SURE, UNSURE, LOST = -0.01, -0.5, -3.0
FIRST_TOKENS = 4

MARK = re.compile(r"plan-(\d+)\.(\d+)")
NEVER = threading.Event()
"""What is held until this is set is held until the client hangs up."""

Key = tuple[int, str, Usage]
"""The plan, the model, and the tokens that were reported of a call."""


@dataclass(frozen=True)
class Plan:
    """What one call, or a few at once, ask for, what each tier is to do, and how they are made.

    Attributes:
        number: Its number.
        router: Which router is asked.
        way: How.
        kind: What for.
        does: What each model does.
        parts: How many prompts there are.
        option: A number to choose variants by.
        leaves: Whether the caller leaves when the first of a stream is there.
        waits: Whether the caller leaves while nothing is there yet.
        gated: Whether a stream may be broken off by what its first tokens are worth.
        unread: Whether OpenAI's client, which parses streamed answers itself, stops reading at one that does not parse,
            and so before the usage that comes after it.
    """

    number: int
    router: str
    way: str
    kind: str
    does: Mapping[str, str]
    parts: int = 1
    option: int = 0
    leaves: bool = False
    waits: bool = False
    gated: bool = False
    unread: bool = False

    @property
    def prompts(self) -> list[str]:
        return [f"What is plan-{self.number}.{part} about?" for part in range(self.parts)]

    @property
    def tags(self) -> list[str]:
        return [f"plan:{self.number}", f"kind:{self.kind}", f"way:{self.way}"]

    @property
    def first_is_final(self) -> bool:
        """Whether no tier's text may be rejected for its confidence."""
        return self.router not in ("judged", "cascade") or self.kind in ("explicit", "local")


def doings(dice: random.Random, *, answering: bool = False, leaves: bool = False) -> dict[str, str]:
    """Throw the dice for what each model does."""
    does = {model: dice.choice(ANSWERING if answering else DOINGS) for model in MODELS.values()}
    if leaves and does[BIG] not in ANSWERING:
        # Else a lower tier would be asked last, and whether the server has finished when the caller leaves is chance.
        does[BIG] = "good"
    return does


class Script:
    """What the server's models say, and what the server told of it: its own books, call by call."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = {plan.number: plan for plan in plans}
        self.told: Counter[Key] = Counter()
        self.unread: Counter[Key] = Counter()
        self.requests: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str, str, bool]] = Counter()
        self._arrived: dict[int, Callable[[], object]] = {}

    def server(self) -> FakeServer:
        return FakeServer(dict.fromkeys(MODELS.values(), self.reply))

    def when_asked(self, plan: Plan, call: Callable[[], object]) -> None:
        self._arrived[plan.number] = call

    def reply(self, body: Mapping[str, Any]) -> Reply | Fault:
        found = MARK.search(json.dumps(body["messages"]))
        assert found is not None
        plan, part, model = self.plans[int(found[1])], found[2], str(body["model"])
        results = body["messages"][-1]["role"] == "tool"
        self._asked[found[1], part, model, results] += 1
        self.requests[model] += 1
        if plan.number in self._arrived:
            self._arrived.pop(plan.number)()
        dice = random.Random(f"{found[0]} {model} {results} {self._asked[found[1], part, model, results]}")  # noqa: S311
        fault = _fault(plan.does[model], plan)
        if fault is not None and not plan.waits:
            return fault
        return self._good(plan, model, body, dice, first=self._asked[found[1], part, model, results] == 1)

    def _good(self, plan: Plan, model: str, body: Mapping[str, Any], dice: random.Random, *, first: bool) -> Reply:
        does, settings = plan.does[model], dict[str, Any]()
        tokens = {"input_tokens": dice.randrange(20, 4000), "output_tokens": dice.randrange(3, 900)}
        if dice.random() < 0.3:
            tokens["cached_tokens"] = dice.randrange(tokens["input_tokens"])
            tokens["reasoning_tokens"] = dice.randrange(tokens["output_tokens"])
        held = (0, NEVER) if plan.waits else None
        if calls := _tool_calls(plan, does, body):
            settings["tool_calls"] = calls
        elif does == "empty":
            settings["text"] = ""
        elif plan.kind == "structured":
            settings["text"] = PERSON if does in ("good", "silent") else '{"name": '
        else:
            settings |= _text(does)
            # Who is asked once more is asked last.
            after = _held_after(plan, model, does) if first else 1 if plan.leaves else None
            held = held or (after and (after, NEVER))
        if does != "silent" and held is None:
            # Ollama's wire has no word for the others.
            seen = Usage(tokens["input_tokens"], tokens["output_tokens"]) if model == SMALL else Usage(**tokens)
            bad = does in ("weak", "hopeless", "cut")
            books = self.unread if plan.unread and bad and model != SMALL else self.told
            books[plan.number, model, seen] += 1
        if does == "cut":
            settings["finish"] = "length"
        if held == (0, NEVER):
            settings["hold"] = NEVER
        elif held is not None:
            settings["hold_after"] = held
        return Reply(**settings, **tokens, usage=does != "silent")


def _fault(does: str, plan: Plan) -> Fault | None:
    reply = Reply(PERSON if plan.kind == "structured" else f"good {TEXT}")
    match does:
        case "down":
            return Fault(503)
        case "busy":
            return Fault(429, headers={"Retry-After": "0"})  # else the breaker stays open for as long as it says
        case "dies":
            return Fault(die_before_first=True)
        case "breaks":
            return Fault(die_after_chunks=2, reply=reply)
        case "ends":
            return Fault(end_after_chunks=2, reply=reply)
        case "error line":
            return Fault(error_line_after_chunks=2, reply=reply)
        case _:
            return None


def _tool_calls(plan: Plan, does: str, body: Mapping[str, Any]) -> list[tuple[str, dict[str, object]]]:
    """Give the tool calls of an answer: of tools, or where a tier gives a structured answer by one."""
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    if not tools or does == "empty" or body["messages"][-1]["role"] == "tool":
        return []
    good = does in ("good", "silent")
    if plan.kind == "structured":
        return [(tools[0], {"name": "Anna", "age": 7} if good else {"nickname": 1})]
    return [(tools[0], {"a": 1, "b": 2} if good else {"a": "one"})]


def _text(does: str) -> dict[str, Any]:
    text = f"{'weak' if does in ('weak', 'hopeless') else 'good'} {TEXT}"
    worth = {"weak": UNSURE, "hopeless": LOST}.get(does, SURE)
    return {"text": text, "logprobs": [worth] * len(text.split())}


def _held_after(plan: Plan, model: str, does: str) -> int | None:
    """After how many chunks the client will hang up for sure, so that the server must not have finished by then."""
    if not (plan.leaves or plan.gated):
        return None
    if plan.first_is_final or model == BIG:
        return 1 if plan.leaves else None
    if plan.router == "cascade":
        if does == "hopeless":
            return FIRST_TOKENS
        return FIRST_TOKENS + 1 if plan.leaves and does != "weak" else None
    return None


# --- routers ---


def score(request: RouteRequest) -> float:
    return random.Random(request.text).random()  # noqa: S311  the same for a prompt, every time


def judge(request: RouteRequest, answer: Answer) -> float:
    return 0.1 if answer.text.startswith("weak") else 0.95


def settings_of(router: str) -> dict[str, Any]:
    """Give the settings that tell the routers from one another; all of them write one ledger."""
    match router:
        case "judged":
            return {"classifier": score, "thresholds": [0.5, 0.8], "escalation": Confidence(0.85, judge=judge)}
        case "cascade":
            return {"classifier": None, "escalation": Confidence(0.85, first_tokens=FIRST_TOKENS)}
        case _:
            return {"classifier": score, "thresholds": [0.5, 0.8]}


def string_tiers(server: FakeServer, small_url: str | None = None) -> list[Tier]:
    openai = {"base_url": server.openai_url, "api_key": "canary"}
    return [
        Tier("small", f"ollama:{SMALL}", model_args={"base_url": small_url or server.url}, local=True),
        Tier("mid", f"openai:{MID}", model_args=openai),
        Tier("frontier", f"openai:{BIG}", model_args=openai),
    ]


def never_open(engine: Any) -> None:
    """Keep the breakers of a router closed: with so many faults hardly a tier would be asked otherwise."""
    for name in engine.breakers:
        engine.breakers[name] = Breaker(failures_to_open=10**9)


# --- running all of it ---

THREADS = 4
AT_ONCE = 20


async def run_all(
    plans: Sequence[Plan],
    one: Callable[[Plan], object],
    aone: Callable[[Plan], Awaitable[object]],
    expected: Callable[[Plan, Exception], bool],
) -> Counter[str]:
    """Run the plans whose way is asynchronous in this loop, and the others in threads, all at the same time.

    Returns:
        How many calls ended in each class of error.
    """
    errors: Counter[str] = Counter()
    unexpected: list[Exception] = []

    def note(plan: Plan, error: Exception) -> None:
        errors[type(error).__name__] += 1
        if not expected(plan, error):
            error.add_note(repr(plan))
            unexpected.append(error)

    def in_thread(share: Sequence[Plan]) -> None:
        for plan in share:
            try:
                one(plan)
            except Exception as error:  # noqa: BLE001  raised at the end
                note(plan, error)

    slots = asyncio.Semaphore(AT_ONCE)

    async def in_loop(plan: Plan) -> None:
        async with slots:
            try:
                await aone(plan)
            except Exception as error:  # noqa: BLE001  the same
                note(plan, error)

    sync = [plan for plan in plans if not plan.way.startswith("a")]
    threads = [asyncio.to_thread(in_thread, sync[place::THREADS]) for place in range(THREADS)]
    await asyncio.gather(*threads, *(in_loop(plan) for plan in plans if plan.way.startswith("a")))
    if unexpected:
        raise ExceptionGroup("not planned", unexpected)
    return errors


async def cancelled(work: Awaitable[object], arrived: asyncio.Event) -> None:
    """Cancel a call when something has arrived: a request at the server, or the first of a stream."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(arrived.wait())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    while not task.done():
        # Again if need be: the wait_for() of Python 3.11, which OpenAI's chat model waits with, can swallow it.
        task.cancel()
        await asyncio.wait([task], timeout=0.2)
    if not task.cancelled():
        task.result()


# --- the two bills ---


@dataclass
class Books:
    """What the ledger holds, read once.

    Attributes:
        records: All calls.
        reported: The attempts whose tokens their provider reported, as the server keeps them.
        estimated: The attempts whose tokens are estimated.
        sent: How many requests each model was sent.
    """

    records: list[RouteRecord]
    reported: Counter[Key] = field(default_factory=Counter)
    estimated: list[tuple[RouteRecord, AttemptRecord]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    cost: dict[str, Decimal] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Books:
        books = cls([stored.record for stored in LedgerReader(path).calls()])
        for record in books.records:
            for attempt in record.attempts:
                if attempt.tier in MODELS:
                    books._take(record, attempt)
        return books

    def _take(self, record: RouteRecord, attempt: AttemptRecord) -> None:
        model, usage = MODELS[attempt.tier], attempt.usage
        if usage is None or usage.source != "cached":
            self.sent[model] += not (record.key == "refusing" and attempt.tier == "small")
        if usage is None:
            return
        if usage.source == "reported":
            self.reported[plan_of(record), model, usage] += 1
            self.cost[model] = self.cost.get(model, Decimal(0)) + (attempt.cost or 0)
        elif usage.source == "estimated":
            self.estimated.append((record, attempt))


def plan_of(record: RouteRecord) -> int:
    (number,) = [tag.removeprefix("plan:") for tag in record.tags if tag.startswith("plan:")]
    return int(number)


def price(model: str, usage: Usage) -> Decimal:
    """Price tokens as their provider would write it."""
    fresh, output, *rest = (Decimal(each) / 1_000_000 for each in BY_MODEL[model])
    cached = rest[0] if rest else fresh
    return (
        (usage.input_tokens - usage.cached_tokens) * fresh + usage.cached_tokens * cached + usage.output_tokens * output
    )


def added(one: Usage, other: Usage, times: int = 1) -> Usage:
    return Usage(
        one.input_tokens + other.input_tokens * times,
        one.output_tokens + other.output_tokens * times,
        cached_tokens=one.cached_tokens + other.cached_tokens * times,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens * times,
    )


def totals(bill: Counter[Key]) -> dict[str, Usage]:
    """Add up the tokens of each model."""
    sums: dict[str, Usage] = {}
    for (_, model, usage), times in bill.items():
        sums[model] = added(sums.get(model, Usage()), usage, times)
    return sums


def check_bills(server: FakeServer, script: Script, path: Path) -> Books:
    """Hold the ledger against the server's own bill.

    What the server reported is compared call by call and in total, in tokens and in nano-dollars. What it did not
    report (it was told not to, it broke off, or the caller left) is on neither side of that: it is in the ledger as an
    estimate, marked, and is checked apart.
    """
    server.wait_until(lambda: server.open == 0, timeout_s=30)
    books = Books.read(path)
    extra, missing = books.reported - script.told, script.told - books.reported
    assert not extra, f"the ledger has what was not told: {_described(extra, script, books)}"
    assert not missing, f"the ledger has not what was told: {_described(missing, script, books)}"
    assert books.cost == {model: price(model, usage) for model, usage in totals(books.reported).items()}
    assert totals(books.reported + script.unread) == server.bill
    assert books.sent == Counter({model: len(server.calls(model)) for model in MODELS.values()})
    check_untold(server, script, books)
    check_estimates(books, script)
    check_sums(books, path)
    return books


def _described(calls: Counter[Key], script: Script, books: Books) -> str:
    """Say all there is to know of calls on which the two sides differ."""
    records = {plan_of(record): record for record in books.records}
    return "\n".join(
        f"{model} {usage}\n{script.plans[number]}\n{records.get(number)}" for number, model, usage in calls
    )


def check_untold(server: FakeServer, script: Script, books: Books) -> None:
    """What the server has worked on and did not tell of is in the ledger, each as one estimate."""
    estimated = Counter(MODELS[attempt.tier] for _, attempt in books.estimated)
    unread = Counter(model for _, model, _ in script.unread.elements())
    assert estimated - unread == Counter({model: len(answers) for model, answers in server.untold.items()})


def check_estimates(books: Books, script: Script) -> None:
    """What is estimated is what the server did not tell of, is no more than was said, and is priced as all else."""
    longest = 2 * estimate_tokens(f"good {TEXT}")  # a tool call is a bit longer as it is estimated
    for record, attempt in books.estimated:
        plan, model, usage = script.plans[plan_of(record)], MODELS[attempt.tier], attempt.usage
        assert usage is not None
        unreported = plan.does[model] in ("silent", "breaks", "ends", "error line")
        unread = any(key[:2] == (plan.number, model) for key in script.unread)
        assert unreported or plan.leaves or plan.waits or unread or attempt.fault == "aborted", (plan, attempt)
        assert usage.input_tokens > 0
        assert 0 <= usage.output_tokens <= longest
        assert attempt.cost == price(model, usage)


def check_sums(books: Books, path: Path) -> None:
    """What the ledger says of itself adds up, whatever it is grouped by."""
    reader = LedgerReader(path)
    total = reader.total()
    attempts = [attempt for record in books.records for attempt in record.attempts]
    assert total.calls == len(books.records)
    assert total.unpriced == 0
    assert total.cost == sum((attempt.cost or Decimal(0) for attempt in attempts), Decimal(0))
    assert total.saved == total.baseline - total.compared_cost
    assert all(record.saved == (record.baseline or 0) - (record.cost or 0) for record in books.records)
    for by in ("tier", "key", "status", "reason", "day"):
        groups = reader.sums(by)
        assert sum(group.cost for group in groups) == total.cost
        assert sum(group.saved for group in groups) == total.saved
    assert sum(group.cost for group in reader.attempt_sums("tier")) == total.cost
    assert sum(group.cost for group in reader.attempt_sums("role")) == total.cost


def check_variety(books: Books) -> None:
    """All that can become of a call was among them."""
    attempts = [attempt for record in books.records for attempt in record.attempts]
    assert {record.status for record in books.records} == {"ok", "error", "cancelled", "partial"}
    assert {attempt.role for attempt in attempts} == {"classifier", "draft", "judge", "final", "failed"}
    assert {attempt.fault for attempt in attempts} >= {
        "low_confidence",
        "empty",
        "tool_arguments",
        "bad_json",
        "aborted",
    }
    assert any(record.escalated for record in books.records)
    assert any(record.degraded for record in books.records)
    assert any(usage.cached_tokens and usage.reasoning_tokens for _, _, usage in books.reported)
    reasons = {record.reason for record in books.records}
    assert reasons >= {"classified", "cheapest", "explicit", "only", "tool_loop"}
    kinds = {tag for record in books.records for tag in record.tags}
    assert {f"kind:{kind}" for kind in ("text", "tools", "structured", "agent", "explicit", "local")} <= kinds
