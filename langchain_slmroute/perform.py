"""Does the core's ``Call`` steps with LangChain's chat models."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables import RunnableConfig

from langchain_slmroute.cache import CacheSetting, cache_setting
from langchain_slmroute.dialects import Dialect, bound_config, bound_kwargs, call_kwargs, chat_model, logprob_kwargs
from langchain_slmroute.messages import answer_of, chunk_logprobs, for_tier, last_chunk, with_record, without_logprobs
from langchain_slmroute.models import Ready, TierModels
from langchain_slmroute.relay import Relay, hold_back, is_streamed
from langchain_slmroute.schemas import is_schema
from langchain_slmroute.tools import choice_for, sources
from slmroute.gate import Chunk, Gate
from slmroute.run import Run
from slmroute.steps import Answer, Call, Decision

__all__ = ["Asked", "ChatPerformer", "Child", "PrivatePerformer", "TierCalls", "merged"]

_BOUND: Final = frozenset({"parallel_tool_calls", "strict", "tool_choice", "tools"})
"""The arguments of a call that belong to the binding of its tools."""
_OPTIONS: Final = ("strict", "parallel_tool_calls", "response_format")
"""The options of a binding that not every class knows."""

MessageT = TypeVar("MessageT", bound=AIMessage)
Child = Callable[[], CallbackManager | AsyncCallbackManager]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the tiers.

    Attributes:
        run: The call in progress.
        models: The tiers' chat models.
        messages: The conversation.
        kwargs: The call's arguments for the tiers.
        cache: The router's own ``cache`` setting.
    """

    run: Run
    models: TierModels
    messages: Sequence[BaseMessage]
    kwargs: Mapping[str, Any]
    cache: CacheSetting


class TierCalls:
    """Prepares the calls of tiers, in each tier's own terms.

    Args:
        asked: What is asked of the tiers.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.run = asked.run
        self.models = asked.models
        self._ready: dict[str, Ready] = {}
        self._unasked: set[str] = set()

    def ready(self, call: Call) -> Ready:
        """Give the model of the tier that is called, and what is known of it."""
        found = self._ready.get(call.tier.name)
        if found is None:
            found = self._ready[call.tier.name] = self.models.ready(call.tier)
        return found

    def history(self, call: Call) -> list[BaseMessage]:
        """Give the conversation as a tier is shown it."""
        return for_tier(self.asked.messages, call.draft, self.ready(call).provider)

    def model(self, call: Call, *, streams: bool = False) -> tuple[BaseChatModel, dict[str, Any]]:
        """Give a tier's model, out of whatever was bound to it, and the arguments of its call.

        A binding is not called as it is: it would hand the run's handlers on from the context, past the relay.

        Args:
            call: The step.
            streams: Whether its tokens are streamed, to the caller or to handlers.
        """
        ready, asked = self.ready(call), self.asked.kwargs
        model, own, dialect = ready.model, ready.kwargs, ready.dialect
        kwargs = call_kwargs(model, {k: v for k, v in asked.items() if k not in _BOUND}) if asked else {}
        if call.hold and self.run.policy.judge is None:
            kwargs = self._with_logprobs(call, model, kwargs)
        if settings := self._settings(model, dialect, streams=streams or bool(kwargs.get("stream"))):
            model = model.model_copy(update=settings)
        tools = asked.get("tools")
        if not tools:
            return model, {**own, **kwargs}
        given: dict[str, Any] = {name: asked.get(name) for name in _OPTIONS}
        given["tool_choice"] = choice_for(asked.get("tool_choice"), ready.provider)
        options = {k: v for k, v in given.items() if v is not None and k in dialect.binding}
        if "response_format" in options:
            # Beside a format OpenAI's client takes strict tools only; its class sees to that where there is a schema.
            if is_schema(options["response_format"]):
                del kwargs["response_format"]
            else:
                options = {"strict": True, **options}
                del options["response_format"]
        binding = cast("Any", model.bind_tools(sources(tools), **options))
        return chat_model(binding), {**own, **bound_kwargs(binding), **kwargs}

    def provider(self, call: Call) -> str | None:
        """Give the provider of the tier that is called."""
        return self.ready(call).provider

    def to_show(self, tier: str | None, message: MessageT) -> MessageT:
        """Give a message of a tier as the caller is to see it: without log-probabilities that nobody but we asked for.

        Args:
            tier: The tier's name.
            message: What it answered, or a chunk of it.
        """
        return without_logprobs(message) if tier in self._unasked else message

    def _with_logprobs(self, call: Call, model: BaseChatModel, kwargs: dict[str, Any]) -> dict[str, Any]:
        if "logprobs" not in kwargs and getattr(model, "logprobs", None) is None:
            self._unasked.add(call.tier.name)
        return {**logprob_kwargs(model), **kwargs}

    def _settings(self, inner: BaseChatModel, dialect: Dialect, *, streams: bool) -> dict[str, Any]:
        """Give what must be set on a copy of a tier's model; what its user has set stands."""
        settings: dict[str, Any] = {}
        if streams or vars(inner).get("streaming"):
            settings = {name: value for name, value in dialect.streaming.items() if getattr(inner, name, None) is None}
        cache = cache_setting(inner, self.asked.cache)
        if cache is not inner.cache:
            settings["cache"] = cache
        return settings


