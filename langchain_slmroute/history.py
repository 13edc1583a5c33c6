"""The conversation as each tier is shown it: fit for another provider's model, and with the draft of a weaker tier."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from langchain_slmroute.messages import MEDIA, RECORD_KEY
from slmroute.draft import with_draft

__all__ = ["for_tier"]

_PORTABLE_BLOCKS: Final = frozenset({"text", "image", "audio", "video", "file", "text-plain"})
_TAKEN: Final = _PORTABLE_BLOCKS | MEDIA.keys()
_PORTABLE_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_AUTHORS: Final = {"azure": "openai"}
"""What messages say of their provider, where they say otherwise."""
_WRITE_TEXT: Final = ("huggingface", "ollama")
"""Providers whose classes write plain text: blocks of thoughts and the like are another's, whatever a message says."""


def for_tier(messages: Sequence[BaseMessage], draft: str | None, provider: str | None) -> list[BaseMessage]:
    """Make the conversation fit to be sent to a tier.

    What another provider put into its answers for itself (reasoning, signatures, built-in tools' traces) would be
    refused or misread there: of such answers only the text, the media and the tool calls are passed on.

    Args:
        messages: The conversation; it is not changed.
        draft: The draft of a weaker tier, shown as context, or None.
        provider: Who serves the tier.
    """
    prepared = list(messages)
    if any(isinstance(message, AIMessage) for message in messages):
        fitter = _Fitter(provider)
        prepared = [fitter.fit(message) for message in messages]
    if draft is None:
        return prepared
    for position in range(len(prepared) - 1, -1, -1):
        message = prepared[position]
        if isinstance(message, HumanMessage):
            prepared[position] = message.model_copy(update={"content": _content_with_draft(message, draft)})
            break
    return prepared


class _Fitter:
    """Makes the messages of a conversation fit for a provider, one after the other.

    Args:
        provider: Who serves the tier.
    """

    def __init__(self, provider: str | None) -> None:
        self._provider = provider
        # Calls without an id, whose results must be told from one another by their order: (name, id given here).
        self._nameless: list[tuple[str, str]] = []

    def fit(self, message: BaseMessage) -> BaseMessage:
        """Give a message as the provider takes it."""
        if isinstance(message, ToolMessage):
            given = message.tool_call_id
            call_id = _call_id(given) if given else self._result_id(message.name)
            return message if call_id == given else message.model_copy(update={"tool_call_id": call_id})
        return self._fit_answer(message) if isinstance(message, AIMessage) else message

    def _fit_answer(self, message: AIMessage) -> AIMessage:
        foreign = self._is_foreign(message)
        calls = [
            {**call, "id": _call_id(call["id"]) if call["id"] else self._new_id(call)} for call in message.tool_calls
        ]
        changes: dict[str, Any] = {"tool_calls": calls} if calls != message.tool_calls else {}
        if foreign:
            # What its metadata say of the content's form is no longer true of it.
            changes |= {"content": _portable(message), "additional_kwargs": {}, "response_metadata": {}}
        elif RECORD_KEY in message.response_metadata:
            rest = {key: value for key, value in message.response_metadata.items() if key != RECORD_KEY}
            changes["response_metadata"] = rest
        return message.model_copy(update=changes) if changes else message

    def _is_foreign(self, message: AIMessage) -> bool:
        author, provider = message.response_metadata.get("model_provider"), self._provider or ""
        if author is not None:
            return author != _AUTHORS.get(provider, self._provider)
        return provider.startswith(_WRITE_TEXT) and any(
            isinstance(block, dict) and block.get("type") not in _TAKEN for block in message.content
        )

    def _new_id(self, call: ToolCall) -> str:
        told = f"{len(self._nameless)} {call['name']} {call['args']}"
        self._nameless.append((call["name"], _call_id(f"{told} has no id")))
        return self._nameless[-1][1]

    def _result_id(self, name: str | None) -> str:
        for position, (called, call_id) in enumerate(self._nameless):
            if name in (None, "", called):
                del self._nameless[position]
                return call_id
        return _call_id("no call")


def _call_id(given: str) -> str:
    """Give an id that every provider takes; the same one for a call and its result."""
    if _PORTABLE_ID.fullmatch(given):
        return given
    return f"call_{hashlib.sha256(given.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


def _portable(message: AIMessage) -> str | list[Any]:
    if isinstance(message.content, str):
        return message.content
    kept = [block for block in message.content_blocks if block["type"] in _PORTABLE_BLOCKS]
    if all(block["type"] == "text" for block in kept):
        return message.text
    return cast("list[Any]", kept)


def _content_with_draft(message: BaseMessage, draft: str) -> str | list[Any]:
    if isinstance(message.content, str):
        return with_draft(message.content, draft)
    return [*message.content, {"type": "text", "text": with_draft("", draft)}]
