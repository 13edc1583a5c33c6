"""The LLMs of a router's tiers: built when first needed, and copied so that the user's own objects stay as they are."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms import LLM

from llama_index_slmroute.arguments import ToolSpecs
from llama_index_slmroute.build import Dialect, build, check_provider, dialect_of
from llama_index_slmroute.ollama_client import Asked, AskingAsyncClient, AskingClient
from llama_index_slmroute.openai_client import Watch, WatchedAsyncClient, WatchedClient
from llama_index_slmroute.own_client import keep_to_this_loop, keep_to_this_process
from slmroute.attempt import Attempt
from slmroute.errors import ConfigError
from slmroute.ollama import TOLD_BY_SERVER, ModelFacts
from slmroute.ollama_shown import Served, ShownFacts
from slmroute.per_loop import PerLoop
from slmroute.request import RouteRequest
from slmroute.tier import ABILITIES, Tier

__all__ = ["TierModels"]

LONG_PROMPT_TOKENS: Final = 3_000
"""Under this no window is in the way, so that a tier need not be built to learn its own."""


class TierModels:
    """Gives each tier's LLM and dialect. Safe to use from many threads and event loops.

    Args:
        tiers: The router's tiers.
        standard: Standard arguments given to the router, for LLMs built from strings.

    Attributes:
        tool_specs: Describes tools to the core.
        no_logprobs: The names of tiers whose servers are known to refuse requests for log-probabilities.

    Raises:
        ConfigError: A tier's model is no LLM of LlamaIndex, nor a string that one can be built from.
    """

    def __init__(self, tiers: Sequence[Tier], standard: Mapping[str, Any]) -> None:
        self._tiers = {tier.name: tier for tier in tiers}
        self._standard = dict(standard)
        self._built: dict[str, LLM] = {}
        self._dialects: dict[str, Dialect] = {}
        self._described: dict[str, Tier] = {}
        self._shown = ShownFacts(self._learnt)
        self._lacking: dict[str, frozenset[str]] = {}
        self._carriers = PerLoop(self._make_carrier)
        self._pid = os.getpid()
        self.tool_specs = ToolSpecs()
        self.no_logprobs: set[str] = set()
        self._lock = threading.RLock()
        for tier in tiers:
            if isinstance(tier.model, str):
                check_provider(tier)
            else:
                self._built[tier.name] = _checked(tier)

    def model(self, tier: Tier) -> LLM:
        """Give a tier's LLM as the user made it, or built now if this is the first time.

        Raises:
            MissingExtra: The package of its provider is not installed.
            ConfigError: The provider is not known.
        """
        built = self._built.get(tier.name)
        if built is None:
            with self._lock:
                built = self._built.get(tier.name) or build(tier, self._standard)
                self._built[tier.name] = built
        return built

    def dialect(self, tier: Tier) -> Dialect:
        """Give the dialect of a tier's LLM."""
        known = self._dialects.get(tier.name)
        if known is None:
            known = self._dialects[tier.name] = dialect_of(self.model(tier))
        return known

    def provider(self, tier: Tier) -> str | None:
        """Give the provider of a tier, for prices and records."""
        spec = tier.spec
        return spec.partition(":")[0] if spec else self.dialect(tier).provider

    def identities(self) -> dict[str, str]:
        """Give the ``"provider:model"`` of each tier whose model is an object, as far as its class tells."""
        found: dict[str, str] = {}
        for name, llm in self._built.items():
            provider, model = self.dialect(self._tiers[name]).provider, getattr(llm, "model", None)
            if self._tiers[name].spec is None and provider is not None and isinstance(model, str):
                found[name] = f"{provider}:{model}"
        return found

    def copy(
        self,
        tier: Tier,
        callbacks: CallbackManager | None,
        *,
        logprobs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        attempt: Attempt | None = None,
    ) -> LLM:
        """Give a copy of a tier's LLM for one call. The clients are shared by all copies.

        Args:
            tier: The tier.
            callbacks: The callback manager to call it with; None for its own.
            logprobs: What asks an Ollama tier for log-probabilities; None for nothing.
            options: An Ollama tier's options for this call.
            attempt: Where an OpenAI tier's client notes what it waited for in vain, or None.
        """
        carrier = self._carriers[tier.name]
        changes: dict[str, Any] = {} if callbacks is None else {"callback_manager": callbacks}
        if self._is_unasked(tier):  # its server did not say: the class would ask again, and wait for ever
            changes["context_window"] = DEFAULT_CONTEXT_WINDOW
        copy = carrier.model_copy(update=changes)
        private = carrier.__pydantic_private__
        if self.dialect(tier).is_ollama:
            llm, asked = cast("Any", carrier), Asked(logprobs or {}, options or {}, self._sends_num_ctx(tier))
            client, async_client = (
                AskingClient(lambda: llm.client, asked),
                AskingAsyncClient(lambda: llm.async_client, asked),
            )
            private = {**(private or {}), "_client": client, "_async_client": async_client}
        elif hasattr(carrier, "_get_aclient") and getattr(carrier, "reuse_client", False):
            llm, watch = cast("Any", carrier), Watch(attempt)
            client, async_client = (
                WatchedClient(llm._get_client, watch),  # noqa: SLF001
                WatchedAsyncClient(llm._get_aclient, watch),  # noqa: SLF001
            )
            private = {**(private or {}), "_client": client, "_aclient": async_client}
        elif hasattr(carrier, "_responses_model"):  # OpenAI's other class, which has its clients from the beginning
            made, watch = dict(private or {}), Watch(attempt)
            client = WatchedClient(lambda: made["_client"], watch)
            async_client = WatchedAsyncClient(lambda: made["_aclient"], watch)
            private = {**made, "_client": client, "_aclient": async_client}
        # The clients that LLMs make when first called are kept in here, and so must be common to the copies.
        object.__setattr__(copy, "__pydantic_private__", private)
        return copy

    def prepare(self, tier: Tier) -> bool:
        """Ask an Ollama server for the window of a tier's model, where LlamaIndex's class would ask at every call.

        Returns:
            Whether it is known now, or nobody needs to ask.
        """
        if self._is_unasked(tier):
            self._shown.ask(self._served(tier))
        return not self._is_unasked(tier)

    async def aprepare(self, tier: Tier) -> None:
        """Do what ``prepare`` does without holding up the event loop, as the class itself would."""
        if self._is_unasked(tier):
            await self._shown.aask(self._served(tier))

    def learn(self, request: RouteRequest) -> bool:
        """Ask Ollama servers what their models can do, where a call needs to know; gives whether any was asked."""
        models = self._to_show(request)
        if models:
            self._shown.ask(models)
        return bool(models)

    async def alearn(self, request: RouteRequest) -> bool:
        """Do what ``learn`` does without holding up the event loop."""
        models = self._to_show(request)
        if models:
            await self._shown.aask(models)
        return bool(models)

    def note_lacking(self, name: str, ability: str) -> None:
        """Note that a tier's server has said that its model lacks an ability."""
        with self._lock:
            self._lacking[name] = self._lacking.get(name, frozenset()) | {ability}
            self._described.pop(name, None)

    def known(self, request: RouteRequest) -> tuple[Tier, ...]:
        """Give the tiers with what is known of their abilities and windows.

        An LLM given as a string is not built only to learn what a short, plain request does not ask for.
        """
        learn = bool(request.needs) or request.tokens > LONG_PROMPT_TOKENS
        tiers = tuple(
            self.described(tier) if learn or tier.name in self._built else tier for tier in self._tiers.values()
        )
        if request.forced_tool and all(tier.lacks(frozenset({"tool_choice"})) for tier in tiers):
            # Nobody can be made to call a tool: all are asked, and what comes is checked.
            return tuple(
                dataclasses.replace(tier, abilities={*(tier.abilities or ()), "tool_choice"}) for tier in tiers
            )
        return tiers

    def described(self, tier: Tier) -> Tier:
        """Give a tier with its abilities and its window, as far as they are known without asking a server."""
        known = self._described.get(tier.name)
        if known is None:
            llm, dialect, facts = self.model(tier), self.dialect(tier), self._shown.get(tier.name)
            abilities = _abilities(llm, dialect, facts) if tier.abilities is None else tier.abilities
            if lacking := self._lacking.get(tier.name):
                abilities = frozenset(ABILITIES if abilities is None else abilities) - lacking
            window = tier.window or _window(llm, dialect, facts)
            known = dataclasses.replace(tier, abilities=abilities, window=window)
            self._described[tier.name] = known
        return known

    def _make_carrier(self, name: str) -> LLM:
        """Make the copy that keeps the clients of one event loop or forked process."""
        tier, changes = self._tiers[name], dict[str, Any]()
        if self.dialect(tier).is_ollama and (window := self._ollama_window(tier)):
            changes["context_window"] = window
        carrier = self.model(tier).model_copy(update=changes)
        keep_to_this_loop(carrier)
        if os.getpid() != self._pid:
            keep_to_this_process(carrier)
        return carrier

    def _ollama_window(self, tier: Tier) -> int | None:
        """The window that a tier's class would ask its server for; None where it need not, or nobody has asked yet."""
        facts = self._shown.get(tier.name)
        if tier.window is not None or facts is None or not self._asks_for_window(tier):
            return tier.window
        return facts.window or DEFAULT_CONTEXT_WINDOW

    def _sends_num_ctx(self, tier: Tier) -> bool:
        """Whether the context's length is known or chosen; a tier built from a string leaves it to the server."""
        chosen = {"num_ctx", "context_window"} & {*(tier.model_args or ())}
        tier = self._tiers[tier.name]  # as it was given: what has been found out since was not chosen
        if self._is_unasked(tier):
            return False
        return not isinstance(tier.model, str) or tier.window is not None or bool(chosen)

    def _asks_for_window(self, tier: Tier) -> bool:
        return self.dialect(tier).is_ollama and cast("Any", self.model(tier)).context_window == -1

    def _is_unasked(self, tier: Tier) -> bool:
        """Whether a tier's class would ask its server for the window, and nobody has been told yet."""
        return tier.window is None and self._shown.get(tier.name) is None and self._asks_for_window(tier)

    def _to_show(self, request: RouteRequest) -> dict[str, Served]:
        """Give the models of Ollama of which a call needs to know what they can do, by their tiers."""
        if not request.needs & TOLD_BY_SERVER:
            return {}
        found: dict[str, Served] = {}
        for tier in self._tiers.values():
            if tier.abilities is None and self._shown.is_to_ask(tier.name) and self.dialect(tier).is_ollama:
                found |= self._served(tier)
        return found

    def _served(self, tier: Tier) -> dict[str, Served]:
        llm = cast("Any", self._carriers[tier.name])
        return {tier.name: Served(llm.model, lambda: llm.client, lambda: llm.async_client)}

    def _learnt(self, name: str) -> None:
        with self._lock:
            self._described.pop(name, None)
        window = self._ollama_window(self._tiers[name])
        for carrier in self._carriers.everywhere(name) if window else ():
            cast("Any", carrier).context_window = window


