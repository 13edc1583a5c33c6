"""The adapter over recorded exchanges with the real small model, with every server off.

To record them anew: ``pytest tests/langchain/test_cassettes.py --record-mode=rewrite``.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel, route_costs
from slmroute import Confidence, Tier
from tests.langchain.canonical import hide_the_port

MODEL = "smollm2:135m"
NOWHERE = "http://127.0.0.1:9"
"""The discard port: a request that is not in the cassette fails there."""

TICKET = "Classify the ticket as billing or delivery. Answer with one word.\n\nI was charged twice for one order."


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    return {
        "match_on": ["method", "path", "canonical_body"],
        "before_record_request": hide_the_port,
        "filter_headers": ["authorization", "user-agent"],
        "decode_compressed_response": True,
        "allow_playback_repeats": True,
    }


@pytest.fixture
def url(request: pytest.FixtureRequest, record_mode: str) -> str:
    return NOWHERE if record_mode == "none" else str(request.getfixturevalue("local_server").url)


def router(url: str, **settings: Any) -> RoutingChatModel:
    arguments = {"base_url": url, "temperature": 0, "seed": 1, "num_predict": 24}
    small = Tier("small", f"ollama:{MODEL}", model_args=arguments, local=True, input_price="0.05", output_price="0.08")
    return RoutingChatModel(
        tiers=[small, Tier("frontier", "dry-run:openai:gpt-4.1")], **{"classifier": None, **settings}
    )


def to_small(request: object) -> str:
    return "small"


@pytest.mark.vcr
def test_a_chain_is_answered_by_the_real_model(url: str) -> None:
    chain = ChatPromptTemplate.from_messages([("user", "{ticket}")]) | router(url, rules=[to_small]) | StrOutputParser()
    usage = UsageMetadataCallbackHandler()
    with route_costs() as costs:
        answer = chain.invoke({"ticket": TICKET}, config={"callbacks": [usage]})
    assert "billing" in answer.lower()
    assert list(usage.usage_metadata) == [MODEL]
    counted = usage.usage_metadata[MODEL]
    assert costs.total_tokens == counted["total_tokens"] > 20
    assert costs.cost > 0


@pytest.mark.vcr
async def test_asynchronously_the_answer_is_the_same(url: str) -> None:
    message = await router(url, rules=[to_small]).ainvoke(TICKET)
    assert "billing" in message.text.lower()
    assert message.response_metadata["slmroute"]["tier"] == "small"


@pytest.mark.vcr
def test_a_stream_adds_up_to_the_answer(url: str) -> None:
    model = router(url, rules=[to_small])
    chunks = list(model.stream(TICKET))
    whole: AIMessageChunk = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert "billing" in whole.text.lower()
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] > 0
    assert [("slmroute" in chunk.response_metadata) for chunk in chunks].count(True) == 1


@pytest.mark.vcr
async def test_an_asynchronous_stream_adds_up_to_the_answer(url: str) -> None:
    text = "".join([chunk.text async for chunk in router(url, rules=[to_small]).astream(TICKET)])
    assert "billing" in text.lower()


class Category(BaseModel):
    """The category of a ticket."""

    category: Literal["billing", "delivery"]


@pytest.mark.vcr
def test_a_structured_answer_follows_its_schema(url: str) -> None:
    model = router(url, rules=[to_small]).with_structured_output(Category)
    assert model.invoke(TICKET) == Category(category="billing")


@pytest.mark.vcr
def test_confidence_is_read_from_the_real_log_probabilities(url: str) -> None:
    sure = router(url, classifier=None, escalation=Confidence(0.2)).invoke(TICKET)
    record = sure.response_metadata["slmroute"]
    assert record["tier"] == "small"
    assert 0.2 <= record["confidence"] < 1


@pytest.mark.vcr
def test_a_weak_answer_escalates_and_is_paid_for(url: str) -> None:
    weak = router(url, classifier=None, escalation=Confidence(0.999)).invoke(
        [HumanMessage("Prove that there are infinitely many primes of the form 4k + 3.")]
    )
    record = weak.response_metadata["slmroute"]
    assert record["tier"] == "frontier"
    assert record["escalated"] is True
    draft = record["attempts"][0]
    assert (draft["role"], draft["fault"]) == ("draft", "low_confidence")
    assert draft["usage"]["output_tokens"] > 0
