"""Routers' settings as plain data: written without secrets, read back where tiers are strings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from slmroute.errors import ConfigError
from slmroute.policy import Confidence
from slmroute.tier import Tier

__all__ = ["address_data", "confidence_data", "masked_secrets", "read_tiers", "tier_data", "without_secrets"]

_SECRET_MARKS: Final = (
    "key",
    "token",
    "secret",
    "password",
    "credential",
    "auth",
    "header",
    "cookie",
    "organi",
    "project",
)
"""Parts of the names of secrets, and of what says whose account is used."""


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


def tier_data(tier: Tier) -> dict[str, Any]:
    """Write a tier's arguments: money as strings, and of ``model_args`` neither keys nor headers.

    A model object stays the object it is.
    """
    written: dict[str, Any] = {}
    for field in fields(tier):
        value = getattr(tier, field.name)
        if value is None or value is False:
            continue
        match value:
            case Decimal():
                written[field.name] = format(value, "f")
            case frozenset():
                written[field.name] = sorted(cast("frozenset[str]", value))
            case Mapping():
                written[field.name] = without_secrets(cast("Mapping[str, object]", value))
            case _:
                written[field.name] = value
    return written


def without_secrets(values: Mapping[str, object]) -> dict[str, object]:
    """Leave out what by its name may be a secret, at every depth, and of addresses who logs in and the query."""
    return {k: _public(v) for k, v in values.items() if not _is_secret(k, v)}


def masked_secrets(values: Mapping[str, object], mask: Callable[[object], object]) -> dict[str, object]:
    """Mask what ``without_secrets`` leaves out.

    Args:
        values: Arguments by their names.
        mask: Gives what stands in the place of a secret.
    """

    def public(value: object) -> object:
        match value:
            case Mapping():
                return masked_secrets(cast("Mapping[str, object]", value), mask)
            case list() | tuple():
                return [public(each) for each in cast("Sequence[object]", value)]
            case _:
                return _public(value)

    return {key: mask(value) if _is_secret(key, value) else public(value) for key, value in values.items()}


def _is_secret(name: str, value: object) -> bool:
    if value is None or isinstance(value, int | float):  # numbers of tokens, switches
        return False
    return hasattr(value, "get_secret_value") or any(mark in name.lower() for mark in _SECRET_MARKS)


def _public(value: object) -> object:
    match value:
        case Mapping():
            return without_secrets(cast("Mapping[str, object]", value))
        case list() | tuple():
            return [_public(each) for each in cast("Sequence[object]", value)]
        case str() if "://" in value:
            return _plain_address(value)
        case _:
            return value


def _plain_address(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:  # it is none
        return address
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def confidence_data(escalation: Confidence) -> dict[str, Any] | None:
    """Write when weak answers escalate; None where a judge or a calibrator of the user's own decides it."""
    plain = {field.name: getattr(escalation, field.name) for field in fields(escalation)}
    return None if plain.pop("judge") is not None or plain.pop("calibrator") is not None else plain


def address_data(address: object) -> str | None:
    """Write the address of a ledger; None where it is no address, or may hold a password or another secret."""
    if not isinstance(address, str):
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    secret = parts.password is not None or any(mark in parts.query.lower() for mark in _SECRET_MARKS)
    return None if secret else address
