"""How the chat models of the providers differ: in what they can be told, in whose terms, and what they can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.base import RunnableBinding
from langchain_core.runnables.config import merge_configs

from langchain_slmroute.schemas import is_schema, neutral_format, response_schema
from slmroute.ollama import LACKING
from slmroute.tier import ABILITIES

__all__ = [
    "OLLAMA_OPTIONS",
    "Dialect",
    "bound_config",
    "bound_kwargs",
    "call_kwargs",
    "chat_model",
    "dialect_of",
    "logprob_kwargs",
    "provider_of",
    "served_by",
]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the calls of one provider's chat model differ from the others'.

    Attributes:
        provider: The provider's name, for prices and records.
        logprobs: Call arguments that ask for log-probabilities; empty where there are none to be had.
        streaming: Settings that a stream needs to report its usage.
        streams_whole: Whether the class streams what is asked of it as a whole, too.
        binding: Which of the options of ``bind_tools`` the class understands.
        abilities: What the class can do where its profile does not say; None when nobody knows.
        renamed: Standard arguments of a call that the class calls otherwise.
        refused: Arguments that only other providers know, and that would fail the call here.
        plain_schemas: Whether it takes JSON schemas for structured answers, and no Pydantic classes.
        window: Which of its settings tells the server a tier's context window, without which it cuts prompts silently.
    """

    provider: str | None = None
    logprobs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    streaming: Mapping[str, Any] = field(default_factory=dict[str, Any])
    binding: frozenset[str] = frozenset({"tool_choice"})
    abilities: frozenset[str] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: frozenset[str] = frozenset()
    plain_schemas: bool = False
    window: str | None = None
    streams_whole: bool = False


_BINDING: Final = frozenset({"parallel_tool_calls", "strict", "tool_choice"})
_OPENAI_BINDING: Final = _BINDING | {"response_format"}
_OLLAMA_ONLY: Final = frozenset(
    {
        "format",
        "keep_alive",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "num_ctx",
        "num_gpu",
        "num_predict",
        "num_thread",
        "options",
        "repeat_last_n",
        "repeat_penalty",
        "tfs_z",
    }
)
_OPENAI: Final = Dialect(
    "openai",
    {"logprobs": True},
    {"stream_usage": True},
    _OPENAI_BINDING,
    ABILITIES - {"video"},
    refused=_OLLAMA_ONLY | {"cache_control", "thinking", "top_k"},
)
_DIALECTS: Final[Mapping[str, Dialect]] = {
    # Ollama drops a forced tool choice silently, and what a model can see only the server knows.
    "chat-ollama": Dialect(
        "ollama", {"logprobs": True}, abilities=ABILITIES - LACKING, window="num_ctx", streams_whole=True
    ),
    "openai-chat": _OPENAI,
    "azure-openai-chat": dataclasses.replace(_OPENAI, provider="azure"),
    "anthropic-chat": Dialect(
        "anthropic", binding=_BINDING, abilities=ABILITIES - {"audio", "video"}, refused=_OLLAMA_ONLY
    ),
    "chat-google-generative-ai": Dialect(
        "google_genai", abilities=ABILITIES, renamed={"max_tokens": "max_output_tokens"}, refused=_OLLAMA_ONLY
    ),
    # It takes a tool choice only for a single tool, and knows no such option of OpenAI's.
    "huggingface-chat-wrapper": Dialect(
        "huggingface",
        {"logprobs": True},
        {"stream_usage": True},
        frozenset(),
        ABILITIES - {"tool_choice"},
        refused=_OLLAMA_ONLY | {"cache_control", "thinking", "top_k"},
        plain_schemas=True,
    ),
    "slmroute-dry-run": Dialect(abilities=ABILITIES),
}
_UNKNOWN: Final = Dialect()
_LIKE_OPENAI: Final = Dialect(binding=_OPENAI_BINDING)
"""Of classes that are built on OpenAI's for other providers, or by the user."""

OLLAMA_OPTIONS: Final = {"max_tokens": "num_predict"}
"""What Ollama calls the standard arguments that it calls otherwise."""
_OLLAMA_KNOWN: Final = frozenset(
    {"format", "keep_alive", "logprobs", "options", "reasoning", "stop", "stream", "tools", "top_logprobs"}
)


def dialect_of(model: BaseChatModel) -> Dialect:
    """Give the dialect of a chat model."""
    known = _DIALECTS.get(llm_type(model))
    if known is None:
        like_openai = any(base.__name__ == "BaseChatOpenAI" for base in type(model).__mro__)
        known = _LIKE_OPENAI if like_openai else _UNKNOWN
    return known


