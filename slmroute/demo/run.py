"""The demo's run: a LangChain chain whose model is a router, over all requests, two at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from slmroute.classify.embedded import EmbeddedClassifier
from slmroute.context import route_context
from slmroute.demo.requests import Request, is_right
from slmroute.demo.small import SmallModel
from slmroute.errors import ConfigError, Misconfigured, MissingExtra, SlmrouteError
from slmroute.policy import Confidence
from slmroute.record import RouteRecord
from slmroute.tier import DRY_RUN, Tier

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

    from slmroute.classify.protocol import Classifier
    from slmroute.ledger import Ledger

__all__ = ["IN_FLIGHT", "SMALL_PRICES", "Outcome", "demo_chain", "frontier_tier", "run_requests", "small_tier"]

SMALL_PRICES: Final = ("0.05", "0.08")
"""Dollars for a million input and output tokens of the small tier: what a hosted 8B model lists at (Groq's
llama-3.1-8b-instant). The 135M model that may stand in for it costs less than that to run."""

FRONTIERS: Final = {"OPENAI_API_KEY": "openai:gpt-4.1", "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-4-6"}
"""The frontier model by the environment variable that holds its provider's key; the first also without one."""

IN_FLIGHT: Final = 2
"""Requests under way at a time. Latencies are measured with that many."""

LONGEST_SMALL_ANSWER: Final = 40
LONGEST_FRONTIER_ANSWER: Final = 1024

SYSTEM: Final = "You work for Tarnfell, a shop for outdoor gear. Do what is asked, as briefly as it can be done."


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one request.

    Attributes:
        request: What was asked.
        record: The call's record.
        answer: The answer's text; empty where there was none.
        right: Whether it is right; None where it is not graded: no answer is known, or none was generated.
        start: The tier that the router chose, whichever answered in the end.
    """

    request: Request
    record: RouteRecord
    answer: str = field(repr=False)
    right: bool | None
    start: str

    @property
    def agrees(self) -> bool:
        """Whether the router chose as a person would; who answered in the end does not count."""
        return (self.start == "small") == (self.request.tier == "simple")

    @property
    def local(self) -> bool:
        """Whether the call was to stay local: routed to the small tier, and not moved up after a weak answer."""
        return self.start == "small" and not self.record.escalated

    @property
    def as_routed(self) -> bool:
        """Whether the tier answered that the router wanted; not so where one was down or nothing came."""
        wanted = "small" if self.local else "frontier"
        return self.record.status == "ok" and not self.record.degraded and self.record.tier == wanted


def small_tier(model: SmallModel) -> Tier:
    """Make the small tier of a model that is served over Ollama's protocol."""
    settings = {"base_url": model.url, "temperature": 0, "num_predict": LONGEST_SMALL_ANSWER, "keep_alive": "10m"}
    price_in, price_out = SMALL_PRICES
    return Tier(
        "small",
        f"ollama:{model.name}",
        local=True,
        input_price=price_in,
        output_price=price_out,
        window=model.window,
        model_args=settings,
    )


def frontier_tier(environment: Mapping[str, str] = os.environ, *, dry_run: bool = False) -> Tier:
    """Make the frontier tier: a real model where a provider's key is set, else a dry run.

    Args:
        environment: Where keys are looked for; they are not read.
        dry_run: Whether to have a dry run in any case.
    """
    for key, model in FRONTIERS.items():
        if environment.get(key) and not dry_run:
            return Tier("frontier", model, model_args={"max_tokens": LONGEST_FRONTIER_ANSWER, "timeout": 120})
    return Tier("frontier", f"{DRY_RUN}{FRONTIERS['OPENAI_API_KEY']}")


