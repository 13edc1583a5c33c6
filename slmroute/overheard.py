"""What the models take that a classifier or a judge calls: noted as the calls begin, for not all of them end in time.

A call is worth an estimate of its prompt from its beginning on, and what was reported once it has ended. So nothing is
lost where a deadline or a cancellation cuts the asking, an answer is of no use, or several models are asked for one.
Classifiers and judges of our own tell of their calls here, as do the adapters of what they hear of their framework's.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from decimal import Decimal
from operator import index
from types import TracebackType
from typing import Self

from slmroute.context import Held
from slmroute.gate import Chunk
from slmroute.request import estimate_tokens
from slmroute.steps import COUNTS, MOST_TOKENS, SOURCES, Usage, with_told
from slmroute.told import Told
from slmroute.unanswered import handled, may_count

__all__ = ["Heard", "ModelCall", "begin", "hear", "listening"]


@dataclass(slots=True)
class ModelCall:
    """A call of a model within the asking of a classifier or a judge.

    Attributes:
        usage: Its tokens: an estimate until it has ended; None when nothing was taken.
        model: The model's name, as the provider reports it once it has answered.
        provider: Who serves it.
        asked_for: The model's name as it was asked for.
        own: Whether ``own_prices`` are the prices of this call, and no others'.
        own_prices: Dollars for a million input and output tokens, where whoever called it declares them.
        text: What its stream has generated so far, until it has ended.
        so_far: What its stream's chunks have told of its tokens so far.
        outside: What error was being handled as it began; see ``unanswered.handled``.
    """

    usage: Usage | None
    model: str | None = None
    provider: str | None = None
    asked_for: str | None = None
    own: bool = False
    own_prices: tuple[Decimal, Decimal] | None = None
    text: list[str] = field(default_factory=list[str], repr=False)
    so_far: Told = field(default_factory=Told)
    outside: int = field(default_factory=handled, repr=False, compare=False)

    @classmethod
    def of(cls, prompt: str, model: str | None, provider: str | None) -> Self:
        """Note a call as it begins, by its prompt and the model that is asked for."""
        return cls(Usage(estimate_tokens(prompt), source="estimated"), model, provider, model)

    @classmethod
    def told(cls, usage: object, model: object, provider: object) -> Self | None:
        """Read what a user's classifier or judge tells of a model that it called; None where that cannot be true."""
        read = _read(usage)
        if read is None or any(getattr(read, name) < 0 for name in COUNTS):
            return None
        possible = read.plausible if read.source == "reported" else read.adds_up
        return cls(read, _text(model), _text(provider)) if possible else None

    @classmethod
    def guessed(cls, tokens: int, usage: object, model: object, provider: object) -> Self:
        """Estimate a model's call of which a user's classifier or judge tells what cannot be true.

        Args:
            tokens: About how many tokens its prompt had.
            usage: What was told; what of it can be true is kept, as for a tier's call.
            model: The model's name.
            provider: Who served it.
        """
        guess, read = Usage(tokens, source="estimated"), _read(usage)
        return cls(guess if read is None else with_told(guess, read), _text(model), _text(provider))

    @property
    def taken(self) -> Usage | None:
        """Its tokens, and while it goes on, or where its stream was left, an estimate of what has come of it."""
        if self.usage is None or not self.text:
            return self.usage
        return replace(self.usage, output_tokens=estimate_tokens("".join(self.text)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)

    def end(self, told: Usage | None, text: str) -> None:
        """Note what it took: as reported where that can be true, as for a tier's call, or else estimated."""
        if told is None or (told.source == "reported" and not told.plausible):
            guess = replace(self.usage or Usage(source="estimated"), output_tokens=estimate_tokens(text))
            told = guess if told is None else with_told(guess, told)
        self.usage, self.text = told, []

    def hear(self, chunk: Chunk) -> None:
        """Note what a chunk of its stream brings: this much is paid for should it be left, be cut or break off."""
        self.text += (generated for generated in (chunk.text, chunk.unseen) if generated)
        self.so_far.take(chunk.usage, so_far=chunk.so_far, finished=chunk.finished)

    def fail(self, error: BaseException) -> None:
        """Note that no whole answer came: what did, and what the provider may count yet, stays as for a tier's call."""
        requests, taken = may_count(error, outside=self.outside), self.taken
        if taken is None or not (requests or self.text or self.so_far.usage):
            self.usage = None
        else:
            self.usage = self.so_far.put_into(taken, requests)
        self.text = []


def _read(usage: object) -> Usage | None:
    """Read whole numbers of tokens; None where there are none, or more than can be."""
    if not isinstance(usage, Usage):
        return None
    try:
        counts = {name: index(getattr(usage, name)) for name in COUNTS}
        if usage.source not in SOURCES or any(count >= MOST_TOKENS for count in counts.values()):
            return None
    except TypeError:  # no whole number, or no text
        return None
    return Usage(**counts, source=usage.source, service_tier=_text(usage.service_tier))


def _text(name: object) -> str | None:
    return name if isinstance(name, str) else None


Heard = list[ModelCall]
"""The calls of one asking. Each asking has a list of its own: what ends later changes no record."""

_heard: ContextVar[Heard | None] = ContextVar("slmroute_heard", default=None)


def listening(heard: Heard) -> Held[Heard | None]:
    """Have the calls of models that are made inside be noted."""
    return Held(_heard, heard)


def begin(
    tokens: int, model: str, prices: tuple[Decimal, Decimal] | None = None, elsewhere: Heard | None = None
) -> ModelCall:
    """Note that a model on Ollama is called, here and now.

    Args:
        tokens: About how many tokens its prompt has.
        model: The model's name.
        prices: What whoever calls it declares; None where it is to be priced by provider and model.
        elsewhere: Where to note it when no classifier or judge is asked here.

    Returns:
        The call, to be entered while it is made; its ``usage`` is to be set to what was reported.
    """
    usage = Usage(tokens, source="estimated")
    call = ModelCall(usage, model, "ollama", model, own=True, own_prices=prices)
    heard = hear()
    heard = elsewhere if heard is None else heard
    if heard is not None:
        heard.append(call)
    return call


def hear() -> Heard | None:
    """Give where the calls of models made here and now are noted; None where they are no classifier's or judge's."""
    return _heard.get()