def _abilities(llm: LLM, dialect: Dialect, facts: ModelFacts | None) -> frozenset[str] | None:
    if dialect.abilities is None:
        return None
    abilities = dialect.abilities
    # Whether a model takes tools is a setting of LlamaIndex's Ollama; other classes know it by the model's name.
    takes_tools = getattr(llm, "is_function_calling_model", True) if dialect.is_ollama else _takes_tools(llm)
    if not takes_tools:
        abilities -= {"tools", "tool_choice"}
    if facts is not None and facts.capabilities:
        abilities &= facts.abilities | {"tool_choice"}
    return abilities


def _takes_tools(llm: LLM) -> bool:
    try:
        return llm.metadata.is_function_calling_model
    except ValueError:  # LlamaIndex's OpenAI does not know the model
        return True


def _window(llm: LLM, dialect: Dialect, facts: ModelFacts | None) -> int | None:
    if dialect.is_ollama:
        window = cast("int", cast("Any", llm).context_window)
        return (facts and facts.window) if window == -1 else window
    if not getattr(llm, "is_known", True):
        return None
    try:
        stated = llm.metadata.context_window
    except ValueError:  # as above
        return None
    # What LlamaIndex assumes of LLMs that do not say is no reason to turn a prompt away.
    return None if stated == DEFAULT_CONTEXT_WINDOW else stated


def _checked(tier: Tier) -> LLM:
    if isinstance(tier.model, LLM):
        return tier.model
    raise ConfigError(
        f"Tier({tier.name!r}): model= is a {type(tier.model).__name__}, which is no LLM of LlamaIndex. Give an LLM, "
        "for example Ollama(model='phi3:mini'), or a string such as 'ollama:phi3:mini'."
    )
