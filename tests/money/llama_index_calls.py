"""Every way of asking a RoutingLLM for every kind of thing, as ``bill.Plan`` describes them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

import httpx
import ollama
import openai
from llama_index.core import PromptTemplate, get_response_synthesizer
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel
from workflows.errors import WorkflowRuntimeError

from llama_index_slmroute import RouteCallbackHandler, RoutingLLM
from slmroute import route_context
from slmroute.ledger import Ledger
from slmroute.record import RouteRecord
from slmroute.testing import FakeServer
from tests.money.bill import PRICES, Plan, Script, cancelled, doings, never_open, settings_of, string_tiers

WHOLE = ("chat", "complete", "predict", "achat", "acomplete", "apredict")
STREAMS = ("stream_chat", "stream_complete", "stream", "astream_chat", "astream_complete", "astream")
LEFT = (
    "stream_chat closed",
    "stream_complete dropped",
    "astream_chat closed",
    "astream_complete dropped",
    "astream_chat cancelled",
)
WAITING = ("achat cancelled",)
TOOLS = ("chat_with_tools", "stream_chat_with_tools", "achat_with_tools", "astream_chat_with_tools")
STRUCTURED = (
    "structured",
    "structured chat",
    "structured stream",
    "astructured",
    "astructured chat",
    "astructured stream",
)
QUERIES = ("query", "query stream", "aquery")
ROUTERS = ("plain", "judged", "cascade", "refusing")

ENDS = (
    ConnectionError,
    ExceptionGroup,
    httpx.HTTPError,
    json.JSONDecodeError,  # of an answer that ended too soon
    ollama.ResponseError,
    openai.OpenAIError,
)
"""What a call may end in when its tiers fail as planned."""


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)
NODES = [NodeWithScore(node=TextNode(text=f"Report {number}: all is well."), score=1.0) for number in range(3)]


def expected(plan: Plan, error: Exception) -> bool:
    """Whether a call may end in an error: that of a tier, or of its answer where no tier gives a better one."""
    if plan.kind == "agent" and isinstance(error, WorkflowRuntimeError | ValueError):
        return True
    return isinstance(error, ENDS) or (plan.kind == "structured" and isinstance(error, ValueError | TypeError))


def plans(count: int, seed: int = 12, first: int = 0) -> list[Plan]:
    dice = random.Random(seed)  # noqa: S311  the same calls every time
    return [plan(first + number, dice) for number in range(count)]


def plan(number: int, dice: random.Random) -> Plan:
    """Throw the dice for one plan."""
    kinds = ("text",) * 6 + ("explicit", "local", "tools", "tools", "structured", "structured", "agent", "query")
    kind, router, option = dice.choice(kinds), dice.choice((*ROUTERS, "cascade")), dice.randrange(1000)
    match kind:
        case "tools":
            ways: Sequence[str] = TOOLS
        case "structured":
            ways = STRUCTURED
        case "agent":
            ways = ("arun",)
        case "query":
            ways = QUERIES
        case "text":
            ways = (*WHOLE, *STREAMS, *LEFT, *WAITING)
        case _:
            ways = tuple(way for way in (*WHOLE, *STREAMS) if way.endswith(("chat", "complete")))
    way = dice.choice(ways)
    return Plan(
        number,
        router,
        way,
        kind,
        doings(dice, leaves=way in LEFT),
        option=option,
        leaves=way in LEFT,
        waits=way in WAITING,
        gated="stream" in way or (kind == "agent" and option % 2 == 0),
    )


class LlamaIndexCalls:
    """Routers that write one ledger, and a call by every plan.

    Args:
        server: Serves the tiers.
        script: What it says.
        ledger: The ledger.
        refusing_url: Where nobody listens.
    """

    def __init__(self, server: FakeServer, script: Script, ledger: Ledger, refusing_url: str) -> None:
        self.script = script
        self.records: list[RouteRecord] = []
        self.counter = RouteCallbackHandler()
        self.routers: dict[str, RoutingLLM] = {}
        for name in ROUTERS:
            router = RoutingLLM(
                tiers=string_tiers(server, refusing_url if name == "refusing" else None),
                prices=PRICES,
                ledger=ledger,
                hooks=[self.records.append],
                callback_manager=CallbackManager([self.counter]),
                **settings_of(name),
            )
            never_open(router.engine)
            self.routers[name] = router

    def arguments(self, plan: Plan) -> dict[str, Any]:
        return {"explicit": {"tier": "frontier"}, "local": {"local_only": True}}.get(plan.kind, {})

    # --- synchronously ---

    def one(self, plan: Plan) -> None:
        with route_context(key=plan.router, tags=plan.tags):
            router = self.routers[plan.router]
            match plan.kind:
                case "tools":
                    self.loop(plan, router)
                case "structured":
                    self.structured(plan, router)
                case "query":
                    self.query(plan, router)
                case _:
                    self.ask(plan, router)

    def ask(self, plan: Plan, router: RoutingLLM) -> Any:
        prompt, kwargs = plan.prompts[0], self.arguments(plan)
        match plan.way.split():
            case ["predict"]:
                return router.predict(PromptTemplate("{question}"), question=prompt)
            case ["stream"]:
                return list(router.stream(PromptTemplate("{question}"), question=prompt))
            case ["chat"]:
                return router.chat([ChatMessage(prompt)], **kwargs)
            case ["complete"]:
                return router.complete(prompt, **kwargs)
            case ["stream_chat"]:
                return list(router.stream_chat([ChatMessage(prompt)], **kwargs))
            case ["stream_complete"]:
                return list(router.stream_complete(prompt, **kwargs))
            case ["stream_chat", "closed"]:
                with closing(router.stream_chat([ChatMessage(prompt)], **kwargs)) as chunks:  # type: ignore[type-var]
                    return next(chunks, None)
            case ["stream_complete", "dropped"]:
                return next(router.stream_complete(prompt, **kwargs), None)
            case _:
                raise AssertionError(plan.way)

    def loop(self, plan: Plan, router: RoutingLLM) -> None:
        """Ask with tools at hand, and answer the calls until there are none."""
        history = [ChatMessage(plan.prompts[0])]
        for _ in range(3):
            if plan.way.startswith("stream"):
                chunks = list(router.stream_chat_with_tools([TOOL], chat_history=history))
                if not chunks:
                    return
                response = chunks[-1]
            else:
                response = router.chat_with_tools([TOOL], chat_history=history)
            if not _answered(router, response, history):
                return

    def structured(self, plan: Plan, router: RoutingLLM) -> Any:
        prompt = PromptTemplate("{question}")
        match plan.way:
            case "structured":
                return router.structured_predict(Person, prompt, question=plan.prompts[0])
            case "structured chat":
                return router.as_structured_llm(Person).chat([ChatMessage(plan.prompts[0])])
            case _:
                return list(router.stream_structured_predict(Person, prompt, question=plan.prompts[0]))

    def query(self, plan: Plan, router: RoutingLLM) -> Any:
        if plan.way == "query stream":
            streams = self.synthesizer(router, "compact", streaming=True)
            return list(streams.synthesize(plan.prompts[0], nodes=NODES).response_gen)
        return self.synthesizer(router, "refine").synthesize(plan.prompts[0], nodes=NODES)

    def synthesizer(self, router: RoutingLLM, mode: Any, **settings: Any) -> Any:
        # It gives its own callback manager to its LLM, or else the global one.
        given = {"llm": router, "callback_manager": router.callback_manager, **settings}
        return get_response_synthesizer(response_mode=mode, **given)

    # --- asynchronously ---

    async def aone(self, plan: Plan) -> None:
        with route_context(key=plan.router, tags=plan.tags):
            router = self.routers[plan.router]
            match plan.kind:
                case "tools":
                    await self.aloop(plan, router)
                case "structured":
                    await self.astructured(plan, router)
                case "agent":
                    await FunctionAgent(tools=[TOOL], llm=router, streaming=plan.option % 2 == 0).run(plan.prompts[0])
                case "query":
                    await self.synthesizer(router, "tree_summarize").asynthesize(plan.prompts[0], nodes=NODES)
                case _:
                    await self.aask(plan, router)

    async def aask(self, plan: Plan, router: RoutingLLM) -> Any:
        prompt, kwargs = plan.prompts[0], self.arguments(plan)
        match plan.way.split():
            case ["apredict"]:
                return await router.apredict(PromptTemplate("{question}"), question=prompt)
            case ["achat"]:
                return await router.achat([ChatMessage(prompt)], **kwargs)
            case ["acomplete"]:
                return await router.acomplete(prompt, **kwargs)
            case ["achat", "cancelled"]:
                arrived, loop = asyncio.Event(), asyncio.get_running_loop()
                self.script.when_asked(plan, lambda: loop.call_soon_threadsafe(arrived.set))
                return await cancelled(router.achat([ChatMessage(prompt)]), arrived)
            case ["astream"]:
                found = await router.astream(PromptTemplate("{question}"), question=prompt)
                return [token async for token in found]
            case [name, *leaves]:
                if name == "astream_complete":
                    return await _read(await router.astream_complete(prompt, **kwargs), leaves)
                return await _read(await router.astream_chat([ChatMessage(prompt)], **kwargs), leaves)

    async def aloop(self, plan: Plan, router: RoutingLLM) -> None:
        history = [ChatMessage(plan.prompts[0])]
        for _ in range(3):
            if plan.way.startswith("astream"):
                stream = await router.astream_chat_with_tools([TOOL], chat_history=history)
                chunks = [chunk async for chunk in stream]
                if not chunks:
                    return
                response = chunks[-1]
            else:
                response = await router.achat_with_tools([TOOL], chat_history=history)
            if not _answered(router, response, history):
                return

    async def astructured(self, plan: Plan, router: RoutingLLM) -> Any:
        prompt = PromptTemplate("{question}")
        match plan.way:
            case "astructured":
                return await router.astructured_predict(Person, prompt, question=plan.prompts[0])
            case "astructured chat":
                return await router.as_structured_llm(Person).achat([ChatMessage(plan.prompts[0])])
            case _:
                stream = await router.astream_structured_predict(Person, prompt, question=plan.prompts[0])
                return [part async for part in stream]


async def _read(chunks: Any, leaves: Sequence[str]) -> Any:
    match leaves:
        case ["closed"]:
            async with aclosing(chunks):
                async for _ in chunks:
                    return None
        case ["dropped"]:
            async for _ in chunks:
                return None
        case ["cancelled"]:
            shown = asyncio.Event()
            await cancelled(_all(chunks, shown), shown)
        case _:
            return [chunk async for chunk in chunks]
    return None


async def _all(chunks: AsyncIterator[Any], shown: asyncio.Event) -> None:
    async for _ in chunks:
        shown.set()


def _answered(router: RoutingLLM, response: Any, history: list[ChatMessage]) -> bool:
    """Put a response into the history with the results of its tool calls; tells whether it had any."""
    calls = router.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    history.append(response.message)
    for call in calls:
        extra: Mapping[str, Any] = {"tool_call_id": call.tool_id, "name": call.tool_name}
        history.append(ChatMessage(role=MessageRole.TOOL, content="3", additional_kwargs=dict(extra)))
    return bool(calls)
