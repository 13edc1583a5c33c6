"""The classifier and the judge: whatever they do, the call goes on, and the record says what happened."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

import pytest

from langchain_slmroute import RoutingChatModel
from llama_index_slmroute import RoutingLLM
from slmroute import ChainClassifier, EmbeddedClassifier, FewShotClassifier
from slmroute.classify.protocol import Classification
from slmroute.confidence import GeometricMean
from slmroute.drive import adrive, drive
from slmroute.engine import Engine
from slmroute.errors import ClassifierUnavailable, ClassifierUnsure, ConfigError, ModelMissing
from slmroute.policy import Confidence, Judgement, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.steps import Answer, Usage
from slmroute.testing import FakeClock, FakePerformer, Reply
from slmroute.tier import Tier

REQUEST = RouteRequest(text="hello", tokens=10)
TIERS = [
    Tier("small", "ollama:small", input_price="1", output_price="1"),
    Tier("frontier", "openai:gpt-4.1", input_price="2", output_price="2"),
]

Driver = Callable[[Engine], RouteRecord]


def performer(logprob: float | None = None) -> FakePerformer:
    small = Reply("Paris.", logprobs=None if logprob is None else [logprob], input_tokens=10, output_tokens=1)
    return FakePerformer({"small": small, "frontier": Reply("Paris, of course.", input_tokens=10, output_tokens=4)})


def sync(engine: Engine, logprob: float | None = None) -> RouteRecord:
    run = Run(engine, REQUEST)
    drive(run, performer(logprob))
    assert run.record is not None
    return run.record


def asynchronous(engine: Engine, logprob: float | None = None) -> RouteRecord:
    run = Run(engine, REQUEST)
    asyncio.run(adrive(run, performer(logprob)))
    assert run.record is not None
    return run.record


both_ways = pytest.mark.parametrize("driver", [sync, asynchronous])


def engine(classifier: Any = None, **settings: Any) -> Engine:
    extra = {name: settings.pop(name) for name in ("clock", "prices") if name in settings}
    return Engine(Policy.build(TIERS, classify=classifier is not None, **settings), classifier, **extra)


class Scores:
    """A classifier with everything there can be."""

    version = "scores-1"
    input_price = "10"
    output_price = "20"

    def __init__(self, score: float = 0.1) -> None:
        self._score = score

    def score(self, request: RouteRequest) -> float:
        return self._score

    def classify(self, request: RouteRequest) -> Classification:
        return Classification(self._score, Usage(1_000, 1), "phi3:mini", "ollama")


class OnlyAsync:
    async def score(self, request: RouteRequest) -> float:
        await asyncio.sleep(0)
        return 0.1


async def async_callable(_request: RouteRequest) -> float:
    await asyncio.sleep(0)
    return 0.1


@both_ways
@pytest.mark.parametrize(
    "classifier",
    [lambda _request: 0.1, lambda _request: 0, Scores(), OnlyAsync(), async_callable],
    ids=["callable", "int", "all methods", "async method", "async callable"],
)
def test_every_kind_of_classifier_is_asked(driver: Driver, classifier: Any) -> None:
    record = driver(engine(classifier))
    assert (record.tier, record.reason) == ("small", "classified")
    assert record.score in (0, 0.1)
    assert record.events == ()
    assert record.attempts[0].role == "classifier"


@both_ways
def test_a_classifier_that_spends_tokens_is_paid_for(driver: Driver) -> None:
    record = driver(engine(Scores()))
    asked = record.attempts[0]
    assert (asked.tier, asked.model, asked.provider, asked.usage) == (
        "scores-1",
        "phi3:mini",
        "ollama",
        Usage(1_000, 1),
    )
    assert asked.cost == Decimal("0.01002")
    assert asked.price_id == "classifier"
    assert record.cost == asked.cost + Decimal("0.000011")
    assert record.classifier_version == "scores-1"


def test_a_classifier_without_a_price_is_priced_by_its_provider_or_not_at_all() -> None:
    def says(provider: str, model: str) -> Any:
        return lambda _request: Classification(0.1, Usage(1_000_000, 0), model, provider)

    local = sync(engine(says("ollama", "phi3:mini")))
    assert local.attempts[0].price_id == "unpriced"
    assert local.cost is None
    listed = sync(engine(says("openai", "gpt-4.1-nano")))
    assert listed.attempts[0].cost == Decimal("0.1")
    own = sync(engine(says("ollama", "phi3:mini"), prices={"ollama:phi3:mini": ("0.02", "0.02")}))
    assert own.attempts[0].cost == Decimal("0.02")


GARBAGE = [math.nan, math.inf, -math.inf, -1, 7, 1.0001, "0.5", None, True, Decimal("0.5"), [0.5], 0.5j, object()]


def shown(said: object) -> str:
    """A name that is the same in every process that collects the tests."""
    return "object()" if type(said) is object else repr(said)


@both_ways
@pytest.mark.parametrize("said", GARBAGE, ids=shown)
def test_a_score_that_is_none_is_not_trusted(driver: Driver, said: Any) -> None:
    for classifier in (lambda _request: said, lambda _request: Classification(said)):
        record = driver(engine(classifier))
        assert (record.tier, record.reason, record.score) == ("frontier", "default", None)
        assert record.events == ("classifier_unavailable",)
        assert record.attempts[0].error == "ClassifierUnsure"
        assert record.status == "ok"


@both_ways
@pytest.mark.parametrize(
    "error", [ConnectionError(), ClassifierUnavailable("down"), ZeroDivisionError(), RecursionError()]
)
def test_a_classifier_that_raises_does_not_fail_the_call(driver: Driver, error: Exception) -> None:
    def raises(_request: RouteRequest) -> float:
        raise error

    record = driver(engine(raises))
    assert (record.tier, record.reason) == ("frontier", "default")
    assert record.attempts[0].error == type(error).__name__


def asked_in_ten_calls(error: Exception) -> int:
    asked = 0

    def raises(_request: RouteRequest) -> float:
        nonlocal asked
        asked += 1
        raise error

    tried = engine(raises, clock=FakeClock())
    for _ in range(10):
        assert sync(tried).events == ("classifier_unavailable",)
    return asked


@pytest.mark.parametrize("error", [ConnectionError(), TimeoutError(), ClassifierUnavailable("down"), ModelMissing("x")])
def test_a_classifier_that_is_down_is_left_alone_for_a_while(error: Exception) -> None:
    assert asked_in_ten_calls(error) == 5


@pytest.mark.parametrize("error", [ValueError(), KeyError("x"), ClassifierUnsure("odd text")])
def test_prompts_that_a_classifier_chokes_on_do_not_switch_it_off(error: Exception) -> None:
    assert asked_in_ten_calls(error) == 10


def test_a_classifier_is_asked_again_when_it_has_had_its_rest() -> None:
    clock, down = FakeClock(), True

    def classify(_request: RouteRequest) -> float:
        if down:
            raise ConnectionError
        return 0.1

    tried = engine(classify, clock=clock)
    for _ in range(6):
        sync(tried)
    down = False
    assert sync(tried).reason == "default"
    clock.advance(31)
    assert sync(tried).reason == "classified"


def test_a_slow_async_classifier_leaves_time_to_answer() -> None:
    async def never(_request: RouteRequest) -> float:
        await asyncio.Event().wait()
        return 0.1

    for driver in (sync, asynchronous):
        record = driver(engine(never, deadline_s=0.2))
        assert (record.status, record.reason) == ("ok", "default")
        assert record.attempts[0].error == "TimeoutError"


def test_a_slow_blocking_classifier_leaves_time_to_answer() -> None:
    leave = threading.Event()

    def blocks(_request: RouteRequest) -> float:
        leave.wait()
        return 0.1

    record = sync(engine(blocks, deadline_s=0.2))
    assert (record.status, record.tier, record.reason) == ("ok", "frontier", "default")
    assert record.attempts[0].error == "TimeoutError"
    leave.set()


def test_what_a_classifier_reads_of_the_context_is_there_with_a_deadline_too() -> None:
    team = ContextVar("team", default="none")
    seen: list[str] = []

    def classify(_request: RouteRequest) -> float:
        seen.append(team.get())
        return 0.1

    team.set("a")
    assert sync(engine(classify, deadline_s=30)).reason == "classified"
    assert seen == ["a"]


async def test_a_blocking_classifier_does_not_block_the_loop() -> None:
    entered, leave = threading.Event(), threading.Event()

    def blocks(_request: RouteRequest) -> float:
        entered.set()
        leave.wait()
        return 0.1

    run = Run(engine(blocks), REQUEST)
    task = asyncio.create_task(adrive(run, performer()))
    await asyncio.to_thread(entered.wait)
    # The loop goes on while the classifier holds its thread.
    assert not task.done()
    leave.set()
    assert (await task).tier.name == "small"


async def test_a_sync_call_inside_a_running_loop_may_ask_async_classifiers_and_judges() -> None:
    async def judge(_request: RouteRequest, _answer: Answer) -> float:
        await asyncio.sleep(0)
        return 0.9

    record = sync(engine(async_callable, escalation=Confidence(judge=judge)))
    assert (record.reason, record.confidence) == ("classified", 0.9)


def test_what_is_asked_in_another_thread_sees_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def classify(_request: RouteRequest) -> float:
        seen.append(variable.get())
        return 0.1

    variable.set("the caller's")
    sync(engine(classify))
    assert seen == ["the caller's"]


def judged(judge: Any, driver: Driver = sync) -> RouteRecord:
    return driver(engine(escalation=Confidence(0.85, judge=judge)))


@both_ways
def test_the_judges_word_decides(driver: Driver) -> None:
    for value, tier in ((0.85, "small"), (0.84, "frontier"), (1, "small"), (0, "frontier"), (None, "frontier")):
        record = judged(lambda _request, _answer, value=value: value, driver)
        assert record.tier == tier
        assert record.attempts[0].confidence == value
        assert record.escalated == (tier == "frontier")
        assert [attempt.role for attempt in record.attempts if attempt.role == "judge"] == ["judge"]


@both_ways
@pytest.mark.parametrize("said", [said for said in GARBAGE if said is not None], ids=shown)
def test_a_judge_that_talks_garbage_keeps_the_answer(driver: Driver, said: Any) -> None:
    record = judged(lambda _request, _answer: said, driver)
    assert (record.tier, record.confidence, record.degraded) == ("small", None, False)
    assert record.events == ("judge_unavailable",)


@both_ways
def test_a_judge_that_breaks_keeps_the_answer(driver: Driver) -> None:
    def breaks(_request: RouteRequest, _answer: Answer) -> float:
        raise ZeroDivisionError

    async def breaks_later(_request: RouteRequest, _answer: Answer) -> float:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    for judge in (breaks, breaks_later):
        record = judged(judge, driver)
        assert (record.tier, record.events) == ("small", ("judge_unavailable",))
        assert record.attempts[1].error == "ZeroDivisionError"


def test_a_judge_that_never_ends_keeps_the_answer() -> None:
    async def never(_request: RouteRequest, _answer: Answer) -> float:
        await asyncio.Event().wait()
        return 0.1

    for driver in (sync, asynchronous):
        record = driver(engine(escalation=Confidence(judge=never), deadline_s=0.2))
        assert (record.status, record.tier, record.events) == ("ok", "small", ("judge_unavailable",))


def test_a_judge_may_be_an_object() -> None:
    class Judge:
        version = "judge-2"

        def __call__(self, _request: RouteRequest, _answer: Answer) -> Awaitable[float]:
            async def later() -> float:
                return 0.9

            return later()

    for driver in (sync, asynchronous):
        record = judged(Judge(), driver)
        assert (record.tier, record.confidence, record.calibrator_version) == ("small", 0.9, "judge-2")


@both_ways
def test_log_probabilities_are_read_without_an_attempt_of_their_own(driver: Any) -> None:
    sure = driver(engine(escalation=Confidence(0.85)), math.log(0.9))
    assert (sure.tier, round(sure.confidence or 0, 6), len(sure.attempts)) == ("small", 0.9, 1)
    assert sure.calibrator_version == GeometricMean().version
    unsure = driver(engine(escalation=Confidence(0.85)), math.log(0.5))
    assert (unsure.tier, unsure.confidence) == ("frontier", None)
    assert [round(attempt.confidence or 0, 6) for attempt in unsure.attempts] == [0.5, 0]
    assert unsure.attempts[0].fault == "low_confidence"


@both_ways
def test_a_calibrator_that_breaks_keeps_the_answer(driver: Any) -> None:
    class Breaks:
        version = "breaks"

        def __call__(self, _logprobs: Any) -> float:
            raise ZeroDivisionError

    record = driver(engine(escalation=Confidence(calibrator=Breaks())), -0.1)
    assert (record.tier, record.events) == ("small", ("judge_unavailable",))


def test_what_cannot_be_asked_is_refused_when_the_router_is_made() -> None:
    with pytest.raises(ConfigError, match=r"classifier='phi3:mini' must have score\(request\)"):
        engine("phi3:mini")


def test_a_class_is_no_classifier_before_it_is_made_one() -> None:
    with pytest.raises(ConfigError, match=r"classifier=EmbeddedClassifier is a class: .* EmbeddedClassifier\("):
        engine(EmbeddedClassifier)
    with pytest.raises(ConfigError, match="ChainClassifier: second=FewShotClassifier is a class"):
        ChainClassifier(EmbeddedClassifier(), FewShotClassifier)  # pyright: ignore[reportArgumentType]
    tiers = [Tier("small", "ollama:phi3:mini"), Tier("frontier", "openai:gpt-4.1")]
    for router in (RoutingChatModel, RoutingLLM):
        with pytest.raises(ConfigError, match="classifier=EmbeddedClassifier is a class"):
            router(tiers=tiers, classifier=EmbeddedClassifier)


@both_ways
def test_what_a_judge_takes_is_priced_and_counts_against_the_saving(driver: Driver) -> None:
    told = Judgement(0.9, Usage(2_000, 10), "gpt-4.1", "openai")
    record = judged(lambda _request, _answer: told, driver)
    by = next(attempt for attempt in record.attempts if attempt.role == "judge")
    assert (by.provider, by.model, by.usage) == ("openai", "gpt-4.1", Usage(2_000, 10))
    assert by.cost == Decimal("0.00408")
    assert by.price_id == "genai-prices:openai/gpt-4.1"
    assert record.cost == sum((attempt.cost or 0 for attempt in record.attempts), Decimal(0))
    assert record.saved == record.baseline - record.cost  # type: ignore[operator]
    assert record.confidence == 0.9


def test_a_judge_may_declare_its_own_prices() -> None:
    class Judging:
        input_price, output_price = "1", "10"

        async def __call__(self, _request: RouteRequest, _answer: Answer) -> Judgement:
            return Judgement(0.9, Usage(1_000, 100), "phi3:mini", "ollama")

    for driver in (sync, asynchronous):
        by = judged(Judging(), driver).attempts[-1]
        assert (by.role, by.cost, by.price_id) == ("judge", Decimal("0.002"), "judge")


@both_ways
def test_a_judges_model_without_a_price_is_unpriced(driver: Driver) -> None:
    record = judged(lambda _request, _answer: Judgement(0.9, Usage(2_000, 10), "mine", "ollama"), driver)
    assert (record.attempts[-1].price_id, record.cost, record.saved) == ("unpriced", None, None)


@both_ways
def test_a_classifiers_answer_that_is_of_no_use_is_paid_for(driver: Driver) -> None:
    class Unsure:
        input_price, output_price = "1", "10"

        def classify(self, _request: RouteRequest) -> Classification:
            error = ClassifierUnsure("prose")
            error.spent = Classification(float("nan"), Usage(1_000, 100), "phi3:mini", "ollama")
            raise error

        async def aclassify(self, request: RouteRequest) -> Classification:
            return self.classify(request)

        def score(self, request: RouteRequest) -> float:
            return self.classify(request).score

    by = driver(engine(Unsure())).attempts[0]
    assert (by.role, by.usage, by.cost, by.price_id) == (
        "classifier",
        Usage(1_000, 100),
        Decimal("0.002"),
        "classifier",
    )
