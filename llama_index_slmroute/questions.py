"""What a prompt is to have answered: its question, told apart from the material that engines write in beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, SelectorPromptTemplate
from llama_index.core.prompts.default_prompts import HYDE_TMPL

from llama_index_slmroute.loops import users_turns
from slmroute.request import is_follow_up, judged_text

__all__ = ["QUESTIONS", "Question", "TaskText", "is_computed", "question_of", "users_turn_before"]

QUESTIONS: Final = ("query_str", "question", "query", "user_query", "user_question")
"""What prompts call the question, beside the chunks retrieved for it, or the history it belongs to."""

SHORT_MATERIAL: Final = 320
"""Material of at most so many characters may be the question itself, where a prompt is given nothing else."""

_SPEAKS: Final = re.compile(rf"^({'|'.join(role.value for role in MessageRole)}): ", re.MULTILINE)
"""How chat engines write out who says something in a history."""

_MATERIAL: Final = re.compile(
    r"(?:^|_)(?:context|contexts|chunk|chunks|doc|docs|document|documents|excerpt|excerpts|history|node|nodes|passage|"
    r"passages|schema|source|sources)(?:_|$)|^existing_answer$"
)
"""The names of variables that hold what a prompt is about and not what it asks for."""


class Question(str):
    """A question that goes on with a conversation; compared as the text alone.

    Attributes:
        before: The user's turn before it, without material.
    """

    __slots__ = ("before",)

    before: str

    @classmethod
    def after(cls, before: str, question: str) -> Question:
        """Make a question and note the turn before it."""
        made = cls(question)
        made.before = before
        return made


class TaskText(str):
    """What a prompt asks for, without its material: judged as a question is, but no mark of the query it belongs to."""

    __slots__ = ()


def question_of(prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> str | None:
    """Give the question that a prompt is to have answered.

    Args:
        prompt: The prompt; engines write the question into it, or hand it over with the other arguments.
        arguments: Those.

    Returns:
        The question, where a variable of its name holds it; a ``Question``, where it ends a conversation that the
        prompt holds, as chat engines' prompts do. Where none does, a ``TaskText``: the prompt's text without
        the variables that by their names hold material (``context_str``, ``docs``, ``schema``, ...). None where the
        prompt has neither, so that it is judged whole.
    """
    within = cast("BasePromptTemplate", getattr(prompt, "default_template", prompt))
    given = {**within.kwargs, **arguments}
    for name in QUESTIONS:
        question = given.get(name)
        if isinstance(question, str) and question.strip():
            return _with_turn_before(question, within, arguments)
    material = {name for name in given if _is_material(name, within)}
    if not material:
        return None
    if getattr(within, "template", None) == HYDE_TMPL:  # its context is the question
        return str(given["context_str"]) if given.get("context_str") else None
    if len(material) == len(given) and sum(len(str(value)) for value in given.values()) <= SHORT_MATERIAL:
        return None
    text = _without(within, {**arguments, **dict.fromkeys(material, "")})
    return TaskText(text) if text.strip() else None


def _with_turn_before(question: str, prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> str:
    if not is_follow_up(question):
        return question
    history = {**prompt.kwargs, **arguments}.get("chat_history")
    if isinstance(history, str) and (before := users_turn_before(history)):
        return Question.after(before, question)
    if not isinstance(prompt, ChatPromptTemplate):
        return question
    if sum(message.role == MessageRole.USER for message in prompt.message_templates) < 2:
        return question
    given = {**prompt.kwargs, **arguments}
    turns = _turns_without(prompt, {**arguments, **{name: "" for name in given if _is_material(name, prompt)}})
    # A prompt may as well ask first and give its material in the last turn.
    return Question.after(turns[-2], question) if turns[-1].strip() == question.strip() and turns[1:] else question


def users_turn_before(history: str) -> str | None:
    """Give the user's last turn in a history that a chat engine has written out, or None."""
    parts = _SPEAKS.split(history)
    turns = [text for role, text in zip(parts[1::2], parts[2::2], strict=True) if role == MessageRole.USER.value]
    return turns[-1].strip() or None if turns else None


def _is_material(name: str, prompt: BasePromptTemplate) -> bool:
    mapped = (prompt.template_var_mappings or {}).get(name, name)
    return any(_MATERIAL.search(each.lower()) for each in (name, str(mapped)))


def is_computed(prompt: BasePromptTemplate, llm: Any) -> bool:
    """Whether functions of the user's write a part of a prompt: they may be slow, or give another text each time."""
    chosen = prompt.select(llm) if isinstance(prompt, SelectorPromptTemplate) else prompt
    return bool(_functions(chosen))


def _functions(prompt: BasePromptTemplate) -> Mapping[str, object]:
    return cast("Mapping[str, object]", prompt.function_mappings or {})  # pyright: ignore[reportUnknownMemberType]


def _without(prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> str:
    """Write a prompt out without its material, what functions compute, and what an output parser would add to it."""
    return judged_text(_turns_without(prompt, arguments))


def _turns_without(prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> list[str]:
    bare = prompt.model_copy(update={"output_parser": None, "function_mappings": {}})
    given: dict[str, Any] = {**dict.fromkeys(_functions(prompt), ""), **arguments}
    messages = bare.format_messages(**given)
    return [messages[position].content or "" for position in users_turns(messages)]
