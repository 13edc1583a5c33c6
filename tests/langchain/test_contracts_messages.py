"""Conversations as each tier is shown them: media, other providers' content, odd ids, drafts; and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langgraph.graph import MessagesState, StateGraph

from slmroute import Tier
from slmroute.errors import NoEligibleTier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.stage import BIG, SMALL, Stage, joined, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def image_of(kind: str) -> dict[str, Any]:
    return {
        "standard": {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        "openai": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    }[kind]


@pytest.mark.parametrize("kind", ["standard", "openai"])
@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_an_image_reaches_each_tier_in_its_own_form(stage: Stage, kind: str, ask: ways.Ask) -> None:
    messages = [HumanMessage([{"type": "text", "text": "What is this?"}, image_of(kind)])]
    await ask(stage.router("small"), messages)
    await ask(stage.router("big"), messages)
    small, big = stage.server.calls()
    assert small.body["messages"][0]["images"] == [PIXEL]  # type: ignore[index]
    (part,) = [part for part in big.body["messages"][0]["content"] if part["type"] == "image_url"]  # type: ignore[index]
    assert part["image_url"]["url"].endswith(PIXEL)


async def test_a_tier_that_sees_nothing_is_passed_over(stage: Stage) -> None:
    blind = Tier("small", stage.bare_small(), local=True, abilities=["tools", "schema"])
    messages = [HumanMessage([{"type": "text", "text": "What is this?"}, image_of("standard")])]
    answer = await stage.router("small", tiers=[blind, stage.big()]).ainvoke(messages)
    assert record_of(answer)["tier"] == "big"
    model = stage.router("small", tiers=[blind, Tier("big", stage.bare_big(), abilities=["tools"])])
    with pytest.raises(NoEligibleTier, match="small: no images"):
        await model.ainvoke(messages)


MEDIA = {
    "audio": {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"},
    "files": {"type": "file", "base64": "JVBERi0xLjQ=", "mime_type": "application/pdf", "filename": "x.pdf"},
}
OWN = {
    "Anthropic's document": ("files", {"type": "document", "source": {"type": "text", "data": "x"}}),
    "OpenAI's file": ("files", {"type": "input_file", "file_id": "file_1"}),
    "Google's file": ("files", {"type": "media", "mime_type": "application/pdf", "data": "JVBERi0xLjQ="}),
    "Google's sound": ("audio", {"type": "media", "mime_type": "audio/wav", "data": "UklGRg=="}),
}
"""The providers' own forms."""


@pytest.mark.parametrize(
    ("media", "block"), [*MEDIA.items(), *OWN.values()], ids=[*(f"LangChain's {kind}" for kind in MEDIA), *OWN]
)
async def test_what_ollama_takes_of_no_model_goes_to_another_tier(
    stage: Stage, media: str, block: dict[str, Any]
) -> None:
    messages = [HumanMessage([{"type": "text", "text": "What is this?"}, block])]
    assert record_of(await stage.router("small").ainvoke(messages))["tier"] == "big"
    with pytest.raises(NoEligibleTier, match=f"small: no {media}"):
        await stage.router("small").ainvoke(messages, local_only=True)


async def test_a_draft_goes_along_beside_an_image(stage: Stage) -> None:
    messages = [HumanMessage([{"type": "text", "text": "What is this?"}, image_of("standard")])]
    await stage.escalating().ainvoke(messages)
    content = stage.server.calls(BIG)[0].body["messages"][0]["content"]  # type: ignore[index]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]
    assert "A small draft it is." in content[-1]["text"]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_a_draft_goes_along_as_context_and_the_messages_stay_as_they_were(stage: Stage, ask: ways.Ask) -> None:
    await ask(stage.escalating(), "What is blue?")
    (message,) = stage.server.calls(BIG)[0].body["messages"]  # type: ignore[misc]
    assert message["content"].startswith("What is blue?")
    assert "A small draft it is." in message["content"]
    history: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("What is blue?")]
    before = [message.model_copy(deep=True) for message in history]
    await stage.escalating().ainvoke(history)
    assert history == before
    assert len(stage.server.calls(BIG)[-1].body["messages"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        "What is blue?",
        [("system", "Be brief."), ("human", "What is blue?")],
        [{"role": "user", "content": "What is blue?"}],
        [HumanMessage("What is blue?")],
        ChatPromptTemplate.from_template("What is blue?").invoke({}),
    ],
    ids=["text", "pairs", "dictionaries", "messages", "prompt"],
)
async def test_every_form_of_input_is_taken(stage: Stage, given: Any) -> None:
    assert stage.router("small").invoke(given).text == "A small draft it is."
    assert (await stage.router("small").ainvoke(given)).text == "A small draft it is."
    assert stage.server.calls()[-1].body["messages"][-1]["content"] == "What is blue?"  # type: ignore[index]


