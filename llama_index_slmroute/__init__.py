"""Routing for LlamaIndex: ``Settings.llm = RoutingLLM(...)``, and nothing else changes."""

from __future__ import annotations

from slmroute.errors import MissingExtra

try:
    import llama_index.core  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "llama_index":
        raise
    raise MissingExtra("llama-index", "llama_index_slmroute") from None

from llama_index_slmroute.callbacks import RouteCallbackHandler, RouteDecisionEvent
from llama_index_slmroute.dry_run import DryRunLLM
from llama_index_slmroute.llm import RoutingLLM

__all__ = ["DryRunLLM", "RouteCallbackHandler", "RouteDecisionEvent", "RoutingLLM"]
