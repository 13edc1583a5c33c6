"""A model that refuses requests for log-probabilities is asked again without, and its confidence is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from slmroute import Confidence, Tier
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.stage import SMALL, Stage, record_of

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),  # the bare model's own, when it streams
]

REASONER, OTHER = "o4-mini", "gpt-4.1"
DRAFT, FINAL = "A first draft.", "The final answer."
BY_PARAM = {"message": "This model refuses an argument.", "type": "invalid_request_error", "param": "logprobs"}
BY_MESSAGE = {"message": "logprobs are not supported with reasoning models.", "type": "invalid_request_error"}
REFUSALS = {
    "by parameter": Fault(400, body={"error": {**BY_PARAM, "code": "unsupported_parameter"}}),
    "by message": Fault(400, body={"error": BY_MESSAGE}),
    "unprocessable": Fault(422, body={"error": BY_MESSAGE}),
}


class Weather(BaseModel):
    """The weather."""

    degrees: int


def refusing(stage: Stage, refusal: Fault, reply: Reply) -> None:
    def script(body: Mapping[str, Any]) -> Fault | Reply:
        return refusal if body.get("logprobs") else reply

    stage.server.script(REASONER, script)
    stage.server.script(OTHER, Reply(FINAL, input_tokens=100, output_tokens=10))


def model(stage: Stage, name: str, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=stage.server.openai_url, api_key="canary", max_retries=0, **settings)  # type: ignore[arg-type]


def cascade(stage: Stage, **settings: Any) -> RoutingChatModel:
    tiers = [Tier("first", model(stage, REASONER, **settings)), Tier("second", model(stage, OTHER))]
    return RoutingChatModel(tiers=tiers, classifier=None, escalation=Confidence(0.85))


def asked_for(stage: Stage) -> list[tuple[str | None, bool]]:
    return [(call.model, bool(call.body.get("logprobs"))) for call in stage.server.calls()]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_it_is_asked_once_more_without_and_that_is_remembered(stage: Stage, ask: ways.Ask, refusal: str) -> None:
    refusing(stage, REFUSALS[refusal], Reply(DRAFT, input_tokens=20, output_tokens=5))
    router = cascade(stage)
    answers = [await ask(router, "What is it?") for _ in range(2)]
    assert asked_for(stage) == [(REASONER, True), (REASONER, False), (OTHER, False), (REASONER, False), (OTHER, False)]
    for answer in answers:
        draft, final = record_of(answer)["attempts"]
        assert (answer.text, final["tier"]) == (FINAL, "second")
        assert (draft["tier"], draft["confidence"], draft["fault"]) == ("first", None, "low_confidence")
        assert draft["usage"]["input_tokens"] == 20


@pytest.mark.parametrize("ask", ways.PUBLIC, ids=ways.name_of)
async def test_every_answered_request_is_counted_once_and_the_refused_one_not_at_all(
    stage: Stage, ask: ways.Ask
) -> None:
    refusing(stage, REFUSALS["by parameter"], Reply(DRAFT, input_tokens=20, output_tokens=5))
    with get_usage_metadata_callback() as counted:
        await ask(cascade(stage, stream_usage=True), "What is it?")
    assert {name: usage["total_tokens"] for name, usage in counted.usage_metadata.items()} == {
        REASONER: 25,
        OTHER: 110,
    }


async def test_no_draft_is_shown_to_those_who_watch_tokens(stage: Stage) -> None:
    refusing(stage, REFUSALS["by parameter"], Reply(DRAFT, input_tokens=20, output_tokens=5))
    router = cascade(stage)
    texts = [
        event["data"]["chunk"].text
        async for event in router.astream_events("What is it?", version="v2")
        if event["event"] == "on_chat_model_stream"
    ]
    assert "".join(texts) == FINAL
    assert "".join(chunk.text for chunk in cascade(stage).stream("What is it?")) == FINAL


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_structured_answers_are_asked_for_again_too(stage: Stage, ask: ways.Ask) -> None:
    refusing(stage, REFUSALS["by parameter"], Reply('{"degrees": 20}', input_tokens=20, output_tokens=5))
    stage.server.script(OTHER, Reply('{"degrees": 21}', input_tokens=100, output_tokens=10))
    structured: Any = cascade(stage).with_structured_output(Weather)
    if ask in (ways.stream, ways.astream):
        found = list(structured.stream("How warm?")) if ask is ways.stream else None
        found = found or [part async for part in structured.astream("How warm?")]
        assert found[-1] == Weather(degrees=21)
    else:
        assert await ask(structured, "How warm?") == Weather(degrees=21)
    assert asked_for(stage) == [(REASONER, True), (REASONER, False), (OTHER, False)]


async def test_a_model_of_ollama_is_asked_again_as_well(stage: Stage) -> None:
    refusal = Fault(400, body={"error": "logprobs are not available on this runner"})
    stage.server.script(SMALL, lambda body: refusal if body.get("logprobs") else Reply(DRAFT))
    for ask in ways.EACH:
        answer = await ask(stage.cascade(), "What is it?")
        assert record_of(answer)["escalated"] is True
    assert len(stage.server.calls(SMALL)) == 2 * len(ways.EACH)


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_log_probabilities_that_the_user_asks_for_are_the_users_own_error(stage: Stage, ask: ways.Ask) -> None:
    refusing(stage, REFUSALS["by parameter"], Reply(DRAFT))
    with pytest.raises(Exception, match="refuses an argument"):
        await ask(cascade(stage, logprobs=True), "What is it?")
    with pytest.raises(Exception, match="refuses an argument"):
        await ask(cascade(stage), "What is it?", logprobs=True)
    assert asked_for(stage) == [(REASONER, True)] * 2


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_another_refusal_is_not_asked_again(stage: Stage, ask: ways.Ask) -> None:
    stage.server.script(REASONER, Fault(400, body={"error": {"message": "Unknown argument: temprature."}}))
    with pytest.raises(Exception, match="temprature"):
        await ask(cascade(stage), "What is it?")
    assert len(stage.server.calls()) == 1
