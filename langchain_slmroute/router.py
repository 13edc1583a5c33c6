"""A router as an object of LangChain: its settings, copies, written form and profile."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

from langchain_core.language_models import ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import ConfigDict, Field, SecretStr

from langchain_slmroute import serialise
from langchain_slmroute.models import TierModels, profile_of
from langchain_slmroute.tools import ToolLike, neutral_tools
from slmroute.classify import EmbeddedClassifier
from slmroute.classify.protocol import ClassifierLike
from slmroute.engine import Engine, LedgerLike
from slmroute.policy import Confidence, Rule
from slmroute.record import Hook
from slmroute.request import estimate_tokens
from slmroute.router import RouterBasics, check_names, engine_of, same_models
from slmroute.tier import Money, Tier

__all__ = ["Router"]

if TYPE_CHECKING:
    Tiers = Sequence[Tier]
    Rules = Sequence[Rule]
    Checks = bool | AbstractSet[str]
    Hooks = Sequence[Hook]
    Prices = Mapping[str, tuple[Money, ...]]
    Errors = Sequence[type[Exception]]
    OptionalConfidence = Confidence | None
    Threshold = float | None
    Thresholds = Sequence[float] | None
    OptionalClassifier = ClassifierLike | None
    OptionalLedger = LedgerLike | str | None
else:
    # The policy and the engine check them: their errors say more than Pydantic's, which would copy them, too.
    Tiers = Rules = Checks = Hooks = Prices = Errors = OptionalConfidence = OptionalClassifier = OptionalLedger = Any
    Threshold = Thresholds = Any


@dataclass(frozen=True, eq=False)
class Shared:
    """What a router and its copies share.

    Attributes:
        engine: Health, ledger and hooks.
        models: The clients of the tiers.
    """

    engine: Engine
    models: TierModels

    def __deepcopy__(self, memo: object) -> Shared:
        return self


class Router(RouterBasics, BaseChatModel):
    """The settings of a router and what follows from them; ``RoutingChatModel`` is the one to use."""

    tiers: Tiers
    classifier: OptionalClassifier = Field(default_factory=EmbeddedClassifier)
    threshold: Threshold = None
    thresholds: Thresholds = None
    escalation: OptionalConfidence = None
    rules: Rules = ()
    default_tier: str | None = None
    checks: Checks = Field(default=True, alias="validate")
    failover: bool = True
    deadline_s: float | None = None
    budget: Any = None
    ledger: OptionalLedger = None
    hooks: Hooks = ()
    prices: Prices | None = None
    availability_errors: Errors = ()
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    stop: Sequence[str] | None = None
    max_retries: int | None = None
    api_key: SecretStr | None = None
    streaming: bool = False
    shared: Any = Field(default=None, exclude=True, repr=False)

    model_config = ConfigDict(populate_by_name=True, extra="forbid", hide_input_in_errors=True)

    if not TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None:
            aliases = {name: field.alias for name, field in type(self).model_fields.items()}
            check_names("RoutingChatModel", settings.keys(), aliases)
            super().__init__(**serialise.read_settings(settings))
            self._prepare()

    def _prepare(self) -> None:
        """Make the engine and the tiers' models, or take over those of the router that this is a copy of."""
        before = self.shared if isinstance(self.shared, Shared) else None
        if before is not None and same_models(self, before.engine):
            models = before.models
        else:
            models = TierModels(self.tiers, self._standard_arguments())
        self.shared = Shared(engine_of(self, models.identities(), before and before.engine), models)

    def _standard_arguments(self) -> dict[str, Any]:
        # ``stop`` goes with every call instead: ChatOllama refuses to be told twice.
        names = ("temperature", "max_tokens", "timeout", "max_retries", "api_key", "output_version")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @property
    def engine(self) -> Engine:
        """What lives across the calls of this router and its copies."""
        shared: Shared = self.shared
        return shared.engine

    @property
    def models(self) -> TierModels:
        """The chat models of the tiers."""
        shared: Shared = self.shared
        return shared.models

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the router; the copy shares health, ledger, hooks and clients, and decides by what was changed."""
        copied = super().model_copy(update=update, deep=deep)
        if update:
            cast("dict[str, Any]", copied.__dict__).pop("_serialized", None)  # what LangChain keeps of the original
            copied._prepare()  # noqa: SLF001  a copy of this very class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Models hold connections and locks, which cannot be copied, and a copy shares them anyway.
        copied = self.__copy__()
        copied.tags, copied.metadata = copy.copy(self.tags), copy.deepcopy(self.metadata)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "shared": None}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._prepare()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Routers whose tiers are given as strings can be written with ``dumps`` and read back with ``loads``."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """The import path under which a written router is found again."""
        return ["langchain_slmroute"]

    def to_json(self) -> Any:
        """Write the router without secrets; see ``serialise``."""
        return serialise.router_to_json(self)

    @property
    def _llm_type(self) -> str:
        return "slmroute"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return serialise.identity(self)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or (list(self.stop) if self.stop else None), **kwargs)
        params["ls_provider"] = "slmroute"
        params["ls_model_name"] = str(kwargs.get("model") or "slmroute")
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # Two routers must never share an entry of a cache, however alike they look.
        return f"slmroute router {self.engine.number} {super()._get_llm_string(stop=stop, **kwargs)}"

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self.tiers)

    def get_num_tokens(self, text: str) -> int:
        """Estimate the tokens of a text, without any model's vocabulary and without a network."""
        return estimate_tokens(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Estimate the tokens of a conversation, without any model's vocabulary and without a network."""
        described = [dict(tool) for tool in neutral_tools(cast("Sequence[ToolLike]", tools))] if tools else None
        return count_tokens_approximately(messages, tools=cast("Any", described))