def provider_of(model: BaseChatModel) -> str | None:
    """Give the provider of a chat model, for prices and records."""
    provider = dialect_of(model).provider
    return provider and served_by(provider, getattr(getattr(model, "llm", None), "provider", None))


def served_by(provider: str, via: object) -> str:
    """Give who serves a model that is reached by a name or through a hub that others serve.

    Args:
        provider: The provider's name in a model string, or its class's.
        via: Whom Hugging Face is told to have serve it, if anyone.
    """
    if provider == "huggingface" and via not in (None, "auto", "hf-inference"):
        return f"huggingface_{via}"
    return "azure" if provider == "azure_openai" else provider


def logprob_kwargs(model: BaseChatModel, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the call arguments that ask for log-probabilities; none where they cannot be had.

    Args:
        model: The model to be called.
        kwargs: The call's other arguments: by them OpenAI's class, too, chooses the interface that takes no such ones.
    """
    by_responses: Any = getattr(model, "_use_responses_api", None)
    if by_responses is not None and by_responses({**cast("Any", model)._default_params, **kwargs}):  # noqa: SLF001
        return {}
    return dialect_of(model).logprobs


def chat_model(model: BaseChatModel | RunnableBinding[Any, Any]) -> BaseChatModel:
    """Give the chat model inside whatever was bound to it."""
    while isinstance(model, RunnableBinding):
        model = cast("BaseChatModel | RunnableBinding[Any, Any]", model.bound)
    return model


def llm_type(model: BaseChatModel) -> str:
    """Give the name of a chat model's class that LangChain traces it by."""
    return model._llm_type  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  there is no public way


def bound_kwargs(model: BaseChatModel | RunnableBinding[Any, Any]) -> dict[str, Any]:
    """Give the arguments bound to a chat model, those bound last first."""
    kwargs: dict[str, Any] = {}
    while isinstance(model, RunnableBinding):
        kwargs = {**model.kwargs, **kwargs}
        model = cast("BaseChatModel | RunnableBinding[Any, Any]", model.bound)
    return kwargs


def bound_config(model: BaseChatModel | RunnableBinding[Any, Any], config: RunnableConfig) -> RunnableConfig:
    """Add to a config what was bound to a chat model with ``with_config`` and its like."""
    while isinstance(model, RunnableBinding):
        if model.config:
            # Without callbacks of its own it would take over those of the context.
            config = merge_configs(config, cast("RunnableConfig", {"callbacks": [], **model.config}))
        for factory in model.config_factories:
            config = merge_configs(config, factory(config))
        model = cast("BaseChatModel | RunnableBinding[Any, Any]", model.bound)
    return config


def call_kwargs(model: BaseChatModel, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Say a call's standard arguments in the terms of the tier's client.

    ChatOllama takes sampling options only inside ``options``, which then replace its own: they are merged. It hands
    arguments that it does not know on to its client, which refuses them: they are left out. So are, of calls of other
    providers' models, those that are known to be another's.
    """
    if llm_type(model) != "chat-ollama":
        dialect = dialect_of(model)
        said = {dialect.renamed.get(k, k): v for k, v in kwargs.items() if k not in dialect.refused}
        if said.get("response_format") is not None and "response_format" not in dialect.binding:
            said["response_format"] = neutral_format(said["response_format"])
        return said
    if (schema := response_schema(kwargs)) is not None:
        kwargs = {"format": dict(schema) if is_schema(kwargs["response_format"]) else "json", **kwargs}
    names = ("temperature", "top_p", "top_k", "seed", "num_ctx", "num_predict", "max_tokens", "repeat_penalty")
    wanted = {OLLAMA_OPTIONS.get(name, name): kwargs[name] for name in names if kwargs.get(name) is not None}
    rest = {name: value for name, value in kwargs.items() if name in _OLLAMA_KNOWN}
    if not wanted:
        return rest
    fields = ("mirostat", "mirostat_eta", "mirostat_tau", "num_ctx", "num_gpu", "num_thread", "num_predict")
    fields += ("repeat_last_n", "repeat_penalty", "temperature", "seed", "stop", "tfs_z", "top_k", "top_p")
    own = {name: getattr(model, name) for name in fields if getattr(model, name, None) is not None}
    stop = rest.get("stop")
    given = cast("Mapping[str, Any]", rest.get("options") or {})
    options = {**own, **given, **wanted, **({"stop": stop} if stop else {})}
    return {**rest, "options": options}