FOREIGN = [
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Let me think."}]},
    {"type": "text", "text": "I add.", "annotations": []},
    {"type": "function_call", "name": "add", "arguments": '{"a": 1, "b": 2}', "call_id": "call_1", "id": "fc_1"},
]
THOUGHTS = [
    {"type": "thinking", "thinking": "Let me think.", "signature": "c2lnbmVk"},
    {"type": "text", "text": "I add."},
    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1, "b": 2}},
]


def loop(content: Any, provider: str | None, call_id: str = "call_1") -> list[BaseMessage]:
    """A conversation that ends with a tool's result."""
    calls = [{"name": "add", "args": {"a": 1, "b": 2}, "id": call_id, "type": "tool_call"}]
    metadata = {"model_provider": provider} if provider else {}
    return [
        HumanMessage("What is 1+2?"),
        AIMessage(content, tool_calls=calls, response_metadata=metadata),
        ToolMessage("3", tool_call_id=call_id),
    ]


@pytest.mark.parametrize(("content", "provider"), [(FOREIGN, "openai"), (THOUGHTS, "anthropic"), (THOUGHTS, None)])
@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_another_providers_reasoning_does_not_reach_a_tier(
    stage: Stage, content: Any, provider: str | None, ask: ways.Ask
) -> None:
    history = loop(content, provider)
    before = [message.model_copy(deep=True) for message in history]
    await ask(stage.router("small").bind_tools([add]), history)
    sent = stage.server.calls()[-1].body["messages"]
    assert sent[1]["content"] == "I add."  # type: ignore[index]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 1, "b": 2}}  # type: ignore[index]
    assert "think" not in str(sent)
    assert history == before


async def test_anthropics_thoughts_do_not_reach_openai(stage: Stage) -> None:
    await stage.router("big").bind_tools([add]).ainvoke(loop(THOUGHTS, "anthropic"))
    sent = stage.server.calls()[-1].body["messages"]
    assert "think" not in str(sent)
    assert sent[1]["content"] == "I add."  # type: ignore[index]
    assert sent[1]["tool_calls"][0]["function"]["name"] == "add"  # type: ignore[index]


@pytest.mark.parametrize("call_id", ["", "a b c", "functions.add:0", "x" * 100, "日本", "call_ok"])
async def test_odd_ids_of_tool_calls_are_made_fit_and_stay_paired(stage: Stage, call_id: str) -> None:
    await stage.router("big").bind_tools([add]).ainvoke(loop("", "ollama", call_id))
    sent: Any = stage.server.calls()[-1].body["messages"]
    written = sent[1]["tool_calls"][0]["id"]
    assert written == sent[2]["tool_call_id"]
    assert 0 < len(written) <= 40
    assert (written == call_id) is (call_id == "call_ok")


