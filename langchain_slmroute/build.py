"""Builds the chat models of tiers that are given as strings, each in its provider's terms."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import SecretStr, ValidationError

from langchain_slmroute.dialects import OLLAMA_OPTIONS
from langchain_slmroute.dry_run import DryRunChatModel
from slmroute.errors import ConfigError, MissingExtra, SlmrouteError
from slmroute.keys import asks_for_key, key_missing
from slmroute.sdk_client import own_http_client
from slmroute.tier import Tier, meant

__all__ = ["build"]

_OLLAMA_DROPPED: Final = frozenset({"api_key", "max_retries"})
_HUGGING_FACE_NAMES: Final = {
    "api_key": "huggingfacehub_api_token",
    "base_url": "endpoint_url",
    "max_tokens": "max_new_tokens",
}


def build(tier: Tier, standard: Mapping[str, Any]) -> BaseChatModel:
    """Build a tier's chat model.

    No client retries by itself, for a router moves on to another tier instead.

    Args:
        tier: A tier whose model is given as a string.
        standard: Standard arguments given to the router, which the tier's own ``model_args`` overrule.

    Raises:
        MissingExtra: The package of its provider is not installed.
        Misconfigured: There is no API key; the message names the variable to set it in.
        ConfigError: The provider is not known, or an argument is wrong.
    """
    provider, _, name = cast("str", tier.spec).partition(":")
    given = {key: value for key, value in standard.items() if value is not None}
    own: dict[str, Any] = dict(tier.model_args or {})
    try:
        return _made(tier, provider, name, given, own)
    except SlmrouteError:
        raise
    except _refusals() as error:
        said, cause = _said(error)
        if asks_for_key(said):
            raise key_missing(tier, provider, said) from cause
        hint = meant(str(tier.spec))
        raise ConfigError(f"Tier({tier.name!r}): {tier.spec!r} cannot be built:{hint} {said}") from cause


def _made(tier: Tier, provider: str, name: str, given: dict[str, Any], own: dict[str, Any]) -> BaseChatModel:
    if tier.dry_run:
        return DryRunChatModel(model=cast("str", tier.spec), **own)
    match provider:
        case "ollama":
            return _ollama(tier, name, {**_ollama_arguments(given), **own})
        case "openai":
            return _openai(tier, name, {**given, **own})
        case "anthropic":
            return _anthropic(tier, name, {**given, **own})
        case "google_genai":
            chat_google = _import("langchain_google_genai", "ChatGoogleGenerativeAI", "google", tier)
            # One attempt: what is called retries counts the first one here.
            return chat_google(**{"max_retries": 1, **given, **own}, model=name)
        case "huggingface":
            return _hugging_face(tier, name, {**given, **own})
        case _:
            return _any(tier, {**given, **own})


def _ollama_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {OLLAMA_OPTIONS.get(k, k): v for k, v in given.items() if k not in {*_OLLAMA_DROPPED, "timeout"}}
    if "timeout" in given:
        arguments["client_kwargs"] = {"timeout": given["timeout"]}
    return arguments


def _ollama(tier: Tier, name: str, arguments: dict[str, Any]) -> BaseChatModel:
    if tier.window is not None:
        # The server cuts longer prompts silently, and reloads the model whenever this changes.
        arguments.setdefault("num_ctx", tier.window)
    chat_ollama = _import("langchain_ollama", "ChatOllama", "langchain", tier)
    return chat_ollama(**arguments, model=name)


def _openai(tier: Tier, name: str, arguments: dict[str, Any]) -> BaseChatModel:
    chat_openai = _import("langchain_openai", "ChatOpenAI", "langchain", tier)
    if not {"http_async_client", "openai_proxy"} & set(arguments):
        arguments["http_async_client"] = own_http_client("openai")
    return chat_openai(**{"max_retries": 0, "stream_usage": True, **arguments}, model=name)


def _anthropic(tier: Tier, name: str, arguments: dict[str, Any]) -> BaseChatModel:
    chat_anthropic = _import("langchain_anthropic", "ChatAnthropic", "anthropic", tier)
    model = chat_anthropic(**{"max_retries": 0, **arguments}, model=name)
    own_headers = {header.lower() for header in model.default_headers or ()}
    if not model.anthropic_api_key.get_secret_value() and not own_headers & {"authorization", "x-api-key"}:
        raise key_missing(tier, "anthropic")  # it is built without one, to be refused by the server
    if model.anthropic_proxy is None:
        anthropic = import_module("anthropic")
        client = own_http_client("anthropic")
        # It takes no client, so this stands in for what it would make when first used.
        model.__dict__["_async_client"] = anthropic.AsyncClient(**model._client_params, http_client=client)  # noqa: SLF001
    return model


def _hugging_face(tier: Tier, name: str, arguments: dict[str, Any]) -> BaseChatModel:
    chat = _import("langchain_huggingface", "ChatHuggingFace", "huggingface", tier)
    endpoint = _import("langchain_huggingface", "HuggingFaceEndpoint", "huggingface", tier)
    arguments = {_HUGGING_FACE_NAMES.get(k, k): v for k, v in arguments.items() if k != "max_retries"}
    if isinstance(arguments.get("huggingfacehub_api_token"), SecretStr):
        arguments["huggingfacehub_api_token"] = arguments["huggingfacehub_api_token"].get_secret_value()
    if arguments.get("timeout") is not None:
        arguments["timeout"] = math.ceil(arguments["timeout"])  # it takes whole seconds
    chats = {key: arguments.pop(key) for key in set(arguments) - set(endpoint.model_fields) if key in chat.model_fields}
    if not arguments.get("endpoint_url"):
        arguments["repo_id"] = name
    llm = endpoint(**arguments)
    if llm.endpoint_url is None and not (llm.huggingfacehub_api_token or _hugging_face_token()):
        raise key_missing(tier, "huggingface")  # the client says so only when it is asked
    model = chat(llm=llm, **{"stream_usage": True, "model_id": name, **chats})
    model.model_id = name  # else an endpoint is told its own address as the model's name
    return model


def _hugging_face_token() -> str | None:
    from huggingface_hub import get_token

    return get_token()  # it knows what `hf auth login` has stored, too


def _any(tier: Tier, arguments: dict[str, Any]) -> BaseChatModel:
    spec = cast("str", tier.spec)
    try:
        from langchain.chat_models import init_chat_model
    except ImportError:
        raise ConfigError(
            f"Tier({tier.name!r}): the provider of {spec!r} is not built in. pip install langchain and the provider's "
            "package, or give a chat model object."
        ) from None
    model = cast("BaseChatModel", init_chat_model(spec, **arguments))
    if "max_retries" in type(model).model_fields and "max_retries" not in arguments:
        model = cast("BaseChatModel", init_chat_model(spec, max_retries=0, **arguments))
    return model


def _import(module: str, name: str, extra: str, tier: Tier) -> Any:
    try:
        return getattr(import_module(module), name)
    except ImportError:
        raise MissingExtra(extra, f"Tier({tier.name!r}, {tier.spec!r})") from None


def _refusals() -> tuple[type[Exception], ...]:
    """What classes of chat models raise when they are made with arguments that they cannot use."""
    openai = sys.modules.get("openai")
    return (ImportError, TypeError, ValueError, *((openai.OpenAIError,) if openai is not None else ()))


def _said(error: Exception) -> tuple[str, Exception | None]:
    """Give an error's message, and the error itself where it may be shown as a cause.

    Pydantic's show what they were given, keys among it: of these only what was found, and what a validator raised.
    """
    if not isinstance(error, ValidationError):
        return str(error), error
    found = error.errors(include_input=False, include_url=False)
    raised = [cause for each in found if isinstance(cause := each.get("ctx", {}).get("error"), Exception)]
    places = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in found]
    return "; ".join(f"{place}: {said}" if place else said for place, said in places), raised[0] if raised else None
