"""What a prompt is to have answered: its question, told apart from the material that engines write in beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate, SelectorPromptTemplate
from llama_index.core.prompts.default_prompts import HYDE_TMPL

from llama_index_slmroute.loops import users_turns
from slmroute.request import is_follow_up, judged_text

__all__ = ["QUESTIONS", "Question", "TaskText", "is_asked_of", "is_computed", "question_of", "users_turn_before"]

QUESTIONS: Final = ("query_str", "question", "query", "user_query", "user_question")
"""What prompts call the question, beside the chunks retrieved for it, or the history it belongs to."""

SHORT_MATERIAL: Final = 320
"""Material of at most so many characters may be the question itself, where a prompt is given nothing else."""

_SPEAKS: Final = re.compile(rf"^({'|'.join(role.value for role in MessageRole)}): ", re.MULTILINE)
"""How chat engines write out who says something in a history."""

_MATERIAL: Final = re.compile(
    r"(?:^|_)(?:context|contexts|chunk|chunks|doc|docs|document|documents|excerpt|excerpts|history|node|nodes|passage|"
    r"passages|schema|source|sources)(?:_(?:str|string|text|texts|msg|message|messages|content|contents|list|json|data|block|body))?(?:_\d+)?$"
    r"|^existing_answer$"
)
"""The names of variables that hold what a prompt is about and not what it asks for, or what kind of thing it is."""

_NO_PASSAGES: Final = re.compile(r"(?:^|_)(?:history|schema)(?:_|$)")
"""The names of those in which no answer is to be found."""


class Question(str):
    """A question with what is known of where it stands; compared as the text alone.

    Attributes:
        before: The user's turn before it, without material, where it goes on with a conversation; or None.
        grounded: Whether it is asked of material that stands beside it.
    """

    __slots__ = ("before", "grounded")

    before: str | None
    grounded: bool

    @classmethod
    def of(cls, question: str, *, before: str | None = None, grounded: bool = False) -> Question:
        """Make a question and note where it stands."""
        made = cls(question)
        made.before, made.grounded = before or None, grounded
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
        The question, where a variable of its name holds it, with the turn before it, where it ends a conversation that
        the prompt holds, as chat engines' prompts do. Where none does, a ``TaskText``: the prompt's text without
        the variables that by their names hold material (``context_str``, ``docs``, ``schema``, ...). None where the
        prompt has neither, so that it is judged whole.
    """
    within = cast("BasePromptTemplate", getattr(prompt, "default_template", prompt))
    given = {**within.kwargs, **arguments}
    for name in QUESTIONS:
        question = given.get(name)
        if isinstance(question, str) and question.strip():
            before = _turn_before(question, within, arguments) if is_follow_up(question) else None
            filled = [each for each, value in given.items() if str(value).strip()]
            return Question.of(question, before=before, grounded=is_asked_of(_named(filled, within)))
    material = {name for name in given if _is_material(name, within)}
    if not material:
        return None
    if getattr(within, "template", None) == HYDE_TMPL:  # its context is the question
        return str(given["context_str"]) if given.get("context_str") else None
    if len(material) == len(given) and sum(len(str(value)) for value in given.values()) <= SHORT_MATERIAL:
        return None
    text = _without(within, {**arguments, **dict.fromkeys(material, "")})
    return TaskText(text) if text.strip() else None


def _turn_before(question: str, prompt: BasePromptTemplate, arguments: Mapping[str, Any]) -> str | None:
    history = {**prompt.kwargs, **arguments}.get("chat_history")
    if isinstance(history, str) and (before := users_turn_before(history)):
        return before
    if not isinstance(prompt, ChatPromptTemplate):
        return None
    if sum(message.role == MessageRole.USER for message in prompt.message_templates) < 2:
        return None
    given = {**prompt.kwargs, **arguments}
    turns = _turns_without(prompt, {**arguments, **{name: "" for name in given if _is_material(name, prompt)}})
    # A prompt may as well ask first and give its material in the last turn.
    return turns[-2] if turns[-1].strip() == question.strip() and turns[1:] else None


def users_turn_before(history: str) -> str | None:
    """Give the user's last turn in a history that a chat engine has written out, or None."""
    parts = _SPEAKS.split(history)
    turns = [text for role, text in zip(parts[1::2], parts[2::2], strict=True) if role == MessageRole.USER.value]
    return turns[-1].strip() or None if turns else None


def _is_material(name: str, prompt: BasePromptTemplate) -> bool:
    return any(_MATERIAL.search(each) for each in _named((name,), prompt))


def _named(names: Iterable[str], prompt: BasePromptTemplate) -> list[str]:
    """Give the names of variables, and by what other names a prompt's template knows them."""
    mapped = prompt.template_var_mappings or {}
    return [each.lower() for name in names for each in {name, str(mapped.get(name, name))}]


def is_asked_of(names: Iterable[str]) -> bool:
    """Whether a question is asked of material that stands beside it, told by the names of a prompt's variables."""
    return any(_MATERIAL.search(name) and not _NO_PASSAGES.search(name) for name in names)


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
