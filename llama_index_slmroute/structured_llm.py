"""LlamaIndex's structured LLM around a router: its answers are objects, and carry their records as all others do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.llms.generic_utils import achat_to_completion_decorator, chat_to_completion_decorator
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    MessageRole,
)
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate

from llama_index_slmroute.callbacks import told_too
from llama_index_slmroute.messages import asking, with_record
from llama_index_slmroute.questions import question_of
from llama_index_slmroute.routed import RoutedCall
from llama_index_slmroute.structured import StructuredPerformer
from slmroute.drive import adrive, drive
from slmroute.owned import Owned

if TYPE_CHECKING:
    from llama_index_slmroute.calls import CallingRouter

__all__ = ["RoutedStructuredLLM"]


class RoutedStructuredLLM(StructuredLLM):
    """LlamaIndex's structured LLM around a router; ``RoutingLLM.as_structured_llm`` makes one.

    ``raw`` of its responses is the object, and ``message.additional_kwargs["slmroute"]`` the record of the call, a
    stream's on its last chunk. As the router itself does, it makes no LLM events beside the tiers' own: its callback
    manager, which engines set, is told of those, and the router's, each handler once.
    """

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with an object.

        Raises:
            ValueError: No tier's answer could be parsed; the last one's own error.
        """
        with self._begun(messages, kwargs) as routed:
            self._router.ready(routed)
            return with_record(_response(routed.value(drive(routed.run, routed.performer))), routed.record)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation with an object, asynchronously; see ``chat``."""
        with self._begun(messages, kwargs) as routed:
            await self._router.aready(routed)
            return with_record(_response(routed.value(await adrive(routed.run, routed.performer))), routed.record)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation with an object as far as it has come, growing."""
        routed = self._begun(messages, kwargs)
        self._router.ready(routed)

        def chunks() -> ChatResponseGen:
            waiting: ChatResponse | None = None
            with closing(routed.parts()) as values:
                for value in values:
                    if waiting is not None:
                        yield waiting
                    waiting = _response(value)
            if waiting is not None:
                yield with_record(waiting, routed.record)

        return chunks()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation with an object as far as it has come, growing, asynchronously."""
        routed = self._begun(messages, kwargs)
        await self._router.aready(routed)

        async def chunks() -> ChatResponseAsyncGen:
            waiting: ChatResponse | None = None
            async with Owned(routed.aparts()) as values:
                async for value in values:
                    if waiting is not None:
                        yield waiting
                    waiting = _response(value)
            if waiting is not None:
                yield with_record(waiting, routed.record)

        return chunks()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt with an object; see ``chat``."""
        return chat_to_completion_decorator(self.chat)(prompt, **kwargs)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt with an object, asynchronously; see ``chat``."""
        return await achat_to_completion_decorator(self.achat)(prompt, **kwargs)

    @property
    def _router(self) -> CallingRouter:
        return cast("CallingRouter", self.llm)

    def _begun(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> RoutedCall[StructuredPerformer]:
        prompt = ChatPromptTemplate(message_templates=list(messages))
        callbacks = told_too(self.callback_manager, self._router.callback_manager)
        return self._router.structured_call(self.output_cls, prompt, kwargs, {}, callbacks)

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        return asking(super()._get_messages(prompt, **prompt_args), question_of(prompt, prompt_args))


def _response(value: Any) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=value.model_dump_json()), raw=value)
