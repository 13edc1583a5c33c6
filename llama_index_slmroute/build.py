"""LLMs of LlamaIndex from strings such as ``"ollama:phi3:mini"``, and how each provider's class wants to be called."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Final, cast

from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llama_index_slmroute.dry_run import DryRunLLM
from slmroute.errors import ConfigError, MissingExtra
from slmroute.ollama import LACKING
from slmroute.tier import ABILITIES, Tier, meant

__all__ = ["DEFAULT_NUM_CTX", "Dialect", "build", "check_provider", "dialect_of"]

DEFAULT_NUM_CTX: Final = 4096
"""The context that an Ollama server gives a model where nobody asks for another."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the calls of one provider's class differ from the others'.

    Attributes:
        provider: The provider's name, for prices and records.
        logprobs: Call arguments that ask for log-probabilities; empty where there are none to be had.
        streaming: Call arguments that a stream needs to report its usage.
        tool_ids: Whether tool calls are told apart by ids.
        completes: Whether ``complete`` is one call in the eyes of callbacks; elsewhere it calls ``chat``, which
            callbacks then see beside it, so that ``chat`` is called in its place.
        abilities: What the class can do; None when nobody knows.
        is_ollama: Whether it is LlamaIndex's Ollama.
    """

    provider: str | None = None
    logprobs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    streaming: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tool_ids: bool = True
    completes: bool = False
    abilities: frozenset[str] | None = None
    is_ollama: bool = False


_OPENAI: Final = Dialect(
    "openai",
    {"logprobs": True},
    {"stream_options": {"include_usage": True}},
    completes=True,
    abilities=ABILITIES - {"video"},
)
_DIALECTS: Final[Mapping[str, Dialect]] = {
    # Ollama drops a forced tool choice silently; its class has no argument for log-probabilities, but its client has.
    "Ollama": Dialect("ollama", {"logprobs": True}, tool_ids=False, abilities=ABILITIES - LACKING, is_ollama=True),
    "AzureOpenAI": replace(_OPENAI, provider="azure"),
    # Servers that speak OpenAI's protocol: who they are, and what they refuse, is not known.
    "OpenAILike": Dialect(completes=True),
    "OpenAIResponses": Dialect("openai", abilities=ABILITIES - {"video"}),
    "OpenAI": _OPENAI,
    "Anthropic": Dialect("anthropic", abilities=ABILITIES - {"audio", "video"}),
    "GoogleGenAI": Dialect("google_genai", abilities=ABILITIES),
    "DryRunLLM": Dialect(completes=True, abilities=ABILITIES),
}
_UNKNOWN: Final = Dialect()
_UNKNOWN_WITHOUT_TOOLS: Final = Dialect(abilities=ABILITIES - {"tool_choice", "tools"})

_OPENAI_NAMES: Final = {"base_url": "api_base"}
_OLLAMA_NAMES: Final = {"timeout": "request_timeout", "num_ctx": "context_window", "reasoning": "thinking"}
_OLLAMA_OPTIONS: Final = {
    "max_tokens": "num_predict",
    **{
        name: name
        for name in (
            "min_p",
            "num_gpu",
            "num_predict",
            "num_thread",
            "repeat_last_n",
            "repeat_penalty",
            "seed",
            "stop",
            "top_k",
            "top_p",
        )
    },
}
_OLLAMA_DROPPED: Final = frozenset({"api_key", "max_retries"})
_OPENAI_EXTRA: Final = ("frequency_penalty", "logit_bias", "presence_penalty", "seed", "stop", "top_p", "user")
_OPENAI_HEADERS: Final = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}
"""What LlamaIndex's OpenAI has no argument for, and OpenAI's own client sends as headers."""


def dialect_of(llm: LLM) -> Dialect:
    """Give the dialect of an LLM, by its class or the nearest of its bases that is known."""
    for kind in type(llm).__mro__:
        if kind.__name__ in _DIALECTS:
            return _DIALECTS[kind.__name__]
    return _UNKNOWN if isinstance(llm, FunctionCallingLLM) else _UNKNOWN_WITHOUT_TOOLS


def build(tier: Tier, standard: Mapping[str, Any]) -> LLM:
    """Build the LLM of a tier that names it by a string.

    Args:
        tier: The tier.
        standard: Standard arguments given to the router; those on the tier go before them.

    Raises:
        MissingExtra: The package of its provider is not installed.
        ConfigError: The provider is not one of those that are built in, or an argument is none of its class's.
    """
    spec = cast("str", tier.spec)
    provider, _, name = spec.partition(":")
    given = {**{key: value for key, value in standard.items() if value is not None}, **(tier.model_args or {})}
    if tier.dry_run:
        own: dict[str, Any] = {
            key: value for key, value in (tier.model_args or {}).items() if key in DryRunLLM.model_fields
        }
        return DryRunLLM(**own, model=spec)
    check_provider(tier)
    return (_build_ollama if provider == "ollama" else _build_openai)(tier, name, given)


def check_provider(tier: Tier) -> None:
    """Make sure that the LLM of a tier that names it by a string is one that can be built.

    Raises:
        ConfigError: The provider is not one of those that are built in.
    """
    spec = cast("str", tier.spec)
    if not tier.dry_run and spec.partition(":")[0] not in ("ollama", "openai"):
        raise ConfigError(
            f"Tier({tier.name!r}): {spec!r} cannot be built from a string; 'ollama:...', 'openai:...' and "
            f"'dry-run:...' can.{meant(spec)} Give the LlamaIndex LLM object of that provider instead."
        )


def _build_ollama(tier: Tier, name: str, given: Mapping[str, Any]) -> LLM:
    ollama = _import("llama_index.llms.ollama", "Ollama", tier)
    _check_arguments(tier, ollama, {*_OLLAMA_NAMES, *_OLLAMA_OPTIONS, *_OLLAMA_DROPPED})
    arguments = {_OLLAMA_NAMES.get(k, k): v for k, v in given.items() if k not in _OLLAMA_DROPPED}
    options = {_OLLAMA_OPTIONS[k]: arguments.pop(k) for k in _OLLAMA_OPTIONS if k in arguments}
    arguments.setdefault("context_window", tier.window or DEFAULT_NUM_CTX)
    arguments["additional_kwargs"] = {**options, **arguments.get("additional_kwargs", {})}
    return ollama(**arguments, model=name)


def _build_openai(tier: Tier, name: str, given: Mapping[str, Any]) -> LLM:
    openai_model = _import("llama_index_slmroute.openai_model", "OpenAIModel", tier)
    _check_arguments(tier, openai_model, {*_OPENAI_NAMES, *_OPENAI_EXTRA, *_OPENAI_HEADERS})
    arguments = {_OPENAI_NAMES.get(key, key): value for key, value in given.items()}
    extra = {key: arguments.pop(key) for key in _OPENAI_EXTRA if key in arguments}
    arguments["additional_kwargs"] = {**extra, **arguments.get("additional_kwargs", {})}
    headers = {_OPENAI_HEADERS[key]: arguments.pop(key) for key in _OPENAI_HEADERS if key in arguments}
    if headers:
        arguments["default_headers"] = {**headers, **(arguments.get("default_headers") or {})}
    # A router moves on to another tier instead of having each client retry by itself.
    model = openai_model(**{"max_retries": 0, "window": tier.window, **arguments}, model=name)
    model.tier = tier
    return model


def _check_arguments(tier: Tier, kind: type[LLM], ours: AbstractSet[str]) -> None:
    """Make sure that a tier's ``model_args`` are arguments of its class, which takes any others silently.

    Args:
        tier: The tier.
        kind: The class.
        ours: The names beside its own that are said to it in its terms.

    Raises:
        ConfigError: One is not; the message names it, and the nearest that there is.
    """
    known = ours | (kind.model_fields.keys() | inspect.signature(kind.__init__).parameters.keys()) - {"self", "kwargs"}
    for name in sorted((tier.model_args or {}).keys() - known):
        close = get_close_matches(name, sorted(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"Tier({tier.name!r}): model_args={{{name!r}: ...}} is no argument of {tier.spec!r}.{hint} What the server "
            "itself is to be told beside goes into 'additional_kwargs'."
        )


def _import(module: str, name: str, tier: Tier) -> Any:
    from importlib import import_module

    try:
        return getattr(import_module(module), name)
    except ImportError:
        raise MissingExtra("llama-index", f"Tier({tier.name!r}, {tier.spec!r})") from None
