"""A router as an object of LlamaIndex: its settings, copies, written form and metadata."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self, cast

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from llama_index_slmroute import serialise
from llama_index_slmroute.loops import WrittenLoops
from llama_index_slmroute.metadata import WindowPolicy, checked_policy, metadata_of
from llama_index_slmroute.models import TierModels
from llama_index_slmroute.queries import watch_queries
from slmroute.classify import EmbeddedClassifier
from slmroute.classify.protocol import ClassifierLike
from slmroute.engine import Engine, LedgerLike
from slmroute.plain import read_tiers
from slmroute.policy import Confidence, Rule
from slmroute.record import Hook
from slmroute.router import RouterBasics, check_names, engine_of
from slmroute.tier import Money, Tier

__all__ = ["Router"]

logger = logging.getLogger("slmroute.router")

_SET_BY_OTHERS: Final = ("callback_manager", "rate_limiter")
"""What says nothing of how a router decides; LlamaIndex's own LLMs are pickled without it, too, where it cannot be."""

if TYPE_CHECKING:
    Tiers = Sequence[Tier]
    Rules = Sequence[Rule]
    Checks = bool | AbstractSet[str]
    Hooks = Sequence[Hook]
    Prices = Mapping[str, tuple[Money, ...]]
    Errors = Sequence[type[Exception]]
    OptionalConfidence = Confidence | None
    OptionalClassifier = ClassifierLike | None
    OptionalLedger = LedgerLike | str | None
    Window = WindowPolicy
    Threshold = float | None
    Thresholds = Sequence[float] | None
else:
    # The policy and the engine check them: their errors say more than Pydantic's, which would copy them, too.
    Tiers = Rules = Checks = Hooks = Prices = Errors = OptionalConfidence = OptionalClassifier = OptionalLedger = Any
    Window = Threshold = Thresholds = Any


@dataclass(frozen=True, eq=False)
class Shared:
    """What a router and its copies share.

    Attributes:
        engine: Health, ledger and hooks.
        models: The clients of the tiers.
        loops: Who gave the last steps of the agents' loops going on.
        standard: The standard arguments that the models are made with.
    """

    engine: Engine
    models: TierModels
    loops: WrittenLoops
    standard: Mapping[str, Any] = field(repr=False)

    def __deepcopy__(self, memo: object) -> Shared:
        return self


class Router(RouterBasics, FunctionCallingLLM):
    """The settings of a router and what follows from them; ``RoutingLLM`` is the one to use."""

    tiers: Tiers = Field(exclude=True)
    classifier: OptionalClassifier = Field(default_factory=EmbeddedClassifier, exclude=True)
    threshold: Threshold = None
    thresholds: Thresholds = None
    escalation: OptionalConfidence = Field(default=None, exclude=True)
    rules: Rules = Field(default=(), exclude=True)
    default_tier: str | None = None
    checks: Checks = Field(default=True, alias="validate", exclude=True)
    failover: bool = True
    deadline_s: float | None = None
    budget: Any = Field(default=None, exclude=True)
    ledger: OptionalLedger = Field(default=None, exclude=True, repr=False)
    hooks: Hooks = Field(default=(), exclude=True)
    prices: Prices | None = Field(default=None, exclude=True)
    availability_errors: Errors = Field(default=(), exclude=True)
    local_only: bool = False
    context_window: Window = "smallest"
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    stop: Sequence[str] | None = None
    max_retries: int | None = None
    api_key: SecretStr | None = Field(default=None, exclude=True)
    shared: Any = Field(default=None, exclude=True, repr=False)

    _metadata: LLMMetadata | None = PrivateAttr(default=None)

    model_config = ConfigDict(
        arbitrary_types_allowed=True, populate_by_name=True, extra="forbid", hide_input_in_errors=True
    )

    if not TYPE_CHECKING:

        def __init__(self, **settings: Any) -> None:
            settings.pop("class_name", None)  # what a written router says of itself
            check_names(type(self).__name__, settings.keys(), self._aliases())
            settings = {**serialise.read_settings(settings), "tiers": read_tiers(settings["tiers"])}
            super().__init__(**settings)
            self._prepare()

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes a router down."""
        return "RoutingLLM"

    def _prepare(self) -> None:
        """Make the engine and the tiers' models, or take over those of the router that this is a copy of."""
        watch_queries()
        checked_policy(self.context_window)
        self._metadata = None
        before = self.shared if isinstance(self.shared, Shared) else None
        standard = self._standard_arguments()
        if before is not None and before.standard == standard and tuple(self.tiers) == before.engine.policy.tiers:
            models = before.models
        else:
            models = TierModels(self.tiers, standard)
        engine = engine_of(self, models.identities(), before and before.engine)
        if before is None:
            self.shared = Shared(engine, models, WrittenLoops(), standard)
        else:
            self.shared = replace(before, engine=engine, models=models, standard=standard)

    def _standard_arguments(self) -> dict[str, Any]:
        names = ("temperature", "max_tokens", "timeout", "stop", "max_retries")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        given["api_key"] = None if self.api_key is None else self.api_key.get_secret_value()
        return given

    @property
    def engine(self) -> Engine:
        """What lives across the calls of this router and its copies."""
        return cast("Shared", self.shared).engine

    @property
    def models(self) -> TierModels:
        """The LLMs of the tiers."""
        return cast("Shared", self.shared).models

    @property
    def loops(self) -> WrittenLoops:
        """Who gave the last steps of the agents' loops going on."""
        return cast("Shared", self.shared).loops

    @classmethod
    def _own_settings(cls) -> AbstractSet[str]:
        return cls.model_fields.keys() - FunctionCallingLLM.model_fields.keys() - {"shared"}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the router; the copy shares health, ledger, hooks and clients, and decides by what was changed.

        Raises:
            ConfigError: What is changed is shared, unknown or wrong.
        """
        copied = super().model_copy(update=self._changes(update), deep=deep)
        if update:
            copied._prepare()  # noqa: SLF001
        return copied

    def __getstate__(self) -> dict[str, Any]:
        # Not LlamaIndex's own, which leaves out all that cannot be pickled: a router without its tiers is none.
        kept = self._pickled()
        for name in [name for name in _SET_BY_OTHERS if not _can_be_pickled(kept[name])]:
            logger.warning("the router is pickled without its %s, which cannot be pickled", name)
            del kept[name]
        return {"__dict__": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["__dict__"])

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Write the router without secrets; see ``serialise``. LlamaIndex's own name for it is kept."""
        del info
        base = {name: value for name, value in handler(self).items() if name in FunctionCallingLLM.model_fields}
        return {**base, **serialise.router_data(self), "class_name": self.class_name()}

    @property
    def metadata(self) -> LLMMetadata:
        """What prompts are packed for, and which agents fit; see ``context_window``. The name is no model's."""
        if self._metadata is not None:
            return self._metadata
        tiers = [tier for tier in self.tiers if tier.local or not self.local_only]
        metadata, complete = metadata_of(tiers or self.tiers, self.models, self.context_window)
        if complete:
            self._metadata = metadata
        return metadata


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value)
    except (AttributeError, TypeError, pickle.PicklingError):  # what pickle and objects say that cannot be
        return False
    return True