class ChatPerformer(TierCalls):
    """Calls tiers as child runs of the router's own run, so that every callback sees each of them once.

    Args:
        asked: What is asked of the tiers.
        config: The config of the router's run.
        child: Makes the manager of a child run.
    """

    def __init__(self, asked: Asked, config: RunnableConfig, child: Child) -> None:
        super().__init__(asked)
        self._config = config
        self._child = child
        self._relays: dict[str, Relay] = {}

    @classmethod
    def of(cls, asked: Asked, config: RunnableConfig, child: Child) -> ChatPerformer:
        """Make one; for those who are handed a way of making performers."""
        return cls(asked, config, child)

    def call(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        config = self.config(call, watch=True)
        model, kwargs = self.model(call, streams=is_streamed(config))
        message = model.invoke(_prompt(self.history(call)), config, **kwargs)
        return answer_of(message, self.provider(call))

    async def acall(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        config = self.config(call, watch=True)
        model, kwargs = self.model(call, streams=is_streamed(config))
        message = await model.ainvoke(_prompt(self.history(call)), config, **kwargs)
        return answer_of(message, self.provider(call))

    def stream(self, call: Call) -> Generator[Chunk]:
        """See ``drive.Performer``."""
        model, kwargs = self.model(call, streams=True)
        for message in model.stream(_prompt(self.history(call)), self.config(call, watch=False), **kwargs):
            yield chunk_of(message)

    async def astream(self, call: Call) -> AsyncGenerator[Chunk]:
        """See ``drive.Performer``."""
        model, kwargs = self.model(call, streams=True)
        messages = model.astream(_prompt(self.history(call)), self.config(call, watch=False), **kwargs)
        # One that is only dropped would end its run and its request some time later.
        async with aclosing(cast("AsyncGenerator[AIMessage]", messages)) as stream:
            async for message in stream:
                yield chunk_of(message)

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        return answer_of(merged(cast("Sequence[AIMessage]", natives)), self.provider(call))

    def config(self, call: Call, *, watch: bool) -> RunnableConfig:
        """Make the config of a tier's run, with a relay before handlers that show tokens where it may be rejected.

        Args:
            call: The step.
            watch: Whether the tokens go to handlers only, so that the relay itself must say when they may be shown.
        """
        # The run's name and id are the router's own run's.
        config = self._config.copy()
        config.pop("run_name", None)
        config.pop("run_id", None)
        config["callbacks"] = self._child()
        ready = self.ready(call)
        if ready.bound is not ready.model:
            config = bound_config(ready.bound, config)
        manager = cast("CallbackManager | AsyncCallbackManager", config.get("callbacks"))
        if not call.last and manager.handlers:
            attempt, run = self.run.open, self.run
            assert attempt is not None  # noqa: S101  the driver has begun it
            gate = Gate(call, run.request, run.policy.escalation) if watch else None
            relay = hold_back(
                manager,
                lambda: attempt.shown,
                gate,
                lambda: run.show(attempt),
                logprobs=call.hold and run.policy.judge is None,
            )
            if relay is not None:
                self._relays[call.tier.name] = relay
        metadata: dict[str, Any] = dict(config.get("metadata") or ())
        metadata["slmroute_tier"] = call.tier.name
        metadata["slmroute_escalated"] = call.draft is not None
        if self.run.score is not None:
            metadata["slmroute_score"] = round(self.run.score, 4)
        config["metadata"] = metadata
        return config

    def release(self, decision: Decision) -> None:
        """Tell handlers of the answer that was decided on, if it was kept from them so far."""
        relay = self._relays.get(decision.tier.name)
        if relay is not None:
            self.run.show(self.run.attempt_of(decision.answer))
            relay.tell(relay.release())

    async def arelease(self, decision: Decision) -> None:
        """Do what ``release`` does, asynchronously."""
        relay = self._relays.get(decision.tier.name)
        if relay is not None:
            self.run.show(self.run.attempt_of(decision.answer))
            await relay.atell(relay.release())


# pyright: reportPrivateUsage=false
class PrivatePerformer(TierCalls):
    """Calls tiers beneath the public methods, for the streams in which the router itself is the only run."""

    def call(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        inner, kwargs = self.model(call)
        result = inner._generate(self.history(call), **kwargs)  # noqa: SLF001
        return answer_of(cast("AIMessage", result.generations[0].message), self.provider(call))

    async def acall(self, call: Call) -> Answer:
        """See ``drive.Performer``."""
        inner, kwargs = self.model(call)
        result = await inner._agenerate(self.history(call), **kwargs)  # noqa: SLF001
        return answer_of(cast("AIMessage", result.generations[0].message), self.provider(call))

    def stream(self, call: Call) -> Generator[Chunk]:
        """See ``drive.Performer``."""
        inner, kwargs = self.model(call, streams=True)
        if not _can_stream(inner, "_stream"):
            yield chunk_of(cast("AIMessage", self.call(call).native))
            return
        for chunk in inner._stream(self.history(call), **kwargs):  # noqa: SLF001
            yield chunk_of(_with_generation_info(chunk))

    async def astream(self, call: Call) -> AsyncGenerator[Chunk]:
        """See ``drive.Performer``."""
        inner, kwargs = self.model(call, streams=True)
        if not _can_stream(inner, "_astream", "_stream"):
            yield chunk_of(cast("AIMessage", (await self.acall(call)).native))
            return
        chunks = inner._astream(self.history(call), **kwargs)  # noqa: SLF001
        async with aclosing(cast("AsyncGenerator[ChatGenerationChunk]", chunks)) as stream:
            async for chunk in stream:
                yield chunk_of(_with_generation_info(chunk))

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        return answer_of(merged(cast("Sequence[AIMessage]", natives)), self.provider(call))

    def result(self, decision: Decision) -> ChatResult:
        """Give the answer that was decided on, with its record."""
        message = self.to_show(decision.tier.name, cast("AIMessage", decision.answer.native))
        return ChatResult(generations=[self._generation(message)])

    def generation(self, message: AIMessage) -> ChatGenerationChunk:
        """Give a chunk of the answer; which one is the last is known only when the record is there."""
        message = self.to_show(self.run.shown_tier, message)
        if not isinstance(message, AIMessageChunk):
            fields = message.model_dump(exclude={"type", "tool_calls", "invalid_tool_calls"})
            calls = [
                {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": index}
                for index, call in enumerate(message.tool_calls)
            ]
            message = AIMessageChunk(**fields, tool_call_chunks=cast("Any", calls))
        if message.chunk_position == "last":
            message = message.model_copy(update={"chunk_position": None})
        return ChatGenerationChunk(message=message)

    def last_generation(self) -> ChatGenerationChunk:
        """Give the last chunk, which carries the record."""
        return ChatGenerationChunk(message=last_chunk(self._record(), None))

    def _generation(self, message: AIMessage) -> ChatGeneration:
        return ChatGeneration(message=with_record(message, self._record()))

    def _record(self) -> dict[str, object]:
        assert self.run.record is not None  # noqa: S101  the driver has settled it
        return self.run.record.to_json()


def _prompt(messages: list[BaseMessage]) -> ChatPromptValue:
    """Wrap a conversation for a chat model, which would look whether messages are messages once more."""
    return ChatPromptValue.model_construct(messages=messages)


def chunk_of(message: AIMessage) -> Chunk:
    """Tell the gate of a chunk."""
    calls = bool(message.tool_calls or (isinstance(message, AIMessageChunk) and message.tool_call_chunks))
    return Chunk(message, message.text, chunk_logprobs(message), tool_call=calls, unseen=_unseen(message))


def _unseen(message: AIMessage) -> str:
    """Give what a chunk holds beside its text: a tool call's arguments, and thoughts."""
    calls = message.tool_call_chunks if isinstance(message, AIMessageChunk) else ()
    parts = [part for call in calls for part in (call["name"], call["args"])]
    parts.append(message.additional_kwargs.get("reasoning_content"))
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict):
            parts += [block.get("thinking"), block.get("reasoning")]
    return "".join(part for part in parts if isinstance(part, str))


def merged(messages: Sequence[AIMessage]) -> AIMessage:
    """Make one message of a stream's chunks."""
    if not messages:
        return AIMessage(content="")
    first, *rest = messages
    if not rest or not isinstance(first, AIMessageChunk):
        return first
    return add_ai_message_chunks(first, *cast("list[AIMessageChunk]", rest))


def _can_stream(model: BaseChatModel, *methods: str) -> bool:
    return any(getattr(type(model), name) is not getattr(BaseChatModel, name) for name in methods)


def _with_generation_info(chunk: Any) -> AIMessageChunk:
    message = cast("AIMessageChunk", chunk.message)
    message.response_metadata = {**(chunk.generation_info or {}), **message.response_metadata}
    return message