def demo_chain(
    small: Tier,
    frontier: Tier,
    *,
    classifier: Classifier | None = None,
    ledger: Ledger | None = None,
    told: Callable[[RouteRecord], object],
) -> Runnable[dict[str, str], str]:
    """Make the chain: a prompt, the router, and a parser.

    Confidence is measured and kept (``Confidence(0)``), but moves nothing up: how often it would have caught wrong
    answers is for the summary to tell.

    Args:
        small: The cheap tier.
        frontier: The dear tier.
        classifier: Who tells simple from complex; None for the one that comes along.
        ledger: Where calls are written.
        told: Told of every call's record.

    Raises:
        MissingExtra: LangChain is not installed.
    """
    try:
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import ChatPromptTemplate

        from langchain_slmroute import RoutingChatModel
    except ImportError:
        raise MissingExtra("langchain", "The demo") from None
    model = RoutingChatModel(
        tiers=[small, frontier],
        classifier=classifier or EmbeddedClassifier(),
        escalation=Confidence(0.0, abort_below=0.0),
        ledger=ledger,
        hooks=[told],
    )
    prompt = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "{request}")])  # pyright: ignore[reportUnknownMemberType]
    return cast("Runnable[dict[str, str], str]", prompt | model | StrOutputParser())


def run_requests(
    requests: Sequence[Request],
    small: Tier,
    frontier: Tier,
    *,
    ledger: Ledger | None = None,
    done: Callable[[Outcome], object] = lambda _: None,
) -> list[Outcome]:
    """Send every request through the chain, the complex ones first: a frontier that refuses its key is known at once.

    Args:
        requests: What to send.
        small: The cheap tier.
        frontier: The dear tier.
        ledger: Where calls are written, with what is known of their answers as feedback.
        done: Called with each outcome as it comes, in this thread.

    Returns:
        The outcomes, in the requests' order; also of requests that got no answer, as a tier was down.

    Raises:
        ConfigError: A tier's settings are wrong.
        Misconfigured: A tier refuses its key.
        SlmrouteError: No request at all was answered.
    """
    records = _Records()
    classifier = EmbeddedClassifier()
    chain = demo_chain(small, frontier, classifier=classifier, ledger=ledger, told=records.add)
    outcomes: dict[str, Outcome] = {}
    errors: list[BaseException] = []

    def ask(request: Request) -> str:
        _asked.set(request.id)
        with route_context(key=request.team, tags=[f"category:{request.kind}"]):
            return chain.invoke({"request": request.prompt})

    def outcome_of(request: Request, future: Future[str]) -> Outcome:
        error = future.exception()
        if isinstance(error, ConfigError | Misconfigured):
            raise error
        record = records.take(request.id)
        if error is not None and record.status != "error":
            raise error
        if error is not None:
            errors.append(error)
        answer = "" if error is not None else future.result()
        graded = error is None and (record.tier == "small" or not frontier.dry_run)
        right = is_right(request, answer) if graded else None
        if ledger is not None and right is not None:
            ledger.feedback(record.call_id, right, source="demo")
        above = record.score is None or record.score > classifier.threshold
        start = frontier.name if above else small.name
        return Outcome(request=request, record=record, answer=answer, right=right, start=start)

    hardest_first = sorted(requests, key=lambda request: request.tier == "simple")
    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="slmroute-demo") as pool:
        waiting = {pool.submit(copy_context().run, ask, request): request for request in hardest_first}
        try:
            for future in as_completed(waiting):
                outcome = outcome_of(waiting[future], future)
                outcomes[outcome.request.id] = outcome
                done(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if errors and len(errors) == len(requests):
        raise SlmrouteError(
            f"No request was answered, of {len(requests)} ({type(errors[-1]).__name__}): `slmroute doctor` "
            "tries each tier and tells how to mend it."
        ) from errors[-1]
    return [outcomes[request.id] for request in requests]


_asked: ContextVar[str] = ContextVar("slmroute_demo_request")


class _Records:
    """The records that the router's hook was told of, by request: hooks see the context of their call."""

    def __init__(self) -> None:
        self._records: dict[str, RouteRecord] = {}
        self._changed = threading.Condition()

    def add(self, record: RouteRecord) -> None:
        with self._changed:
            self._records[_asked.get()] = record
            self._changed.notify_all()

    def take(self, request_id: str) -> RouteRecord:
        """Give a request's record; a hook may be told of it a moment after the answer is there."""
        with self._changed:
            self._changed.wait_for(lambda: request_id in self._records, timeout=10)
            return self._records.pop(request_id)
