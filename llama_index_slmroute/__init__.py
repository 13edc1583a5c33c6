"""Routing for LlamaIndex: ``Settings.llm = RoutingLLM(...)``, and nothing else changes."""

from __future__ import annotations

from importlib.util import find_spec

from slmroute.errors import MissingExtra

if find_spec("llama_index") is None or find_spec("llama_index.core") is None:
    raise MissingExtra("llama-index", "llama_index_slmroute")

from llama_index_slmroute.callbacks import RouteCallbackHandler, RouteDecisionEvent
from llama_index_slmroute.dry_run import DryRunLLM
from llama_index_slmroute.llm import RoutingLLM

__all__ = ["DryRunLLM", "RouteCallbackHandler", "RouteDecisionEvent", "RoutingLLM"]
