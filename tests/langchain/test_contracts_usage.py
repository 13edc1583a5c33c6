"""Usage handlers count each HTTP call exactly once, under the name of the model that answered it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback

from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def totals(counted: Any) -> dict[str, int]:
    return {name: usage["total_tokens"] for name, usage in counted.usage_metadata.items()}


@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
@pytest.mark.parametrize(("to", "expected"), [("small", {SMALL: 25}), ("big", {BIG: 110})])
async def test_a_routed_call_is_counted_once(stage: Stage, ask: ways.Ask, to: str, expected: dict[str, int]) -> None:
    handler = UsageMetadataCallbackHandler()
    answer = await ask(stage.router(to), "What is blue?", {"callbacks": [handler]})
    assert totals(handler) == expected
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == expected[answer.response_metadata["model_name"]]
    with get_usage_metadata_callback() as context:
        await ask(stage.router(to), "What is blue?")
    assert totals(context) == expected
    assert len(stage.server.calls()) == 2


@pytest.mark.parametrize("ask", ways.PUBLIC, ids=ways.name_of)
async def test_an_escalated_call_counts_the_draft_and_the_answer(stage: Stage, ask: ways.Ask) -> None:
    handler = UsageMetadataCallbackHandler()
    answer = await ask(stage.escalating(), "What is blue?", {"callbacks": [handler]})
    assert totals(handler) == {SMALL: 25, BIG: 110}
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 110
    with get_usage_metadata_callback() as context:
        await ask(stage.escalating(), "What is blue?")
    assert totals(context) == {SMALL: 25, BIG: 110}
    assert stage.models_called == [SMALL, BIG] * 2


@pytest.mark.parametrize("ask", ways.PRIVATE, ids=ways.name_of)
async def test_where_the_router_is_the_only_run_the_draft_is_in_our_own_record(stage: Stage, ask: ways.Ask) -> None:
    handler = UsageMetadataCallbackHandler()
    answer = await ask(stage.escalating(), "What is blue?", {"callbacks": [handler]})
    assert totals(handler) == {BIG: 110}
    attempts = record_of(answer)["attempts"]
    assert [(each["role"], each["tier"], each["usage"]["input_tokens"]) for each in attempts] == [
        ("draft", "small", 20),
        ("final", "big", 100),
    ]


@pytest.mark.parametrize("ask", ways.STREAMS, ids=ways.name_of)
@pytest.mark.parametrize("strings", [False, True], ids=["objects", "strings"])
async def test_a_stream_from_another_address_than_openais_reports_its_usage(
    stage: Stage, ask: ways.Ask, strings: bool
) -> None:
    tiers = stage.strings() if strings else [stage.small(), stage.big()]
    answer = await ask(stage.router("big", tiers=tiers), "What is blue?")
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 110
    (attempt,) = [each for each in record_of(answer)["attempts"] if each["role"] == "final"]
    assert attempt["usage"]["source"] == "reported"


def test_a_batch_counts_every_call(stage: Stage) -> None:
    with get_usage_metadata_callback() as counted:
        answers = stage.router().batch([f"Prompt {number}" for number in range(40)], {"max_concurrency": 8})
    assert totals(counted) == {SMALL: 1000}
    assert len(answers) == 40


async def test_an_asynchronous_batch_counts_every_call(stage: Stage) -> None:
    with get_usage_metadata_callback() as counted:
        await stage.escalating().abatch([f"Prompt {number}" for number in range(20)], {"max_concurrency": 8})
    assert totals(counted) == {SMALL: 500, BIG: 2200}


def test_batch_as_completed_counts_every_call(stage: Stage) -> None:
    with get_usage_metadata_callback() as counted:
        answers = dict(stage.router().batch_as_completed([f"Prompt {number}" for number in range(10)]))
    assert sorted(answers) == list(range(10))
    assert totals(counted) == {SMALL: 250}


def test_an_answer_without_usage_is_estimated_in_the_record_and_marked(stage: Stage) -> None:
    stage.server.script(BIG, Reply("The answer, from a server that counts nothing.", usage=False))
    answer = stage.router("big").invoke("What is blue?")
    (attempt,) = [each for each in record_of(answer)["attempts"] if each["role"] == "final"]
    assert attempt["usage"]["source"] == "estimated"
    assert attempt["usage"]["output_tokens"] > 0
    assert "unmetered:big" in record_of(answer)["events"]
