"""Routers of both frameworks over one fake server, and the ways of asking each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import HumanMessage
from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from llama_index_slmroute import RoutingLLM
from slmroute import Tier
from slmroute.testing import FakeServer

__all__ = ["BIG", "FRAMEWORKS", "SMALL", "WAYS", "Framework", "free_small", "make_router"]

SMALL, BIG = "phi3:mini", "gpt-4.1"


class Person(BaseModel):
    """A person."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)

Ask = Callable[[Any, str], Awaitable[Any]]


@dataclass(frozen=True)
class Framework:
    """A framework's router class, and where its answers carry their record."""

    name: str
    router: Callable[..., Any]
    record_of: Callable[[Any], dict[str, Any]]


LANGCHAIN = Framework("langchain", RoutingChatModel, lambda message: message.response_metadata["slmroute"])
LLAMA_INDEX = Framework("llama-index", RoutingLLM, lambda response: response.message.additional_kwargs["slmroute"])
FRAMEWORKS = (LANGCHAIN, LLAMA_INDEX)


def free_small(server: FakeServer) -> dict[str, Any]:
    """Give the settings of a router that starts every call at a small tier that costs nothing."""
    args = {"base_url": server.url}
    small = Tier("small", f"ollama:{SMALL}", local=True, model_args=args, input_price=0, output_price=0)
    openai = {"base_url": server.openai_url, "api_key": "canary"}
    return {"tiers": [small, Tier("big", f"openai:{BIG}", model_args=openai)], "classifier": None}


def make_router(framework: Framework, server: FakeServer, to: str = "frontier", **settings: Any) -> Any:
    """Make a router of a local tier and a frontier, which starts its calls where it is told."""
    openai = {"base_url": server.openai_url, "api_key": "canary"}
    tiers = [
        Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url}),
        Tier("frontier", f"openai:{BIG}", model_args=openai),
    ]
    given = {
        "tiers": tiers,
        "classifier": lambda _request: {"small": 0.1, "frontier": 0.9}[to],
        "prices": {"small": (0, 0), "frontier": ("10", "10")},
    }
    return framework.router(**given | settings)


async def invoke(router: Any, text: str) -> Any:
    return router.invoke(text)


async def ainvoke(router: Any, text: str) -> Any:
    return await router.ainvoke(text)


async def stream(router: Any, text: str) -> Any:
    return list(router.stream(text))[-1]


async def astream(router: Any, text: str) -> Any:
    return [chunk async for chunk in router.astream(text)][-1]


async def generate(router: Any, text: str) -> Any:
    return router.generate([[HumanMessage(text)]]).generations[0][0].message


async def batch(router: Any, text: str) -> Any:
    return router.batch([text])[0]


async def tools(router: Any, text: str) -> Any:
    return router.bind_tools([add]).invoke(text)


async def structured(router: Any, text: str) -> Any:
    return router.with_structured_output(Person, include_raw=True).invoke(text)["raw"]


async def chat(router: Any, text: str) -> Any:
    return router.chat([ChatMessage(text)])


async def achat(router: Any, text: str) -> Any:
    return await router.achat([ChatMessage(text)])


async def stream_chat(router: Any, text: str) -> Any:
    return list(router.stream_chat([ChatMessage(text)]))[-1]


async def astream_chat(router: Any, text: str) -> Any:
    return [chunk async for chunk in await router.astream_chat([ChatMessage(text)])][-1]


async def chat_with_tools(router: Any, text: str) -> Any:
    return router.chat_with_tools([TOOL], text)


async def structured_predict(router: Any, text: str) -> Any:
    return router.structured_predict(Person, PromptTemplate("{text}"), text=text)


WAYS: dict[str, tuple[Ask, ...]] = {
    "langchain": (invoke, ainvoke, stream, astream, generate, batch, tools, structured),
    "llama-index": (chat, achat, stream_chat, astream_chat, chat_with_tools, structured_predict),
}
