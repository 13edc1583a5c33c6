"""Routers as plain data: written without secrets, read back when their tiers are strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from slmroute.plain import address_data, confidence_data, tier_data
from slmroute.policy import Confidence

if TYPE_CHECKING:
    from llama_index_slmroute.router import Router

__all__ = ["read_settings", "router_data"]

_PLAIN: Final = (
    "threshold",
    "thresholds",
    "default_tier",
    "failover",
    "deadline_s",
    "local_only",
    "context_window",
    "temperature",
    "max_tokens",
    "timeout",
    "stop",
    "max_retries",
)
"""The settings that are plain data already."""


def router_data(router: Router) -> dict[str, Any]:
    """Write a router as JSON.

    Keys, headers, the names of organizations and the like are left out, of ``model_args`` too: a router that is read
    back takes them from the environment. A tier's model object is written as the name of its class, and cannot be read
    back; nor are callables (rules, hooks, a classifier of the user's own) written.
    """
    data: dict[str, Any] = {"tiers": [_tier(tier_data(tier)) for tier in router.tiers]}
    for name in _PLAIN:
        value = getattr(router, name)
        if value is not None and value != type(router).model_fields[name].default:
            data[name] = list(cast("Sequence[Any]", value)) if isinstance(value, tuple | list) else value
    if router.classifier is None:
        data["classifier"] = None
    if router.escalation is not None and (written := confidence_data(router.escalation)) is not None:
        data["escalation"] = written
    if router.checks is not True:
        data["validate"] = router.checks if isinstance(router.checks, bool) else sorted(router.checks)
    if (address := address_data(router.ledger)) is not None:
        data["ledger"] = address
    if router.prices:
        data["prices"] = {key: [str(price) for price in pair] for key, pair in router.prices.items()}
    return data


def _tier(written: dict[str, Any]) -> dict[str, Any]:
    model = written["model"]
    return written if isinstance(model, str) else {**written, "model": type(model).__name__}


def read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read a router's settings as they were written, or as its user gave them."""
    read = dict(settings)
    if isinstance(read.get("escalation"), Mapping):
        read["escalation"] = Confidence(**read["escalation"])
    return read
