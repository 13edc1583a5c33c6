"""What is said of a tier's error where its client's own message says too little: which tier, and what mends it."""

from __future__ import annotations

from typing import cast

from slmroute.errors import Misconfigured, ModelMissing, ServerUnreachable
from slmroute.ollama_address import server_url
from slmroute.steps import FailureKind
from slmroute.tier import Tier

__all__ = ["explained", "is_ollamas"]


def explained(tier: Tier, error: Exception, kind: FailureKind, status: int | None) -> Exception:
    """Give the error that the caller is to see.

    Args:
        tier: The tier.
        error: Its client's error.
        kind: What that means.
        status: The HTTP status it has, or would have where its class says as much.

    Returns:
        An error of ours that names the tier and the setting, caused by the client's; or that one, where it will do.
    """
    ours = None if isinstance(error, Misconfigured) else _ours(tier, error, kind, status)
    if ours is None:
        return error
    ours.__cause__ = error
    return ours


def _ours(tier: Tier, error: Exception, kind: FailureKind, status: int | None) -> Exception | None:
    if status == 404 and (kind == "misconfigured" or is_ollamas(error)):
        name = _model_of(tier)
        model = f"the model {name!r}" if name else "its model"
        if is_ollamas(error):
            told = f"the Ollama server does not have {model}. Run: ollama pull {name or 'MODEL'}"
        else:
            told = f"its provider does not know {model}, at least for this key and address (HTTP 404): "
            told += "correct model=, api_key= or base_url=."
        return ModelMissing(f"Tier {tier.name!r}: {told}")
    if kind == "misconfigured":
        return Misconfigured(
            f"Tier {tier.name!r} was refused by its provider{f' (HTTP {status})' if status else ''}: check its api_key "
            "and what it may use. `slmroute doctor` tries every tier."
        )
    if _served_by_ollama(tier) and _is_refused(error):
        # An object's address is its own; a string's is among its arguments.
        host = cast("str | None", (tier.model_args or {}).get("base_url") or getattr(tier.model, "base_url", None))
        return ServerUnreachable(
            f"Tier {tier.name!r}: no Ollama server answers at {server_url(host)}. Start it with `ollama serve` (or, "
            "without Ollama, `slmroute serve`), or correct the tier's base_url."
        )
    return None


def is_ollamas(error: BaseException | None) -> bool:
    """Whether an error is of Ollama's own client."""
    return type(error).__module__.partition(".")[0] == "ollama"


def _is_refused(error: Exception) -> bool:
    """Whether no connection could be made; the ollama client raises the plain class for it."""
    plain = type(error) is ConnectionError or isinstance(error, ConnectionRefusedError)
    return plain or type(error).__name__ == "ConnectError"


def _served_by_ollama(tier: Tier) -> bool:
    return (tier.spec or "").startswith("ollama:") or "Ollama" in type(tier.model).__name__


def _model_of(tier: Tier) -> str:
    """Give the name of a tier's model, as its string or its object says; empty where it does not."""
    if tier.spec is not None:
        return tier.spec.partition(":")[2]
    names = (getattr(tier.model, name, None) for name in ("model", "model_name", "deployment_name", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), "")
