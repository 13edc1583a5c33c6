"""Routers as plain data: written without secrets, read back when their tiers are strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from slmroute.classify import EmbeddedClassifier
from slmroute.plain import address_data, confidence_data, read_tiers, tier_data
from slmroute.policy import Confidence

if TYPE_CHECKING:
    from langchain_slmroute.router import Router

__all__ = ["identity", "read_settings", "router_to_json"]

_PLAIN: Final = (
    "threshold",
    "thresholds",
    "default_tier",
    "failover",
    "deadline_s",
    "temperature",
    "max_tokens",
    "timeout",
    "stop",
    "max_retries",
    "streaming",
    "disable_streaming",
    "output_version",
    "tags",
)
"""The settings that are plain data already."""


def read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read a router's settings as they were written, or as its user gave them.

    Raises:
        ConfigError: ``tiers`` holds something else than tiers.
    """
    read = {**settings, "tiers": read_tiers(settings["tiers"])}
    escalation: object = read.get("escalation")
    if isinstance(escalation, Mapping):
        read["escalation"] = Confidence(**cast("Mapping[str, Any]", escalation))
    return read


def router_to_json(router: Router) -> dict[str, Any]:
    """Write a router as LangChain's ``dumps`` wants it.

    Keys, headers and the like are left out, of ``model_args`` too: a router that is read back takes them from the
    environment. So is a ledger's address with a password in it. What cannot be written (callables, model objects,
    budgets, ledgers that are no address) is left to LangChain, which marks it as not implemented, so that reading it
    back fails instead of leaving it out.
    """
    kwargs: dict[str, Any] = {"tiers": [tier_data(tier) for tier in router.tiers]}
    defaults = type(router).model_fields
    for name in _PLAIN:
        value = getattr(router, name)
        if value is not None and value != defaults[name].default:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            kwargs[name] = list(cast("Sequence[object]", value)) if is_list else value
    if not _is_shipped(router.classifier):
        kwargs["classifier"] = router.classifier
    if router.escalation is not None:
        kwargs["escalation"] = confidence_data(router.escalation) or router.escalation
    if router.budget is not None:
        kwargs["budget"] = router.budget
    for name in ("rules", "hooks", "availability_errors"):
        if value := getattr(router, name):
            kwargs[name] = list(value)
    if router.checks is not True:
        kwargs["validate"] = router.checks if isinstance(router.checks, bool) else sorted(router.checks)
    ledger = router.ledger
    if ledger is not None and (not isinstance(ledger, str) or address_data(ledger) is not None):
        kwargs["ledger"] = ledger
    if router.prices:
        kwargs["prices"] = {key: [str(price) for price in pair] for key, pair in router.prices.items()}
    return {"lc": 1, "type": "constructor", "id": [*router.get_lc_namespace(), type(router).__name__], "kwargs": kwargs}


def identity(router: Router) -> dict[str, Any]:
    """Give what tells one router from another in traces, without any secret."""
    escalation = router.escalation
    return {
        "tiers": [{"name": tier.name, "model": tier.spec or type(tier.model).__name__} for tier in router.tiers],
        "classifier": None if router.classifier is None else type(router.classifier).__name__,
        "threshold": router.threshold,
        "thresholds": None if router.thresholds is None else list(router.thresholds),
        "escalation": None if escalation is None else escalation.threshold,
        "temperature": router.temperature,
        "max_tokens": router.max_tokens,
    }


def _is_shipped(classifier: object) -> bool:
    return isinstance(classifier, EmbeddedClassifier) and repr(classifier) == "EmbeddedClassifier()"
