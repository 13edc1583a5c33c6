"""One attempt of a call, while it lasts: what is written down of it as things happen."""

from __future__ import annotations

from dataclasses import dataclass, field

from slmroute.costs import Within
from slmroute.gate import Chunk
from slmroute.health import Permit
from slmroute.price import FREE, Priced
from slmroute.record import AttemptRecord, Role
from slmroute.steps import Answer, Usage
from slmroute.tier import Tier
from slmroute.told import Told
from slmroute.unanswered import handled

__all__ = ["Attempt"]


@dataclass(slots=True)
class Attempt:
    """One attempt while it lasts, and its measures afterwards.

    Attributes:
        told: What a stream's chunks have told of its tokens so far.
        last_usage: The tokens of the request that was answered, of which ``usage`` may hold others beside.
        answers: The answers of its requests, as far as the adapter hears of each. Once it has answered itself, the last
            one is its own; before that it may have been asked again.
        outside: What error was being handled as it began; see ``unanswered.handled``.
        waited: How many requests before the last may count though no answer came, where the adapter hears of it.
    """

    name: str
    started: float
    tier: Tier | None = None
    permit: Permit | None = field(default=None, repr=False)
    role: Role = "failed"
    provider: str | None = None
    model: str | None = None
    usage: Usage | None = None
    last_usage: Usage | None = None
    priced: Priced = FREE
    confidence: float | None = None
    fault: str | None = None
    first_token: float | None = None
    ended: float | None = None
    machine_mark: float | None = None
    busy_s: float | None = None
    error: str | None = None
    answer: Answer | None = field(default=None, repr=False)
    shown: bool = False
    aborted: bool = False
    text: list[str] = field(default_factory=list[str], repr=False)
    held: list[object] = field(default_factory=list[object], repr=False)
    told: Told = field(default_factory=Told)
    draft_tokens: int = 0
    answers: list[Answer] = field(default_factory=list[Answer], repr=False)
    waited: int | None = None
    outside: int = field(default_factory=handled, repr=False)
    within: Within = field(default_factory=Within, repr=False)

    def take(self, chunk: Chunk) -> None:
        """Note what a chunk of a stream brings: what was generated, and what the provider tells of it."""
        self.held.append(chunk.native)
        self.hear(chunk)

    def hear(self, chunk: Chunk) -> None:
        """Note what is generated, and told of it, of an answer that may never come whole."""
        self.text += (generated for generated in (chunk.text, chunk.unseen) if generated)
        self.told.take(chunk.usage, so_far=chunk.so_far, finished=chunk.finished)

    def end_request(self, answer: Answer) -> None:
        """Note the answer of one of its requests."""
        self.answers.append(answer)
        self.text, self.told = [], Told()
        self.ask_again(0)

    def ask_again(self, unanswered: int) -> None:
        """Note how many requests of the round before count though no answer came, should there be another round."""
        self.waited = (self.waited or 0) + unanswered

    def record(self, began: float) -> AttemptRecord:
        """Freeze it; ``began`` is when its call did."""
        ended = self.started if self.ended is None else self.ended
        return AttemptRecord(
            role=self.role,
            tier=self.name,
            provider=self.provider,
            model=self.model,
            usage=self.usage,
            price_id=self.priced.price_id,
            hour_price=self.priced.hour_price,
            cost=self.priced.cost,
            machine_cost=self.priced.machine_cost,
            dry_run=self.tier is not None and self.tier.dry_run,
            confidence=self.confidence,
            fault=self.fault,
            started_ms=(self.started - began) * 1000,
            ttft_ms=None if self.first_token is None else (self.first_token - self.started) * 1000,
            total_ms=(ended - self.started) * 1000,
            error=self.error,
        )
