"""LlamaIndex's messages, as the core reads them, and as each tier is shown them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
    VideoBlock,
)

from llama_index_slmroute.asked import without_state
from llama_index_slmroute.carried import RECORD_KEY, CarriedRecord, routed, without_records
from llama_index_slmroute.loops import is_observation, users_turns
from llama_index_slmroute.questions import Question
from slmroute.context import RouteContext
from slmroute.draft import with_draft
from slmroute.item import item
from slmroute.request import RouteRequest, ToolSpec, estimate_tokens, judged_text

__all__ = [
    "CallOptions",
    "asking",
    "extras",
    "for_tier",
    "is_plain",
    "question_in",
    "request_of",
    "tool_calls_of",
    "with_record",
]

ResponseT = TypeVar("ResponseT", bound="ChatResponse | CompletionResponse")

QUESTION_KEY: Final = "slmroute_question"
"""Where the last of the messages made of a prompt carries the question that the prompt is about."""

TOKENS_PER_IMAGE: Final = 800
"""A middling estimate: providers charge from 85 to some 1,600 tokens for an image."""

_MEDIA: Final[Mapping[type, str]] = {
    ImageBlock: "image",
    AudioBlock: "audio",
    VideoBlock: "video",
    DocumentBlock: "file",
}
_TOOL_ROLES: Final = (MessageRole.TOOL, MessageRole.FUNCTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What a caller asked of one call beside its messages.

    Attributes:
        tier: The tier to answer, or None.
        local_only: Whether the call must not leave the local tiers.
        tools: The tools the answer may call.
        forced_tool: Whether it must call one; its name, where it is named.
        schema: The JSON schema it must follow, or None.
        question: The question that the messages were made to answer, where the caller's prompt tells it apart.
        grounded: Whether it is asked of material, which the messages hold or an engine has yet to retrieve.
        loop_tier: The tier that gave the last step of a loop which the messages go on with, or None.
    """

    tier: str | None = None
    local_only: bool = False
    tools: tuple[ToolSpec, ...] = ()
    forced_tool: bool | str = False
    schema: Mapping[str, object] | None = field(default=None, repr=False)
    question: str | None = field(default=None, repr=False)
    grounded: bool = False
    loop_tier: str | None = None


def request_of(
    messages: Sequence[ChatMessage], options: CallOptions, *, context: RouteContext, engine: int
) -> RouteRequest:
    """Tell the core of a call.

    Args:
        messages: The conversation.
        options: What was asked beside it.
        context: What holds around the call.
        engine: The number of the router's engine, under which a scope remembers its decision.
    """
    turns = [without_state(messages[position].content or "") for position in users_turns(messages)]
    modalities = frozenset(_MEDIA[type(b)] for message in messages for b in message.blocks if type(b) in _MEDIA)
    tokens = sum(4 + estimate_tokens(message.content or "") for message in messages)
    tokens += TOKENS_PER_IMAGE * ("image" in modalities)
    tokens += sum(estimate_tokens(json.dumps(tool.parameters, default=str)) + 10 for tool in options.tools)
    return RouteRequest(
        text=_judged(turns, options.question),
        grounded=options.grounded,
        turns=len(turns),
        tools=options.tools,
        forced_tool=options.forced_tool,
        schema=options.schema,
        modalities=modalities,
        tokens=tokens,
        tier=options.tier,
        pin=_pinned_tier(messages) or options.loop_tier,
        scope_tier=context.decided.get(engine),
        local_only=options.local_only,
        key=context.key,
        tags=context.tags,
    )


def _judged(turns: Sequence[str], question: str | None) -> str:
    """Give the text to judge: of messages made of a prompt it is the question, of others the user's last turn."""
    if question is None:
        return judged_text(turns)
    before = question.before if isinstance(question, Question) else None
    return question if before is None else judged_text([without_state(before), question])


def asking(messages: list[ChatMessage], question: str | None) -> list[ChatMessage]:
    """Note in messages made of a prompt what question the prompt is about; they may go a long way to the router."""
    if question is None or not messages:
        return messages
    last = messages[-1]
    last = last.model_copy(update={"additional_kwargs": {**last.additional_kwargs, QUESTION_KEY: question}})
    return [*messages[:-1], last]


def question_in(messages: Sequence[ChatMessage]) -> str | None:
    """Give the question noted by ``asking``, or None."""
    noted = messages[-1].additional_kwargs.get(QUESTION_KEY) if messages else None
    return noted if isinstance(noted, str) else None


def _pinned_tier(messages: Sequence[ChatMessage]) -> str | None:
    """The tier that gave the step whose results now end the conversation, as its message says itself."""
    if not messages or not (messages[-1].role in _TOOL_ROLES or is_observation(messages, len(messages) - 1)):
        return None
    for message in reversed(messages):
        if message.role == MessageRole.ASSISTANT:
            record = message.additional_kwargs.get(RECORD_KEY)
            return cast("Mapping[str, Any]", record).get("tier") if isinstance(record, Mapping) else None
    return None


