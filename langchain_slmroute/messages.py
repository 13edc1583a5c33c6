"""LangChain's messages, as the core reads them, and as the caller is shown them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    HumanMessage,
    ToolMessage,
)

from langchain_slmroute.schemas import response_schema
from langchain_slmroute.tools import forced_tool, tool_spec
from langchain_slmroute.usage import usage_of
from slmroute.context import RouteContext
from slmroute.gate import Chunk
from slmroute.request import RouteRequest, estimate_tokens, judged_text
from slmroute.steps import CONTENT_FILTER, Answer, ToolCall
from slmroute.token_probabilities import TokenProbability, deciding, logprobs_of, margins_of, read_tokens

__all__ = [
    "MEDIA",
    "RECORD_KEY",
    "answer_of",
    "last_chunk",
    "request_of",
    "with_record",
    "without_logprobs",
]

MessageT = TypeVar("MessageT", bound=AIMessage)

RECORD_KEY: Final = "slmroute"
"""Where a message's ``response_metadata`` carries its record."""

MEDIA: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "file": "file",
    "document": "file",
    "input_file": "file",
}
"""Kinds of content in LangChain's words and in the providers' own; Google's ``media`` tells its kind by itself."""
_WITHHELD: Final = frozenset(
    {"BLOCKLIST", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "RECITATION", "SAFETY", "SPII", "refusal"}
)
"""How Google and Anthropic say that a content filter withheld the answer."""

_NOTHING: Final[frozenset[str]] = frozenset()
TOKENS_PER_IMAGE: Final = 800
"""A middling estimate: providers charge from 85 to some 1,600 tokens for an image."""


def request_of(
    messages: Sequence[BaseMessage],
    kwargs: Mapping[str, Any],
    *,
    context: RouteContext,
    engine: int,
    tier: str | None,
    local_only: bool,
    schema: Mapping[str, object] | None = None,
) -> RouteRequest:
    """Tell the core of a call.

    Args:
        messages: The conversation.
        kwargs: The call's arguments, with the tools and the response format that were bound.
        context: What ``route_context`` set.
        engine: The number of the router's engine, under which a scope remembers its decision.
        tier: The tier that the caller asked for, or None.
        local_only: Whether the call must not leave the local tiers.
        schema: The JSON schema of a structured answer, where one is asked for.
    """
    turns: list[str] = []
    tokens = 0
    plain = True
    for message in messages:
        content = message.content
        text = content if isinstance(content, str) else message.text
        plain = plain and text is content
        tokens += 4 + estimate_tokens(text)
        if isinstance(message, HumanMessage):
            turns.append(text)
    modalities = _NOTHING if plain else _modalities(messages)
    tokens += TOKENS_PER_IMAGE * ("image" in modalities)
    bound = kwargs.get("tools")
    tools = tuple(tool_spec(tool) for tool in bound) if bound else ()
    for spec in tools:
        tokens += estimate_tokens(json.dumps(spec.parameters, default=str)) + 10
    return RouteRequest(
        text=judged_text(turns),
        turns=len(turns),
        tools=tools,
        forced_tool=bool(tools) and forced_tool(kwargs.get("tool_choice"), tools),
        schema=response_schema(kwargs) if schema is None else schema,
        modalities=modalities,
        tokens=tokens,
        tier=tier,
        pin=_pinned_tier(messages),
        scope_tier=context.decided.get(engine),
        local_only=local_only,
        key=context.key,
        tags=context.tags,
    )


def _modalities(messages: Sequence[BaseMessage]) -> frozenset[str]:
    found: set[str] = set()
    for message in messages:
        if isinstance(message.content, str):
            continue
        for block in message.content:
            if isinstance(block, dict) and (medium := _medium(block)) is not None:
                found.add(medium)
    return frozenset(found)


def _medium(block: Mapping[str, Any]) -> str | None:
    if block.get("type") != "media":
        return MEDIA.get(block.get("type", ""))
    medium = str(block.get("mime_type")).partition("/")[0]
    return medium if medium in ("audio", "image", "video") else "file"


def _pinned_tier(messages: Sequence[BaseMessage]) -> str | None:
    """The tier that asked for the tools whose results now end the conversation, as its message says itself."""
    if not messages or not isinstance(messages[-1], ToolMessage):
        return None
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            record = message.response_metadata.get(RECORD_KEY)
            return cast("Mapping[str, Any]", record).get("tier") if isinstance(record, Mapping) else None
    return None


