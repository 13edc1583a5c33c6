"""Routers as plain data: written without secrets, read back when their tiers are strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import SecretStr

from slmroute.classify import EmbeddedClassifier
from slmroute.plain import address_data, confidence_data, masked_secrets, read_tiers, tier_data
from slmroute.policy import Confidence
from slmroute.tier import Tier

if TYPE_CHECKING:
    from langchain_slmroute.router import Router

__all__ = ["dumped", "dumped_tier", "identity", "list_for_loading", "read_settings", "router_to_json"]

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


def list_for_loading(*path: str) -> None:
    """Add a class to those that ``loads(..., allowed_objects="all")`` may read back, as LangChain's partners' are.

    Its namespace must be named with ``valid_namespaces`` all the same, so nothing is read back that was not asked for.

    Args:
        *path: The class's namespace and name, as in what was written.
    """
    reading = import_module("langchain_core.load.load")  # the package has a function of the module's name
    # Both are LangChain's own affair: without them the class is read back where it is named itself, as it always is.
    getattr(reading, "ALL_SERIALIZABLE_MAPPINGS", {}).setdefault(path, path)
    getattr(reading, "_default_class_paths_cache", {}).pop("all", None)  # what the list comes to is worked out once


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
    if "profile" in router.model_fields_set:
        kwargs["profile"] = dict(router.profile or {})
    if router.prices:
        kwargs["prices"] = {key: [str(price) for price in pair] for key, pair in router.prices.items()}
    return {"lc": 1, "type": "constructor", "id": [*router.get_lc_namespace(), type(router).__name__], "kwargs": kwargs}


def dumped_tier(tier: Tier) -> dict[str, Any]:
    """Give a tier's arguments as ``model_dump`` shows them: secrets are masked, as those of chat models are."""
    arguments = {"model_args": masked_secrets(tier.model_args, _masked)} if tier.model_args else {}
    return {**tier_data(tier), **arguments}


def dumped(value: object, *, as_json: bool) -> object:
    """Give a setting as ``model_dump`` shows it; what has no form in JSON is shown there by its name.

    Args:
        value: The setting.
        as_json: Whether it is for JSON; else it stays the object it is, but for a ledger's address with a password.
    """
    match value:
        case str():
            return value if address_data(value) is not None else SecretStr(value)
        case None | bool() | int() | float():
            return value
        case _ if not as_json:
            return value
        case Decimal():
            return format(value, "f")
        case Confidence():
            return confidence_data(value) or type(value).__qualname__
        case Mapping():
            return {str(k): dumped(v, as_json=True) for k, v in cast("Mapping[object, object]", value).items()}
        case set() | frozenset():
            return sorted(str(each) for each in cast("set[object]", value))
        case list() | tuple():
            return [dumped(each, as_json=True) for each in cast("Sequence[object]", value)]
        case _:
            return str(getattr(value, "__qualname__", type(value).__qualname__))


def _masked(secret: object) -> SecretStr:
    if isinstance(secret, SecretStr):
        return secret
    return SecretStr(secret if isinstance(secret, str) else "(not shown)")


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