def for_tier(messages: Sequence[ChatMessage], *, tool_ids: bool, draft: str | None = None) -> list[ChatMessage]:
    """Make a conversation fit to be sent to a tier, whichever tiers wrote its earlier answers.

    Args:
        messages: The conversation; it and its messages stay as they are.
        tool_ids: Whether the tier's provider tells tool calls apart by ids, as all but Ollama do.
        draft: A weaker tier's answer to show as context.

    Returns:
        Messages without our records. Tool calls stand in blocks alone, with arguments as objects where the provider
        has no ids (Ollama), and otherwise with unique ids that their results refer to.
    """
    prepared = list(messages)
    pending: list[tuple[str, str]] = []
    for position, message in enumerate(prepared):
        if not message.additional_kwargs and not any(_needs_care(block) for block in message.blocks):
            continue
        extra = {k: v for k, v in message.additional_kwargs.items() if k not in (RECORD_KEY, QUESTION_KEY)}
        blocks = [_without_records(block) if _holds_records(block) else block for block in message.blocks]
        if message.role in _TOOL_ROLES:
            extra = _answered(extra, pending) if tool_ids else extra
        else:
            calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
            if not calls and not tool_ids:
                calls = _calls_beside(extra)
                blocks += calls
            if calls:
                extra.pop("tool_calls", None)
                pending = []
                blocks = [_told(block, position, pending, tool_ids=tool_ids) for block in blocks]
        prepared[position] = message.model_copy(update={"additional_kwargs": extra, "blocks": blocks})
    return prepared if draft is None else _with_draft(prepared, draft)


def is_plain(message: ChatMessage) -> bool:
    """Whether a message can be handed to any tier as it is, being a text and nothing besides."""
    return not message.additional_kwargs and len(message.blocks) == 1 and not _holds_records(message.blocks[0])


def _needs_care(block: Any) -> bool:
    return isinstance(block, ToolCallBlock) or _holds_records(block)


def _holds_records(block: Any) -> bool:
    return isinstance(block, TextBlock) and without_records(block.text) is not block.text


def _without_records(block: Any) -> Any:
    return block.model_copy(update={"text": without_records(block.text)})


def _told(block: Any, position: int, pending: list[tuple[str, str]], *, tool_ids: bool) -> Any:
    """Write one block as the tier's provider takes it, and note the id of a tool call."""
    if not isinstance(block, ToolCallBlock):
        return block
    if not tool_ids:
        return block.model_copy(update={"tool_kwargs": _arguments(block.tool_kwargs) or {}})
    call_id = block.tool_call_id or f"call_{position}_{len(pending)}"
    pending.append((block.tool_name, call_id))
    return block if block.tool_call_id else block.model_copy(update={"tool_call_id": call_id})


def _answered(extra: dict[str, Any], pending: list[tuple[str, str]]) -> dict[str, Any]:
    """Have a tool's result refer to its call by the call's id. Where there are no ids, agents go by tools' names."""
    given = extra.get("tool_call_id")
    found = next((call for call in pending if call[1] == given), None)
    found = found or next((call for call in pending if call[0] == given), None)
    found = found or (pending[0] if pending and not given else None)
    if found is None:
        return extra
    pending.remove(found)
    return {**extra, "tool_call_id": found[1]}


def _calls_beside(extra: Mapping[str, Any]) -> list[ToolCallBlock]:
    """The tool calls that older histories keep beside the blocks, in OpenAI's form."""
    blocks: list[ToolCallBlock] = []
    for call in cast("Sequence[Any]", extra.get("tool_calls") or ()):
        function = item(call, "function")
        name = item(function, "name")
        if isinstance(name, str):
            blocks.append(ToolCallBlock(tool_name=name, tool_kwargs=_arguments(item(function, "arguments")) or {}))
    return blocks


def _arguments(given: Any) -> dict[str, Any] | None:
    """The arguments of a tool call, or None where the model wrote no valid JSON object."""
    if isinstance(given, str):
        try:
            given = json.loads(given or "{}")
        except ValueError:
            return None
    return dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else None


def tool_calls_of(message: ChatMessage) -> list[tuple[str, dict[str, Any] | None]]:
    """Give the tool calls of a message as pairs of name and arguments; None for arguments that are no JSON object."""
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    return [(call.tool_name, _arguments(call.tool_kwargs)) for call in calls]


def _with_draft(messages: list[ChatMessage], draft: str) -> list[ChatMessage]:
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if message.role == MessageRole.USER:
            only_text = all(isinstance(block, TextBlock) for block in message.blocks)
            kept = [] if only_text else list(message.blocks)
            text = with_draft(message.content or "" if only_text else "", draft)
            messages[position] = message.model_copy(update={"blocks": [*kept, TextBlock(text=text)]})
            break
    return messages


def extras(response: ChatResponse | CompletionResponse) -> dict[str, Any]:
    """Give a response's ``additional_kwargs``, which LlamaIndex does not type."""
    return cast("dict[str, Any]", response.additional_kwargs)  # pyright: ignore[reportUnknownMemberType]


def with_record(response: ResponseT, record: Mapping[str, object]) -> ResponseT:
    """Copy a response with the record of its call; the response itself may be shared with event handlers."""
    if isinstance(response, CompletionResponse):
        extra = {**extras(response), RECORD_KEY: CarriedRecord(record)}
        return response.model_copy(update={"additional_kwargs": extra})
    return response.model_copy(update={"message": routed(response.message, record)})
