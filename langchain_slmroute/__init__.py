"""slmroute for LangChain: a chat model that has each call answered by the cheapest tier able to."""

from __future__ import annotations

from langchain_slmroute.callbacks import RouteCostCallback
from langchain_slmroute.chat_model import RoutingChatModel
from slmroute.costs import RouteCosts, route_costs

__all__ = ["RouteCostCallback", "RouteCosts", "RoutingChatModel", "route_costs"]
