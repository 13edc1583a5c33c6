"""RoutingLLM: stands where an LLM of LlamaIndex stood, and answers each call by the cheapest tier able to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index_instrumentation import get_dispatcher

from llama_index_slmroute.calls import CallingRouter, joined
from llama_index_slmroute.messages import extras
from llama_index_slmroute.perform import TIER_KEY
from llama_index_slmroute.structured_llm import RoutedStructuredLLM
from slmroute.drive import adrive, drive

__all__ = ["RoutingLLM"]

ModelT = TypeVar("ModelT", bound=BaseModel)

dispatcher: Final = get_dispatcher(__name__)


class RoutingLLM(CallingRouter):
    """An LLM that has each call answered by the cheapest tier able to.

    A classifier scores how complex the call is; the tier that the thresholds give for it answers. Answers that are
    wrong on their face, or whose confidence is under ``escalation``'s threshold, escalate to the next tier, draft
    included. A tier that is down is replaced by another. Every answer carries its record in
    ``message.additional_kwargs["slmroute"]``, a stream's on its last chunk, a completion's in ``additional_kwargs``.

    The calls that a query or chat engine makes for one query stay on one tier, unless it escalates, and are judged by
    what the user asked alone, not by what was retrieved for it or made of it; the questions that a
    ``SubQuestionQueryEngine`` asks other engines are decided each by itself. The steps of an agent's loop stay on one
    tier, too. Per call, ``tier="name"`` asks for one tier and ``local_only=True`` stays on tiers declared local.

    A stream counts, and is labelled, where it was asked for, wherever it is read; so does the last answer of a streamed
    query, which LlamaIndex itself asks for only when that is read.

    Where tiers are strings a router is written (``to_dict``) and pickled without secrets, whatever ``model_args``
    holds, and takes its keys from the environment where it is read back.

    Settings can be set on a router and hold from its next call on, except those that it shares with its copies
    (``ledger``, ``budget``, ``hooks``, ``prices``, ``availability_errors``), which raise ``ConfigError``.

    Args:
        tiers: Two or more, cheapest first: ``Tier`` objects, their models LLMs of LlamaIndex or strings.
        classifier: Scores requests; anything of the ``Classifier`` protocol or a callable from ``RouteRequest`` to the
            complexity in [0, 1]. None has every call start at the cheapest tier.
        threshold: For two tiers: a score above it goes to the second. By default the classifier's own, or 0.5.
        thresholds: For more tiers: one fewer than tiers, rising.
        escalation: When a weak answer escalates, for example ``Confidence(0.85)``; None for no confidence check.
        rules: Callables from ``RouteRequest`` to a tier's name or None, asked in order before the classifier.
        default_tier: Where a call goes when the classifier cannot be asked; by default the last tier.
        validate: Whether answers wrong on their face escalate, or which: names out of ``validate.FAULTS``.
        failover: Whether another tier answers when one is not available.
        deadline_s: Seconds for a whole call, all tiers together. Asynchronously a call is cut at it; synchronously no
            further tier is asked after it, and a request that is under way ends by its client's own timeout.
        budget: Spending limits.
        ledger: A ``Ledger``, or its URL, for example ``"sqlite:///slmroute.db"``.
        hooks: Callables told of every call's ``RouteRecord``.
        prices: Dollars for a million input and output tokens by ``"provider:model"`` or tier name; a third amount is
            for tokens read from a provider's cache, a fourth for those written to it.
        availability_errors: Further errors that mean a tier is not available.
        local_only: Whether all calls stay on tiers declared local.
        context_window: The window that prompts are packed for: ``"smallest"`` of the tiers' (every tier can then answer
            every call), ``"largest"`` (as many chunks go into a prompt as with that tier alone, and long prompts go to
            tiers that can take them), or a number of tokens.
        temperature: A standard model argument, passed to tiers built from strings in their provider's terms; as are
            ``max_tokens``, ``timeout`` (seconds), ``stop``, ``max_retries`` and ``api_key``.

    Raises:
        ConfigError: A setting is wrong; the message names it.
        UnknownTier: ``default_tier`` is none of the tiers.

    Example:
        >>> from slmroute import Tier
        >>> from llama_index_slmroute import RoutingLLM
        >>> llm = RoutingLLM(
        ...     tiers=[
        ...         Tier("small", "ollama:phi3:mini", local=True, input_price="0.05", output_price="0.08"),
        ...         Tier("frontier", "dry-run:openai:gpt-4.1"),
        ...     ],
        ...     classifier=lambda request: 0.9,
        ... )
        >>> llm.complete("Plan the migration.").additional_kwargs["slmroute"]["tier"]
        'frontier'
    """

    # --- the public ways of asking: no LLM events of the router's own, the tier's are the only ones ---

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation; see the class."""
        with self._chat(messages, kwargs) as routed:
            self.ready(routed)
            return routed.response(drive(routed.run, routed.performer))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer a conversation, asynchronously; see the class."""
        with self._chat(messages, kwargs) as routed:
            await self.aready(routed)
            return routed.response(await adrive(routed.run, routed.performer))

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer a conversation in chunks; a draft is never among them."""
        routed = self._chat(messages, kwargs)
        self.ready(routed)
        return routed.chunks()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer a conversation in chunks, asynchronously; a draft is never among them."""
        routed = self._chat(messages, kwargs)
        await self.aready(routed)
        return routed.achunks()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt; see the class."""
        with self._completion(prompt, formatted, kwargs) as routed:
            self.ready(routed)
            return routed.response(drive(routed.run, routed.performer))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Complete a prompt, asynchronously; see the class."""
        with self._completion(prompt, formatted, kwargs) as routed:
            await self.aready(routed)
            return routed.response(await adrive(routed.run, routed.performer))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Complete a prompt in chunks; a draft is never among them."""
        routed = self._completion(prompt, formatted, kwargs)
        self.ready(routed)
        return routed.chunks()

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Complete a prompt in chunks, asynchronously; a draft is never among them."""
        routed = self._completion(prompt, formatted, kwargs)
        await self.aready(routed)
        return routed.achunks()

    # --- tools ---

    @dispatcher.span
    def chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Answer a conversation with tools at hand, which each tier is told of in its own way."""
        given = _tool_arguments(kwargs, verbose, allow_parallel_tool_calls, tool_required)
        with self._with_tools(tools, user_msg, chat_history, given) as routed:
            self.ready(routed)
            return routed.response(drive(routed.run, routed.performer))

    @dispatcher.span
    async def achat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Answer a conversation with tools at hand, asynchronously."""
        given = _tool_arguments(kwargs, verbose, allow_parallel_tool_calls, tool_required)
        with self._with_tools(tools, user_msg, chat_history, given) as routed:
            await self.aready(routed)
            return routed.response(await adrive(routed.run, routed.performer))

    @dispatcher.span
    def stream_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        """Answer a conversation with tools at hand, in chunks; tool calls are shown once they are known to be valid."""
        given = _tool_arguments(kwargs, verbose, allow_parallel_tool_calls, tool_required)
        routed = self._with_tools(tools, user_msg, chat_history, given)
        self.ready(routed)
        return routed.chunks()

    @dispatcher.span
    async def astream_chat_with_tools(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        """Answer a conversation with tools at hand, in chunks, asynchronously."""
        given = _tool_arguments(kwargs, verbose, allow_parallel_tool_calls, tool_required)
        routed = self._with_tools(tools, user_msg, chat_history, given)
        await self.aready(routed)
        return routed.achunks()

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
        """Give arguments of ``chat`` in OpenAI's form; the methods above do without, as each tier has its own."""
        specs = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        choice = {"tool_choice": "required"} if tool_required and specs else {}
        return {"messages": joined(chat_history, user_msg), "tools": specs or None, **choice, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Read the tool calls of a response, or of a stream's chunk, as the tier that gave it reads them.

        Raises:
            ValueError: It calls none, and ``error_on_no_tool_call``.
        """
        name = str(extras(response).get(TIER_KEY))
        tiers = {tier.name: tier for tier in self.tiers}
        llm = cast("Any", self.models.model(tiers.get(name, self.tiers[-1])))
        return llm.get_tool_calls_from_response(response, error_on_no_tool_call=error_on_no_tool_call, **kwargs)

    # --- structured answers ---

    def structured_predict(
        self,
        output_cls: type[ModelT],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> ModelT:
        """Answer a prompt with an object; an answer that is none escalates to the next tier.

        Raises:
            ValueError: No tier's answer could be parsed; the last one's own error.
        """
        with self.structured_call(output_cls, prompt, llm_kwargs, prompt_args) as routed:
            self.ready(routed)
            return routed.value(drive(routed.run, routed.performer))

    async def astructured_predict(
        self,
        output_cls: type[ModelT],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> ModelT:
        """Answer a prompt with an object, asynchronously; see ``structured_predict``."""
        with self.structured_call(output_cls, prompt, llm_kwargs, prompt_args) as routed:
            await self.aready(routed)
            return routed.value(await adrive(routed.run, routed.performer))

    def stream_structured_predict(
        self,
        output_cls: type[ModelT],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Answer a prompt with an object as far as it has come, growing."""
        routed = self.structured_call(output_cls, prompt, llm_kwargs, prompt_args)
        self.ready(routed)
        return routed.parts()

    async def astream_structured_predict(
        self,
        output_cls: type[ModelT],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """Answer a prompt with an object as far as it has come, growing, asynchronously."""
        routed = self.structured_call(output_cls, prompt, llm_kwargs, prompt_args)
        await self.aready(routed)
        return routed.aparts()

    def as_structured_llm(self, output_cls: type[BaseModel], **kwargs: Any) -> StructuredLLM:
        """Give an LLM whose answers are all objects of a class, and carry their records as the router's own do."""
        return RoutedStructuredLLM(llm=self, output_cls=output_cls, **kwargs)


def _tool_arguments(kwargs: dict[str, Any], verbose: bool, parallel: bool, required: bool) -> dict[str, Any]:
    return {**kwargs, "verbose": verbose, "allow_parallel_tool_calls": parallel, "tool_required": required}
