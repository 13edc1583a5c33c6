"""A small model behind Ollama's wire and a big one behind OpenAI's: every test here routes between the two."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from langchain_slmroute import RoutingChatModel
from slmroute import Confidence, Tier
from slmroute.testing import FakeServer, Reply

SMALL, BIG = "phi3:mini", "gpt-4.1"


class Stage:
    """The server, and routers over it.

    The small model's calls take 20 and 5 tokens, the big one's 100 and 10, as scripted at the start.
    """

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.script_small()
        self.server.script(BIG, Reply("The big answer is forty two.", input_tokens=100, output_tokens=10))

    def script_small(self, text: str = "A small draft it is.", *, logprob: float = -0.01) -> None:
        words = len(text.split())
        reply = Reply(text, logprobs=[logprob] * words, input_tokens=20, output_tokens=5)
        self.server.script(SMALL, reply, capabilities=("completion", "tools", "vision"))

    def small(self, **settings: Any) -> Tier:
        """The small tier, at the prices that its user declares."""
        model = self.bare_small(**settings)
        return Tier("small", model, local=True, input_price="0.05", output_price="0.08")

    def big(self, **settings: Any) -> Tier:
        return Tier("big", self.bare_big(**settings))

    def bare_small(self, **settings: Any) -> ChatOllama:
        return ChatOllama(model=SMALL, base_url=self.server.url, **settings)

    def bare_big(self, **settings: Any) -> ChatOpenAI:
        given = {"api_key": "canary", "max_retries": 0, **settings}
        return ChatOpenAI(model=BIG, base_url=self.server.openai_url, **given)

    def strings(self) -> list[Tier]:
        """The same two tiers, given as strings."""
        big_args = {"base_url": self.server.openai_url, "api_key": "canary"}
        return [
            Tier("small", f"ollama:{SMALL}", model_args={"base_url": self.server.url}, local=True),
            Tier("big", f"openai:{BIG}", model_args=big_args),
        ]

    def router(self, to: str = "small", **settings: Any) -> RoutingChatModel:
        """A router that starts each call at one tier."""
        score = {"small": 0.1, "big": 0.9}[to]
        given = {"tiers": [self.small(), self.big()], "classifier": lambda request: score, **settings}
        return RoutingChatModel(**given)

    def cascade(self, **settings: Any) -> RoutingChatModel:
        """A router that has the small model answer first, and judges its answer."""
        given = {"tiers": [self.small(), self.big()], "classifier": None, "escalation": Confidence(0.85), **settings}
        return RoutingChatModel(**given)

    def escalating(self, **settings: Any) -> RoutingChatModel:
        """A router whose small model is never sure enough, so that every call takes both."""
        self.script_small(logprob=-1.0)
        return self.cascade(**settings)

    @property
    def models_called(self) -> list[str | None]:
        return [call.model for call in self.server.calls()]


def record_of(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["slmroute"]


def joined(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


class Tracer(BaseTracer):
    """Keeps the trees of runs that have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)
