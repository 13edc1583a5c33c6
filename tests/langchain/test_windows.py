"""An Ollama model's server cuts prompts where it is told to: a window that a tier declares is told with every call."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool

from slmroute import Tier
from tests.langchain import ways
from tests.langchain.stage import SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

WINDOW = 8192


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def tiers_of(stage: Stage, kind: str, **settings: Any) -> list[Tier]:
    """A small tier that declares its window, by a string or an object, and the big one."""
    if kind == "string":
        arguments = {"base_url": stage.server.url, **settings}
        return [Tier("small", f"ollama:{SMALL}", window=WINDOW, model_args=arguments), stage.big()]
    return [Tier("small", stage.bare_small(**settings), window=WINDOW), stage.big()]


def told(stage: Stage) -> list[Any]:
    return [call.body["options"] for call in stage.server.calls(SMALL)]


@pytest.mark.parametrize("kind", ["string", "object"])
@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_a_declared_window_is_told_with_every_call(stage: Stage, kind: str, ask: ways.Ask) -> None:
    model = stage.router("small", tiers=tiers_of(stage, kind, seed=7))
    await ask(model, "Blue?")
    await ask(model.bind_tools([add]), "Blue?", temperature=0.5)
    await ask(model, "Blue?", options={"seed": 1})
    await ask(model, "Blue?", options={"num_ctx": 2048})
    assert told(stage) == [
        {"num_ctx": WINDOW, "seed": 7},
        {"num_ctx": WINDOW, "seed": 7, "temperature": 0.5},
        {"num_ctx": WINDOW, "seed": 1},
        {"num_ctx": 2048},
    ]


@pytest.mark.parametrize("kind", ["string", "object"])
def test_a_declared_window_is_told_with_structured_calls(stage: Stage, kind: str) -> None:
    stage.script_small('{"a": 1}')
    structured = stage.router("small", tiers=tiers_of(stage, kind)).with_structured_output({"type": "object"})
    assert structured.invoke("Which?") == {"a": 1}
    assert list(structured.stream("Which?"))[-1] == {"a": 1}
    assert told(stage) == [{"num_ctx": WINDOW}] * 2


def test_a_window_is_told_beside_options_that_are_bound_to_the_model(stage: Stage) -> None:
    tier = Tier("small", stage.bare_small().bind(options={"seed": 1}), window=WINDOW)
    stage.router("small", tiers=[tier, stage.big()]).invoke("Blue?")
    assert told(stage) == [{"num_ctx": WINDOW, "seed": 1}]


@pytest.mark.parametrize("kind", ["string", "object"])
def test_a_models_own_context_stands_and_bounds_what_it_is_sent(stage: Stage, kind: str) -> None:
    model = stage.router("small", tiers=tiers_of(stage, kind, num_ctx=2048))
    model.invoke("Blue?")
    assert told(stage) == [{"num_ctx": 2048}]
    assert record_of(model.invoke("word " * 5_000))["tier"] == "big"


def test_the_users_model_stays_as_it_is_and_sends_no_context_by_itself(stage: Stage) -> None:
    bare = stage.bare_small()
    stage.router("small", tiers=[Tier("small", bare, window=WINDOW), stage.big()]).invoke("Blue?")
    stage.router("small", tiers=[Tier("small", bare), stage.big()]).invoke("Blue?")
    assert bare.num_ctx is None
    assert told(stage) == [{"num_ctx": WINDOW}, {}]
