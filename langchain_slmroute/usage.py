"""The tokens of a message, in the shapes in which LangChain's classes for providers tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from langchain_core.messages import AIMessage

from slmroute.steps import Usage

__all__ = ["SERVICE_TIERS", "usage_of"]

_CACHE_WRITES: Final = ("cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
"""Tokens written to a cache: Anthropic's, by how long they are kept there; the first is 0 where the others are not."""

SERVICE_TIERS: Final = ("flex", "priority")
"""OpenAI's classes of service that have prices of their own; the counts' names begin with them."""

_NO_DETAILS: Final[Mapping[str, int]] = {}


def usage_of(message: AIMessage) -> Usage | None:
    """Read the tokens of a message, or of a chunk; None where it tells of none."""
    if message.usage_metadata is None:
        return None
    told = cast("Mapping[str, Any]", message.usage_metadata)
    # langchain-core notes a total cost of 0 on answers that came out of its cache, whether they had tokens or not.
    cached = told.get("total_cost") == 0
    input_tokens, output_tokens = told.get("input_tokens") or 0, told.get("output_tokens") or 0
    if not cached and not input_tokens + output_tokens:
        return None
    inputs: Mapping[str, int] = told.get("input_token_details") or _NO_DETAILS
    outputs: Mapping[str, int] = told.get("output_token_details") or _NO_DETAILS
    if not inputs and not outputs:
        return Usage(input_tokens, output_tokens, source=_source(message, cached=cached))
    service = next((tier for tier in SERVICE_TIERS if tier in inputs or tier in outputs), None)
    prefix = "" if service is None else f"{service}_"
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=inputs.get(f"{prefix}cache_read") or 0,
        cache_write_tokens=sum(inputs.get(kind) or 0 for kind in (*_CACHE_WRITES, f"{service}_cache_creation")),
        reasoning_tokens=outputs.get(f"{prefix}reasoning") or 0,
        source=_source(message, cached=cached),
        cache_write_1h_tokens=inputs.get("ephemeral_1h_input_tokens") or 0,
        audio_input_tokens=inputs.get("audio") or 0,
        audio_output_tokens=outputs.get("audio") or 0,
        service_tier=service,
    )


def _source(message: AIMessage, *, cached: bool) -> Any:
    if cached:
        return "cached"
    return "estimated" if message.response_metadata.get("usage_source") == "estimated" else "reported"
