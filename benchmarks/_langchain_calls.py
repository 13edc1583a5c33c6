"""The measuring itself; runs where the peers are installed."""

from __future__ import annotations

import asyncio
import io
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

from cascadeflow.integrations.langchain import CascadeFlow
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_model_router import ChatRouter, HeuristicStrategy

from langchain_slmroute import RoutingChatModel
from slmroute import EmbeddedClassifier, RouteRequest, Tier

SHORT = "Classify the sentiment of this review as positive or negative: I loved every minute of it."
LONG = ("The parcel arrived late and the box was wet, but the lamp works well. " * 340)[:23_000] + "\n\n" + SHORT
HUGE = ("The parcel arrived late and the box was wet, but the lamp works well. " * 15_000)[:1_000_000] + "\n\n" + SHORT
BLOCK = 20
"""How many pairs of one model are measured before another's turn."""
USAGE = {"input_tokens": 20, "output_tokens": 1, "total_tokens": 21}

Models = Mapping[str, BaseChatModel]
Turn = tuple[str, str, BaseChatModel]
"""Beside which model a call is made, whose call it is, and the model to call."""
Order = Callable[[Models, int], Iterator[Turn]]


class Instant(BaseChatModel):
    """Answers at once."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("positive", usage_metadata=USAGE))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages)

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk("positive"))
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=USAGE, chunk_position="last"))

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream(messages):
            yield chunk


class Constant:
    """A classifier that says the same of everything."""

    def score(self, request: RouteRequest) -> float:
        return 0.1

    async def ascore(self, request: RouteRequest) -> float:
        return 0.1


def router(**settings: Any) -> RoutingChatModel:
    """A router of two instant tiers."""
    small = Tier("small", Instant(), local=True, input_price="0.05", output_price="0.08")
    return RoutingChatModel(tiers=[small, Tier("big", Instant(), input_price="2", output_price="8")], **settings)


def peers() -> dict[str, BaseChatModel]:
    """The peers, as their documentation sets them up."""
    strategy = HeuristicStrategy("small", "big")
    routes: dict[str, BaseChatModel] = {"small": Instant(), "big": Instant()}
    return {
        "langchain-model-router": ChatRouter(routes=routes, default_route="big", strategy=strategy),
        "cascadeflow": CascadeFlow(drafter=Instant(), verifier=Instant()),
    }


def added_us(models: Models, prompt: str, rounds: int, order: Order | None = None) -> dict[str, float]:
    """Microseconds that each adds to the bare model's ``invoke``."""
    taken = Taken()
    with redirect_stdout(io.StringIO()):  # one of the peers prints a warning with every call
        for beside, name, model in (order or in_pairs)(models, rounds):
            start = time.perf_counter()
            model.invoke(prompt)
            taken.note(beside, name, time.perf_counter() - start)
    return taken.added_us()


async def aadded_us(models: Models, prompt: str, rounds: int) -> dict[str, float]:
    """The same for ``ainvoke``."""
    taken = Taken()
    with redirect_stdout(io.StringIO()):
        for beside, name, model in in_pairs(models, rounds):
            start = time.perf_counter()
            await model.ainvoke(prompt)
            taken.note(beside, name, time.perf_counter() - start)
    return taken.added_us()


def first_token_us(models: Models, rounds: int) -> dict[str, float]:
    """Microseconds that each adds to the time to the first visible token of ``stream``, with no draft made."""
    taken = Taken()
    for beside, name, model in in_pairs(models, rounds):
        start = time.perf_counter()
        for chunk in model.stream(SHORT):
            if chunk.text:
                taken.note(beside, name, time.perf_counter() - start)
                break
    return taken.added_us()


