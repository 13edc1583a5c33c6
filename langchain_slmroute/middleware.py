"""Routing inside an agent, for models that the agent already has."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.language_models.chat_models import BaseChatModel

from langchain_slmroute.chat_model import RoutingChatModel
from slmroute.errors import ConfigError
from slmroute.tier import Tier

__all__ = ["RoutingMiddleware"]


class RoutingMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Routes an agent's model calls: ``create_agent(model, tools, middleware=[RoutingMiddleware(...)])``.

    The model that the agent was made with is the last tier; those given here come before it. Everything else is as in
    ``RoutingChatModel``: tools and schemas reach each tier in its own form, tool loops stay on their tier, weak answers
    escalate, and each answer carries its record. A middleware that changes the request's model (a fallback, say) and
    stands before this one changes the last tier.

    With ``create_agent(response_format=Schema)`` the schema is a forced tool unless all tiers' profiles promise
    structured output; ``ProviderStrategy(Schema)`` sends it to every tier in its own form.

    Prior art: ``langchain_openai.middleware.OpenAIModelRouterMiddleware`` has OpenAI's hosted Decisions API choose a
    model once for an agent's run and keeps the choice in the agent's state. Here each call is judged, in process, and
    tool loops are read from the messages.

    Args:
        tiers: The tiers before the agent's own model, cheapest first; one is enough.
        agent_tier: The name of the agent's own model as a tier.
        agent_prices: Dollars for a million input and output tokens of the agent's own model, where public lists do not
            know it.
        **settings: Every other setting of ``RoutingChatModel``.

    Raises:
        ConfigError: A setting is wrong; thresholds and the like are checked with the agent's first call.

    Example:
        >>> from langchain_slmroute import RoutingMiddleware
        >>> from slmroute import Tier
        >>> middleware = RoutingMiddleware([Tier("small", "ollama:llama3.1:8b", local=True)], threshold=0.4)
        >>> # agent = create_agent("openai:gpt-4.1", tools, middleware=[middleware])
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        *,
        agent_tier: str = "frontier",
        agent_prices: tuple[Any, Any] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._tiers = tuple(tiers)
        if not self._tiers:
            raise ConfigError("RoutingMiddleware(tiers=[]) needs one tier or more to put before the agent's own model.")
        self._agent_tier = agent_tier
        self._agent_prices = agent_prices
        self._settings = settings
        self._router: RoutingChatModel | None = None
        self._model: BaseChatModel | None = None
        self._lock = threading.Lock()

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Have the router answer in place of the agent's own model."""
        return handler(request.override(model=self.router_for(request.model)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Have the router answer in place of the agent's own model, asynchronously."""
        return await handler(request.override(model=self.router_for(request.model)))

    def router_for(self, model: BaseChatModel) -> RoutingChatModel:
        """Give the router whose last tier is a model; routers of different models share health, ledger and hooks."""
        if isinstance(model, RoutingChatModel):
            raise ConfigError(
                "RoutingMiddleware is given an agent whose model is a RoutingChatModel already: use one of the two."
            )
        with self._lock:
            if self._router is None:
                self._router = RoutingChatModel(tiers=self._all_tiers(model), **self._settings)
            elif self._model is not model:
                self._router = self._router.model_copy(update={"tiers": self._all_tiers(model)})
            self._model = model
            return self._router

    def _all_tiers(self, model: BaseChatModel) -> list[Tier]:
        prices = self._agent_prices or (None, None)
        return [*self._tiers, Tier(self._agent_tier, model, input_price=prices[0], output_price=prices[1])]
