"""What the flow asks of its driver, and what it gets back.

The flow is a generator that yields ``Classify``, ``Call``, ``Judge`` and ``Reject`` and is sent the matching reply.
Everything that crosses is frozen and belongs to no framework, but for ``Answer.native``, which only the adapter that
made it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from slmroute.request import RouteRequest
from slmroute.tier import Tier

__all__ = [
    "ABORTED",
    "CONTENT_FILTER",
    "COUNTS",
    "CUT_SHORT",
    "LOW_CONFIDENCE",
    "SOURCES",
    "Answer",
    "Call",
    "Classify",
    "Decision",
    "Failure",
    "FailureKind",
    "Judge",
    "Mode",
    "Reject",
    "Reply",
    "Scored",
    "Step",
    "ToolCall",
    "Usage",
    "Verdict",
    "greatest",
    "summed",
    "with_told",
]

Mode = Literal["text", "tools", "structured"]

FailureKind = Literal[
    "unavailable", "overloaded", "too_long", "unable", "misconfigured", "not_admitted", "deadline", "over_budget"
]
"""Why a tier gave no answer: it is down; it asks to wait; the prompt is over its window; its model cannot do what the
call needs; it refused our credentials or has no such model; its breaker is open and it was not called at all; the
call's time ran out; the budget forbids it."""


ABORTED: Final = "aborted"

LOW_CONFIDENCE: Final = "low_confidence"
"""The fault of an answer that nothing is wrong with but its confidence."""

CONTENT_FILTER: Final = "content_filter"
"""How an answer ends that a provider's content filter withheld."""


CUT_SHORT: Final = frozenset({"length", "max_tokens", "MAX_TOKENS"})
"""How the providers say that an answer ended because it was as long as it may be."""


MOST_TOKENS: Final = 10**12
"""More than any call takes: a count of as many, or more, cannot be true."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one model call.

    Attributes:
        input_tokens: All tokens of the prompt, cached ones included.
        output_tokens: All tokens generated, reasoning included.
        cached_tokens: Those of ``input_tokens`` read from the provider's cache.
        cache_write_tokens: Those of ``input_tokens`` written to it.
        reasoning_tokens: Those of ``output_tokens`` spent on reasoning.
        source: Whether the provider reported the numbers or they are estimated from the text's length;
            ``cached`` when an answer came from a cache and nothing was called.
        cache_write_1h_tokens: Those of ``cache_write_tokens`` that are kept for an hour, which is dearer.
        audio_input_tokens: Those of ``input_tokens`` that are sound, which has prices of its own.
        audio_output_tokens: Those of ``output_tokens`` that are sound.
        service_tier: The provider's class of service where it is not the usual one: ``flex`` or ``priority``.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: Literal["reported", "estimated", "cached"] = "reported"
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    service_tier: str | None = None

    @property
    def plausible(self) -> bool:
        """Whether an answered call can have these numbers: a prompt has tokens, and parts fit into their whole.

        More than any model takes are a provider's mistake, and one such answer would drown all others in a bill.
        """
        return self.input_tokens > 0 and self.adds_up and max(self.input_tokens, self.output_tokens) < MOST_TOKENS

    @property
    def adds_up(self) -> bool:
        """Whether parts fit into their whole; what does not has no price."""
        return (
            self.cached_tokens >= 0
            and self.cached_tokens + self.cache_write_tokens <= self.input_tokens
            and 0 <= self.cache_write_1h_tokens <= self.cache_write_tokens
            and 0 <= self.audio_input_tokens <= self.input_tokens
            and 0 <= self.audio_output_tokens <= self.output_tokens
            and self.reasoning_tokens >= 0
        )


COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)
"""The names of what ``Usage`` counts."""

SOURCES: Final = frozenset({"reported", "estimated", "cached"})
"""What ``Usage.source`` may be."""


def summed(first: Usage | None, second: Usage | None) -> Usage | None:
    """Add the tokens of two model calls up, where both took some: what came from a cache took none."""
    if first is None or (second is not None and first.source == "cached"):
        return second
    if second is None or second.source == "cached":
        return first
    counts: dict[str, int] = {name: getattr(first, name) + getattr(second, name) for name in COUNTS}
    source = "reported" if first.source == second.source == "reported" else "estimated"
    same = first.service_tier if first.service_tier == second.service_tier else None
    return Usage(**counts, source=source, service_tier=same)


def greatest(first: Usage | None, second: Usage) -> Usage:
    """Give of each count the greatest, where what has been used so far is told again and again, or part by part."""
    if first is None:
        return second
    counts: dict[str, int] = {name: max(getattr(first, name), getattr(second, name)) for name in COUNTS}
    return Usage(**counts, source=second.source, service_tier=first.service_tier or second.service_tier)


def with_told(guess: Usage, told: Usage, *, closing: bool = False) -> Usage:
    """Put what was told of a call's tokens into an estimate of them, as far as it can be true.

    Args:
        guess: The estimate.
        told: What was told.
        closing: Whether it was told after the end of the answer: then it is what the call took, and nothing is guessed.
    """
    if closing and told.plausible and (told.output_tokens or not guess.output_tokens):
        return told
    output_tokens = max(guess.output_tokens, told.output_tokens if told.output_tokens < MOST_TOKENS else 0)
    if not 0 < told.input_tokens < MOST_TOKENS:
        return replace(guess, output_tokens=output_tokens)
    found = replace(told, output_tokens=output_tokens, reasoning_tokens=0, audio_output_tokens=0, source=guess.source)
    return found if found.plausible else replace(guess, input_tokens=told.input_tokens, output_tokens=output_tokens)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model asked for.

    Attributes:
        name: The tool's name as the model wrote it.
        arguments: The arguments, or None where the model wrote no valid JSON object.
    """

    name: str
    arguments: dict[str, object] | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tier answered.

    Attributes:
        text: The text of it. Never in the repr.
        tool_calls: The tool calls of it.
        parsed: Whether a structured answer could be parsed: None where none was asked for.
        usage: Its tokens, or None when they are neither reported nor estimated yet.
        logprobs: The log-probability of each token that it is judged by, or None where the provider gives none: of
            each generated token, or where it calls tools of those of their arguments.
        margins: How far each of them was ahead of the likeliest other one, where that is known.
        finish: Why generation ended, in the provider's word, for example ``stop`` or ``length``; ``ABORTED`` when the
            gate broke the stream off.
        model: The model's name as the provider reports it.
        provider: The provider's name, for prices.
        shown: Whether the caller has already seen it, or the start of it, in a stream.
        native: The adapter's own message, or list of chunks.
    """

    text: str = field(default="", repr=False)
    tool_calls: tuple[ToolCall, ...] = field(default=(), repr=False)
    parsed: bool | None = None
    usage: Usage | None = None
    logprobs: tuple[float, ...] | None = field(default=None, repr=False)
    margins: tuple[float, ...] | None = field(default=None, repr=False)
    finish: str | None = None
    model: str | None = None
    provider: str | None = None
    shown: bool = False
    native: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Classify:
    """Ask the classifier for the request's complexity. Replied to with ``Scored``."""

    request: RouteRequest


