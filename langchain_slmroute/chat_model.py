"""RoutingChatModel: stands where a chat model stood, and answers each call by the cheapest tier able to."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from langchain_slmroute.generated import Choices, configs_of, result_of
from langchain_slmroute.model_level import ModelLevel
from langchain_slmroute.perform import ChatPerformer
from langchain_slmroute.routed import Asked, AsyncRoutedCall, Child, RoutedCall, Setting
from langchain_slmroute.tools import ToolLike, neutral_tools
from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.owned import Owned

__all__ = ["RoutingChatModel"]

PerformerT = TypeVar("PerformerT", bound=ChatPerformer)


class RoutingChatModel(ModelLevel):
    """A chat model that has each call answered by the cheapest tier able to.

    A classifier scores how complex the call is; the tier that the thresholds give for it answers. Answers that are
    wrong on their face, or whose confidence is under ``escalation``'s threshold, escalate to the next tier, draft
    included. A tier that is down is replaced by another. Every answer carries its record in
    ``response_metadata["slmroute"]``.

    In traces and streams of events a router's run is a chain's, and the tier's run in it a chat model's. Events chosen
    by tag or type are those of a bare model; under the router's own name its tokens are ``on_chain_stream`` events.

    Per call, ``tier="name"`` asks for one tier and ``local_only=True`` stays on tiers declared local, also in routers
    that are tiers: in ``invoke`` and its like or by ``bind``.

    Args:
        tiers: Two or more, cheapest first: ``Tier`` objects.
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
        temperature: A standard model argument, passed to tiers built from strings in their provider's terms; as are
            ``max_tokens``, ``timeout`` (seconds), ``stop``, ``max_retries`` and ``api_key``.
        streaming: Whether ``invoke`` streams from its tier.

    Raises:
        ConfigError: A setting is wrong; the message names it.
        UnknownTier: ``default_tier`` is none of the tiers.

    Example:
        >>> from slmroute import Confidence, Tier
        >>> from langchain_slmroute import RoutingChatModel
        >>> model = RoutingChatModel(
        ...     tiers=[
        ...         Tier("small", "ollama:phi3:mini", local=True, input_price="0.05", output_price="0.08"),
        ...         Tier("frontier", "dry-run:openai:gpt-4.1"),
        ...     ],
        ...     classifier=lambda request: 0.9,
        ... )
        >>> model.invoke("Plan the migration.").response_metadata["slmroute"]["tier"]
        'frontier'
    """

    # --- one call ---

    def _own_config(self) -> RunnableConfig:
        # LangChain notes its versions on every model; the tiers' own models bring theirs.
        metadata = {key: value for key, value in (self.metadata or {}).items() if key != "lc_versions"}
        if not (metadata or self.callbacks or self.tags):
            return {}
        own: dict[str, Any] = {"callbacks": self.callbacks, "tags": self.tags, "metadata": metadata}
        own = {key: value for key, value in own.items() if value}
        # Without callbacks of its own it would take over those of the context when it is merged.
        return cast("RunnableConfig", {"callbacks": [], **own})

    def _setting(self, messages: Sequence[BaseMessage], config: RunnableConfig | None) -> Setting:
        return Setting(
            self.name or type(self).__name__,
            config or {},
            self._own_config(),
            messages,
            bool(self.verbose),
            self.output_version == "v1",
        )

    def prepared(
        self,
        model_input: LanguageModelInput,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        make: Callable[[Asked, RunnableConfig, Child], PerformerT],
        schema: Mapping[str, object] | None = None,
    ) -> tuple[Asked, Setting, Callable[[Asked, RunnableConfig, Child], PerformerT]]:
        """Prepare a call; meant for the package's own runnables."""
        messages = self._messages(model_input)
        return self._asked(messages, stop, kwargs, schema), self._setting(messages, config), make

    async def aprepared(
        self,
        model_input: LanguageModelInput,
        config: RunnableConfig | None,
        stop: list[str] | None,
        kwargs: dict[str, Any],
        make: Callable[[Asked, RunnableConfig, Child], PerformerT],
        schema: Mapping[str, object] | None = None,
    ) -> tuple[Asked, Setting, Callable[[Asked, RunnableConfig, Child], PerformerT]]:
        """Prepare a call without holding up the event loop; meant for the package's own runnables."""
        messages = self._messages(model_input)
        return await self._aasked(messages, stop, kwargs, schema), self._setting(messages, config), make

    def _messages(self, model_input: LanguageModelInput) -> list[BaseMessage]:
        if isinstance(model_input, str):
            return [HumanMessage(content=model_input)]
        return self._convert_input(model_input).to_messages()

    # --- the public ways of asking: the router's run is a chain's, each tier's call a real child run ---

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a call; see the class."""
        with RoutedCall(*self.prepared(input, config, stop, kwargs, ChatPerformer)) as routed:
            return routed.finish(drive(routed.run, routed.performer))

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a call, asynchronously; see the class."""
        async with AsyncRoutedCall(*await self.aprepared(input, config, stop, kwargs, ChatPerformer)) as routed:
            return await routed.finish(await adrive(routed.run, routed.performer))

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Answer a call in chunks; a draft is never among them."""
        if self._streaming_disabled(**{**kwargs, "stream": True}):
            yield cast("AIMessageChunk", self.invoke(input, config, stop=stop, **kwargs))
            return
        with RoutedCall(*self.prepared(input, config, stop, kwargs, ChatPerformer)) as routed:
            yield from routed.chunks(drive_stream(routed.run, routed.performer))

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer a call in chunks, asynchronously; a draft is never among them."""
        if self._streaming_disabled(**{**kwargs, "stream": True}):
            yield cast("AIMessageChunk", await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        async with (
            AsyncRoutedCall(*await self.aprepared(input, config, stop, kwargs, ChatPerformer)) as routed,
            Owned(routed.chunks(adrive_stream(routed.run, routed.performer))) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: uuid.UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several calls, one after the other, as ``invoke`` does each."""
        configs = configs_of(len(messages), callbacks, tags, metadata, run_name, run_id)
        choices = Choices()
        with choices.heard():
            answers = [
                self.invoke(each, config, stop=stop, **kwargs) for each, config in zip(messages, configs, strict=True)
            ]
        return result_of(answers, configs, choices)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        run_name: str | None = None,
        run_id: uuid.UUID | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answer several calls at once, as ``ainvoke`` does each."""
        import asyncio

        configs = configs_of(len(messages), callbacks, tags, metadata, run_name, run_id)
        calls = (
            self.ainvoke(each, config, stop=stop, **kwargs) for each, config in zip(messages, configs, strict=True)
        )
        choices = Choices()
        with choices.heard():
            found = await asyncio.gather(*calls, return_exceptions=True)
        # As in a bare model all have ended before the first error comes out.
        if errors := [each for each in found if isinstance(each, BaseException)]:
            raise errors[0]
        return result_of(cast("list[AIMessage]", found), configs, choices)

    # --- tools and structured answers ---

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools, in no provider's own form: each tier binds them in its own when it is called.

        Args:
            tools: See ``BaseChatModel.bind_tools``.
            tool_choice: ``"auto"``, ``"any"``, ``"required"``, a tool's name, or a provider's own form.
            **kwargs: Further arguments of the calls; ``strict`` and ``parallel_tool_calls`` reach tiers that know them.
        """
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        bound = neutral_tools(cast("Sequence[ToolLike]", tools), strict=kwargs.get("strict"))
        return self.bind(tools=bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: str | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Have answers follow a schema; one that does not escalates to the next tier.

        Args:
            schema: A Pydantic class, a ``TypedDict`` class or a JSON schema.
            include_raw: Whether to give ``{"raw", "parsed", "parsing_error"}`` in place of the parsed answer.
            method: ``"json_schema"``, ``"function_calling"`` or ``"json_mode"``; by default each tier's own.
            strict: Passed to tiers that know it.
            **kwargs: Further arguments of the tiers' own method, for example ``tools``.
        """
        from langchain_slmroute.structured import StructuredRouter

        return StructuredRouter.of(self, schema, include_raw=include_raw, method=method, strict=strict, kwargs=kwargs)
