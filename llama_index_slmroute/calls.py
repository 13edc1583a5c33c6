"""How a router begins a call: what the core is told of it, and who will ask the tiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts import BasePromptTemplate

from llama_index_slmroute.arguments import forced_tool, schema_of
from llama_index_slmroute.asked import asked_in
from llama_index_slmroute.messages import CallOptions, asking, is_plain, question_in, request_of
from llama_index_slmroute.overhear import overhear
from llama_index_slmroute.perform import Asked, ChatPerformer, CompletionPerformer, ToolPerformer
from llama_index_slmroute.place import Place
from llama_index_slmroute.queries import current_query
from llama_index_slmroute.questions import Question, is_computed, question_of
from llama_index_slmroute.routed import RoutedCall
from llama_index_slmroute.router import Router
from llama_index_slmroute.structured import Outline, StructuredPerformer
from slmroute.context import current_context
from slmroute.run import Run

__all__ = ["CallingRouter", "joined"]

PerformerT = TypeVar("PerformerT", bound=ChatPerformer)


class CallingRouter(Router):
    """A router that begins calls; ``RoutingLLM`` is the one to use."""

    def _routed(
        self,
        messages: Sequence[ChatMessage],
        kwargs: Mapping[str, Any],
        make: Callable[[Asked], PerformerT],
        *,
        tools: Sequence[Any] | None = None,
        schema: Mapping[str, object] | None = None,
        question: str | None = None,
        callbacks: CallbackManager | None = None,
    ) -> RoutedCall[PerformerT]:
        """Begin a call, in the context of its caller."""
        overhear()
        query = current_query()
        question = question or question_in(messages) or asked_in(messages)
        grounded = isinstance(question, Question) and question.grounded
        if query is not None:
            question, grounded = query.judged_by(question, messages), grounded or query.grounded
        rest = dict(kwargs)
        tier = rest.pop("tier", None)
        local_only = bool(rest.pop("local_only", self.local_only))
        at_hand: Sequence[Any] = (rest.get("tools") if tools is None else tools) or ()
        specs = tuple(self.models.tool_specs.of(tool) for tool in at_hand)
        options = CallOptions(
            tier=tier,
            local_only=local_only,
            tools=specs,
            forced_tool=forced_tool(rest, specs),
            schema=schema_of(rest) if schema is None else schema,
            question=question,
            grounded=grounded,
            loop_tier=self.loops.tier(messages),
        )
        engine, place = self.engine, Place.here()
        context = current_context() if query is None else query.context_of_call()
        request = request_of(messages, options, context=context, engine=engine.number)
        known = self.models.known(request)
        run = Run(engine, request, known)
        run.context = context
        callbacks = callbacks or self.callback_manager
        asked = Asked(run, self.models, messages, rest, place, callbacks if callbacks.handlers else None)
        return RoutedCall(run, make(asked), callbacks, query, self.loops)

    def _chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> RoutedCall[ChatPerformer]:
        return self._routed(messages, kwargs, ChatPerformer)

    def _completion(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> RoutedCall[CompletionPerformer]:
        messages = [ChatMessage(role=MessageRole.USER, content=prompt)]
        return self._routed(messages, kwargs, lambda asked: CompletionPerformer(asked, prompt, formatted))

    def _with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None,
        chat_history: Sequence[ChatMessage] | None,
        kwargs: dict[str, Any],
    ) -> RoutedCall[ToolPerformer]:
        messages = joined(chat_history, user_msg)
        return self._routed(messages, kwargs, lambda asked: ToolPerformer(asked, tools), tools=tools)

    def structured_call(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: Mapping[str, Any] | None,
        arguments: dict[str, Any],
        callbacks: CallbackManager | None = None,
    ) -> RoutedCall[StructuredPerformer]:
        """Begin a call that is answered with an object; ``callbacks`` are told of it in place of the router's."""
        formatted = prompt.format_messages(llm=self, **arguments)
        messages = self._extend_messages(formatted)
        plain = all(is_plain(message) for message in formatted) and not is_computed(prompt, self)
        outline = Outline(output_cls, prompt, arguments, as_given=plain and messages is formatted)
        return self._routed(
            messages,
            llm_kwargs or {},
            lambda asked: StructuredPerformer(asked, outline),
            tools=(),
            schema=cast("Mapping[str, object]", output_cls.model_json_schema()),
            question=question_of(prompt, arguments),
            callbacks=callbacks,
        )

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        # predict, stream and their like make their messages here and hand them on to chat.
        return asking(super()._get_messages(prompt, **prompt_args), question_of(prompt, prompt_args))

    def ready(self, routed: RoutedCall[Any]) -> None:
        """Wait until the rate limiter, if there is one, lets a call through, and learn what it must know of tiers."""
        if self.rate_limiter is not None:
            self.rate_limiter.acquire()
        if self.models.learn(routed.run.request):
            routed.run.know(self.models.known(routed.run.request))

    async def aready(self, routed: RoutedCall[Any]) -> None:
        """Do what ``ready`` does, asynchronously."""
        if self.rate_limiter is not None:
            await self.rate_limiter.async_acquire()
        if await self.models.alearn(routed.run.request):
            routed.run.know(self.models.known(routed.run.request))


def joined(history: Sequence[ChatMessage] | None, asked: str | ChatMessage | None) -> list[ChatMessage]:
    """Put a conversation together, leaving the caller's list as it is."""
    last = ChatMessage(role=MessageRole.USER, content=asked) if isinstance(asked, str) else asked
    return [*(history or ()), *(() if last is None else (last,))]
