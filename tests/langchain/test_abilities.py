"""What a tier's model cannot do is found out, from its server or from its refusals, and other tiers answer instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama
from pydantic import BaseModel

from slmroute import Tier
from slmroute.errors import PromptTooLong
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = [
    HumanMessage([{"type": "text", "text": "What?"}, {"type": "image", "base64": PIXEL, "mime_type": "image/png"}])
]
LONG = "The river flows. " * 1500
"""Some 6,000 tokens."""


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Weather(BaseModel):
    """The weather."""

    degrees: int


def script_small(stage: Stage, *entries: Any, **settings: Any) -> None:
    given = {"capabilities": ("completion",), **settings}
    stage.server.script(SMALL, *(entries or (Reply("Small."),)), **given)


def shows(stage: Stage) -> int:
    return sum(request.path == "/api/show" for request in stage.server.requests)


KINDS: dict[str, Callable[[Stage], list[Tier]]] = {
    "objects": lambda stage: [stage.small(), stage.big()],
    "strings": lambda stage: stage.strings(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_model_of_ollama_that_takes_no_tools_is_passed_over(stage: Stage, kind: str, ask: ways.Ask) -> None:
    script_small(stage)
    model = stage.router("small", tiers=KINDS[kind](stage))
    for _ in range(2):
        assert record_of(await ask(model.bind_tools([add]), "1+2?"))["tier"] == "big"
    assert stage.models_called == [BIG, BIG]
    assert shows(stage) == 1
    assert record_of(await ask(model, "Hello!"))["tier"] == "small"


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_model_of_ollama_that_sees_nothing_is_passed_over(stage: Stage, ask: ways.Ask) -> None:
    script_small(stage)
    assert record_of(await ask(stage.router("small"), IMAGE))["tier"] == "big"
    script_small(stage, capabilities=("completion", "vision"))
    assert record_of(await ask(stage.router("small"), IMAGE))["tier"] == "small"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_prompt_over_the_window_that_the_server_tells_of_goes_up(
    stage: Stage, kind: str, ask: ways.Ask
) -> None:
    script_small(stage, window=4096)
    model = stage.router("small", tiers=KINDS[kind](stage))
    assert record_of(await ask(model, LONG))["tier"] == "big"
    assert record_of(await ask(model, LONG))["tier"] == "big"
    assert shows(stage) == 1
    assert record_of(await ask(model, "Hello!"))["tier"] == "small"
    script_small(stage, window=8192)
    assert record_of(await ask(stage.router("small", tiers=KINDS[kind](stage)), LONG))["tier"] == "small"


def test_what_the_user_says_of_a_window_is_not_asked_for(stage: Stage) -> None:
    script_small(stage, window=128_000)
    for tier in (stage.small(num_ctx=4096), Tier("small", stage.bare_small(), window=4096)):
        assert record_of(stage.router("small", tiers=[tier, stage.big()]).invoke(LONG))["tier"] == "big"
    assert shows(stage) == 0


def test_what_the_user_says_of_abilities_is_not_asked_for(stage: Stage) -> None:
    script_small(stage, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    able = Tier("small", stage.bare_small(), abilities=["tools"])
    answer = stage.router("small", tiers=[able, stage.big()]).bind_tools([add]).invoke("1+2?")
    assert record_of(answer)["tier"] == "small"
    assert shows(stage) == 0


def test_a_prompt_that_fits_nowhere_is_an_error(stage: Stage) -> None:
    script_small(stage, window=4096)
    tiers = [stage.small(), Tier("big", stage.bare_big(), window=5000)]
    with pytest.raises(PromptTooLong, match="small: window of 4096 tokens"):
        stage.router("small", tiers=tiers).invoke(LONG)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_short_plain_call_or_a_schema_asks_the_server_for_nothing(
    stage: Stage, kind: str, ask: ways.Ask
) -> None:
    script_small(stage, Reply('{"degrees": 21}'))
    model = stage.router("small", tiers=KINDS[kind](stage))
    await ask(model, "Hello!")
    await model.with_structured_output(Weather).ainvoke("How warm?")
    assert [request.path for request in stage.server.requests] == ["/api/chat", "/api/chat"]


async def test_many_calls_at_once_ask_the_server_once(stage: Stage) -> None:
    script_small(stage)
    model = stage.router("small").bind_tools([add])
    answers = await asyncio.gather(*(model.ainvoke("1+2?") for _ in range(20)))
    assert {record_of(answer)["tier"] for answer in answers} == {"big"}
    assert shows(stage) == 1
    answers = await asyncio.to_thread(stage.router("small").bind_tools([add]).batch, ["1+2?"] * 20)
    assert {record_of(answer)["tier"] for answer in answers} == {"big"}
    assert shows(stage) == 2


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_a_server_that_does_not_tell_is_taken_to_be_able_and_left_alone(stage: Stage, ask: ways.Ask) -> None:
    model = stage.router("big", tiers=[Tier("small", ChatOllama(model="gone", base_url=stage.server.url)), stage.big()])
    for _ in range(2):
        assert record_of(await ask(model.bind_tools([add]), "1+2?"))["tier"] == "big"
    assert shows(stage) == 1
    nowhere = Tier("small", ChatOllama(model=SMALL, base_url="http://127.0.0.1:9"), local=True)
    answer = await ask(stage.router("small", tiers=[nowhere, stage.big()]).bind_tools([add]), "1+2?")
    assert record_of(answer)["events"] == ["unavailable:small"]


NO_TOOLS = Fault(400, body={"error": "registry.ollama.ai/library/gemma2:2b does not support tools"})
NO_IMAGES = Fault(400, body={"error": '"gemma2:2b" does not support vision'})
OPENAI_NO_IMAGES = Fault(
    400, body={"error": {"message": "Invalid content type. image_url is only supported by certain models."}}
)


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_refusal_for_want_of_tools_or_sight_moves_on_and_is_remembered(stage: Stage, ask: ways.Ask) -> None:
    script_small(stage, NO_TOOLS, capabilities=("completion", "tools", "vision"))
    model = stage.router("small")
    answer = await ask(model.bind_tools([add]), "1+2?")
    assert record_of(answer)["tier"] == "big"
    assert record_of(answer)["events"] == ["unable:small"]
    assert record_of(await ask(model.bind_tools([add]), "1+2?"))["events"] == []
    assert stage.models_called == [SMALL, BIG, BIG]
    script_small(stage, NO_IMAGES, Reply("Small."), capabilities=("completion", "tools", "vision"))
    assert record_of(await ask(model, IMAGE))["events"] == ["unable:small"]
    assert record_of(await ask(model, IMAGE))["events"] == []
    assert record_of(await ask(model, "Hello!"))["tier"] == "small", "its health is as good as ever"


def test_a_refusal_for_want_of_sight_moves_on_from_a_model_of_openais_kind(stage: Stage) -> None:
    stage.server.script(BIG, OPENAI_NO_IMAGES)
    script_small(stage, capabilities=("completion", "vision"))
    assert record_of(stage.router("big").invoke(IMAGE))["tier"] == "small"


def test_a_refusal_is_the_error_where_no_other_tier_answers(stage: Stage) -> None:
    script_small(stage, NO_TOOLS, capabilities=("completion", "tools"))
    model = stage.router("small", failover=False).bind_tools([add])
    with pytest.raises(Exception, match="does not support tools"):
        model.invoke("1+2?")
