"""The text that a call is judged by, out of whatever a log keeps as its prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from slmroute.request import judged_text

__all__ = ["Prompt", "prompt_of"]

HOLDERS: Final = ("messages", "prompt", "prompts", "input", "question", "query", "text", "content", "instruction",
                  "args", "kwargs")  # fmt: skip
"""Where objects hold a prompt; the last two are how Langfuse keeps the arguments of a function that it watches."""

USERS: Final = frozenset({"user", "human", "HumanMessage", "HumanMessageChunk"})
DEPTH: Final = 6


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt.

    Attributes:
        text: The text to judge: the last user turn, with a bounded look at the turn before.
        characters: The length of everything that was sent, system prompt and history included.
        turns: How many user turns there are.
    """

    text: str = field(repr=False)
    characters: int
    turns: int = 1


def prompt_of(value: Any, depth: int = DEPTH) -> Prompt | None:
    """Find the prompt in what a log keeps.

    Args:
        value: A text, messages of any framework (``role``/``content``, ``type``/``content``, LangChain's serialised
            form), an object that holds one of them, or any of these written as JSON into a text.
        depth: How deep to look.

    Returns:
        None where there is no text.
    """
    if depth == 0 or value is None:
        return None
    if isinstance(value, str):
        return _of_text(value, depth)
    if isinstance(value, Mapping):
        return _of_object(cast("Mapping[str, Any]", value), depth)
    if isinstance(value, Sequence):
        return _of_list(cast("Sequence[Any]", value), depth)
    return None


def _of_text(value: str, depth: int) -> Prompt | None:
    text = value.strip()
    if not text:
        return None
    if text[0] in "[{":
        try:
            inner: object = json.loads(text)
        except ValueError:
            inner = None
        if isinstance(inner, list | dict) and (found := prompt_of(inner, depth - 1)) is not None:
            return found
    return Prompt(value, len(value))


def _of_object(value: Mapping[str, Any], depth: int) -> Prompt | None:
    if _role(value) is not None:
        return _of_list([value], depth)
    for name in HOLDERS:
        found = prompt_of(value.get(name), depth - 1)
        if found is not None:
            return found
    texts = [text for text in value.values() if isinstance(text, str) and text.strip()]
    # A chain's only variable is what was asked; of several nobody knows which.
    return Prompt(texts[0], len(texts[0])) if len(texts) == 1 and len(value) == 1 else None


def _of_list(value: Sequence[Any], depth: int) -> Prompt | None:
    if value and all(isinstance(item, list) for item in value):
        return prompt_of(value[0], depth - 1)
    if value and all(isinstance(item, str) for item in value):
        return prompt_of(value[0], depth - 1)
    said = [
        (_role(message), _content(message))
        for message in cast("Sequence[Mapping[str, Any]]", value)
        if _is_message(message)
    ]
    turns = [text for role, text in said if role in USERS and text.strip()]
    if not turns:
        return None
    return Prompt(judged_text(turns), sum(len(text) for _, text in said), len(turns))


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and _role(cast("Mapping[str, Any]", value)) is not None


def _role(message: Mapping[str, Any]) -> str | None:
    """Give who said a message: its role, its type, or the class that LangChain serialised."""
    if message.get("type") == "constructor" and isinstance(message.get("id"), list):
        path = cast("list[object]", message["id"])
        return str(path[-1]) if path else None
    for name in ("role", "type"):
        role = message.get(name)
        if isinstance(role, str) and any(held in message for held in ("content", "kwargs", "data", "text", "parts")):
            return role
    return None


def _content(message: Mapping[str, Any]) -> str:
    for name in ("kwargs", "data"):
        inner = message.get(name)
        if isinstance(inner, Mapping) and "content" in inner:
            return _content(cast("Mapping[str, Any]", inner))
    content = message.get("content", message.get("parts", message.get("text")))
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts: list[str] = []
    for part in cast("Sequence[Any]", content):
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, Mapping):
            text = cast("Mapping[str, Any]", part).get("text")
            parts.append(text if isinstance(text, str) else "")
    return "\n".join(part for part in parts if part)