def in_pairs(models: Models, rounds: int) -> Iterator[Turn]:
    """Give a call of the bare model beside each of a model's, some pairs of one model and then of the next.

    What runs before a call leaves the processor's caches warm or cold for it: so that no model pays for another's
    calls, it is preceded by its own. What else the machine does meets all of them, for they take turns all the time.
    """
    bare, drawn, block = Instant(), random.Random(0), min(BLOCK, rounds)
    for _ in range(rounds // block):
        for name, model in drawn.sample(list(models.items()), len(models)):
            for _ in range(block):
                pair = [(name, "bare", bare), (name, name, model)]
                drawn.shuffle(pair)
                yield from pair


def in_turn(models: Models, rounds: int) -> Iterator[Turn]:
    """Give one call of each in an order drawn anew each round: what the others leave of the caches is cold."""
    turns = [("all", "bare", Instant()), *(("all", name, model) for name, model in models.items())]
    drawn = random.Random(0)
    for _ in range(rounds):
        drawn.shuffle(turns)
        yield from turns


class Taken:
    """Times in seconds: of each model, and of the bare model beside it."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[float]] = {}

    def note(self, beside: str, name: str, seconds: float) -> None:
        """Note what a call took."""
        self._times.setdefault((beside, name), []).append(seconds)

    def added_us(self) -> dict[str, float]:
        """Give the bare model's median in microseconds, and what the others' add to that of the calls beside them."""
        medians = {key: statistics.median(times) * 1e6 for key, times in self._times.items()}
        bare = statistics.median(median for (_, name), median in medians.items() if name == "bare")
        added = {name: median - medians[beside, "bare"] for (beside, name), median in medians.items() if name != "bare"}
        return {"bare": bare, **dict(sorted(added.items(), key=lambda each: not each[0].startswith("slmroute")))}


async def crowd(model: BaseChatModel, count: int) -> list[float]:
    """Milliseconds of each of many concurrent ``ainvoke``; asserts that each got a record of its own."""

    async def one(number: int) -> tuple[float, AIMessage]:
        start = time.perf_counter()
        message = await model.ainvoke(f"{SHORT} Number {number}.", config={"tags": [str(number)]})
        return (time.perf_counter() - start) * 1e3, message

    results = await asyncio.gather(*(one(number) for number in range(count)))
    ids = {message.response_metadata["slmroute"]["call_id"] for _, message in results}
    assert len(ids) == count, "two calls share a record"
    return [ms for ms, _ in results]


async def longest_pause_ms(work: Callable[[], Awaitable[object]]) -> float:
    """The longest that an event loop was held up while something was awaited, in milliseconds."""
    longest, running = 0.0, True

    async def watch() -> None:
        nonlocal longest
        while running:
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, (time.perf_counter() - start - 0.001) * 1e3)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0.01)
    longest = 0.0
    await work()
    running = False
    await watcher
    return longest


def show(title: str, figures: dict[str, float], unit: str = "us") -> None:
    """Print a line of figures."""
    print(
        f"{title:<36}"
        + "  ".join(f"{name} {'' if name == 'bare' else '+'}{v:,.0f} {unit}" for name, v in figures.items())
    )


def main() -> None:
    """Measure and print."""
    constant, embedded = router(classifier=Constant()), router()
    others = peers()
    print("What each adds to the bare model's time: medians of calls in pairs with the bare model's, all in one run.")
    show("invoke, machinery only", added_us({"slmroute": constant, **others}, SHORT, 1500))
    show("the same, one call of each in turn", added_us({"slmroute": constant, **others}, SHORT, 1500, in_turn))
    working = {"slmroute (embedded)": embedded, **others}
    show("invoke, classifying, short", added_us(working, SHORT, 800))
    show("invoke, classifying, 23 kB", added_us(working, LONG, 30))
    show("invoke, classifying, 1 MB", added_us({"slmroute (embedded)": embedded}, HUGE, 60))
    show("ainvoke, machinery only", asyncio.run(aadded_us({"slmroute": constant, **others}, SHORT, 800)))
    show("ainvoke, classifying, short", asyncio.run(aadded_us({"slmroute (embedded)": embedded}, SHORT, 500)))
    show("first token of stream", first_token_us({"slmroute": constant, "slmroute (embedded)": embedded}, 500))

    async def crowded() -> None:
        bare = sorted(await _times(Instant(), 1000))
        routed = sorted(await crowd(constant, 1000))
        p99 = routed[990] - bare[990]
        print(
            f"1,000 concurrent ainvokes, every record its own: p99 {routed[990]:.0f} ms, "
            f"bare {bare[990]:.0f} ms, added {p99:.0f} ms"
        )

    asyncio.run(crowded())
    classifier = EmbeddedClassifier()
    classifier.score(RouteRequest.from_text("load the weights"))
    request = RouteRequest.from_text(HUGE)
    start = time.perf_counter()
    classifier.score(request)
    alone = (time.perf_counter() - start) * 1e3
    pause = asyncio.run(longest_pause_ms(lambda: classifier.ascore(request)))
    print(f"classifying 1 MB takes {alone:.1f} ms; asynchronously it held the event loop up for {pause:.1f} ms at most")


async def _times(model: BaseChatModel, count: int) -> list[float]:
    async def one(number: int) -> float:
        start = time.perf_counter()
        await model.ainvoke(f"{SHORT} Number {number}.")
        return (time.perf_counter() - start) * 1e3

    return list(await asyncio.gather(*(one(number) for number in range(count))))


if __name__ == "__main__":
    main()
