"""The chat models of a router's tiers: built from strings when first needed, and what is known of each."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from langchain_core.language_models import ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.runnables.base import Runnable, RunnableBinding
from pydantic import SecretStr

from langchain_slmroute.build import build
from langchain_slmroute.dialects import Dialect, bound_kwargs, chat_model, dialect_of, provider_of, served_by
from langchain_slmroute.own_client import for_this_loop, for_this_process
from langchain_slmroute.tools import Bindings, builtin_providers
from slmroute.errors import ConfigError
from slmroute.ollama import TOLD_BY_SERVER, ModelFacts
from slmroute.ollama_shown import Served, ShownFacts
from slmroute.per_loop import PerLoop
from slmroute.request import RouteRequest
from slmroute.tier import ABILITIES, Tier

__all__ = ["Ready", "TierModels", "profile_of"]

LONG_PROMPT_TOKENS: Final = 4_000
"""Under this no window is in the way, so that a tier need not be built to learn its own."""

_PROFILE_ABILITIES: Final = {
    "tools": "tool_calling",
    "tool_choice": "tool_choice",
    "schema": "structured_output",
    "images": "image_inputs",
}

_PROFILED: Final = {
    "anthropic": "langchain_anthropic",
    "google_genai": "langchain_google_genai",
    "openai": "langchain_openai",
}
"""The providers whose packages ship profiles of their models."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A tier's model, with what each of its calls asks about it.

    Attributes:
        bound: The model as the user gave it, with whatever was bound to it.
        model: The chat model inside.
        kwargs: The arguments bound to it.
        dialect: How it differs from others.
        provider: Who serves it, for prices and records.
        window: The context window that the tier declares.
        bindings: What binding tools to the model gave.
        chains: Its chains of structured answers by what they were built for, and whether they give the message, too.
    """

    bound: BaseChatModel | RunnableBinding[Any, Any]
    model: BaseChatModel
    kwargs: Mapping[str, Any]
    dialect: Dialect
    provider: str | None
    window: int | None
    bindings: Bindings = field(default_factory=Bindings)
    chains: WeakKeyDictionary[object, dict[bool, Runnable[Any, Any]]] = field(
        default_factory=WeakKeyDictionary[object, dict[bool, Runnable[Any, Any]]]
    )


class TierModels:
    """Gives each tier's chat model and dialect. Safe to use from many threads; pickles without built models.

    Args:
        tiers: The router's tiers.
        standard: Standard arguments given to the router, for models built from strings.

    Attributes:
        no_logprobs: The names of tiers whose servers are known to refuse requests for log-probabilities.

    Raises:
        ConfigError: A tier's model is no chat model.
    """

    def __init__(self, tiers: Sequence[Tier], standard: Mapping[str, Any]) -> None:
        self._tiers = {tier.name: tier for tier in tiers}
        self._standard = dict(standard)
        self._built: dict[str, BaseChatModel | RunnableBinding[Any, Any]] = {}
        self._ready = PerLoop(self._make_ready)
        self._pid = os.getpid()
        self._used: set[str] = set()
        self._facts: dict[str, Tier] = {}
        self._all_known: tuple[Tier, ...] | None = None
        self._shown = ShownFacts(self._forget)
        self._lacking: dict[str, frozenset[str]] = {}
        self.no_logprobs: set[str] = set()
        self._lock = threading.RLock()
        for tier in tiers:
            if not isinstance(tier.model, str):
                self._built[tier.name] = _checked(tier)

    def __getstate__(self) -> dict[str, Any]:
        return {"tiers": tuple(self._tiers.values()), "standard": self._standard}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["tiers"], state["standard"])

    def model(self, tier: Tier) -> BaseChatModel | RunnableBinding[Any, Any]:
        """Give a tier's model, built now if this is the first time.

        Raises:
            MissingExtra: The package of its provider is not installed.
            Misconfigured: It has no API key.
            ConfigError: The provider is not known, or an argument is wrong.
        """
        built = self._built.get(tier.name)
        if built is None:
            with self._lock:
                built = self._built.get(tier.name) or build(tier, self._standard)
                self._built[tier.name] = built
        return built

    def ready(self, tier: Tier) -> Ready:
        """Give a tier's model for this event loop, and what is known of it; see ``model``."""
        return self._ready[tier.name]

    def provider(self, tier: Tier) -> str | None:
        """Give the provider of a tier, for prices and records."""
        return _named_provider(tier) if tier.spec else provider_of(chat_model(self.model(tier)))

    def identities(self) -> dict[str, str]:
        """Give the ``"provider:model"`` of each tier whose model is an object, as its own class tells tracers.

        And of each that is served by another than its string says.
        """
        found = {
            tier.name: f"{_named_provider(tier)}:{tier.spec.partition(':')[2]}"
            for tier in self._tiers.values()
            if tier.spec and not tier.spec.startswith(f"{_named_provider(tier)}:")
        }
        for name, model in self._built.items():
            inner = chat_model(model)
            params = inner._get_ls_params(**bound_kwargs(model))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            named = params.get("ls_model_name") or getattr(inner, "model_id", None)
            if self._tiers[name].spec is None and named:
                found[name] = f"{provider_of(inner) or params.get('ls_provider', '')}:{named}"
        return found

    def known(self, request: RouteRequest, kwargs: Mapping[str, Any]) -> tuple[Tier, ...]:
        """Give the tiers with what is known of their abilities and windows.

        A model given as a string is not built only to learn what a short, plain request does not ask for. What only an
        Ollama server can tell is known once ``prepare`` or ``aprepare`` has asked it.

        Args:
            request: The call.
            kwargs: The call's arguments: a tool that a provider runs itself is beyond every other provider's tiers.
        """
        known = self._all_known
        if known is None:
            learn = _asks_much(request)
            with self._lock:
                known = tuple(
                    self._with_facts(tier) if learn or tier.name in self._built else tier
                    for tier in self._tiers.values()
                )
                if len(self._facts) == len(self._tiers):
                    self._all_known = known
        for tool in cast("Sequence[object]", kwargs.get("tools") or ()):
            runners = builtin_providers(cast("Mapping[str, Any]", tool)) if isinstance(tool, Mapping) else None
            if runners is not None:
                known = tuple(tier if self.provider(tier) in runners else _without_tools(tier) for tier in known)
        return known

    def prepare(self, request: RouteRequest) -> None:
        """Ask Ollama servers what their models can do and how long a prompt may be, where a call needs to know."""
        if _asks_much(request) and (models := self._to_show(request)):
            self._shown.ask(models)

    async def aprepare(self, request: RouteRequest) -> None:
        """Do what ``prepare`` does without holding up the event loop."""
        if _asks_much(request) and (models := self._to_show(request)):
            await self._shown.aask(models)

    def note_lacking(self, name: str, ability: str) -> None:
        """Note that a tier's server has said that its model lacks an ability."""
        with self._lock:
            self._lacking[name] = self._lacking.get(name, frozenset()) | {ability}
        self._forget(name)

    def _to_show(self, request: RouteRequest) -> dict[str, Served]:
        """Give the models of Ollama that a call needs to know more of, by their tiers."""
        told_by_server, long = request.needs & TOLD_BY_SERVER, request.tokens > LONG_PROMPT_TOKENS
        found: dict[str, Served] = {}
        for name, tier in self._tiers.items():
            if tier.dry_run or not self._shown.is_to_ask(name) or self.provider(tier) != "ollama":
                continue
            model = self.ready(tier).model
            unknown = told_by_server and tier.abilities is None
            unbounded = long and tier.window is None and getattr(model, "num_ctx", None) is None
            if (unknown or unbounded) and hasattr(model, "_async_client"):
                found[name] = _served(model)
        return found

    def _forget(self, name: str) -> None:
        """Have what is known of a tier be put together anew."""
        with self._lock:
            self._facts.pop(name, None)
            self._all_known = None

    def _make_ready(self, name: str) -> Ready:
        """Make what one event loop or forked process calls: a model, or a user's with connections, of its own."""
        tier = self._tiers[name]
        bound = self.model(tier)
        given = chat_model(bound)
        inner = for_this_loop(given)
        if inner is given and tier.spec and name in self._used:
            bound = given = inner = build(tier, self._standard)
        if os.getpid() != self._pid:
            inner = for_this_process(inner)
        if bound is given:
            bound = inner
        self._used.add(name)
        return Ready(bound, inner, bound_kwargs(bound), dialect_of(inner), self.provider(tier), tier.window)

    def _with_facts(self, tier: Tier) -> Tier:
        known = self._facts.get(tier.name)
        if known is None:
            model = chat_model(self.model(tier))
            profile = cast("Mapping[str, Any]", model.profile or {})
            shown = self._shown.get(tier.name)
            abilities = tier.abilities if tier.abilities is not None else _abilities(model, profile, shown)
            if lacking := self._lacking.get(tier.name):
                abilities = frozenset(ABILITIES if abilities is None else abilities) - lacking
            # What a client sends as num_ctx is where its server cuts, whatever the tier says.
            told = [each for each in (tier.window, getattr(model, "num_ctx", None)) if each]
            window = min(told, default=None) or profile.get("max_input_tokens") or _shown_window(shown)
            known = dataclasses.replace(tier, abilities=abilities, window=window)
            self._facts[tier.name] = known
        return known


