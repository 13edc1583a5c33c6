"""Agreement: a model is asked the same again, and an answer that it would give again is likely right."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from statistics import mean
from typing import TYPE_CHECKING, Final

from slmroute.classify.few_shot_prompt import bounded
from slmroute.errors import ConfigError
from slmroute.ollama_address import OllamaAddress
from slmroute.overheard import begin
from slmroute.policy import Judgement
from slmroute.price import own_prices
from slmroute.request import RouteRequest, estimate_tokens
from slmroute.steps import Answer, Usage, summed
from slmroute.tier import Money

if TYPE_CHECKING:
    from ollama import ChatResponse

__all__ = ["Agreement", "likeness"]

WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""A word; scripts without spaces between words are compared character by character."""
THOUGHTS: Final = re.compile(r"<think>.*?</think>", re.DOTALL)
"""What some models write before they answer."""


class Agreement:
    """A judge that asks a language model on Ollama the same again, some times over, and compares.

    The confidence is the mean likeness of the answer to the samples: their common words, as F1. That a model's samples
    agree where it knows and scatter where it does not is the finding of Wang et al., "Self-Consistency Improves Chain
    of Thought Reasoning in Language Models" (2022), https://arxiv.org/abs/2203.11171, and of Manakul et al.,
    "SelfCheckGPT" (2023), https://arxiv.org/abs/2303.08896. It fits short answers: two good poems have few words in
    common. The numbers are not calibrated, so have ``calibrator=`` put them right.

    The model is asked with the request's text alone, without the conversation before it. An answer without text, such
    as a tool call, has no confidence.

    Args:
        model: The model's name on the server; as a rule the one that answers.
        host: The server's address; None for ``OLLAMA_HOST``, and port 11434 of this machine where that is not set.
        samples: How many answers are compared: each costs a call.
        temperature: What the samples are drawn with.
        max_tokens: How long a sample may be.
        max_bytes: How much of the request the model sees, of head and tail, in bytes of UTF-8.
        calibrator: Called with the mean likeness, it gives P(the answer is good); by default the likeness itself.
        timeout_s: Seconds that each sample may take.
        num_ctx: The context in tokens, sent with every request; where the model answers calls, too, give what they
            are sent with, for Ollama loads a model anew whenever this changes.
        keep_alive: How long the server keeps the model in memory after a request, as Ollama writes it.
        input_price: Dollars for a million input tokens, if sampling is to cost something.
        output_price: Dollars for a million output tokens.

    Raises:
        ConfigError: A setting is wrong; the message names it.

    Example:
        >>> from slmroute import Confidence
        >>> escalation = Confidence(0.7, judge=Agreement("llama3.1:8b", samples=3))
    """

    def __init__(
        self,
        model: str,
        *,
        host: str | None = None,
        samples: int = 3,
        temperature: float = 0.8,
        max_tokens: int = 256,
        max_bytes: int = 8000,
        calibrator: Callable[[float], float] | None = None,
        timeout_s: float = 30.0,
        num_ctx: int = 4096,
        keep_alive: str | float = "30m",
        input_price: Money | None = None,
        output_price: Money | None = None,
    ) -> None:
        if not model:
            raise ConfigError("Agreement(model=) must name a model, for example 'llama3.1:8b'.")
        for setting, value in (
            ("samples", samples),
            ("temperature", temperature),
            ("max_tokens", max_tokens),
            ("timeout_s", timeout_s),
            ("num_ctx", num_ctx),
        ):
            if not 0 < value < math.inf:
                raise ConfigError(f"Agreement({model!r}): {setting}={value!r} must be a number above zero.")
        for setting, value in (("samples", samples), ("max_bytes", max_bytes)):
            if not isinstance(value, int) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(f"Agreement({model!r}): {setting}={value!r} must be a whole number above zero.")
        self.model = model
        self.samples = samples
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        self.calibrator = calibrator
        self.input_price, self.output_price = input_price, output_price
        self._prices = own_prices(self, f"Agreement({model!r})")
        self._address = OllamaAddress(host)
        self._options = {"temperature": temperature, "num_predict": max_tokens, "num_ctx": num_ctx}
        self._keep_alive = keep_alive

    def __repr__(self) -> str:
        return f"Agreement({self.model!r}, host={self._address.url!r}, samples={self.samples})"

    @property
    def version(self) -> str:
        """What the ledger notes."""
        return f"agreement:{self.model}:{self.samples}"

    def __call__(self, request: RouteRequest, answer: Answer) -> Judgement:
        """Judge an answer.

        Args:
            request: The call; the model is asked with its text.
            answer: What a tier answered.

        Returns:
            The confidence, None where there is no text to compare, and the tokens it took. Samples that do not come
            count for nothing as long as there is one.

        Raises:
            ollama.ResponseError: The server refused, for example for want of the model.
            ConnectionError: There is no server.
            httpx.TimeoutException: Each sample took longer than ``timeout_s``.
        """
        import httpx
        import ollama

        if not answer.text.strip() or not request.text.strip():
            return Judgement(None)
        found: list[float] = []
        usage: Usage | None = None
        text = bounded(request.text, self.max_bytes)
        for number in range(self.samples):
            try:
                with begin(estimate_tokens(text), self.model, self._prices) as call:
                    sample = self._address.chat(self._body(text, number), self.timeout_s)
                    call.usage = taken(sample, text)
            except (ollama.ResponseError, ConnectionError, httpx.TransportError):
                if number + 1 == self.samples and not found:
                    raise
                continue
            found.append(likeness(answer.text, THOUGHTS.sub("", sample.message.content or "")))
            usage = summed(usage, taken(sample, text))
        confidence = mean(found) if self.calibrator is None else self.calibrator(mean(found))
        return Judgement(confidence, usage, self.model, "ollama")

    def _body(self, text: str, number: int) -> dict[str, object]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": text}],
            "options": {**self._options, "seed": number},
            "keep_alive": self._keep_alive,
            "think": False,
        }


def likeness(answer: str, sample: str) -> float:
    """Compare two texts by their words.

    Args:
        answer: One.
        sample: The other.

    Returns:
        The F1 of their common words, each counted as often as it stands in both: 1 for the same words, 0 for none.
    """
    ours, theirs = (Counter(WORD.findall(text.casefold())) for text in (answer, sample))
    common = sum((ours & theirs).values())
    return 2 * common / (sum(ours.values()) + sum(theirs.values())) if common else 0.0


def taken(sample: ChatResponse, prompt: str) -> Usage:
    """Read the tokens of a sample; what the server does not tell is estimated."""
    told = Usage(sample.prompt_eval_count or 0, sample.eval_count or 0)
    if told.plausible:
        return told
    return Usage(estimate_tokens(prompt), estimate_tokens(sample.message.content or ""), source="estimated")
