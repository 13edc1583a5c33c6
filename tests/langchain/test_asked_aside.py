"""A classifier or a judge may be a LangChain model: nobody is shown its tokens, and what it takes is seen once."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_ollama import ChatOllama
from langgraph.graph import START, MessagesState, StateGraph

from langchain_slmroute import RoutingChatModel, route_costs
from slmroute import Confidence, RouteRequest
from slmroute.steps import Answer
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, Stage, Tracer, record_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:astream_events version='v1'"),
]

FINAL = "The big answer is forty two."
ASKED = "qwen:1b"


class Asking:
    """A classifier or a judge that asks a model of LangChain's, which says one half."""

    def __init__(self, stage: Stage, *, asynchronous: bool) -> None:
        stage.server.script(ASKED, Reply("0.5 it is.", chunks=["0.5", " it", " is."], input_tokens=7, output_tokens=3))
        self.model = ChatOllama(model=ASKED, base_url=stage.server.url)
        self.url = stage.server.url
        if asynchronous:
            self.ascore = self._ascore

    def score(self, request: RouteRequest) -> float:
        return float(str(self.model.invoke(request.text).content).split()[0])

    async def _ascore(self, request: RouteRequest) -> float:
        # A loop of its own is what a synchronous call gives it, and a client belongs to one loop.
        model = ChatOllama(model=ASKED, base_url=self.url)
        said = await model.ainvoke(request.text)
        await model._async_client._client.aclose()
        return float(str(said.content).split()[0])

    def judge(self, request: RouteRequest, answer: Answer) -> float:
        return self.score(request)

    async def ajudge(self, request: RouteRequest, answer: Answer) -> float:
        return await self._ascore(request)


@pytest.fixture(params=["classifier", "async_classifier", "judge", "async_judge"])
def router(stage: Stage, request: pytest.FixtureRequest) -> Iterator[RoutingChatModel]:
    """A router that answers by its big tier, whatever it asks."""
    asking = Asking(stage, asynchronous=request.param.startswith("async"))
    if "classifier" in request.param:
        yield RoutingChatModel(tiers=[stage.small(), stage.big()], classifier=asking, threshold=0.4)
    else:
        judge = asking.ajudge if request.param.startswith("async") else asking.judge
        yield stage.cascade(escalation=Confidence(0.85, judge=judge))


class Heard(BaseCallbackHandler):
    """Reads tokens."""

    def __init__(self) -> None:
        self.text = ""
        self.ended: list[str] = []

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.text += token

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ended.append(response.generations[0][0].message.response_metadata["model_name"])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("ask", ["ainvoke", "astream", "invoke"])
async def test_events_show_no_token_of_what_is_asked_aside(router: RoutingChatModel, version: Any, ask: str) -> None:
    async def step(prompt: str) -> AIMessage:
        if ask == "invoke":
            return router.invoke(prompt)
        if ask == "ainvoke":
            return await router.ainvoke(prompt)
        return [chunk async for chunk in router.astream(prompt)][-1]

    events = [each async for each in RunnableLambda(step).astream_events("Blue?", version=version)]
    assert "".join(each["data"]["chunk"].text for each in events if each["event"] == "on_chat_model_stream") == FINAL
    named = {each["metadata"]["ls_model_name"] for each in events if each["event"].startswith("on_chat_model")}
    assert named == {BIG}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_graphs_message_stream_shows_no_token_of_what_is_asked_aside(
    router: RoutingChatModel, asynchronous: bool
) -> None:
    async def anode(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await router.ainvoke(state["messages"])]}

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [router.invoke(state["messages"])]}

    builder: Any = StateGraph(MessagesState)
    builder.add_node("model", anode if asynchronous else node)
    builder.add_edge(START, "model")
    graph = builder.compile()
    question = {"messages": [("human", "Blue?")]}
    if asynchronous:
        shown = [each async for each in graph.astream(question, stream_mode="messages")]
    else:
        shown = list(graph.stream(question, stream_mode="messages"))
    assert "".join(message.text for message, _ in shown) == FINAL


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_handlers_hear_of_what_is_asked_aside_but_no_token(
    stage: Stage, router: RoutingChatModel, ask: ways.Ask
) -> None:
    heard, usage = Heard(), UsageMetadataCallbackHandler()
    with get_usage_metadata_callback() as context:
        answer = await ask(router, "Blue?", {"callbacks": [heard, usage]})
    assert record_of(answer)["tier"] == "big"
    assert heard.text in ("", FINAL)
    asked = [model for model in stage.models_called if model == ASKED]
    assert len(asked) == 1
    assert usage.usage_metadata[ASKED]["total_tokens"] == 10
    assert context.usage_metadata[ASKED]["total_tokens"] == 10


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_what_is_asked_aside_is_a_child_of_the_routers_run(router: RoutingChatModel, ask: ways.Ask) -> None:
    tracer = Tracer()
    await ask(router, "Blue?", {"callbacks": [tracer]})
    (root,) = tracer.roots
    names = [(run.run_type, run.extra["metadata"]["ls_model_name"]) for run in root.child_runs]
    assert root.name == "RoutingChatModel"
    assert sorted(names).count(("llm", ASKED)) == 1
    assert ("llm", BIG) in names


async def test_what_is_done_between_the_chunks_of_a_stream_is_not_aside(router: RoutingChatModel) -> None:
    from langchain_core.runnables.config import var_child_runnable_config

    before = var_child_runnable_config.get()
    for _ in router.stream("Blue?", {"callbacks": [Heard()]}):
        assert var_child_runnable_config.get() is before
    async for _ in router.astream("Blue?", {"callbacks": [Heard()]}):
        assert var_child_runnable_config.get() is before


EVERY = [ways.invoke, ways.ainvoke, ways.stream, ways.astream, ways.generate, ways.stream_events]


@pytest.mark.parametrize("ask", EVERY, ids=ways.name_of)
async def test_what_the_model_took_is_in_the_record_and_the_bill(
    stage: Stage, router: RoutingChatModel, ask: ways.Ask
) -> None:
    with route_costs() as costs:
        await ask(router, "What is blue?")
    (asked,) = [tier for name, tier in costs.tiers.items() if name not in ("small", "big")]
    assert (asked.input_tokens, asked.output_tokens) == (7, 3)
    # Nobody has said what a call of this model costs: that is not the same as nothing.
    assert (asked.unpriced, costs.unpriced) == (1, 1)


async def test_it_is_priced_by_the_users_prices(stage: Stage) -> None:
    asking = Asking(stage, asynchronous=False)
    prices = {f"ollama:{ASKED}": ("1", "10")}
    model = stage.cascade(escalation=Confidence(0.85, judge=asking.judge), prices=prices)
    record = record_of(await model.ainvoke("What is blue?"))
    judged = next(attempt for attempt in record["attempts"] if attempt["role"] == "judge")
    assert (judged["provider"], judged["model"], judged["cost"]) == ("ollama", ASKED, "0.000037")
    assert Decimal(record["cost"]) == sum(Decimal(attempt["cost"]) for attempt in record["attempts"])
