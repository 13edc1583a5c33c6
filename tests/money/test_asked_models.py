"""Small models that judge requests and answers: each request that their server got is in a record, and priced once."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from slmroute.classify.chain import ChainClassifier
from slmroute.classify.few_shot import FewShotClassifier
from slmroute.classify.protocol import Classification
from slmroute.drive import adrive, drive
from slmroute.engine import Engine
from slmroute.judges import Agreement, SelfCheck
from slmroute.policy import Confidence, Judgement, Policy
from slmroute.price import PriceBook, total_of
from slmroute.record import AttemptRecord, RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.steps import Usage
from slmroute.testing import FakePerformer, FakeServer, Fault, Reply
from slmroute.tier import Tier

pytestmark = pytest.mark.usefixtures("shared_ssl")

MODEL, OTHER = "phi3:mini", "qwen2.5:0.5b"
REQUEST = RouteRequest.from_text("Which language is this? Guten Tag")
TIERS = [
    Tier("small", "ollama:small", input_price="1", output_price="1"),
    Tier("big", "openai:gpt-4.1", input_price="2", output_price="2"),
]
PRICES: dict[str, Any] = {"input_price": "1", "output_price": "10"}
"""Dollars for a million tokens."""
ASKED = Usage(400, 1)
COST = Decimal("0.00041")


def says(**more: Any) -> Reply:
    chances = [{"simple": math.log(0.7), "complex": math.log(0.2), "yes": math.log(0.05)}]
    return Reply("simple", logprobs=chances, input_tokens=400, output_tokens=1, **more)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer({MODEL: says(), OTHER: says()}) as running:
        yield running


def routed(classifier: Any = None, *, judge: Any = None, clock: Any = None, **settings: Any) -> Run:
    escalation = None if judge is None else Confidence(0.01, judge=judge)
    policy = Policy.build(TIERS, classify=classifier is not None, escalation=escalation, **settings)
    return Run(Engine(policy, classifier, **({} if clock is None else {"clock": clock})), REQUEST)


def performer() -> FakePerformer:
    answer = Reply("German.", input_tokens=9, output_tokens=2)
    return FakePerformer({"small": answer, "big": answer})


def sync(run: Run) -> RouteRecord:
    drive(run, performer())
    assert run.record is not None
    return run.record


def asynchronous(run: Run) -> RouteRecord:
    asyncio.run(adrive(run, performer()))
    assert run.record is not None
    return run.record


both_ways = pytest.mark.parametrize("driven", [sync, asynchronous])


def asked(record: RouteRecord) -> AttemptRecord:
    (found,) = [attempt for attempt in record.attempts if attempt.role in ("classifier", "judge")]
    return found


@both_ways
def test_a_warm_up_is_a_part_of_the_call_that_starts_it(
    server: FakeServer, driven: Callable[[Run], RouteRecord]
) -> None:
    with FewShotClassifier(MODEL, host=server.url, **PRICES) as classifier:
        first, second = (asked(driven(routed(classifier))) for _ in range(2))
    assert len(server.calls()) == 3
    assert (first.usage, first.cost) == (Usage(800, 2), 2 * COST)
    assert (second.usage, second.cost) == (ASKED, COST)


def test_a_warm_up_by_hand_is_a_part_of_the_first_call_after_it(server: FakeServer) -> None:
    with FewShotClassifier(MODEL, host=server.url, **PRICES) as classifier:
        classifier.warm_up()
        costs = [asked(sync(routed(classifier))).cost for _ in range(2)]
    assert len(server.calls()) == 3
    assert costs == [2 * COST, COST]


@both_ways
def test_a_request_that_timed_out_and_the_warm_up_after_it_are_estimated(
    server: FakeServer, driven: Callable[[Run], RouteRecord]
) -> None:
    late = threading.Event()
    with FewShotClassifier(MODEL, host=server.url, timeout_s=0.2, **PRICES) as classifier:
        classifier.warm_up()
        sync(routed(classifier))
        server.script(MODEL, says(hold=late))
        found = asked(driven(routed(classifier)))
        server.wait_until(lambda: len(server.calls()) == 4)
        late.set()
    assert (found.error, found.price_id) == ("ClassifierUnavailable", "classifier")
    assert found.usage is not None
    assert (found.usage.source, found.usage.output_tokens) == ("estimated", 0)
    assert found.cost == Decimal(found.usage.input_tokens) / 1_000_000
    assert found.usage.input_tokens > 600  # two prompts of more than 300


@both_ways
def test_what_a_deadline_cuts_is_estimated(server: FakeServer, driven: Callable[[Run], RouteRecord]) -> None:
    late = threading.Event()
    with FewShotClassifier(MODEL, host=server.url, timeout_s=30, **PRICES) as classifier:
        sync(routed(classifier))
        server.script(MODEL, says(hold=late))
        record = driven(routed(classifier, deadline_s=0.4))
        late.set()
    found = asked(record)
    assert (found.error, record.tier) == ("TimeoutError", "big")
    assert found.usage is not None
    assert (found.usage.source, found.cost) == ("estimated", Decimal(found.usage.input_tokens) / 1_000_000)


@pytest.mark.parametrize("role", ["classifier", "judge"])
async def test_what_is_cancelled_is_estimated(server: FakeServer, role: str) -> None:
    late = threading.Event()
    with FewShotClassifier(MODEL, host=server.url, timeout_s=30, **PRICES) as classifier:
        await classifier.aclassify(REQUEST)

        async def judge(request: RouteRequest, answer: Any) -> float:
            return (await classifier.aclassify(request)).score

        server.script(MODEL, says(hold=late))
        run = routed(classifier) if role == "classifier" else routed(judge=judge)
        before = len(server.calls())
        task = asyncio.create_task(adrive(run, performer()))
        await asyncio.to_thread(server.wait_until, lambda: len(server.calls()) > before)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        late.set()
    assert run.record is not None
    found = asked(run.record)
    assert (run.record.status, found.role, found.error) == ("cancelled", role, "CancelledError")
    assert found.usage is not None
    assert (found.usage.source, found.usage.input_tokens > 300) == ("estimated", True)


@pytest.mark.parametrize(
    ("usage", "generated"),
    [
        (Usage(None, 5), 0),  # type: ignore[arg-type]
        (Usage(1.5, 5), 0),  # type: ignore[arg-type]
        (Usage("1", 5), 0),  # type: ignore[arg-type]
        (Usage(-1, 5), 5),
        (Usage(-1, 5, source="estimated"), 5),
        (Usage(0, 7), 7),
        (Usage(), 0),
        (Usage(5, -5), 0),
        (Usage(5, 5, cached_tokens=9), 5),
        (Usage(10**30, 5), 0),
        (Usage(5, 5, source="as far as the judge knows"), 0),  # type: ignore[arg-type]
        (Usage(5, 5, source=[]), 0),  # type: ignore[arg-type]
        ({"input_tokens": 5}, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize(("provider", "priced"), [("openai", True), ("ollama", False), (None, False)])
@pytest.mark.parametrize("role", ["classifier", "judge"])
def test_tokens_that_cannot_be_true_are_noted_and_estimated(
    role: str, provider: str | None, priced: bool, usage: Any, generated: int
) -> None:
    class Tells:
        def score(self, request: RouteRequest) -> float:
            return self.classify(request).score

        def classify(self, _: RouteRequest) -> Classification:
            return Classification(0.1, usage, "gpt-4.1", provider)

    def judge(*_: object) -> Any:
        return Judgement(0.9, usage, "gpt-4.1", provider)

    record = sync(routed(Tells()) if role == "classifier" else routed(judge=judge))
    attempt = asked(record)
    assert (record.status, attempt.usage is not None) == ("ok", True)
    assert f"unmetered:{attempt.tier}" in record.events
    estimate: Any = attempt.usage
    assert (estimate.source, estimate.input_tokens > 0, estimate.output_tokens) == ("estimated", True, generated)
    assert attempt.cost == PriceBook([]).price_of(estimate, provider or "", "gpt-4.1").cost
    assert (attempt.cost is not None) is priced


def test_the_estimate_of_a_judge_s_prompt_holds_the_answer() -> None:
    record = sync(routed(judge=lambda *_: Judgement(0.9, Usage(-1, 5), "gpt-4.1", "openai")))
    classified = sync(routed(lambda _: Classification(0.1, Usage(-1, 5), "gpt-4.1", "openai")))
    assert asked(record).usage.input_tokens > asked(classified).usage.input_tokens == REQUEST.tokens  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "tokens", [{"input_tokens": -400, "output_tokens": 1}, {"input_tokens": 9, "output_tokens": -9}]
)
@pytest.mark.parametrize("role", ["classifier", "self-check", "agreement"])
def test_what_a_server_reports_and_cannot_be_true_is_estimated(
    server: FakeServer, role: str, tokens: dict[str, int]
) -> None:
    told = replace(says(), **tokens)
    with FewShotClassifier(MODEL, host=server.url, **PRICES) as classifier:
        judges = {"self-check": SelfCheck, "agreement": lambda *args, **more: Agreement(*args, samples=2, **more)}
        judge = judges[role](MODEL, host=server.url, **PRICES) if role in judges else None
        server.script(MODEL, told)
        found = asked(sync(routed(None if judge else classifier, judge=judge)))
    assert found.usage is not None
    assert (found.usage.source, found.usage.input_tokens > 0, found.usage.output_tokens > 0) == (
        "estimated",
        True,
        True,
    )


def test_a_judge_s_numbers_may_be_of_any_kind_of_whole_number() -> None:
    record = sync(routed(judge=lambda *_: Judgement(0.9, Usage(np.int64(5), True), 7, "openai")))  # type: ignore[arg-type]
    attempt = asked(record)
    assert (attempt.usage, type(attempt.usage and attempt.usage.output_tokens)) == (Usage(5, 1), int)
    assert attempt.model is None


def test_a_server_that_refuses_takes_nothing(server: FakeServer) -> None:
    with FewShotClassifier(MODEL, host=server.url, **PRICES) as classifier:
        sync(routed(classifier))
        server.script(MODEL, Fault(500))
        found = asked(sync(routed(classifier)))
    assert (found.error, found.usage, found.cost) == ("ClassifierUnavailable", None, 0)


def test_each_classifier_of_a_chain_has_its_own_price(server: FakeServer) -> None:
    with (
        FewShotClassifier(MODEL, host=server.url, **PRICES) as first,
        FewShotClassifier(OTHER, host=server.url, input_price="100", output_price="0") as second,
    ):
        chain = ChainClassifier(first, second, band=(0, 1))
        sync(routed(chain))
        found = asked(sync(routed(chain)))
        assert (found.usage, found.cost) == (Usage(800, 2), COST + Decimal("0.04"))
        outside = asked(sync(routed(ChainClassifier(first, second, band=(0.9, 1)))))
        assert (outside.usage, outside.cost) == (ASKED, COST)


def test_of_two_accounts_of_the_same_the_fuller_holds(server: FakeServer) -> None:
    with FewShotClassifier(MODEL, host=server.url, **PRICES) as small:
        sync(routed(small))

        class Tells:
            input_price, output_price = "1", "10"

            def __init__(self, usage: Usage) -> None:
                self.usage = usage

            def score(self, request: RouteRequest) -> float:
                return self.classify(request).score

            def classify(self, request: RouteRequest) -> Classification:
                return Classification(small.score(request), self.usage, "mine", "ollama")

        fuller = asked(sync(routed(Tells(Usage(1_000, 5)))))
        assert (fuller.usage, fuller.model) == (Usage(1_000, 5), "mine")
        emptier = asked(sync(routed(Tells(Usage(1, 1)))))
        assert (emptier.usage, emptier.model) == (ASKED, MODEL)


def test_an_opinion_is_paid_for_though_its_calibrator_breaks(server: FakeServer) -> None:
    judge = SelfCheck(MODEL, host=server.url, calibrator=lambda _odds: 1 / 0, **PRICES)
    judge.warm_up()
    sync(routed(judge=judge))
    server.script(MODEL, Reply("yes", logprobs=[{"yes": -0.1, "no": -3.0}], input_tokens=400, output_tokens=1))
    record = sync(routed(judge=judge))
    judge.close()
    assert record.events == ("judge_unavailable",)
    assert (asked(record).usage, asked(record).cost) == (ASKED, COST)


def test_samples_that_time_out_are_estimated_among_the_others(server: FakeServer) -> None:
    late = threading.Event()
    sample = Reply("German.", input_tokens=400, output_tokens=1)
    server.script(MODEL, sample, Reply("German.", hold=late), sample)
    judge = Agreement(MODEL, host=server.url, samples=3, timeout_s=0.2, **PRICES)
    found = asked(sync(routed(judge=judge)))
    late.set()
    assert found.usage is not None
    assert (found.usage.source, found.usage.output_tokens, found.usage.input_tokens > 800) == ("estimated", 2, True)


def _asked_at_random(dice: random.Random, server: FakeServer) -> tuple[Any, Any]:
    """Give a classifier and a judge, or None for either."""
    given: dict[str, Any] = {"host": server.url, "input_price": "1", "output_price": "1"}
    first, second = FewShotClassifier(MODEL, **given), FewShotClassifier(OTHER, **given)
    breaking = SelfCheck(MODEL, calibrator=lambda _odds: 1 / 0, **given)
    judges = [None, breaking, SelfCheck(MODEL, **given), Agreement(OTHER, **given)]
    classifiers = [None, first, ChainClassifier(first, second, band=(0, 1))]
    return dice.choice(classifiers), dice.choice(judges)


def test_whatever_is_asked_and_goes_wrong_the_bill_is_the_servers(server: FakeServer) -> None:
    dice, told = random.Random(6), [0, 0]  # noqa: S311  the same calls every time

    def reply(_body: object) -> Reply | Fault:
        chance = dice.random()
        if chance < 0.25:
            return Fault(500) if chance < 0.2 else Fault(garbage=True)
        tokens = dice.randrange(1, 900), dice.randrange(1, 5)
        told[0] += tokens[0]
        told[1] += tokens[1]
        if chance < 0.4:
            return Reply("Well, it depends.", input_tokens=tokens[0], output_tokens=tokens[1])
        return replace(says(), input_tokens=tokens[0], output_tokens=tokens[1])

    server.script(MODEL, reply)
    server.script(OTHER, reply)
    records: list[RouteRecord] = []
    for _ in range(10):
        classifier, judge = _asked_at_random(dice, server)
        run = routed(classifier, judge=judge)
        records += [dice.choice([sync, asynchronous])(Run(run.engine, REQUEST)) for _ in range(3)]
    found = [each for record in records for each in record.attempts if each.role in ("classifier", "judge")]
    usages = [each.usage for each in found if each.usage is not None]
    untold = sum(len(answers) for answers in server.untold.values())  # garbage, of which the prompt is estimated
    guessed = sum(usage.input_tokens for usage in usages) - told[0]
    assert 100 * untold < guessed < 500 * untold
    assert sum(usage.output_tokens for usage in usages) == told[1]
    assert total_of(each.cost for each in found) == Decimal(sum(told) + guessed) / 1_000_000
    assert 0 < [usage.source for usage in usages].count("estimated") <= untold
    assert {"judge_unavailable", "classifier_unavailable"} <= {event for record in records for event in record.events}