def answer_of(message: BaseMessage, provider: str | None) -> Answer:
    """Read a tier's message as a neutral answer.

    Args:
        message: What the tier answered; kept as the answer's ``native``.
        provider: Who serves the tier; None where only the message says.
    """
    message = _of_an_ai(message)
    metadata = message.response_metadata
    calls: list[ToolCall] = []
    if message.tool_calls or message.invalid_tool_calls:
        calls = [ToolCall(call["name"], dict(call["args"])) for call in message.tool_calls]
        calls += [ToolCall(call["name"] or "", None) for call in message.invalid_tool_calls]
    tokens = deciding(_tokens(message), calls)
    return Answer(
        text=message.content if isinstance(message.content, str) else message.text,
        tool_calls=tuple(calls),
        usage=usage_of(message),
        logprobs=logprobs_of(tokens) or None,
        margins=margins_of(tokens) or None,
        finish=_finish(metadata),
        model=metadata.get("model_name") or metadata.get("model"),
        provider=provider or metadata.get("model_provider"),
        native=message,
    )


def _finish(metadata: Mapping[str, Any]) -> str | None:
    finish = metadata.get("finish_reason") or metadata.get("done_reason") or metadata.get("stop_reason")
    feedback: Mapping[str, Any] | None = metadata.get("prompt_feedback")
    if finish in _WITHHELD or (feedback and feedback.get("block_reason")):
        return CONTENT_FILTER
    return None if finish is None else str(finish)


def _of_an_ai(message: BaseMessage) -> AIMessage:
    """Give an answer as an AI's message, where a class of models calls it another's (``ChatMessage``)."""
    if isinstance(message, AIMessage):
        return message
    kind = AIMessageChunk if isinstance(message, BaseMessageChunk) else AIMessage
    fields = ("content", "additional_kwargs", "response_metadata", "name", "id")
    return kind(**{field: getattr(message, field) for field in fields})


def chunk_of(message: BaseMessage) -> Chunk:
    """Tell the gate of a chunk."""
    message = _of_an_ai(message)
    calls = bool(message.tool_calls or (isinstance(message, AIMessageChunk) and message.tool_call_chunks))
    tokens = _tokens(message)
    return Chunk(
        message,
        message.text,
        logprobs_of(tokens),
        tool_call=calls,
        unseen=_unseen(message),
        usage=usage_of(message),
        finished=has_ended(message),
        margins=margins_of(tokens),
    )


def has_ended(message: AIMessage) -> bool:
    """Whether a message, or a chunk, says that the answer has ended."""
    metadata = message.response_metadata
    # OpenAI's Responses have a status, which their first chunks have, too.
    return _finish(metadata) is not None or metadata.get("status") in ("completed", "incomplete")


def _unseen(message: AIMessage) -> str:
    """Give what a chunk holds beside its text: a tool call's arguments, and thoughts."""
    calls = message.tool_call_chunks if isinstance(message, AIMessageChunk) else ()
    parts = [part for call in calls for part in (call["name"], call["args"])]
    parts.append(message.additional_kwargs.get("reasoning_content"))
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict):
            parts += [block.get("thinking"), block.get("reasoning")]
    return "".join(part for part in parts if isinstance(part, str))


def _tokens(message: AIMessage) -> tuple[TokenProbability, ...]:
    """Read the tokens of a message, or of a chunk, in the shapes that providers give them."""
    found: Any = message.response_metadata.get("logprobs")
    if found is None:
        return ()
    return read_tokens(cast("Mapping[str, Any]", found).get("content") if isinstance(found, Mapping) else found)


def without_logprobs(message: MessageT) -> MessageT:
    """Copy a message without the log-probabilities of its tokens."""
    metadata = message.response_metadata
    if "logprobs" not in metadata:
        return message
    rest = {key: value for key, value in metadata.items() if key != "logprobs"}
    return message.model_copy(update={"response_metadata": rest})


def with_record(message: MessageT, record: dict[str, object]) -> MessageT:
    """Copy a message with the record of its call; the message itself may be shared with a cache."""
    copied = copy.copy(message)
    copied.response_metadata = {**message.response_metadata, RECORD_KEY: record}
    return copied


def last_chunk(record: dict[str, object], message_id: str | None) -> AIMessageChunk:
    """Make an empty last chunk that carries the record."""
    return AIMessageChunk(content="", id=message_id, response_metadata={RECORD_KEY: record}, chunk_position="last")
