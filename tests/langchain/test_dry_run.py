"""A dry run as the last tier: routed and priced as the real model, and what cannot be made of its note is said."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel, route_costs
from slmroute import Confidence, NothingGenerated, Tier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import SMALL, Stage, record_of

DRY = Tier("frontier", "dry-run:openai:gpt-4.1")
DRAFT = '{"count": 6}'
STRUCTURED = ("invoke", "ainvoke", "stream", "astream")


class Floors(BaseModel):
    """How many floors there are."""

    count: int


def router(stage: Stage, **settings: Any) -> RoutingChatModel:
    given = {"tiers": [stage.small(), DRY], "classifier": lambda request: 1.0, **settings}
    return RoutingChatModel(**given)


async def asked(chain: Any, way: str) -> Any:
    """Ask in one of four ways; a stream's parts are added up where they can be, and else the last one counts."""
    match way:
        case "invoke":
            return chain.invoke("How many?")
        case "ainvoke":
            return await chain.ainvoke("How many?")
        case "stream":
            parts = list(chain.stream("How many?"))
        case _:
            parts = [part async for part in chain.astream("How many?")]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part if isinstance(part, dict) else part
    return whole


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.parametrize("choice", [None, "any", "Floors"])
async def test_bound_tools_are_answered_with_the_note(stage: Stage, ask: ways.Ask, choice: str | None) -> None:
    given = {} if choice is None else {"tool_choice": choice}
    answer = await ask(router(stage).bind_tools([Floors], **given), "Prove it.")
    assert "dry run" in answer.text
    assert answer.tool_calls == []
    record = record_of(answer)
    assert (record["tier"], record["escalated"], record["degraded"]) == ("frontier", False, False)
    assert [attempt["fault"] for attempt in record["attempts"] if attempt["tier"] == "frontier"] == [None]
    assert float(record["cost"]) > 0
    assert stage.models_called == []


@pytest.mark.parametrize("way", STRUCTURED)
@pytest.mark.parametrize("method", [None, "json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Floors, Floors.model_json_schema()], ids=["pydantic", "json"])
async def test_an_object_is_an_error_that_says_what_to_do(
    stage: Stage, way: str, method: str | None, schema: Any
) -> None:
    chain = router(stage).with_structured_output(schema, method=method)
    with route_costs() as costs, pytest.raises(NothingGenerated, match=r"'dry-run:openai:gpt-4\.1'.*model='openai:gpt"):
        await asked(chain, way)
    assert costs.cost > 0
    assert stage.models_called == []


@pytest.mark.parametrize("way", STRUCTURED)
async def test_with_the_raw_answer_the_note_is_given_and_the_error_beside_it(stage: Stage, way: str) -> None:
    found = await asked(router(stage).with_structured_output(Floors, include_raw=True), way)
    assert "dry run" in found["raw"].text
    assert found["parsed"] is None
    assert isinstance(found["parsing_error"], NothingGenerated)
    assert record_of(found["raw"])["tier"] == "frontier"
    assert record_of(found["raw"])["attempts"][-1]["usage"]["source"] == "estimated"


@pytest.mark.parametrize("way", STRUCTURED)
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("validate", [True, False])
async def test_a_weak_object_in_hand_is_given(stage: Stage, way: str, include_raw: bool, validate: bool) -> None:
    stage.script_small(DRAFT, logprob=-1.0)
    settings: dict[str, Any] = {"classifier": None, "escalation": Confidence(0.85), "validate": validate}
    chain = router(stage, **settings).with_structured_output(Floors, include_raw=include_raw)
    found = await asked(chain, way)
    if include_raw:
        record = record_of(found["raw"])
        assert (record["tier"], record["escalated"], record["degraded"]) == ("small", True, True)
        assert [attempt["tier"] for attempt in record["attempts"]] == ["small", "frontier"]
        assert found["parsing_error"] is None
        found = found["parsed"]
    assert found == Floors(count=6)


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_a_weak_call_of_a_tool_that_must_be_called_is_given(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(SMALL, Reply(tool_calls=[("Floors", {"count": 6})], logprobs=None))
    small = Tier("small", stage.bare_small(), local=True, abilities=["tools", "tool_choice"])
    model = router(stage, tiers=[small, DRY], classifier=None, escalation=Confidence(0.85))
    answer = await ask(model.bind_tools([Floors], tool_choice="any"), "How many?")
    assert [call["args"] for call in answer.tool_calls] == [{"count": 6}]
    assert record_of(answer)["degraded"] is True