async def test_two_calls_with_odd_ids_stay_apart(stage: Stage) -> None:
    calls = [
        {"name": "add", "args": {"a": 1, "b": 2}, "id": "call 1", "type": "tool_call"},
        {"name": "add", "args": {"a": 3, "b": 4}, "id": "call 2", "type": "tool_call"},
    ]
    history = [
        HumanMessage("1+2 and 3+4?"),
        AIMessage("", tool_calls=calls),
        ToolMessage("3", tool_call_id="call 1"),
        ToolMessage("7", tool_call_id="call 2"),
    ]
    await stage.router("big").bind_tools([add]).ainvoke(history)
    sent: Any = stage.server.calls()[-1].body["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert ids == [sent[2]["tool_call_id"], sent[3]["tool_call_id"]]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_text_in_standard_blocks_of_another_providers_model_reaches_a_tier(stage: Stage, ask: ways.Ask) -> None:
    """Whether a bare model gave it or a router, whole or joined of a graph's chunks, which carry no record."""
    graph: Any = StateGraph(MessagesState)
    strings = [
        replace(tier, model_args={**(tier.model_args or {}), "output_version": "v1"}) for tier in stage.strings()
    ]
    routed = stage.router("big", tiers=strings)
    graph.add_node("model", lambda state: {"messages": routed.invoke(state["messages"])}).set_entry_point("model")
    parts = graph.compile().stream({"messages": [("human", "Hello!")]}, stream_mode="messages")
    answers = [
        stage.bare_big(output_version="v1").invoke("Hello!"),
        stage.router("big", output_version="v1").invoke("Hello!"),
        joined([part for part, _ in parts]),
    ]
    for answer in answers:
        assert isinstance(answer.content, list)
        await ask(stage.router("small"), [HumanMessage("Hello!"), answer, HumanMessage("And?")])
        assert stage.server.calls(SMALL)[-1].body["messages"][1]["content"] == "The big answer is forty two."  # type: ignore[index]


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_the_record_is_not_sent_to_any_tier(stage: Stage, ask: ways.Ask) -> None:
    router = stage.escalating()
    answer = router.invoke("What is blue?")
    history = [HumanMessage("What is blue?"), answer, HumanMessage("And green?")]
    await ask(router, history)
    for call in stage.server.calls()[-2:]:
        assert "slmroute" not in str(call.body)
        assert "saved" not in str(call.body)
    assert "slmroute" in answer.response_metadata


@pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)
async def test_an_answer_says_which_model_gave_it_and_for_how_much(stage: Stage, ask: ways.Ask) -> None:
    answer = await ask(stage.escalating(), "What is blue?")
    assert answer.response_metadata["model_name"] == BIG
    assert answer.response_metadata["model_provider"] == "openai"
    record = record_of(answer)
    assert (record["tier"], record["model"], record["reason"]) == ("big", BIG, "cheapest")
    assert [each["model"] for each in record["attempts"]] == [SMALL, BIG]
    assert float(record["cost"]) == pytest.approx(sum(float(each["cost"]) for each in record["attempts"]))
    assert float(record["saved"]) == pytest.approx(float(record["baseline"]) - float(record["cost"]))
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 110


@pytest.mark.parametrize("ask", ways.EACH, ids=ways.name_of)
async def test_log_probabilities_that_only_the_router_asked_for_are_not_in_the_answer(
    stage: Stage, ask: ways.Ask
) -> None:
    answer = await ask(stage.cascade(), "What is blue?")
    assert record_of(answer)["confidence"] == pytest.approx(0.99, abs=0.001)
    assert "logprobs" not in answer.response_metadata
    for model in (stage.cascade(tiers=[stage.small(logprobs=True), stage.big()]), stage.cascade()):
        own = {} if "logprobs" in str(model.tiers[0].model) else {"logprobs": True}
        answer = await ask(model, "What is blue?", **own)
        assert record_of(answer)["tier"] == "small"
        assert "logprobs" in answer.response_metadata


async def test_a_multimodal_answers_blocks_are_kept(stage: Stage) -> None:
    stage.server.script(BIG, Reply("Plain."))
    answer = await stage.router("big").ainvoke("What is blue?")
    assert answer.content_blocks == [{"type": "text", "text": "Plain."}]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class CallsItAnothers(BaseChatModel):
    """A class that calls its answers by a role's name, or the user's, as some do."""

    answer: Any

    @property
    def _llm_type(self) -> str:
        return "calls-it-anothers"

    def _generate(self, *_args: Any, **_kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answer)])


class InChunks(CallsItAnothers):
    def _stream(self, *_args: Any, **_kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for part in ("Forty", " two."):
            yield ChatGenerationChunk(message=HumanMessageChunk(part))


@pytest.mark.parametrize("kind", [CallsItAnothers, InChunks])
@pytest.mark.parametrize("ask", ways.EVERY, ids=ways.name_of)
async def test_an_answer_that_its_class_calls_anothers_is_the_models(
    stage: Stage, ask: ways.Ask, kind: type[CallsItAnothers]
) -> None:
    told = {"additional_kwargs": {"k": 1}, "response_metadata": {"model_name": "odd"}}
    for answer in (ChatMessage("Forty two.", role="assistant", **told), HumanMessage("Forty two.", **told)):
        odd = [Tier(name, kind(answer=answer)) for name in ("small", "big")]
        given = await ask(stage.router("small", tiers=odd), "What is blue?")
        assert isinstance(given, AIMessage)
        assert given.text == "Forty two."
        assert record_of(given)["tier"] == "small"
        assert ask in ways.STREAMS or given.additional_kwargs == told["additional_kwargs"]
