"""Every way of asking a RoutingChatModel for every kind of thing, as ``bill.Plan`` describes them."""

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
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_slmroute import RouteCostCallback, RoutingChatModel
from slmroute import route_context
from slmroute.ledger import Ledger
from slmroute.record import RouteRecord
from slmroute.testing import FakeServer
from tests.langchain.stage import joined
from tests.money.bill import PRICES, Plan, Script, cancelled, doings, never_open, settings_of, string_tiers

WHOLE = ("invoke", "batch", "ainvoke", "abatch", "ainvoke v2 events")
STREAMS = ("stream", "astream", "astream v2 events")
PRIVATE = ("stream v3", "astream v3")
LEFT = ("stream closed", "stream dropped", "astream closed", "astream dropped", "astream cancelled")
GENERATE = ("generate", "agenerate")
WAITING = ("ainvoke cancelled",)

ROUTERS = ("plain", "judged", "cascade", "refusing")
METHODS = ("json_schema", "function_calling", "json_mode", None)

ENDS = (
    ConnectionError,  # Ollama's client says so of a server that is not there
    ExceptionGroup,
    OutputParserException,
    httpx.HTTPError,
    json.JSONDecodeError,  # of an answer that ended too soon
    ollama.ResponseError,
    openai.OpenAIError,
)
"""What a call may end in when its tiers fail as planned."""


def expected(plan: Plan, error: Exception) -> bool:
    """Whether a call may end in an error: that of a tier, or of its answer where no tier gives a better one."""
    return isinstance(error, ENDS) or (plan.kind == "structured" and isinstance(error, ValueError))


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def plans(count: int, seed: int = 11) -> list[Plan]:
    dice = random.Random(seed)  # noqa: S311  the same calls every time
    return [plan(number, dice) for number in range(count)]


def plan(number: int, dice: random.Random) -> Plan:
    """Throw the dice for one plan."""
    kind = dice.choice(("text",) * 6 + ("explicit", "local", "tools", "tools", "structured", "structured", "agent"))
    router, option, parts = dice.choice((*ROUTERS, "cascade")), dice.randrange(1000), 1
    ways: Sequence[str] = (*WHOLE, *STREAMS)
    if kind == "text":
        ways = (*ways, *PRIVATE, *GENERATE, *LEFT, *WAITING, "invoke cached", "ainvoke cached")
    elif kind == "explicit":
        ways = (*ways, *PRIVATE, *LEFT)
    elif kind == "tools":
        ways = ("invoke", "ainvoke", "stream", "astream", *PRIVATE)
    elif kind == "agent":
        ways = ("invoke", "ainvoke", "stream", "astream")
    way = dice.choice(ways)
    if way.endswith("cached"):
        router = "cached"
    if way in ("batch", "abatch"):
        parts = 3
    elif way in GENERATE:
        parts = 2
    parses = kind == "structured" and METHODS[option % 4] in ("json_schema", None)
    return Plan(
        number,
        router,
        way,
        kind,
        # Of several prompts to generate, one that fails has the others go unasked.
        doings(dice, answering=way in GENERATE, leaves=way in LEFT),
        parts,
        option,
        leaves=way in LEFT,
        waits=way in WAITING,
        gated="stream" in way and kind != "agent",
        unread=parses and ("stream" in way or "events" in way),
    )


