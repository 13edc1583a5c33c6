"""The providers, each with a server on loopback and its own client package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint
from langchain_ollama import ChatOllama
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from slmroute import Tier
from slmroute.testing import FakeServer, Fault
from tests.langchain.providers.anthropic_wire import AnthropicWire
from tests.langchain.providers.azure_wire import AzureWire
from tests.langchain.providers.google_wire import GoogleWire
from tests.langchain.providers.loopback import LoopbackServer

KEY = "canary-key-0123456789"

NOWHERE = "http://127.0.0.1:9"
"""The discard port, where nothing listens."""


@dataclass(frozen=True)
class Provider:
    """One provider.

    ``settings`` are the arguments that its class and its string tier take alike, for the address of a server.
    """

    spec: str
    serve: Callable[[], Any]
    settings: Callable[[str], dict[str, Any]]
    make: Callable[..., BaseChatModel]
    served_by: str
    price_id: str
    overloaded: Fault = field(default_factory=lambda: Fault(503))
    too_long: Fault = field(default_factory=lambda: Fault(400, code="context_length_exceeded"))
    reports: frozenset[str] = frozenset({"cached", "reasoning"})
    """Which special tokens it tells of."""

    @property
    def name(self) -> str:
        return self.spec.partition(":")[0]

    @property
    def model(self) -> str:
        return self.spec.partition(":")[2]

    def tier(self, kind: str, url: str, **settings: Any) -> Tier:
        """Make the tier of a server: of a string or of an object."""
        arguments = {**self.settings(url), **settings}
        if kind == "string":
            return Tier("asked", self.spec, model_args=arguments)
        return Tier("asked", self.make(self.model, **arguments))


def _ollama(model: str, **settings: Any) -> BaseChatModel:
    return ChatOllama(model=model, **settings)


def _openai(model: str, **settings: Any) -> BaseChatModel:
    return ChatOpenAI(model=model, max_retries=0, **settings)


def _azure(model: str, **settings: Any) -> BaseChatModel:
    return AzureChatOpenAI(model=model, max_retries=0, **settings)


def _anthropic(model: str, **settings: Any) -> BaseChatModel:
    return ChatAnthropic(model=model, max_retries=0, **settings)


def _google(model: str, **settings: Any) -> BaseChatModel:
    return ChatGoogleGenerativeAI(model=model, max_retries=1, **settings)


def _hugging_face(model: str, base_url: str, api_key: str) -> BaseChatModel:
    chat = ChatHuggingFace(llm=HuggingFaceEndpoint(endpoint_url=base_url, huggingfacehub_api_token=api_key))
    chat.model_id = model  # else the endpoint's address is the model's name
    return chat


def _keyed(url: str) -> dict[str, Any]:
    return {"base_url": url, "api_key": KEY}


def _openai_keyed(url: str) -> dict[str, Any]:
    return _keyed(f"{url}/v1")


def _azure_keyed(url: str) -> dict[str, Any]:
    return {"azure_endpoint": url, "api_version": "2024-10-21", "api_key": KEY}


OLLAMA = Provider(
    "ollama:phi3:mini",
    FakeServer,
    lambda url: {"base_url": url},
    _ollama,
    "ollama",
    "unpriced",
    too_long=Fault(400, body={"error": "the input length exceeds the context length"}),
    reports=frozenset(),
)
OPENAI = Provider("openai:gpt-4.1", FakeServer, _openai_keyed, _openai, "openai", "genai-prices:openai/gpt-4.1")
COMPATIBLE = Provider("openai:llama-3.1-8b", FakeServer, _openai_keyed, _openai, "openai", "unpriced")
AZURE = Provider(
    "azure_openai:gpt-4.1",
    lambda: LoopbackServer(AzureWire()),
    _azure_keyed,
    _azure,
    "azure",
    "genai-prices:azure/gpt-4.1",
)
HUGGING_FACE = Provider(
    "huggingface:meta-llama/Llama-3.1-8B-Instruct",
    FakeServer,
    _keyed,
    _hugging_face,
    "huggingface",
    "unpriced",
    reports=frozenset(),
)
ANTHROPIC = Provider(
    "anthropic:claude-haiku-4-5",
    lambda: LoopbackServer(AnthropicWire()),
    _keyed,
    _anthropic,
    "anthropic",
    "genai-prices:anthropic/claude-haiku-4-5",
    overloaded=Fault(529),
    too_long=Fault(400, code="too_long"),
    reports=frozenset({"cached", "written"}),
)
GOOGLE = Provider(
    "google_genai:gemini-2.5-flash",
    lambda: LoopbackServer(GoogleWire()),
    _keyed,
    _google,
    "google_genai",
    "genai-prices:google/gemini-2.5-flash",
    too_long=Fault(400, code="too_long"),
)

PROVIDERS: Mapping[str, Provider] = {
    "ollama": OLLAMA,
    "openai": OPENAI,
    "compatible": COMPATIBLE,
    "azure": AZURE,
    "hugging_face": HUGGING_FACE,
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
}
