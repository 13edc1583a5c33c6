"""A tier that generates nothing: it stands in for a model that is not to be called, and is priced by estimate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.utils import AddableDict
from pydantic import Field

from slmroute.dry_run import TYPICAL_ANSWER_TOKENS, no_object, note_of, prompt_tokens

__all__ = ["DryRunChatModel"]


class DryRunChatModel(BaseChatModel):
    """Answers with a note that it did not answer, and counts the tokens the real model would about have taken.

    It takes tools and calls none. Of structured answers it gives the note as ``raw`` and ``NothingGenerated`` as
    ``parsing_error``, which is raised where ``include_raw`` is not set.

    Args:
        model: The model it stands in for, as ``"provider:model"``: its price is used.
        output_tokens: How many tokens an answer is assumed to take.
    """

    model: str
    output_tokens: int = Field(default=TYPICAL_ANSWER_TOKENS, ge=0)

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Any:
        """Take tools, as the real model would; none is called."""
        return self.bind(**({} if tool_choice is None else {"tool_choice": tool_choice}), tools=list(tools), **kwargs)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Any:
        """Give a chain that tells that there is no object; see the class."""

        def told(note: AIMessage) -> AddableDict:
            if not include_raw:
                raise no_object(self.model)
            return AddableDict(raw=note, parsed=None, parsing_error=no_object(self.model))

        async def atold(note: AIMessage) -> AddableDict:
            return told(note)

        return self | RunnableLambda(told, atold, name="DryRunObject")

    @property
    def _llm_type(self) -> str:
        return "slmroute-dry-run"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        provider, _, name = self.model.partition(":")
        return LangSmithParams(ls_provider=provider, ls_model_name=name, ls_model_type="chat")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._result(messages)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._result(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield self._chunk(messages)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        yield self._chunk(messages)

    def _chunk(self, messages: list[BaseMessage]) -> ChatGenerationChunk:
        message = cast("AIMessage", self._result(messages).generations[0].message)
        chunk = AIMessageChunk(
            content=message.content,
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
        return ChatGenerationChunk(message=chunk)

    def _result(self, messages: list[BaseMessage]) -> ChatResult:
        prompt = prompt_tokens(message.text for message in messages)
        provider, _, name = self.model.partition(":")
        message = AIMessage(
            content=note_of(self.model),
            usage_metadata={
                "input_tokens": prompt,
                "output_tokens": self.output_tokens,
                "total_tokens": prompt + self.output_tokens,
            },
            response_metadata={
                "model_name": name,
                "model_provider": provider,
                "finish_reason": "stop",
                "usage_source": "estimated",
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])
