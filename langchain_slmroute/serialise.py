"""Routers as plain data: written without secrets, read back when their tiers are strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from slmroute.classify import EmbeddedClassifier
from slmroute.errors import ConfigError
from slmroute.policy import Confidence
from slmroute.tier import Tier

if TYPE_CHECKING:
    from langchain_slmroute.chat_model import RoutingChatModel

__all__ = ["identity", "read_tiers", "router_to_json"]

_SECRET_MARKS: Final = ("key", "token", "secret", "password", "credential", "authorization", "header")
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


def read_tiers(given: object) -> list[Tier]:
    """Read ``tiers=``: ``Tier`` objects, or mappings with their arguments as a written router has them.

    Raises:
        ConfigError: It holds something else, or is no sequence.
    """
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise ConfigError(f"tiers= must be a list of Tier objects, cheapest first, not a {type(given).__name__}.")
    tiers: list[Tier] = []
    for each in cast("Sequence[object]", given):
        if isinstance(each, Mapping):
            tiers.append(Tier(**cast("Mapping[str, Any]", each)))
        elif isinstance(each, Tier):
            tiers.append(each)
        else:
            raise ConfigError(
                f"tiers= holds a {type(each).__name__}; every tier must be a Tier: Tier('small', 'ollama:phi3:mini')."
            )
    return tiers


def router_to_json(router: RoutingChatModel) -> dict[str, Any]:
    """Write a router as LangChain's ``dumps`` wants it.

    Keys, headers and the like are left out, of ``model_args`` too: a router that is read back takes them from the
    environment. What cannot be written (callables, model objects, ledgers that are no URL) is left to LangChain, which
    marks it as not implemented.
    """
    kwargs: dict[str, Any] = {"tiers": [_tier_data(tier) for tier in router.tiers]}
    defaults = type(router).model_fields
    for name in _PLAIN:
        value = getattr(router, name)
        if value is not None and value != defaults[name].default:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            kwargs[name] = list(cast("Sequence[object]", value)) if is_list else value
    if not _is_shipped(router.classifier):
        kwargs["classifier"] = router.classifier
    if router.escalation is not None:
        kwargs["escalation"] = _confidence_data(router.escalation)
    if router.rules:
        kwargs["rules"] = list(router.rules)
    if router.checks is not True:
        kwargs["validate"] = router.checks if isinstance(router.checks, bool) else sorted(router.checks)
    if isinstance(router.ledger, str):
        kwargs["ledger"] = router.ledger
    if router.prices:
        kwargs["prices"] = {key: [str(price) for price in pair] for key, pair in router.prices.items()}
    return {"lc": 1, "type": "constructor", "id": [*router.get_lc_namespace(), type(router).__name__], "kwargs": kwargs}


def identity(router: RoutingChatModel) -> dict[str, Any]:
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


def _tier_data(tier: Tier) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for field in fields(tier):
        value = getattr(tier, field.name)
        if value is None or value is False:
            continue
        match value:
            case Decimal():
                written[field.name] = str(value)
            case frozenset():
                written[field.name] = sorted(cast("frozenset[str]", value))
            case Mapping():
                written[field.name] = _without_secrets(cast("Mapping[str, object]", value))
            case _:
                written[field.name] = value
    return written


def _without_secrets(values: Mapping[str, object]) -> dict[str, object]:
    kept = {
        k: v for k, v in values.items() if not any(mark in k.lower() for mark in _SECRET_MARKS) or k == "max_tokens"
    }
    return {
        k: _without_secrets(cast("Mapping[str, object]", v)) if isinstance(v, Mapping) else v for k, v in kept.items()
    }


def _is_shipped(classifier: object) -> bool:
    return isinstance(classifier, EmbeddedClassifier) and repr(classifier) == "EmbeddedClassifier()"


def _confidence_data(escalation: Confidence) -> object:
    plain = {field.name: getattr(escalation, field.name) for field in fields(escalation)}
    if plain.pop("judge") is not None or plain.pop("calibrator") is not None:
        return escalation
    return plain
