"""LangChain's own standard tests that need no tools, over a router whose small tier is a real model."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_slmroute import RoutingChatModel
from slmroute import Confidence, RouteRequest, Tier
from slmroute.local import LocalServer


@pytest.fixture(scope="class", autouse=True)
def _local(request: pytest.FixtureRequest, local_server: LocalServer) -> None:
    request.cls.local = local_server


class Simple:
    """Says that everything is simple."""

    def score(self, request: RouteRequest) -> float:
        return 0.0


class _Live(ChatModelIntegrationTests):
    """The frontier is a dry run: it answers where the small tier's answer is not accepted."""

    local: ClassVar[LocalServer]
    settings: ClassVar[dict[str, Any]]

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return RoutingChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        arguments = {"base_url": self.local.url, "temperature": 0, "num_predict": 48}
        small = Tier("small", f"ollama:{self.local.model}", model_args=arguments, local=True)
        return {"tiers": [small, Tier("frontier", "dry-run:openai:gpt-4.1")], **self.settings}

    @property
    def has_tool_calling(self) -> bool:
        return False  # a model of 135M does not call tools

    @property
    def has_structured_output(self) -> bool:
        return False  # what it writes in time follows no schema; tests/local shows that the server keeps to one


class TestSmallLive(_Live):
    settings: ClassVar[dict[str, Any]] = {"classifier": Simple()}


class TestCascadeLive(_Live):
    settings: ClassVar[dict[str, Any]] = {"classifier": None, "escalation": Confidence(0.5)}
