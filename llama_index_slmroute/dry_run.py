"""A tier that generates nothing: it stands in for a model that is not to be called, and is priced by estimate."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import BasePromptTemplate

from slmroute.dry_run import TYPICAL_ANSWER_TOKENS, no_object, note_of, prompt_tokens

__all__ = ["DryRunLLM"]

WINDOW: Final = 128_000


class DryRunLLM(FunctionCallingLLM):
    """Answers with a note that it did not answer, and counts the tokens the real model would about have taken.

    It tells callbacks of no LLM events, for there are none. It takes tools and calls none; where an object is wanted
    it raises ``NothingGenerated``.

    Args:
        model: The model it stands in for, as ``"provider:model"``: its price is used.
        output_tokens: How many tokens an answer is assumed to take.
    """

    model: str
    output_tokens: int = Field(default=TYPICAL_ANSWER_TOKENS, ge=0)

    @classmethod
    def class_name(cls) -> str:
        """See ``BaseComponent``."""
        return "slmroute_dry_run"

    @property
    def metadata(self) -> LLMMetadata:
        """See ``LLM``."""
        return LLMMetadata(
            context_window=WINDOW,
            num_output=-1,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self.model.partition(":")[2],
        )

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """See ``LLM``."""
        return self._response(messages)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """See ``LLM``."""
        return self._response(messages)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """See ``LLM``."""

        def chunks() -> ChatResponseGen:
            yield self._response(messages)

        return chunks()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """See ``LLM``."""

        async def chunks() -> ChatResponseAsyncGen:
            yield self._response(messages)

        return chunks()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """See ``LLM``."""
        return self._completion(prompt)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """See ``LLM``."""
        return self._completion(prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """See ``LLM``."""

        def chunks() -> CompletionResponseGen:
            yield self._completion(prompt)

        return chunks()

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """See ``LLM``."""

        async def chunks() -> CompletionResponseAsyncGen:
            yield self._completion(prompt)

        return chunks()

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        asked = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
        return {"messages": [*(chat_history or []), *([asked] if asked else [])]}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[Any]:
        """See ``FunctionCallingLLM``: it calls no tools."""
        if error_on_no_tool_call:
            raise ValueError(f"{self.model} was not called (dry run), so that it called no tool either.")
        return []

    def structured_predict(
        self, output_cls: Any, prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """See ``LLM``.

        Raises:
            NothingGenerated: Always, once what the real model would have taken is counted.
        """
        self.chat(prompt.format_messages(llm=self, **prompt_args))
        raise no_object(self.model)

    async def astructured_predict(
        self, output_cls: Any, prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Any:
        """See ``structured_predict``."""
        await self.achat(prompt.format_messages(llm=self, **prompt_args))
        raise no_object(self.model)

    def stream_structured_predict(
        self, output_cls: Any, prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any]:
        """See ``structured_predict``."""
        yield self.structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)

    async def astream_structured_predict(
        self, output_cls: Any, prompt: BasePromptTemplate, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any]:
        """See ``structured_predict``."""

        async def objects() -> AsyncGenerator[Any]:
            yield await self.astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)

        return objects()

    def _completion(self, prompt: str) -> CompletionResponse:
        response = self._response([ChatMessage(content=prompt)])
        return CompletionResponse(text=response.message.content or "", delta=response.delta, raw=response.raw)

    def _response(self, messages: Sequence[ChatMessage]) -> ChatResponse:
        note = note_of(self.model)
        prompt = prompt_tokens(message.content or "" for message in messages)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": self.output_tokens,
            "total_tokens": prompt + self.output_tokens,
        }
        raw = {
            "model": self.model.partition(":")[2],
            "usage": usage,
            "usage_source": "estimated",
            "done_reason": "stop",
        }
        return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=note), delta=note, raw=raw)