def _served(model: Any) -> Served:
    return Served(model.model, lambda: model._client, lambda: model._async_client)  # noqa: SLF001


def profile_of(tiers: Sequence[Tier]) -> ModelProfile | None:
    """Give what all tiers can do, as LangChain's profile: a window is the smallest, an ability is everyone's.

    Nothing is connected to: of models given as strings, the profile that their provider's package ships is read.
    """
    profiles = [_profile(tier) for tier in tiers]
    windows = [profile["max_input_tokens"] for profile in profiles if "max_input_tokens" in profile]
    met: dict[str, Any] = {}
    for key in set[str]().union(*profiles):
        values = [profile.get(key) for profile in profiles]
        if all(isinstance(value, bool) for value in values):
            met[key] = all(values)
        elif key == "max_output_tokens" and all(isinstance(value, int) for value in values):
            met[key] = min(cast("list[int]", values))
    if windows:
        met["max_input_tokens"] = min(windows)
    return cast("ModelProfile", met) if met else None


def _profile(tier: Tier) -> dict[str, Any]:
    model = tier.model
    if isinstance(model, str):
        model = _unconnected(tier)
    shipped = chat_model(cast("Any", model)).profile if isinstance(model, BaseChatModel | RunnableBinding) else None
    profile: dict[str, Any] = {key: value for key, value in (shipped or {}).items() if value is not None}
    if tier.window is not None:
        profile["max_input_tokens"] = tier.window
    if tier.abilities is not None:
        profile |= {key: ability in tier.abilities for ability, key in _PROFILE_ABILITIES.items()}
    return profile


