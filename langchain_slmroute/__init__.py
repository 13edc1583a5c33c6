"""slmroute for LangChain: a chat model that has each call answered by the cheapest tier able to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slmroute.costs import RouteCosts, route_costs
from slmroute.errors import MissingExtra

try:
    from langchain_slmroute.callbacks import RouteCostCallback
    from langchain_slmroute.chat_model import RoutingChatModel
    from langchain_slmroute.serialise import list_for_loading
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise MissingExtra("langchain", "langchain_slmroute") from error

if TYPE_CHECKING:
    from langchain_slmroute.middleware import RoutingMiddleware

__all__ = ["RouteCostCallback", "RouteCosts", "RoutingChatModel", "RoutingMiddleware", "route_costs"]

list_for_loading(*RoutingChatModel.lc_id())


def __getattr__(name: str) -> object:
    """Load the middleware when it is first used: it alone needs the package ``langchain``."""
    if name != "RoutingMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from langchain_slmroute.middleware import RoutingMiddleware
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain":
            raise
        raise ImportError("RoutingMiddleware is for create_agent, which needs: pip install langchain") from error
    return RoutingMiddleware
