"""Questions in prompts that come written out: function programs and some engines hand on texts, and no arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import Final

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import condense_plus_context
from llama_index.core.prompts import chat_prompts, default_prompts
from llama_index.core.selectors import prompts as selector_prompts

from llama_index_slmroute.questions import QUESTIONS, Question, is_asked_of, users_turn_before
from slmroute.request import is_follow_up

__all__ = ["asked_in", "without_state"]

_WRITTEN_OUT: Final = (
    (default_prompts, ("DEFAULT_TEXT_QA_PROMPT_TMPL", "DEFAULT_REFINE_PROMPT_TMPL", "DEFAULT_TREE_SUMMARIZE_TMPL")),
    (selector_prompts, ("DEFAULT_SINGLE_PYD_SELECT_PROMPT_TMPL", "DEFAULT_MULTI_PYD_SELECT_PROMPT_TMPL")),
    (condense_plus_context, ("DEFAULT_CONDENSE_PROMPT_TEMPLATE",)),
)
_CONVERSATION: Final = "<current_conversation>\n"
"""How an agent with an ``output_cls`` writes a conversation out, to have an object made of it."""
_OPENS: Final = "<message>"
_CLOSES: Final = "</message>"
_STATE: Final = ("Current state:\n", "\n\nCurrent message:\n")
"""How an agent's workflow writes its state, which may hold any material, and the user's message after it."""
_CONVERSATIONS: Final = ("TEXT_QA_PROMPT_TMPL_MSGS", "CHAT_REFINE_PROMPT_TMPL_MSGS")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a template stands at its beginning, before the question, and after it; the former may be a history.

    ``grounded`` says whether the question is asked of material in the template.
    """

    head: str
    before: str
    after: str
    history: bool
    grounded: bool

    def question(self, text: str) -> str | None:
        """Give the question in a text that was made of the template; None where it was made of another."""
        if not text.startswith(self.head):
            return None
        # Chunks stand before the question or after it, and may look like the template: it is nearest to its own end.
        begin = text.find(self.before) if self.head == self.before else text.rfind(self.before)
        if begin < 0:
            return None
        begin += len(self.before)
        end = text.find(self.after, begin) if self.after else len(text)
        question = text[begin:end].strip() if end >= 0 else ""
        if not question:
            return None
        goes_on = self.history and is_follow_up(question)
        turn = users_turn_before(text[len(self.head) : begin - len(self.before)]) if goes_on else None
        return Question.of(question, before=turn, grounded=self.grounded)


@cache
def _shapes() -> tuple[_Shape, ...]:
    templates = [
        str(getattr(module, name)) for module, names in _WRITTEN_OUT for name in names if hasattr(module, name)
    ]
    for name in _CONVERSATIONS:
        templates += [message.content or "" for message in getattr(chat_prompts, name, ())]
    return tuple(shape for template in templates if (shape := _shape(template)) is not None)


def _shape(template: str) -> _Shape | None:
    parts = [(literal, name) for literal, name, _, _ in Formatter().parse(template)]
    place = next((place for place, (_, name) in enumerate(parts) if name in QUESTIONS), None)
    if place is None or not parts[0][0] or not parts[place][0]:
        return None
    after = parts[place + 1][0] if place + 1 < len(parts) else ""
    names = [name for _, name in parts if name]
    history = "chat_history" in [name for _, name in parts[:place]]
    return _Shape(parts[0][0], parts[place][0], after, history, is_asked_of(names))


def _last_turn(text: str) -> str | None:
    """Give the user's last turn in a conversation written out for an agent's structured answer."""
    begin = text.rfind("\t<user>\n")
    end = text.find("\t</user>", begin)
    turn = text[begin:end] if 0 <= begin < end else ""
    return turn[turn.find(_OPENS) + len(_OPENS) : turn.rfind(_CLOSES)].strip() or None if _CLOSES in turn else None


def without_state(text: str) -> str:
    """Give a message as the user wrote it, without the state that an agent's workflow has written before it."""
    head, before = _STATE
    return text.rpartition(before)[2].strip() or text if text.startswith(head) else text


def asked_in(messages: Sequence[ChatMessage]) -> str | None:
    """Give the question that messages ask, where they were made of one of LlamaIndex's own templates.

    Agents with an ``output_cls`` write out the whole conversation: of that it is the user's last turn.

    Args:
        messages: The messages of a call.
    """
    text = messages[-1].content if messages else None
    if not text:
        return None
    if text.startswith(_CONVERSATION):
        return _last_turn(text)
    return next((found for shape in _shapes() if (found := shape.question(text)) is not None), None)
