"""Self-check: a small model is asked whether an answer is right, and how probable it holds ``yes``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from slmroute.classify.few_shot_model import FewShotModel
from slmroute.classify.few_shot_prompt import as_data
from slmroute.classify.few_shot_reply import log_odds, usage_of
from slmroute.errors import ClassifierUnsure, ConfigError
from slmroute.ollama_address import OllamaAddress
from slmroute.policy import Judgement
from slmroute.price import own_prices
from slmroute.request import RouteRequest
from slmroute.steps import Answer
from slmroute.tier import Money

if TYPE_CHECKING:
    from ollama import ChatResponse

__all__ = ["SelfCheck"]

NO, YES = "no", "yes"
INSTRUCTION = (
    "You check answers. You see a task and an answer that somebody gave to it. Reply with one word: yes if the answer "
    "is right and does all that the task asks for, no if it is wrong, beside the point or incomplete."
)
EXAMPLES: tuple[tuple[str, str, bool], ...] = (
    ("What is the capital of Italy?", "The capital of Italy is Rome.", True),
    ("Is this review positive or negative? I loved every minute of it.", "Negative.", False),
    ("Which language is this? Onde fica a biblioteca?", "Portuguese.", True),
    ("Name the invoice's number: Invoice 4471 of 3 May, 120 euros.", "The invoice is of 3 May.", False),
)
"""As many right as wrong, in turn."""

NEUTRAL = ("Hello", "Hello.")


class SelfCheck:
    """A judge that asks a small language model on Ollama whether an answer is right.

    The confidence is not what the model says but how probable it holds ``yes`` against ``no``: P(True) of Kadavath et
    al., "Language Models (Mostly) Know What They Know" (2022), https://arxiv.org/abs/2207.05221. Models of a few
    billion parameters and more rank their answers usefully so, the smallest hardly; the numbers are not calibrated,
    so have ``calibrator=`` put them right, for example with ``Platt.fit`` on answers that you have marked.

    The model checking may be the one that answered or another. A model that is not in memory is loaded in the
    background, as by ``FewShotClassifier``. An opinion that cannot be had leaves the answer as it is.

    Args:
        model: The model's name on the server.
        host: The server's address; None for ``OLLAMA_HOST``, and port 11434 of this machine where that is not set.
        calibrator: Called with the log-odds of ``yes``, it gives P(the answer is good); by default the logistic
            function.
        timeout_s: Seconds that an opinion may take.
        warm_up_timeout_s: Seconds that loading the model may take.
        num_ctx: The context in tokens, sent with every request; where the model answers calls, too, give what they
            are sent with, for Ollama loads a model anew whenever this changes.
        keep_alive: How long the server keeps the model in memory after a request, as Ollama writes it.
        max_bytes: How much of the task, and of the answer, the model sees, of head and tail, in bytes of UTF-8.
        input_price: Dollars for a million input tokens, if checking is to cost something.
        output_price: Dollars for a million output tokens.

    Raises:
        ConfigError: A setting is wrong; the message names it.

    Example:
        >>> from slmroute import Confidence
        >>> escalation = Confidence(0.85, judge=SelfCheck("llama3.1:8b"))
    """

    def __init__(
        self,
        model: str,
        *,
        host: str | None = None,
        calibrator: Callable[[float], float] | None = None,
        timeout_s: float = 5.0,
        warm_up_timeout_s: float = 120.0,
        num_ctx: int = 4096,
        keep_alive: str | float = "30m",
        max_bytes: int = 3000,
        input_price: Money | None = None,
        output_price: Money | None = None,
    ) -> None:
        if not model:
            raise ConfigError("SelfCheck(model=) must name a model, for example 'llama3.1:8b'.")
        for setting, value in (
            ("timeout_s", timeout_s),
            ("warm_up_timeout_s", warm_up_timeout_s),
            ("num_ctx", num_ctx),
            ("max_bytes", max_bytes),
        ):
            if not 0 < value < math.inf:
                raise ConfigError(f"SelfCheck({model!r}): {setting}={value!r} must be a number above zero.")
        self.input_price, self.output_price = input_price, output_price
        self.max_bytes = max_bytes
        self.calibrator = calibrator
        self._model = FewShotModel(
            model,
            OllamaAddress(host),
            self._messages(*NEUTRAL),
            timeout_s=timeout_s,
            warm_up_timeout_s=warm_up_timeout_s,
            num_ctx=num_ctx,
            keep_alive=keep_alive,
            owner="SelfCheck",
            prices=own_prices(self, f"SelfCheck({model!r})"),
        )

    def __repr__(self) -> str:
        return f"SelfCheck({self._model.name!r}, host={self._model.address.url!r})"

    @property
    def version(self) -> str:
        """What the ledger notes."""
        return f"self-check:{self._model.name}"

    def __call__(self, request: RouteRequest, answer: Answer) -> Judgement:
        """Judge an answer.

        Args:
            request: The call; its text is shown to the model.
            answer: What a tier answered; its text, or its tool calls, are shown to the model.

        Returns:
            The confidence, None where what the model says cannot be trusted, and the tokens it took.

        Raises:
            ClassifierUnavailable: The server cannot be reached or does not answer in time.
            ModelMissing: The server does not have the model.
        """
        messages = self._messages(request.text, shown(answer))
        response = self._model.ask(messages)
        return Judgement(self._confidence(response), usage_of(response, messages), self._model.name, "ollama")

    def warm_up(self) -> None:
        """Have the server load the model; it may take ``warm_up_timeout_s``."""
        self._model.warm_up().wait()

    def close(self) -> None:
        """Stop a warm-up that goes on in the background. Nothing else is open between calls."""
        self._model.close()

    def _confidence(self, response: ChatResponse) -> float | None:
        try:
            odds = log_odds(response, NO, YES)
        except ClassifierUnsure:
            return None
        return 1 / (1 + math.exp(-odds)) if self.calibrator is None else self.calibrator(odds)

    def _messages(self, task: str, answer: str) -> list[dict[str, str]]:
        messages = [{"role": "system", "content": INSTRUCTION}]
        for example_task, example_answer, good in EXAMPLES:
            messages.append({"role": "user", "content": self._question(example_task, example_answer)})
            messages.append({"role": "assistant", "content": YES if good else NO})
        return [*messages, {"role": "user", "content": self._question(task, answer)}]

    def _question(self, task: str, answer: str) -> str:
        shown_task, shown_answer = (as_data(text, self.max_bytes) for text in (task, answer))
        return f"Task:\n{shown_task}\nAnswer:\n{shown_answer}\nIs the answer right, {YES} or {NO}?"


def shown(answer: Answer) -> str:
    """Write an answer as a judge reads it: its text, and its tool calls as JSON."""
    calls = [json.dumps({"tool": call.name, "arguments": call.arguments}, default=str) for call in answer.tool_calls]
    return "\n".join(part for part in (answer.text, *calls) if part)
