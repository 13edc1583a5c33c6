"""What models of LangChain's take that a classifier or a judge calls: nobody else would count it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_slmroute.messages import answer_of
from slmroute.classify.protocol import Classification
from slmroute.request import estimate_tokens
from slmroute.steps import Usage

__all__ = ["Overhear"]


class Overhear(BaseCallbackHandler):
    """Tells the core of each model call that is made under it: its tokens, its model and who served it.

    Args:
        tell: Is told of each as a ``Classification`` whose score means nothing.
    """

    run_inline = True  # in the thread of the call, so that it is told before the classifier or the judge has ended

    def __init__(self, tell: Callable[[Classification], None]) -> None:
        self._tell = tell
        self._begun: dict[UUID, tuple[str | None, str | None, int]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note whose call it is, and about how long its prompt."""
        told = metadata or {}
        tokens = estimate_tokens(" ".join(message.text for each in messages for message in each))
        self._begun[run_id] = (told.get("ls_provider"), told.get("ls_model_name"), tokens)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Tell what it took, as reported, or else estimated."""
        provider, model, tokens = self._begun.pop(run_id, (None, None, 0))
        for generations in response.generations:
            for generation in generations[:1]:
                if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                    answer = answer_of(generation.message, provider)
                    usage = answer.usage or Usage(tokens, estimate_tokens(answer.text), source="estimated")
                    self._tell(Classification(math.nan, usage, answer.model or model, answer.provider))