def _unconnected(tier: Tier) -> BaseChatModel | None:
    """Build a string's model only for the profile that its package ships, with a key that is never used."""
    provider = cast("str", tier.spec).partition(":")[0]
    if provider not in _PROFILED or tier.dry_run or find_spec(_PROFILED[provider]) is None:
        return None
    return build(dataclasses.replace(tier, model_args=None), {"api_key": SecretStr("unused")})


def _named_provider(tier: Tier) -> str:
    """Give the provider of a tier whose model is a string."""
    provider = cast("str", tier.spec).partition(":")[0]
    return served_by(provider, (tier.model_args or {}).get("provider"))


def _without_tools(tier: Tier) -> Tier:
    abilities = ABILITIES if tier.abilities is None else frozenset(tier.abilities)
    return dataclasses.replace(tier, abilities=abilities - {"tools"})


def _checked(tier: Tier) -> BaseChatModel | RunnableBinding[Any, Any]:
    model = tier.model
    if isinstance(model, BaseChatModel):
        return model
    if isinstance(model, RunnableBinding):
        binding = cast("RunnableBinding[Any, Any]", model)
        inner = cast("object", chat_model(binding))
        if isinstance(inner, BaseChatModel):
            return binding
    raise ConfigError(
        f"Tier({tier.name!r}): model= is a {type(tier.model).__name__}, which is no LangChain chat model. Give a chat "
        "model, for example ChatOllama(model='phi3:mini'), or a string such as 'ollama:phi3:mini'."
    )


def _asks_much(request: RouteRequest) -> bool:
    """Whether a call may be beyond some tier, so that it is worth knowing what each can do."""
    return bool(request.needs) or request.tokens > LONG_PROMPT_TOKENS


def _shown_window(shown: ModelFacts | None) -> int | None:
    """Give the window that a server told of: what the Modelfile sets, or else the most that the model can take.

    What the server cuts prompts to where neither the Modelfile nor the client says (``OLLAMA_CONTEXT_LENGTH``), nobody
    can ask it.
    """
    told = [each for each in (shown and shown.num_ctx, shown and shown.window) if each]
    return min(told, default=None)


def _abilities(
    model: BaseChatModel, profile: Mapping[str, Any], shown: ModelFacts | None = None
) -> frozenset[str] | None:
    known = dialect_of(model).abilities
    if known is not None and shown is not None and shown.capabilities:
        known &= shown.abilities
    if known is None and type(model).bind_tools is BaseChatModel.bind_tools:
        # LangChain's own way to structured answers binds a tool, too.
        answers = type(model).with_structured_output is not BaseChatModel.with_structured_output
        known = ABILITIES - {"tools", "tool_choice", *(() if answers else ("schema",))}
    if known is None and not profile:
        return None
    known = ABILITIES if known is None else known
    return frozenset(a for a in known if profile.get(_PROFILE_ABILITIES.get(a, "")) is not False)
