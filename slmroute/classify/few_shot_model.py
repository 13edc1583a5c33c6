"""A small model on Ollama that is asked for one token: its timeouts, its warm-up and its errors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from slmroute.classify.few_shot_reply import prompt_tokens, usage_of
from slmroute.classify.warm_up import Background
from slmroute.errors import ClassifierUnavailable, ModelMissing
from slmroute.ollama_address import OllamaAddress
from slmroute.overheard import Heard, ModelCall, begin, hear

if TYPE_CHECKING:
    from ollama import ChatResponse

__all__ = ["FewShotModel", "Messages"]

Messages = Sequence[Mapping[str, str]]

TOP_LOGPROBS = 20
"""The most that Ollama gives."""


class FewShotModel:
    """Asks a model for one token with its log-probabilities, and has it loaded apart from that.

    A model that is not in memory takes longer to load than a request can wait, and Ollama breaks a load off when the
    client hangs up. So the first request starts a warm-up in the background and waits for it, as far as its timeout
    goes; the warm-up goes on when the request gives up. A request that times out later starts another.

    What all this takes is told to ``overheard``: requests that time out with an estimate of their prompt, a warm-up as
    a part of the call that starts it, or, started by hand, of the first call after it.

    Args:
        name: The model's name on the server.
        address: The server.
        neutral: The messages of a warm-up: they load the model and have the server evaluate what all prompts begin
            with.
        timeout_s: Seconds that a request may take, waiting for a warm-up included.
        warm_up_timeout_s: Seconds that a warm-up may take.
        num_ctx: The context in tokens, sent with every request.
        keep_alive: How long the server keeps the model in memory after a request.
        owner: Whose model this is, for errors.
        prices: Dollars for a million input and output tokens, where the owner declares them.
    """

    def __init__(
        self,
        name: str,
        address: OllamaAddress,
        neutral: Messages,
        *,
        timeout_s: float,
        warm_up_timeout_s: float,
        num_ctx: int,
        keep_alive: str | float,
        owner: str = "FewShotClassifier",
        prices: tuple[Decimal, Decimal] | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.neutral = neutral
        self.timeout_s = timeout_s
        self.warm_up_timeout_s = warm_up_timeout_s
        self.num_ctx = num_ctx
        self.keep_alive = keep_alive
        self.owner = owner
        self.prices = prices
        self._start_cold()

    def ask(self, messages: Messages) -> ChatResponse:
        """Ask within ``timeout_s``."""
        deadline = time.monotonic() + self.timeout_s
        with self._errors():
            warming = self._warming()
            if warming is not None:
                warming.wait(self.timeout_s)
            # Waiting may have left nothing, and httpx wants a time above zero.
            left_s = max(deadline - time.monotonic(), 0.001)
            self._tell_unbooked()
            with begin(prompt_tokens(messages), self.name, self.prices) as call:
                response = self.address.chat(self._body(messages), left_s)
                return self._ended(call, response, messages)

    async def aask(self, messages: Messages) -> ChatResponse:
        """Do what ``ask`` does, asynchronously."""
        with self._errors():
            async with asyncio.timeout(self.timeout_s):
                warming = self._warming()
                if warming is not None:
                    await warming.wait_async()
                self._tell_unbooked()
                with begin(prompt_tokens(messages), self.name, self.prices) as call:
                    response = await self.address.achat(self._body(messages))
                    return self._ended(call, response, messages)

    def ask_patiently(self, messages: Messages) -> ChatResponse:
        """Ask within ``warm_up_timeout_s``, for work that nobody waits for."""
        with self._errors(patient=True):
            return self.address.chat(self._body(messages), self.warm_up_timeout_s)

    def warm_up(self) -> Background:
        """Start a warm-up in the background, unless one goes on already."""
        with self._lock:
            if self._background is None or self._background.over:
                call = begin(prompt_tokens(self.neutral), self.name, self.prices, self._unbooked)
                self._background = Background(lambda: self._load(call), f"slmroute-warm-up-{self.name}")
            return self._background

    def close(self) -> None:
        """Stop a warm-up that goes on. Nothing else is open between requests."""
        with self._lock:
            background, self._background = self._background, None
        if background is not None:
            background.cancel()

    def __getstate__(self) -> dict[str, object]:
        cold = ("_lock", "_background", "_warm", "_unbooked")
        return {name: value for name, value in vars(self).items() if name not in cold}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._start_cold()

    def _start_cold(self) -> None:
        self._lock = threading.Lock()
        self._background: Background | None = None
        self._warm = False
        self._unbooked: Heard = []

    def _ended(self, call: ModelCall, response: ChatResponse, messages: Messages) -> ChatResponse:
        call.usage, call.model = usage_of(response, messages), response.model or self.name
        return response

    def _tell_unbooked(self) -> None:
        """Have warm-ups that no call has started be a part of this one."""
        heard = hear()
        if heard is not None and self._unbooked:
            told, self._unbooked = self._unbooked, []
            heard.extend(told)

    def _warming(self) -> Background | None:
        return None if self._warm else self.warm_up()

    async def _load(self, call: ModelCall) -> None:
        with self._errors(patient=True):
            async with asyncio.timeout(self.warm_up_timeout_s):
                with call:
                    response = await self.address.achat(self._body(self.neutral))
                    self._ended(call, response, self.neutral)
        self._warm = True

    def _body(self, messages: Messages) -> dict[str, object]:
        return {
            "model": self.name,
            "messages": messages,
            "options": {"temperature": 0, "num_predict": 1, "num_ctx": self.num_ctx},
            "keep_alive": self.keep_alive,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
            # A model that thinks first would spend its one token on that.
            "think": False,
        }

    @contextmanager
    def _errors(self, *, patient: bool = False) -> Generator[None]:
        """Turn what can go wrong into ours.

        Nothing that a model or a stranger's server wrote goes along, not as the cause either: it may quote the prompt.
        """
        import httpx
        import ollama

        url = self.address.url
        try:
            yield
        except ollama.ResponseError as error:
            if error.status_code == 404:
                raise ModelMissing(f"Ollama at {url} has no model {self.name!r}: `ollama pull {self.name}`.") from None
            raise ClassifierUnavailable(
                f"Ollama at {url} answered {self.owner} with HTTP {error.status_code}; its log says why."
            ) from None
        except (httpx.NetworkError, httpx.ConnectTimeout, ConnectionError) as error:
            raise ClassifierUnavailable(str(self.address.unreachable())) from error
        except (httpx.TimeoutException, TimeoutError) as error:
            if not patient:
                self._warm = False
                self.warm_up()
            raise self._late("warm_up_timeout_s" if patient else "timeout_s") from error
        except (httpx.RequestError, ValueError, TypeError, AttributeError, RecursionError):
            # Broken HTTP, and what json, pydantic and the client raise over a body that is not as it should be.
            raise ClassifierUnavailable(
                f"What answers {self.owner} at {url} (setting host= / OLLAMA_HOST) broke off, or does not speak "
                "Ollama's protocol."
            ) from None

    def _late(self, setting: str) -> ClassifierUnavailable:
        return ClassifierUnavailable(
            f"{self.owner}({self.name!r}) had no answer from {self.address.url} within "
            f"{setting}={getattr(self, setting):g}. A model that is not in memory goes on loading: call warm_up() when "
            f"the program starts. Otherwise raise {setting}=, or use a smaller model."
        )
