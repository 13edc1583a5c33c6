"""What ``generate`` takes and gives: several conversations at once, and their answers in LangChain's older form."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final, cast

from langchain_core.callbacks import BaseCallbackHandler, Callbacks
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult, RunInfo
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.context import register_configure_hook

from slmroute.context import Held

__all__ = ["Choices", "configs_of", "result_of"]

_NOT_OF_THE_GENERATION: Final = frozenset({"slmroute", "token_usage"})


class Choices(BaseCallbackHandler):
    """Hears what models answer beside their first choice, where they are asked for several (``n=2``)."""

    run_inline = True

    def __init__(self) -> None:
        self._others: dict[str, list[Generation]] = {}

    def heard(self) -> Held[Choices | None]:
        """Have it hear of the calls that are made inside."""
        return Held(_choices, self)

    def on_llm_end(self, response: LLMResult, *, run_id: uuid.UUID, **kwargs: Any) -> None:
        """Keep the others by the first one's message; what comes out of a cache of texts is given an id, as all is."""
        for first, *others in response.generations:
            if others and isinstance(first, ChatGeneration):
                first.message.id = first.message.id or str(run_id)
                self._others[first.message.id] = others

    def beside(self, answer: AIMessage) -> list[Generation]:
        """Give the others of an answer."""
        return self._others.get(answer.id or "", [])


_choices: ContextVar[Choices | None] = ContextVar("slmroute_choices", default=None)
register_configure_hook(_choices, inheritable=True)


def configs_of(
    count: int,
    callbacks: Callbacks,
    tags: list[str] | None,
    metadata: dict[str, Any] | None,
    run_name: str | None,
    run_id: uuid.UUID | None,
) -> list[RunnableConfig]:
    """Give the configs of the calls that one ``generate`` makes; the id it was given is the first one's."""
    ids = [run_id if run_id is not None and position == 0 else uuid.uuid4() for position in range(count)]
    given: dict[str, Any] = {"callbacks": callbacks, "tags": tags, "metadata": metadata, "run_name": run_name}
    given = {key: value for key, value in given.items() if value is not None}
    return [cast("RunnableConfig", {**given, "run_id": each}) for each in ids]


def result_of(answers: Sequence[AIMessage], configs: Sequence[RunnableConfig], choices: Choices) -> LLMResult:
    """Give answers as ``generate`` does, with their tokens added up; drafts stand in their records only.

    Of several choices of one answer the first carries the record and is the one that was judged.
    """
    runs = [RunInfo(run_id=cast("uuid.UUID", config.get("run_id"))) for config in configs]
    return LLMResult(
        generations=[[_generation(each), *choices.beside(each)] for each in answers],
        llm_output=_output(answers),
        run=runs,
    )


def _generation(answer: AIMessage) -> ChatGeneration:
    info = {key: value for key, value in answer.response_metadata.items() if key not in _NOT_OF_THE_GENERATION}
    return ChatGeneration(message=answer, generation_info=info)


def _output(answers: Sequence[AIMessage]) -> dict[str, Any]:
    # Answers out of a cache may tell of nothing but their cost.
    usages = [usage for answer in answers if (usage := answer.usage_metadata) and "input_tokens" in usage]
    names = {answer.response_metadata.get("model_name") for answer in answers} - {None}
    output: dict[str, Any] = {
        "token_usage": {
            "prompt_tokens": sum(usage["input_tokens"] for usage in usages),
            "completion_tokens": sum(usage["output_tokens"] for usage in usages),
            "total_tokens": sum(usage["total_tokens"] for usage in usages),
        }
        if usages
        else {}
    }
    if len(names) == 1:  # of several models none is the one
        output["model_name"] = names.pop()
    return output
