"""Route each LLM call to the cheapest model able to answer it.

This package decides; ``langchain_slmroute.RoutingChatModel`` and ``llama_index_slmroute.RoutingLLM`` put it into the
framework of your choice::

    from langchain_slmroute import RoutingChatModel
    from slmroute import Tier

    small = Tier("small", "ollama:llama3.1:8b", local=True)
    model = RoutingChatModel(tiers=[small, Tier("frontier", "openai:gpt-4.1")])

Names are loaded when first used: importing the package loads the standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slmroute.budget import Budget, Limits
    from slmroute.calibrators import FittedCalibrator
    from slmroute.classify.chain import ChainClassifier
    from slmroute.classify.embedded import EmbeddedClassifier
    from slmroute.classify.few_shot import FewShotClassifier
    from slmroute.classify.few_shot_prompt import Example
    from slmroute.classify.platt import Platt
    from slmroute.classify.protocol import Classification, Classifier
    from slmroute.confidence import Calibrator, GeometricMean
    from slmroute.context import RouteContext, current_context, route_context
    from slmroute.costs import RouteCosts, TierCosts, route_costs
    from slmroute.errors import (
        BudgetExceeded,
        ClassifierUnavailable,
        ClassifierUnsure,
        ConfigError,
        DeadlineExceeded,
        LedgerError,
        Misconfigured,
        MissingExtra,
        ModelMissing,
        NoEligibleTier,
        NothingGenerated,
        NoTierAnswered,
        PromptTooLong,
        ServerUnreachable,
        SlmrouteError,
        UnknownTier,
    )
    from slmroute.judges import Agreement, SelfCheck
    from slmroute.ledger.ledger import Ledger as Ledger
    from slmroute.ledger.reader import LedgerReader as LedgerReader
    from slmroute.policy import Confidence, Judgement, Policy, Rule
    from slmroute.record import AttemptRecord, Hook, RouteRecord
    from slmroute.request import RouteRequest, ToolSpec
    from slmroute.steps import Answer, ToolCall, Usage
    from slmroute.tier import Tier

    __version__: str

__all__ = [
    "Agreement",
    "Answer",
    "AttemptRecord",
    "Budget",
    "BudgetExceeded",
    "Calibrator",
    "ChainClassifier",
    "Classification",
    "Classifier",
    "ClassifierUnavailable",
    "ClassifierUnsure",
    "Confidence",
    "ConfigError",
    "DeadlineExceeded",
    "EmbeddedClassifier",
    "Example",
    "FewShotClassifier",
    "FittedCalibrator",
    "GeometricMean",
    "Hook",
    "Judgement",
    "LedgerError",
    "Limits",
    "Misconfigured",
    "MissingExtra",
    "ModelMissing",
    "NoEligibleTier",
    "NoTierAnswered",
    "NothingGenerated",
    "Platt",
    "Policy",
    "PromptTooLong",
    "RouteContext",
    "RouteCosts",
    "RouteRecord",
    "RouteRequest",
    "Rule",
    "SelfCheck",
    "ServerUnreachable",
    "SlmrouteError",
    "Tier",
    "TierCosts",
    "ToolCall",
    "ToolSpec",
    "UnknownTier",
    "Usage",
    "__version__",
    "current_context",
    "route_context",
    "route_costs",
]

_HOMES = {
    "Agreement": "judges",
    "Answer": "steps",
    "AttemptRecord": "record",
    "Budget": "budget",
    "Calibrator": "confidence",
    "ChainClassifier": "classify.chain",
    "Classification": "classify.protocol",
    "Classifier": "classify.protocol",
    "Confidence": "policy",
    "EmbeddedClassifier": "classify.embedded",
    "Example": "classify.few_shot_prompt",
    "FewShotClassifier": "classify.few_shot",
    "FittedCalibrator": "calibrators",
    "GeometricMean": "confidence",
    "Hook": "record",
    "Judgement": "policy",
    "Limits": "budget",
    "Platt": "classify.platt",
    "Policy": "policy",
    "RouteContext": "context",
    "RouteCosts": "costs",
    "RouteRecord": "record",
    "RouteRequest": "request",
    "Rule": "policy",
    "SelfCheck": "judges",
    "Tier": "tier",
    "TierCosts": "costs",
    "ToolCall": "steps",
    "ToolSpec": "request",
    "Usage": "steps",
    "current_context": "context",
    "route_context": "context",
    "route_costs": "costs",
}
"""Where each name lives; those that are not here are errors."""

_WITH_EXTRAS = {"Ledger": "ledger", "LedgerReader": "ledger"}
"""Names that need an extra: they can be imported like the others, and stand in no list that may be gone through."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("slmroute")
    elif name in __all__ or name in _WITH_EXTRAS:
        from importlib import import_module

        home = _WITH_EXTRAS.get(name) or _HOMES.get(name, "errors")
        value = getattr(import_module(f"slmroute.{home}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
