"""The demo's run: a LangChain chain whose model is a router, over all requests, two at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from slmroute.context import route_context
from slmroute.demo.requests import Request, is_right
from slmroute.demo.small import SmallModel
from slmroute.errors import MissingExtra
from slmroute.policy import Confidence
from slmroute.record import RouteRecord
from slmroute.tier import DRY_RUN, Tier

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

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
        answer: The answer's text.
        right: Whether it is right; None where it is not graded: no answer is known, or none was generated.
    """

    request: Request
    record: RouteRecord
    answer: str = field(repr=False)
    right: bool | None

    @property
    def agrees(self) -> bool:
        """Whether the call went where a person would have sent it; what escalated later does not count."""
        first = next((attempt.tier for attempt in self.record.attempts if attempt.role != "classifier"), None)
        return (first == "small") == (self.request.tier == "simple")


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
    small: Tier, frontier: Tier, *, ledger: Ledger | None = None, told: Callable[[RouteRecord], object]
) -> Runnable[dict[str, str], dict[str, Any]]:
    """Make the chain: a prompt, the router, and a parser, beside the router's record of the call.

    Confidence is measured and kept (``Confidence(0)``), but moves nothing up: how often it would have caught wrong
    answers is for the summary to tell.

    Args:
        small: The cheap tier.
        frontier: The dear tier.
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
        escalation=Confidence(0.0, abort_below=0.0),
        ledger=ledger,
        hooks=[told],
    )
    prompt = ChatPromptTemplate.from_messages([("system", SYSTEM), ("human", "{request}")])  # pyright: ignore[reportUnknownMemberType]
    both: Any = {"answer": StrOutputParser(), "call": _routed}
    return cast("Runnable[dict[str, str], dict[str, Any]]", prompt | model | both)


def run_requests(
    requests: Sequence[Request],
    small: Tier,
    frontier: Tier,
    *,
    ledger: Ledger | None = None,
    done: Callable[[Outcome], object] = lambda _: None,
) -> list[Outcome]:
    """Send every request through the chain.

    Args:
        requests: What to send, in order.
        small: The cheap tier.
        frontier: The dear tier.
        ledger: Where calls are written, with what is known of their answers as feedback.
        done: Called with each outcome as it comes, in this thread.

    Returns:
        The outcomes, in the requests' order.
    """
    records = _Records()
    chain = demo_chain(small, frontier, ledger=ledger, told=records.add)
    outcomes: dict[str, Outcome] = {}

    def ask(request: Request) -> Outcome:
        with route_context(key=request.team, tags=[f"category:{request.kind}"]):
            found = chain.invoke({"request": request.prompt})
        record = records.take(found["call"])
        graded = record.tier == "small" or not frontier.dry_run
        right = is_right(request, found["answer"]) if graded else None
        if ledger is not None and right is not None:
            ledger.feedback(record.call_id, right, source="demo")
        return Outcome(request=request, record=record, answer=found["answer"], right=right)

    with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="slmroute-demo") as pool:
        waiting = {pool.submit(ask, request): request for request in requests}
        try:
            for future in as_completed(waiting):
                outcome = future.result()
                outcomes[outcome.request.id] = outcome
                done(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcomes[request.id] for request in requests]


def _routed(message: Any) -> str:
    return message.response_metadata["slmroute"]["call_id"]


class _Records:
    """The records that the router's hook was told of, by call."""

    def __init__(self) -> None:
        self._records: dict[str, RouteRecord] = {}
        self._changed = threading.Condition()

    def add(self, record: RouteRecord) -> None:
        with self._changed:
            self._records[record.call_id] = record
            self._changed.notify_all()

    def take(self, call_id: str) -> RouteRecord:
        """Give a call's record; a hook may be told of it a moment after the answer is there."""
        with self._changed:
            self._changed.wait_for(lambda: call_id in self._records, timeout=10)
            return self._records.pop(call_id)
