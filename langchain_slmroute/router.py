"""A router as an object of LangChain: its settings, copies, written form and profile."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, cast
from zlib import crc32

from langchain_core.language_models import ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import (
    ConfigDict,
    Field,
    FieldSerializationInfo,
    SecretStr,
    field_serializer,
)

from langchain_slmroute import serialise
from langchain_slmroute.clients import Clients
from langchain_slmroute.models import TierModels, profile_of
from langchain_slmroute.tools import ToolLike, neutral_tools
from slmroute.classify import EmbeddedClassifier
from slmroute.classify.protocol import ClassifierLike
from slmroute.engine import Engine, LedgerLike
from slmroute.policy import Confidence, Rule
from slmroute.record import Hook
from slmroute.request import estimate_tokens
from slmroute.router import LASTING, RouterBasics, cannot_change, check_names, engine_of
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
        clients: Those of the copies, too.
        lasting: The settings that all copies keep.
        profile: What all tiers can do; None where the user's own profile stands.
    """

    engine: Engine
    models: TierModels
    clients: Clients
    lasting: Mapping[str, Any] = field(repr=False)
    profile: ModelProfile | None = None

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
            check_names(type(self).__name__, settings.keys(), self._aliases())
            super().__init__(**serialise.read_settings(settings))
            before = self.shared
            found = before.profile if isinstance(before, Shared) else None
            if settings.get("profile") in (None, found):
                self.model_fields_set.discard("profile")  # LangChain sets what we have found out
            self._prepare()

    def _prepare(self) -> None:
        """Make the engine and the tiers' models, or take over those of the router that this is a copy of."""
        cast("dict[str, Any]", self.__dict__).pop("_serialized", None)  # what LangChain keeps of the router before
        before = self.shared if isinstance(self.shared, Shared) else None
        if before is None:
            clients, lasting = Clients(), {name: getattr(self, name) for name in LASTING}
        else:
            clients, lasting = before.clients, before.lasting
            for name, kept in lasting.items():
                value = getattr(self, name)
                if value is not kept and value != kept:
                    raise cannot_change(type(self).__name__, name)
        models = clients.of(self.tiers, self._standard_arguments())
        engine = engine_of(self, models.identities(), before and before.engine)
        if "profile" in self.model_fields_set:
            profile = None
        elif before is not None and engine.policy.tiers != before.engine.policy.tiers:
            profile = self._resolve_model_profile()
            cast("dict[str, Any]", self.__dict__)["profile"] = profile
        else:
            profile = self.profile
        self.shared = Shared(engine, models, clients, lasting, profile)

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

    @classmethod
    def _own_settings(cls) -> AbstractSet[str]:
        # LangChain's own among them are made into the tiers' models, too.
        return (cls.model_fields.keys() - BaseChatModel.model_fields.keys() - {"shared"}) | {"output_version"}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the router; the copy shares health, ledger, hooks and clients, and decides by what was changed.

        Raises:
            ConfigError: What is changed is shared, unknown or wrong.
        """
        copied = super().model_copy(update=self._changes(update), deep=deep)
        if update:
            copied._prepare()  # noqa: SLF001  a copy of this very class
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Models hold connections and locks, which cannot be copied, and a copy shares them anyway.
        copied = self.__copy__()
        copied.tags, copied.metadata = copy.copy(self.tags), copy.deepcopy(self.metadata)
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": self._pickled()}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._prepare()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Routers whose tiers are given as strings can be written with ``dumps`` and read back with ``loads``.

        LangChain reads classes that are not its own when it is told to: ``loads(written, allowed_objects="all",
        valid_namespaces=["langchain_slmroute"])``, or with ``allowed_objects=[RoutingChatModel]`` nothing else.
        """
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """The import path under which a written router is found again."""
        return ["langchain_slmroute"]

    @field_serializer("tiers")
    def _dumped_tiers(self, tiers: Sequence[Tier]) -> list[dict[str, Any]]:
        return [serialise.dumped_tier(tier) for tier in tiers]

    @field_serializer(
        "classifier", "escalation", "rules", "checks", "budget", "ledger", "hooks", "prices", "availability_errors"
    )
    def _dumped(self, value: object, info: FieldSerializationInfo) -> Any:
        return serialise.dumped(value, as_json=info.mode_is_json())

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
        # Middleware holds it against what answers say of theirs; of several providers none is the router's own.
        providers = {self.models.provider(tier) for tier in self.tiers}
        params["ls_provider"] = (providers.pop() if len(providers) == 1 else None) or "slmroute"
        params["ls_model_name"] = str(kwargs.get("model") or "slmroute")
        return params

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # Two routers must never share an entry of a cache, however alike they look.
        return f"slmroute router {self.engine.number} {super()._get_llm_string(stop=stop, **kwargs)}"

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self.tiers)

    def get_token_ids(self, text: str) -> list[int]:
        """Number the tokens of a text: those of ``custom_get_token_ids``, or of the estimate of ``get_num_tokens``.

        The estimate knows no model's vocabulary: its tokens are pieces of even length, the same piece the same number.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        count = estimate_tokens(text)
        ends = [len(text) * place // count for place in range(count + 1)] if count else []
        return [crc32(text[start:end].encode("utf-8", "surrogatepass")) for start, end in pairwise(ends)]

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text by ``custom_get_token_ids``, or estimate them without vocabulary or network."""
        return estimate_tokens(text) if self.custom_get_token_ids is None else len(self.custom_get_token_ids(text))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Count the tokens of a conversation as ``get_num_tokens`` does those of a text."""
        described = [dict(tool) for tool in neutral_tools(cast("Sequence[ToolLike]", tools))] if tools else None
        if self.custom_get_token_ids is None:
            return count_tokens_approximately(messages, tools=cast("Any", described))
        counted = super().get_num_tokens_from_messages(messages)
        return counted + (self.get_num_tokens(json.dumps(described)) if described else 0)
