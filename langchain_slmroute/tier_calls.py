"""What every way of calling tiers shares: the call in each tier's own terms, and what its refusals teach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks

from langchain_slmroute.cache import CacheSetting, cache_setting
from langchain_slmroute.dialects import bound_kwargs, call_kwargs, chat_model, logprob_kwargs
from langchain_slmroute.history import for_tier
from langchain_slmroute.limiter import OncePerCall
from langchain_slmroute.messages import answer_of, without_logprobs
from langchain_slmroute.models import Ready, TierModels
from langchain_slmroute.schemas import is_schema
from langchain_slmroute.tools import choice_for, sources
from slmroute.once_more import OnceMore
from slmroute.run import Run
from slmroute.steps import Answer, Call
from slmroute.token_probabilities import asking

__all__ = ["Asked", "TierCalls", "merged"]

_BOUND: Final = frozenset({"parallel_tool_calls", "strict", "tool_choice", "tools"})
"""The arguments of a call that belong to the binding of its tools."""
_OPTIONS: Final = ("strict", "parallel_tool_calls", "response_format")
"""The options of a binding that not every class knows."""

MessageT = TypeVar("MessageT", bound=AIMessage)


@dataclass(slots=True)
class Asked:
    """What is asked of the tiers.

    Attributes:
        run: The call in progress.
        models: The tiers' chat models.
        messages: The conversation.
        kwargs: The call's arguments for the tiers.
        cache: The router's own ``cache`` setting.
        limiter: The router's own rate limiter, where it has one.
        disable_streaming: The router's own ``disable_streaming``; its tiers' calls are what is streamed.
    """

    run: Run
    models: TierModels
    messages: Sequence[BaseMessage]
    kwargs: Mapping[str, Any]
    cache: CacheSetting
    limiter: OncePerCall | None = None
    disable_streaming: bool | Literal["tool_calling"] = False


class TierCalls(OnceMore):
    """Calls tiers in each tier's own terms, and once more where one refuses what only we asked for.

    Args:
        asked: What is asked of the tiers.
    """

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked.run, asked.models)
        self.asked = asked
        self.models = asked.models
        self._ready: dict[str, Ready] = {}

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        return answer_of(merged(cast("Sequence[AIMessage]", natives)), self.provider(call))

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
        if settings := self._settings(ready, streams=streams or bool(asked.get("stream"))):
            model = model.model_copy(update=settings)
        kwargs = call_kwargs(model, {k: v for k, v in asked.items() if k not in _BOUND}) if asked else {}
        tools = asked.get("tools")
        # An agent without tools binds none of them, and its format all the same.
        if not tools and (tools is None or "response_format" not in asked.keys() & dialect.binding):
            return model, self._completed(call, model, {**own, **kwargs})
        given: dict[str, Any] = {name: asked.get(name) for name in _OPTIONS}
        given["tool_choice"] = choice_for(asked.get("tool_choice"), ready.provider)
        options = {k: v for k, v in given.items() if v is not None and k in dialect.binding}
        if given["tool_choice"] == "none" and "tool_choice" not in dialect.binding:
            kwargs = {**kwargs, "tool_choice": "none"}  # the server knows it, whatever the class binds
        if "response_format" in options:
            # Beside a format OpenAI's client takes strict tools only; its class sees to that where there is a schema.
            if is_schema(options["response_format"]):
                del kwargs["response_format"]
            else:
                options = {"strict": True, **options}
                del options["response_format"]
        bound = ready.bindings.get(tools, options)
        if bound is None:
            binding = cast("Any", model).bind_tools(sources(tools), **options)
            inner, bound = chat_model(binding), bound_kwargs(binding)
            if inner is model:  # nothing that was set for one call is a part of what it gave
                ready.bindings.put(tools, options, bound)
            model = inner
        if not tools:
            del bound["tools"]  # servers refuse an empty list
        return model, self._completed(call, model, {**own, **bound, **kwargs})

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

    def _completed(self, call: Call, model: BaseChatModel, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add to a call's arguments what routing needs: a declared window, and a draft's log-probabilities."""
        kwargs = self._windowed(self.ready(call), model, kwargs)
        return self._with_logprobs(call, model, kwargs) if call.hold and self.run.policy.judge is None else kwargs

    def _with_logprobs(self, call: Call, model: BaseChatModel, kwargs: dict[str, Any]) -> dict[str, Any]:
        if "logprobs" not in kwargs and getattr(model, "logprobs", None) is None:
            if call.tier.name in self.models.no_logprobs:
                return kwargs
            self._unasked.add(call.tier.name)
        return {**asking(logprob_kwargs(model, kwargs), self.run.engine.calibrator, model), **kwargs}

    def _windowed(self, ready: Ready, model: BaseChatModel, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Have a call's own options say a declared window, too: they replace those of the model."""
        name, options = ready.dialect.window, kwargs.get("options")
        if name is None or ready.window is None or options is None or name in options:
            return kwargs
        return {**kwargs, "options": {name: getattr(model, name), **options}}

    def _settings(self, ready: Ready, *, streams: bool) -> dict[str, Any]:
        """Give what must be set on a copy of a tier's model; what its user has set stands."""
        inner, dialect, disabled = ready.model, ready.dialect, self.asked.disable_streaming
        settings: dict[str, Any] = {}
        if streams or vars(inner).get("streaming"):
            settings = {name: value for name, value in dialect.streaming.items() if getattr(inner, name, None) is None}
        cache = cache_setting(inner, self.asked.cache)
        if cache is not inner.cache:
            settings["cache"] = cache
        if inner.callbacks:
            settings["callbacks"] = None  # they are among those of its run, where a draft can be kept from them
        if self.asked.limiter is not None:
            settings["rate_limiter"] = self.asked.limiter.before(inner.rate_limiter)
        if disabled and not inner.disable_streaming:
            settings["disable_streaming"] = disabled
        if ready.window is not None and dialect.window is not None and getattr(inner, dialect.window) is None:
            settings[dialect.window] = ready.window
        return settings


def merged(messages: Sequence[AIMessage]) -> AIMessage:
    """Make one message of a stream's chunks."""
    if not messages:
        return AIMessage(content="")
    first, *rest = messages
    if not rest or not isinstance(first, AIMessageChunk):
        return first
    return add_ai_message_chunks(first, *cast("list[AIMessageChunk]", rest))
