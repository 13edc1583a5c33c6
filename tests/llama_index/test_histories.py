"""Histories are made fit for a provider whatever tiers wrote them, and say how a call is to be judged."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock

from llama_index_slmroute.answers import answer_of, usage_of
from llama_index_slmroute.arguments import for_ollama, for_others, schema_of
from llama_index_slmroute.messages import CallOptions, for_tier, request_of
from slmroute.context import RouteContext

NAMES = st.sampled_from(["add", "subtract", "look_up"])
ARGUMENTS = st.one_of(
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3).map(json.dumps),
    st.text(max_size=8),
)


@st.composite
def rounds(draw: st.DrawFn) -> list[ChatMessage]:
    """A round of a tool loop, as some provider's tier and an agent wrote it."""
    names = draw(st.lists(NAMES, min_size=1, max_size=4))
    has_ids = draw(st.booleans())
    ids = [f"id_{draw(st.uuids())}" if has_ids else None for _ in names]
    blocks: list[Any] = [TextBlock(text=draw(st.text(max_size=10)))]
    blocks += [
        ToolCallBlock(tool_name=name, tool_kwargs=draw(ARGUMENTS), tool_call_id=call_id)
        for name, call_id in zip(names, ids, strict=True)
    ]
    extra = draw(st.sampled_from([{}, {"slmroute": {"tier": "small"}}, {"tool_calls": [object()]}]))
    results = [
        ChatMessage(role="tool", content="1", additional_kwargs={"tool_call_id": call_id or name})
        for name, call_id in zip(names, ids, strict=True)
    ]
    return [ChatMessage(role="assistant", blocks=blocks, additional_kwargs=dict(extra)), *results]


HISTORIES = st.lists(rounds(), max_size=3).map(lambda parts: [message for part in parts for message in part])


def calls_in(message: ChatMessage) -> list[ToolCallBlock]:
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


@given(HISTORIES)
def test_results_refer_to_their_calls_by_unique_ids(history: list[ChatMessage]) -> None:
    prepared = for_tier(history, tool_ids=True)
    ids = [call.tool_call_id for message in prepared for call in calls_in(message)]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert ids == [m.additional_kwargs["tool_call_id"] for m in prepared if m.role == MessageRole.TOOL]


@given(HISTORIES)
def test_ollama_gets_arguments_as_objects(history: list[ChatMessage]) -> None:
    prepared = for_tier(history, tool_ids=False)
    assert all(isinstance(call.tool_kwargs, dict) for message in prepared for call in calls_in(message))
    assert [call.tool_name for m in prepared for call in calls_in(m)] == [
        call.tool_name for m in history for call in calls_in(m)
    ]


@given(HISTORIES, st.booleans())
def test_nothing_of_ours_is_sent_and_nothing_is_changed(history: list[ChatMessage], tool_ids: bool) -> None:
    before = [(list(message.blocks), dict(message.additional_kwargs)) for message in history]
    prepared = for_tier(history, tool_ids=tool_ids, draft="a draft")
    assert all("slmroute" not in message.additional_kwargs for message in prepared)
    assert [(list(message.blocks), dict(message.additional_kwargs)) for message in history] == before


def request(messages: list[ChatMessage], **options: Any) -> Any:
    return request_of(messages, CallOptions(**options), context=RouteContext(), engine=1)


def test_a_call_is_judged_by_the_users_last_turn() -> None:
    long = "A turn that is long enough to stand by itself, for it says all there is to say of what is wanted here."
    messages = [
        ChatMessage(role="system", content="Prove everything."),
        ChatMessage(content="Something else."),
        ChatMessage(role="assistant", content="Yes."),
        ChatMessage(content=long),
    ]
    assert request(messages).text == long
    assert request(messages).turns == 2
    assert request(messages, question="Why?").text == "Why?"
    assert request([]).text == ""


@given(st.text(), st.text())
def test_any_messages_make_a_request(one: str, other: str) -> None:
    made = request([ChatMessage(content=one), ChatMessage(role="assistant", content=other), ChatMessage(content=other)])
    assert made.tokens > 0


def test_usage_is_read_in_every_providers_shape() -> None:
    from llama_index.core.llms import ChatResponse

    def tokens(raw: Any, **extra: Any) -> Any:
        usage = usage_of([ChatResponse(message=ChatMessage(), raw=raw, additional_kwargs=extra)])
        return usage and (usage.input_tokens, usage.output_tokens, usage.cached_tokens)

    assert tokens({"prompt_eval_count": 7, "eval_count": 2}) == (7, 2, 0)
    assert tokens({"usage": {"prompt_tokens": 7, "completion_tokens": 2}}) == (7, 2, 0)
    cached = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 5}}
    assert tokens({"usage": cached}) == (7, 2, 5)
    anthropic = {"input_tokens": 7, "output_tokens": 2, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 1}
    assert tokens({"usage": anthropic}) == (13, 2, 5)
    assert tokens({"usage_metadata": {"prompt_token_count": 7, "candidates_token_count": 2}}) == (7, 2, 0)
    assert tokens(None, prompt_tokens=7, completion_tokens=2) == (7, 2, 0)
    assert tokens({"usage": None}) is None
    assert tokens({"eval_count": "many"}) is None


def test_usage_that_a_stream_reports_again_and_again_counts_once() -> None:
    from llama_index.core.llms import ChatResponse

    chunks = [
        ChatResponse(message=ChatMessage(), raw={"usage": {"prompt_tokens": 7, "completion_tokens": count}})
        for count in (1, 2, 3)
    ]
    usage = answer_of(chunks, "vllm").usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (7, 3)


def test_a_calls_arguments_are_said_in_each_tiers_terms() -> None:
    rest, options = for_ollama({"max_tokens": 9, "think": True, "options": {"mirostat": 1}, "top_p": None})
    assert (rest, options) == ({"think": True}, {"num_predict": 9, "mirostat": 1})
    assert for_others({"think": True, "keep_alive": "1h", "temperature": 0.1}) == {"temperature": 0.1}
    assert for_others({"format": "json"}) == {"response_format": {"type": "json_object"}}
    assert schema_of({"response_format": {"type": "json_object"}}) == {"type": "object"}
    assert schema_of({"response_format": {"type": "text"}}) is None
    assert schema_of({"format": "json"}) == {"type": "object"}
