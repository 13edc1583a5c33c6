"""A small language model on Ollama as the classifier: few-shot prompt, label probabilities, Platt scaling."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from slmroute.classify.few_shot_model import FewShotModel, Messages
from slmroute.classify.few_shot_prompt import EXAMPLES, INSTRUCTION, Example, FewShotPrompt
from slmroute.classify.few_shot_reply import log_odds, usage_of
from slmroute.classify.platt import IDENTITY, Platt
from slmroute.classify.protocol import Classification
from slmroute.errors import ClassifierUnsure, ConfigError
from slmroute.ollama_address import OllamaAddress
from slmroute.price import own_prices
from slmroute.request import RouteRequest, checked_request
from slmroute.tier import Money, money

if TYPE_CHECKING:
    from ollama import ChatResponse

__all__ = ["Example", "FewShotClassifier", "Platt"]

FEWEST_TO_CALIBRATE = 20
FEWEST_OF_A_KIND = 5
CALIBRATION_OF_A_KIND = 40

NEUTRAL = "Hello"
"""The request of a warm-up: what is wanted is the model in memory and the prefix in its cache."""

SMOLLM2 = Platt(1.007, -1.211, "smollm2-160")
"""Fitted to 160 public prompts, half simple, half complex, which it ranks with an AUC of 0.74."""


class FewShotClassifier:
    """Asks a small language model on Ollama whether a task is simple or complex.

    The model sees an instruction, five to ten examples and the request, and generates one token. The score is not what
    it says but how probable it held ``complex`` against ``simple``, put right by Platt scaling: such probabilities rank
    well and are badly biased, so calibrate with prompts of your own (``calibrate``). The prompt's beginning is the same
    for every request, so that the server evaluates the request only.

    A model that is not in memory takes longer to load than a request can wait, and Ollama breaks a load off when the
    client hangs up. So the first score starts a warm-up in the background, as does a score that timed out; scores wait
    for it as long as ``timeout_s`` allows, and it goes on when they give up. ``warm_up`` does it beforehand. The tokens
    of a warm-up are counted with the call that started it, or, where you did, with the first call after it; those of a
    score that timed out are estimated. What ``calibrate`` takes is no call's and in no record.

    A calibration ships for SmolLM2 only, under the default prompt. For every other model, ``phi3:mini`` included, the
    score is the model's own probability as it comes: it ranks requests, but 0.5 on it is no even chance, so the
    thresholds mean little until it is put right. ``FewShotClassifier("phi3:mini").calibrate()`` fits a calibration to
    prompts that come along, and ``calibrate(prompts, labels)`` to yours, which tell more. ``slmroute tune few-shot
    PROMPTS.jsonl --model ollama:MODEL --out FILE`` chooses examples out of yours, too, reports what that is worth on
    others, and writes both examples and calibration as a table for ``slmroute.toml``.

    It can be used from any number of threads and event loops at once, copied and pickled.

    Args:
        model: The model's name on the server.
        host: The server's address; None for ``OLLAMA_HOST``, and port 11434 of this machine where that is not set.
        examples: Five to ten of your own, of both kinds; None for those that come with it.
        instruction: What the model is told; it must name the labels ``simple`` and ``complex``.
        calibrator: The Platt scaling; None for the one fitted for SmolLM2 with the default prompt. Other models are
            then not calibrated at all.
        timeout_s: Seconds that a score may take. Asynchronously this is a hard limit in all; synchronously it is the
            HTTP client's timeout for connecting, and then for each piece of the answer.
        warm_up_timeout_s: Seconds that loading the model may take.
        num_ctx: The context in tokens, sent with every request: a change would make the server reload the model.
        keep_alive: How long the server keeps the model in memory after a request, as Ollama writes it.
        max_characters: How much of a request the model sees, of its head and its tail, counted in bytes of UTF-8.
        input_price: Dollars for a million input tokens, if the classifier is to cost something.
        output_price: Dollars for a million output tokens.

    Raises:
        ConfigError: A setting is wrong; the message names it.

    Example:
        >>> classifier = FewShotClassifier("phi3:mini")
        >>> classifier.score(RouteRequest.from_text("Which language is this? Guten Tag"))  # doctest: +SKIP
        0.08
    """

    def __init__(
        self,
        model: str = "phi3:mini",
        *,
        host: str | None = None,
        examples: Sequence[Example] | None = None,
        instruction: str | None = None,
        calibrator: Platt | None = None,
        timeout_s: float = 2.0,
        warm_up_timeout_s: float = 120.0,
        num_ctx: int = 2048,
        keep_alive: str | float = "30m",
        max_characters: int = 2000,
        input_price: Money | None = None,
        output_price: Money | None = None,
    ) -> None:
        where = f"FewShotClassifier({model!r})"
        if not isinstance(cast("object", model), str) or not model:
            raise ConfigError(f"FewShotClassifier(model={model!r}) must name a model, for example 'phi3:mini'.")
        for setting, seconds in (("timeout_s", timeout_s), ("warm_up_timeout_s", warm_up_timeout_s)):
            if not is_number(seconds) or not 0 < seconds < math.inf:
                raise ConfigError(f"{where}: {setting}={seconds!r} must be a number of seconds above zero.")
        if not is_number(num_ctx) or num_ctx != int(num_ctx):
            raise ConfigError(f"{where}: num_ctx={num_ctx!r} must be a whole number of tokens.")
        if calibrator is not None and not isinstance(calibrator, Platt):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f"{where}: calibrator= is a {type(calibrator).__name__}: give a Platt, which `slmroute tune few-shot` "
                "and calibrate() make, or None."
            )
        if (input_price is None) != (output_price is None):
            raise ConfigError(f"{where}: give both input_price= and output_price=, or neither.")
        self._prompt = FewShotPrompt(
            EXAMPLES if examples is None else tuple(examples),
            INSTRUCTION if instruction is None else instruction,
            max_characters,
        )
        if self._prompt.tokens > num_ctx:
            raise ConfigError(
                f"{where}: num_ctx={num_ctx} is too small for a prompt of about {self._prompt.tokens} tokens, and the "
                "server would cut it silently: raise num_ctx=, or lower max_characters= or the number of examples=."
            )
        self.input_price = None if input_price is None else money(input_price, f"{where}: input_price")
        self.output_price = None if output_price is None else money(output_price, f"{where}: output_price")
        self.calibrator = shipped_calibrator(model, self._prompt) if calibrator is None else calibrator
        self._model = FewShotModel(
            model,
            OllamaAddress(host),
            self._prompt.messages(NEUTRAL),
            timeout_s=timeout_s,
            warm_up_timeout_s=warm_up_timeout_s,
            num_ctx=num_ctx,
            keep_alive=keep_alive,
            prices=own_prices(self, where),
        )

    def __repr__(self) -> str:
        return f"FewShotClassifier({self.model!r}, host={self.host!r}, calibrator={self.calibrator.version!r})"

    @property
    def model(self) -> str:
        """The model's name on the server."""
        return self._model.name

    @property
    def host(self) -> str:
        """The server's address."""
        return self._model.address.url

    @property
    def num_ctx(self) -> int:
        """The context in tokens that every request asks for."""
        return self._model.num_ctx

    @property
    def version(self) -> str:
        """What the ledger notes: the model, a digest of the prompt, and the calibration."""
        return f"few-shot:{self.model}:{self._prompt.digest}:{self.calibrator.version}"

    def score(self, request: RouteRequest) -> float:
        """Give P(the task is complex) in [0, 1].

        Args:
            request: The call; only its text is looked at.

        Returns:
            The calibrated probability. Where the server sends no log-probabilities and the model says exactly
            ``simple`` or ``complex``, 0.1 or 0.9 before calibration.

        Raises:
            ClassifierUnavailable: The server cannot be reached or does not answer in time; ``ClassifierUnsure`` when
                what the model says is not to be trusted, and for a request without text.
            ModelMissing: The server does not have the model.
        """
        return self.classify(request).score

    async def ascore(self, request: RouteRequest) -> float:
        """Do what ``score`` does, asynchronously."""
        return (await self.aclassify(request)).score

    def classify(self, request: RouteRequest) -> Classification:
        """Give the score of ``score`` with the tokens it took."""
        messages = self._messages(checked_request(request, "FewShotClassifier.classify").text)
        return self._classification(self._model.ask(messages), messages)

    async def aclassify(self, request: RouteRequest) -> Classification:
        """Do what ``classify`` does, asynchronously."""
        messages = self._messages(checked_request(request, "FewShotClassifier.aclassify").text)
        return self._classification(await self._model.aask(messages), messages)

    def warm_up(self) -> None:
        """Have the server load the model and evaluate the prompt's beginning; it may take ``warm_up_timeout_s``.

        Raises:
            ClassifierUnavailable: The server cannot be reached, or it took longer.
            ModelMissing: The server does not have the model.
        """
        self._model.warm_up().wait()

    async def awarm_up(self) -> None:
        """Do what ``warm_up`` does, asynchronously; if it is cancelled, the warm-up goes on in the background."""
        await self._model.warm_up().wait_async()

    def calibrate(self, prompts: Sequence[str] | None = None, labels: Sequence[bool] | None = None) -> Self:
        """Fit the Platt scaling to labelled prompts. Each is asked once: without a GPU that may take minutes.

        Args:
            prompts: At least 20 prompts as your users write them; None for 80 that come along, English ones of
                all kinds of task, half of them complex.
            labels: For each, whether it is complex: whether it needs a large model. At least 5 of each kind.

        Returns:
            A copy of this classifier that uses the new calibration.

        Raises:
            ConfigError: There are too few prompts, or the model cannot tell the two kinds apart.
            ClassifierUnavailable: The model could not be asked about one of them.
        """
        if prompts is None or labels is None:
            if prompts is not labels:
                raise ConfigError("calibrate() has prompts without labels, or labels without prompts: give both.")
            prompts, labels = some_of_each_kind()
        check_labels(prompts, labels)
        self.warm_up()
        raw_scores = [log_odds(self._model.ask_patiently(self._messages(prompt))) for prompt in prompts]
        calibrator = Platt.fit(raw_scores, labels)
        if calibrator.slope <= 0:
            raise ConfigError(
                f"FewShotClassifier({self.model!r}).calibrate: the model's scores do not rise from the simple prompts "
                "to the complex ones. Check labels= (True means complex), or use another model= or examples=."
            )
        calibrated = copy.copy(self)
        calibrated.calibrator = calibrator
        return calibrated

    def close(self) -> None:
        """Stop a warm-up that goes on in the background. Nothing else is open between calls."""
        self._model.close()

    async def aclose(self) -> None:
        """Do what ``close`` does, asynchronously."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _messages(self, text: str) -> Messages:
        if not text.strip():
            raise ClassifierUnsure("The request has no text that the few-shot classifier could judge.")
        return self._prompt.messages(text)

    def _classification(self, response: ChatResponse, messages: Messages) -> Classification:
        spent = Classification(math.nan, usage_of(response, messages), response.model or self.model, "ollama")
        try:
            return replace(spent, score=self.calibrator(log_odds(response)))
        except ClassifierUnsure as error:
            error.spent = spent
            raise


def shipped_calibrator(model: str, prompt: FewShotPrompt) -> Platt:
    """Give the calibration that comes with a model under the default prompt, or none."""
    name = model.lower().rpartition("/")[2]
    return SMOLLM2 if name.startswith("smollm2") and prompt == FewShotPrompt() else IDENTITY


def some_of_each_kind() -> tuple[list[str], list[bool]]:
    """Give the labelled prompts that come along to calibrate with, and for each whether it is complex."""
    from slmroute.classify.training.rows import mixed_prompts

    chosen = mixed_prompts(CALIBRATION_OF_A_KIND)
    return [prompt.text for prompt in chosen], [prompt.complex for prompt in chosen]


def check_labels(prompts: Sequence[str], labels: Sequence[bool]) -> None:
    """Make sure that there is enough to calibrate with."""
    if len(prompts) != len(labels):
        raise ConfigError(f"calibrate() has {len(prompts)} prompts for {len(labels)} labels: give one for each.")
    if not all(label in (True, False) for label in labels):
        raise ConfigError("calibrate(labels=) must be True for a complex prompt and False for a simple one.")
    if len(prompts) < FEWEST_TO_CALIBRATE:
        raise ConfigError(f"calibrate() has {len(prompts)} prompts: it needs {FEWEST_TO_CALIBRATE} or more.")
    complex_ = sum(map(bool, labels))
    for kind, count in (("complex", complex_), ("simple", len(labels) - complex_)):
        if count < FEWEST_OF_A_KIND:
            raise ConfigError(
                f"calibrate() has {count} {kind} prompts: it needs {FEWEST_OF_A_KIND} or more of each kind."
            )


def is_number(value: object) -> bool:
    """Whether a setting is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
