"""The record that an answer carries: whole for who asked, next to nothing where LlamaIndex stores or prints it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock

__all__ = ["RECORD_KEY", "CarriedRecord", "RoutedMessage", "routed", "without_records"]

RECORD_KEY: Final = "slmroute"
"""Where a message's ``additional_kwargs`` carry its record."""


_MARK: Final = "d41c7e"
"""Tells what is stored of a record from what users may write of one themselves."""


class CarriedRecord(dict[str, object]):
    """A record on a message: plain JSON, but short when printed.

    Memories of LlamaIndex print what messages carry, to count its tokens, and some engines into their prompts.
    """

    def __repr__(self) -> str:
        return "..."


class RoutedMessage(ChatMessage):
    """An answer that carries its record.

    Memories store messages as JSON, count what they carry as tokens of the conversation, and show it to models. So it
    is written without its record; where it calls tools the tier's name stays, which their results go back to.
    """

    def _recursive_serialization(self, value: Any) -> Any:
        extra = dict(cast("Mapping[str, Any]", value)) if isinstance(value, dict) else {}
        record = extra.pop(RECORD_KEY, None)
        if isinstance(record, CarriedRecord):
            if extra.get("tool_calls") or any(isinstance(block, ToolCallBlock) for block in self.blocks):
                extra[RECORD_KEY] = {"tier": record.get("tier"), "mark": _MARK}
            value = extra
        return super()._recursive_serialization(value)


def routed(message: ChatMessage, record: Mapping[str, object]) -> ChatMessage:
    """Copy a message with the record of its call."""
    extra = {**message.additional_kwargs, RECORD_KEY: CarriedRecord(record)}
    if type(message) is not ChatMessage:  # a class of somebody else's stays what it is
        return message.model_copy(update={"additional_kwargs": extra})
    return RoutedMessage.model_construct(role=message.role, blocks=message.blocks, additional_kwargs=extra)


_PRINTED_KEY: Final = f"'{RECORD_KEY}': "
_STRING: Final = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_PRINTED: Final = re.compile(
    re.escape(_PRINTED_KEY)
    + rf"(?:\.\.\.|(?=\{{'call_id': '[0-9a-f]{{32}}')|(?=\{{'tier': (?:{_STRING}), 'mark': '{_MARK}'\}}))",
    re.DOTALL,
)
_TOKEN: Final = re.compile(rf"{_STRING}|[{{}}]", re.DOTALL)


def without_records(text: str) -> str:
    """Take records out of a text that messages were printed into, wherever and beside whatever they stand.

    Args:
        text: A text for a tier, such as a prompt that a history was written into.
    """
    if _PRINTED_KEY not in text:
        return text
    while found := _PRINTED.search(text):
        end = found.end() if text[: found.end()].endswith("...") else _end_of_dict(text, found.end())
        text = _cut(text, found.start(), end)
    return text


def _end_of_dict(text: str, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0 and token[0] == "}":
            return token.end()
    return len(text)  # it was cut off


def _cut(text: str, start: int, end: int) -> str:
    before, after = text[:start], text[end:]
    if after.startswith(", "):
        return before + after.removeprefix(", ")
    if before.endswith(", "):
        return before.removesuffix(", ") + after
    if before.endswith("{") and after.startswith("}"):  # it stood alone: so does the line that it was printed on
        return before.removesuffix("{").removesuffix("\n") + after.removeprefix("}")
    return before + after
