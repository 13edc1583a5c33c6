"""What a tier's model generates beneath an answer that comes whole, should that answer never come."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from langchain_slmroute.messages import answer_of, chunk_of
from slmroute.attempt import Attempt
from slmroute.unanswered import may_count

__all__ = ["Hearing"]


class Hearing(BaseCallbackHandler):
    """Tells an attempt of its requests: what has come of one that is streamed beneath, and what one was answered with.

    Some classes stream whatever is asked of them, and handlers that show tokens have all others do so. Structured
    chains may ask again.

    Args:
        attempt: The attempt.
        provider: Who serves its tier.
    """

    run_inline = True

    def __init__(self, attempt: Attempt, provider: str | None) -> None:
        self._attempt = attempt
        self._provider = provider
        self._run: UUID | None = None
        self._unanswered = 0

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``; what begins within a run is a part of it."""
        if self._run is None:
            self._run = run_id
            if self._unanswered:
                self._attempt.ask_again(self._unanswered)

    def on_llm_new_token(self, token: Any, *, chunk: object = None, run_id: UUID, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``."""
        if run_id == self._run and isinstance(chunk, ChatGenerationChunk) and isinstance(chunk.message, AIMessageChunk):
            self._attempt.hear(chunk_of(chunk.message))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``."""
        if run_id != self._run:
            return
        self._run, self._unanswered = None, 0
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            self._attempt.end_request(answer_of(generation.message, self._provider))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``."""
        if run_id == self._run:
            self._run, self._unanswered = None, may_count(error, outside=self._attempt.outside)