class LangChainCalls:
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
        self.counter = RouteCostCallback()
        self.routers: dict[str, Any] = {}
        for name in ROUTERS:
            router = RoutingChatModel(
                tiers=string_tiers(server, refusing_url if name == "refusing" else None),
                prices=PRICES,
                ledger=ledger,
                hooks=[self.records.append],
                **settings_of(name),
            )
            never_open(router.engine)
            self.routers[name] = router
        self.routers["cached"] = self.routers["plain"].model_copy(update={"cache": InMemoryCache()})

    # --- what is asked ---

    def asked(self, plan: Plan) -> tuple[Any, list[Any], dict[str, Any]]:
        """Give what is to be run, its inputs, and the arguments of each call."""
        router: Any = self.routers[plan.router]
        inputs: list[Any] = list(plan.prompts)
        match plan.kind:
            case "explicit" if plan.option % 2:
                return router.bind(tier="frontier"), inputs, {}
            case "explicit":
                return router, inputs, {"tier": "frontier"}
            case "local":
                return router.bind(local_only=True), inputs, {}
            case "tools":
                return router.bind_tools([add]), inputs, {}
            case "structured":
                method, raw = METHODS[plan.option % 4], plan.option % 3 == 0
                return router.with_structured_output(Person, method=method, include_raw=raw), inputs, {}
            case "agent":
                return create_agent(router, [add]), [{"messages": [HumanMessage(each)]} for each in inputs], {}
            case _ if plan.option % 3 == 0 and plan.way in (*WHOLE, *STREAMS, *LEFT):
                chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")]) | router
                return chain, [{"question": each} for each in inputs], {}
            case _:
                return router, inputs, {}

    @property
    def config(self) -> RunnableConfig:
        return {"callbacks": [self.counter]}

    # --- synchronously ---

    def one(self, plan: Plan) -> None:
        with route_context(key=plan.router, tags=plan.tags):
            model, inputs, kwargs = self.asked(plan)
            if plan.kind == "tools":
                self.loop(plan, model, inputs[0])
                return
            self.ask(plan, model, inputs, kwargs)
            if plan.way.endswith("cached"):
                self.ask(plan, model, inputs, kwargs)

    def ask(self, plan: Plan, model: Any, inputs: list[Any], kwargs: Mapping[str, Any]) -> Any:
        match plan.way:
            case "invoke" | "invoke cached":
                return model.invoke(inputs[0], self.config, **kwargs)
            case "batch":
                return _all_but_expected(plan, model.batch(inputs, self.config, return_exceptions=True, **kwargs))
            case "generate":
                return model.generate([[HumanMessage(each)] for each in inputs], **self.config, **kwargs)
            case "stream v3":
                return model.stream_events(inputs[0], self.config, version="v3", **kwargs).output
            case "stream dropped":
                return next(model.stream(inputs[0], self.config, **kwargs), None)
            case "stream closed":
                with closing(model.stream(inputs[0], self.config, **kwargs)) as chunks:
                    return next(chunks, None)
            case "stream" if plan.kind == "agent":
                return list(model.stream(inputs[0], self.config, stream_mode="messages"))
            case "stream" if plan.kind == "structured":
                return list(model.stream(inputs[0], self.config))
            case "stream":
                return joined(list(model.stream(inputs[0], self.config, **kwargs)))
            case _:
                raise AssertionError(plan.way)

    def loop(self, plan: Plan, model: Any, prompt: str) -> None:
        """Ask with tools at hand, and answer the calls until there are none."""
        history: list[BaseMessage] = [HumanMessage(prompt)]
        for _ in range(3):
            message = self.ask(plan, model, [history], {})
            history += [message, *_results(message)]
            if not message.tool_calls:
                return

    # --- asynchronously ---

    async def aone(self, plan: Plan) -> None:
        with route_context(key=plan.router, tags=plan.tags):
            model, inputs, kwargs = self.asked(plan)
            if plan.kind == "tools":
                await self.aloop(plan, model, inputs[0])
                return
            await self.aask(plan, model, inputs, kwargs)
            if plan.way.endswith("cached"):
                await self.aask(plan, model, inputs, kwargs)

    async def aask(self, plan: Plan, model: Any, inputs: list[Any], kwargs: Mapping[str, Any]) -> Any:
        match plan.way:
            case "ainvoke" | "ainvoke cached":
                return await model.ainvoke(inputs[0], self.config, **kwargs)
            case "ainvoke cancelled":
                arrived, loop = asyncio.Event(), asyncio.get_running_loop()
                self.script.when_asked(plan, lambda: loop.call_soon_threadsafe(arrived.set))
                return await cancelled(model.ainvoke(inputs[0], self.config, **kwargs), arrived)
            case "ainvoke v2 events":
                # Handlers that show tokens have models stream that were only invoked.
                async for _ in _invoked(model, kwargs).astream_events(inputs[0], self.config, version="v2"):
                    pass
                return None
            case "abatch":
                found = await model.abatch(inputs, self.config, return_exceptions=True, **kwargs)
                return _all_but_expected(plan, found)
            case "agenerate":
                return await model.agenerate([[HumanMessage(each)] for each in inputs], **self.config, **kwargs)
            case "astream v2 events":
                async for _ in model.astream_events(inputs[0], self.config, version="v2", **kwargs):
                    pass
                return None
            case "astream v3":
                return await (await model.astream_events(inputs[0], self.config, version="v3", **kwargs))
            case _:
                return await self.astream(plan, model, inputs[0], kwargs)

    async def astream(self, plan: Plan, model: Any, prompt: Any, kwargs: Mapping[str, Any]) -> Any:
        mode = {"stream_mode": "messages"} if plan.kind == "agent" else {}
        chunks = model.astream(prompt, self.config, **mode, **kwargs)
        match plan.way:
            case "astream dropped":
                async for _ in chunks:
                    break
                return None
            case "astream closed":
                async with aclosing(chunks):
                    async for _ in chunks:
                        break
                return None
            case "astream cancelled":
                shown = asyncio.Event()
                return await cancelled(_read(chunks, shown), shown)
            case _:
                found = [chunk async for chunk in chunks]
                return joined(found) if plan.kind not in ("agent", "structured") else found

    async def aloop(self, plan: Plan, model: Any, prompt: str) -> None:
        history: list[BaseMessage] = [HumanMessage(prompt)]
        for _ in range(3):
            message = await self.aask(plan, model, [history], {})
            history += [message, *_results(message)]
            if not message.tool_calls:
                return


def _invoked(model: Any, kwargs: Mapping[str, Any]) -> Runnable[Any, Any]:
    """Put a model into a step that invokes it, so that handlers alone have it stream."""

    async def step(given: Any, config: RunnableConfig) -> Any:
        return await model.ainvoke(given, config, **kwargs)

    return RunnableLambda(step)


def _all_but_expected(plan: Plan, found: Sequence[Any]) -> Sequence[Any]:
    for each in found:
        if isinstance(each, Exception) and not expected(plan, each):
            raise each
    return found


def _results(message: AIMessage) -> list[ToolMessage]:
    return [ToolMessage("3", tool_call_id=call["id"]) for call in message.tool_calls]


async def _read(chunks: AsyncIterator[Any], shown: asyncio.Event) -> None:
    async for _ in chunks:
        shown.set()