@dataclass(frozen=True, slots=True)
class Scored:
    """What the classifier said.

    Attributes:
        score: P(the task is complex) in [0, 1]; None when it could not be asked or is not to be trusted.
        shared: Whether another call of the scope, made at the same time, has asked for it: its decision holds here.
    """

    score: float | None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a tier to answer. Replied to with ``Answer`` or ``Failure``.

    Attributes:
        tier: The tier to ask.
        mode: What kind of answer is wanted.
        draft: A weak answer to show the tier as context, or None.
        hold: Whether the answer may still be rejected for its confidence, so that a stream must not show it at once.
        forced: Whether this is the last tier left, which is called even when its breaker is open.
        last: Whether what it answers is taken, whatever it is, so that a stream holds nothing: no other tier is left
            above it, and there is no sound weak answer.
        reason: Why the call started where it started; see ``Decision.reason``.
    """

    tier: Tier
    mode: Mode = "text"
    draft: str | None = field(default=None, repr=False)
    hold: bool = False
    forced: bool = False
    last: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A tier gave no answer.

    Attributes:
        kind: Why.
        error: The provider's error, unchanged; None when the tier was not called. Of the budget, its own.
        shown: Whether the caller has already seen a part of the answer, which makes it final.
        barred: The tiers that the budget forbids for the rest of the call, this one included.
    """

    kind: FailureKind
    error: Exception | None = None
    shown: bool = False
    barred: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask how confident one may be in an answer. Replied to with ``Verdict``."""

    request: RouteRequest
    tier: Tier
    answer: Answer


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good an answer is thought to be.

    Attributes:
        confidence: P(the answer is good) in [0, 1], or None when it is unknown.
        broken: Whether the judge failed; a good answer is then not thrown away.
    """

    confidence: float | None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """Note what is wrong with an answer, so that the record can say so. Replied to with None.

    Attributes:
        answer: The answer; it may be given all the same, where nothing better comes.
        fault: Why: ``low_confidence``, ``aborted``, or a name out of ``validate.FAULTS``.
    """

    answer: Answer
    fault: str


Step = Classify | Call | Judge | Reject
Reply = Scored | Answer | Failure | Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the flow came to.

    Attributes:
        answer: The answer to give.
        tier: The tier that gave it.
        reason: Why the call started where it started: ``explicit``, ``tool_loop``, ``scope``, ``rule``, ``classified``,
            ``default`` (the classifier could not be asked), ``cheapest`` (there is none) or ``only`` (one tier can).
        score: The classifier's, or None.
        confidence: The judge's of the answer given, or None when it was not judged.
        escalated: Whether a weak answer moved the call up.
        degraded: Whether the answer is known to be weaker than wanted, because a better tier failed.
    """

    answer: Answer
    tier: Tier
    reason: str
    score: float | None = None
    confidence: float | None = None
    escalated: bool = False
    degraded: bool = False
