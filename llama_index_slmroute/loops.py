"""Loops of agents that write their calls as text: where one goes on is told by how it began.

Agents that call tools hand on each tier's message, which names the tier itself. A ReAct agent writes every step down
anew from what it has parsed, and a CodeAct agent its text alone, so that no message says any more who gave it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from llama_index.core.base.llms.types import ChatMessage, MessageRole

__all__ = ["WrittenLoops", "is_observation", "users_turns"]

MOST_LOOPS: Final = 512

_WRITTEN: Final = (("Observation:", "Action:"), ("Result of executing the code given:", "<execute>"))
"""What such agents write of a result under the user's name, and what stands in the message before that asked for it."""

_COMPLAINTS: Final = ("Error while parsing the output:", "FAILURE: Your previous response was empty.")
"""How a ReAct agent begins to tell its model, under the user's name, that what it wrote last is no step."""


def is_observation(messages: Sequence[ChatMessage], position: int) -> bool:
    """Whether a message under the user's name is what an agent writes down of a result, or of a step that is none."""
    if position == 0 or messages[position - 1].role != MessageRole.ASSISTANT:
        return False
    text, before = messages[position].content or "", messages[position - 1].content or ""
    written = any(text.startswith(result) and call in before for result, call in _WRITTEN)
    return written or text.startswith(_COMPLAINTS)


def users_turns(messages: Sequence[ChatMessage]) -> list[int]:
    """Give the positions of the user's turns; what an agent writes down of its tools is none of them."""
    return [
        position
        for position, message in enumerate(messages)
        if message.role == MessageRole.USER and not is_observation(messages, position)
    ]


class WrittenLoops:
    """Remembers which tier gave the last step of each loop. Safe to use from many threads.

    A loop is told by the conversation up to the user's last turn, of which only a digest is kept. Two at once that
    begin with the very same conversation share what is remembered; another process has no part in it.
    """

    def __init__(self) -> None:
        self._tiers: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def tier(self, messages: Sequence[ChatMessage]) -> str | None:
        """Give the tier that asked for the result which ends a conversation, or None."""
        if not messages or not is_observation(messages, len(messages) - 1):
            return None
        beginning = _digest(messages)
        with self._lock:
            return self._tiers.get(beginning)

    def note(self, messages: Sequence[ChatMessage], answer: str, tier: str) -> None:
        """Note who gave an answer, if it may be a step of a loop.

        Args:
            messages: The conversation that it was given to.
            answer: Its text.
            tier: The name of the tier.
        """
        if not any(call in answer for _, call in _WRITTEN):
            return
        beginning = _digest(messages)
        with self._lock:
            self._tiers[beginning] = tier
            self._tiers.move_to_end(beginning)
            if len(self._tiers) > MOST_LOOPS:
                self._tiers.popitem(last=False)


def _digest(messages: Sequence[ChatMessage]) -> bytes:
    """Give what tells one loop from another: the digest of the conversation up to the user's last turn."""
    turns = users_turns(messages)
    found = sha256()
    for message in messages[: turns[-1] + 1 if turns else 0]:
        text = (message.content or "").encode(errors="surrogatepass")
        found.update(f"{message.role.value}:{len(text)}:".encode())
        found.update(text)
    return found.digest()
