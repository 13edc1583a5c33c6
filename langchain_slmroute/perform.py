"""Does the core's ``Call`` steps with LangChain's chat models, as child runs of the router's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables import RunnableConfig

from langchain_slmroute.dialects import bound_config
from langchain_slmroute.hearing import Hearing
from langchain_slmroute.messages import answer_of, chunk_of
from langchain_slmroute.relay import Relay, hold_back, is_streamed
from langchain_slmroute.tier_calls import Asked, TierCalls, merged
from slmroute.gate import Chunk, Gate
from slmroute.owned import Owned
from slmroute.steps import Answer, Call, Decision

__all__ = ["Asked", "ChatPerformer", "Child", "merged"]

Child = Callable[[], CallbackManager | AsyncCallbackManager]


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

    def _call(self, call: Call) -> Answer:
        config = self.heard(call, self.config(call, watch=True))
        model, kwargs = self.model(call, streams=is_streamed(config))
        message = model.invoke(_Prompt(messages=self.history(call)), config, **kwargs)
        return answer_of(message, self.provider(call))

    async def _acall(self, call: Call) -> Answer:
        config = self.heard(call, self.config(call, watch=True))
        model, kwargs = self.model(call, streams=is_streamed(config))
        message = await model.ainvoke(_Prompt(messages=self.history(call)), config, **kwargs)
        return answer_of(message, self.provider(call))

    def _stream(self, call: Call) -> Generator[Chunk]:
        model, kwargs = self.model(call, streams=True)
        for message in model.stream(_Prompt(messages=self.history(call)), self.config(call, watch=False), **kwargs):
            yield chunk_of(message)

    async def _astream(self, call: Call) -> AsyncGenerator[Chunk]:
        model, kwargs = self.model(call, streams=True)
        messages = model.astream(_Prompt(messages=self.history(call)), self.config(call, watch=False), **kwargs)
        async with Owned(messages) as stream:
            async for message in stream:
                yield chunk_of(message)

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
        if own := ready.model.callbacks:
            for handler in own if isinstance(own, list) else own.handlers:
                manager.add_handler(handler)
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

    def heard(self, call: Call, config: RunnableConfig, *, beneath: bool = False) -> RunnableConfig:
        """Have the attempt hear of the requests of a tier's run, where the driver does not see all there is to see.

        Args:
            call: The step.
            config: The config of the run; it is changed.
            beneath: Whether they are made by runs beneath it.
        """
        if not (beneath or is_streamed(config) or self._streams_always(call)):
            return config  # one request, of which nothing is known before it has been answered
        attempt = self.run.open
        assert attempt is not None  # noqa: S101  the driver has begun it
        hearing = Hearing(attempt, self.provider(call))
        cast("Any", config)["callbacks"].add_handler(hearing, inherit=beneath)
        return config

    def _streams_always(self, call: Call) -> bool:
        """Whether a tier's model streams what is asked of it as a whole, too."""
        ready = self.ready(call)
        return ready.dialect.streams_whole or bool(getattr(ready.model, "streaming", False))

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


class _Prompt(ChatPromptValue):
    """A conversation for a chat model, whose messages are known to be messages: looking again would take long."""

    messages: Any
