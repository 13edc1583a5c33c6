"""One routed call in LangChain: the router's own run in the trace, and the answer with its record."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForChainRun,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
    CallbackManagerForChainRun,
    Callbacks,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs

from langchain_slmroute.callbacks import calls_models, tell_costs
from langchain_slmroute.errors import as_langchains
from langchain_slmroute.messages import last_chunk, with_record
from langchain_slmroute.perform import Asked, ChatPerformer, Child, merged
from langchain_slmroute.relay import aside, showing_runs
from slmroute.owned import Owned
from slmroute.steps import Decision

__all__ = ["AsyncRoutedCall", "Child", "RoutedCall", "Setting"]

PerformerT = TypeVar("PerformerT", bound=ChatPerformer)


@dataclass(slots=True)
class Setting:
    """Where a call stands in a trace, and what becomes of its answer.

    Attributes:
        name: The name of the router's run, unless the config gives another.
        config: The caller's config.
        own: The router's own callbacks, tags and metadata.
        messages: The conversation.
        verbose: The router's ``verbose``.
        blocks: Whether contents are to be LangChain's standard blocks (``output_version="v1"``).
    """

    name: str
    config: RunnableConfig
    own: RunnableConfig
    messages: Sequence[BaseMessage]
    verbose: bool
    blocks: bool

    def merged(self) -> tuple[RunnableConfig, Any]:
        """Give the config with the router's own callbacks in it, and the id of the router's run."""
        config = ensure_config(self.config)
        run_id = config.pop("run_id", None)
        # What the router was constructed with must reach the tiers' runs, as it reaches a bare model's only run.
        config = merge_configs(config, self.own) if self.own else config
        if callbacks := config.get("callbacks"):
            config["callbacks"] = _each_once(callbacks)
        return config, run_id


def _each_once(callbacks: list[BaseCallbackHandler] | BaseCallbackManager) -> Callbacks:
    """Have each handler hear once, and of the tiers' runs, too: a bare model's run has no children to leave out."""
    if isinstance(callbacks, list):
        return [each for place, each in enumerate(callbacks) if each not in callbacks[:place]]
    if len(callbacks.handlers) > 1 or callbacks.handlers != callbacks.inheritable_handlers:
        handlers, callbacks = callbacks.handlers, callbacks.copy()
        callbacks.set_handlers(handlers)
    return callbacks


def _child_of(
    manager: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun,
) -> CallbackManager | AsyncCallbackManager:
    """Make the manager of a tier's run; it bears the tags of the router's own, as a bare model's only run does."""
    child = manager.get_child()
    if own := [tag for tag in manager.tags if tag not in manager.inheritable_tags]:
        child.add_tags(own, inherit=False)
    return child


class _Routed(Generic[PerformerT]):
    """What the sync and the async form share.

    Args:
        asked: What is asked of the tiers.
        setting: Where the call stands in a trace.
        make: Makes the performer, once the router's run is open.
    """

    performer: PerformerT

    def __init__(
        self, asked: Asked, setting: Setting, make: Callable[[Asked, RunnableConfig, Child], PerformerT]
    ) -> None:
        self.asked = asked
        self.run = asked.run
        self.output: Any = None
        self._setting = setting
        self._make = make

    @property
    def record(self) -> dict[str, object]:
        """The record as plain JSON, once the driver has settled it."""
        assert self.run.record is not None  # noqa: S101  it has
        return self.run.record.to_json()

    @property
    def decision(self) -> Decision:
        """What was decided, once the driver has come to it."""
        assert self.run.decision is not None  # noqa: S101  it has
        return self.run.decision

    def _ask_aside(self, config: RunnableConfig, child: Child) -> None:
        """Have models that the classifier or the judge calls run as the router's children."""
        if calls_models(self.run.engine):
            self.run.aside = partial(aside, config, child)

    def _answer(self, message: AIMessage) -> AIMessage:
        if self._setting.blocks:
            message = _as_blocks(message)
        self.output = with_record(message, self.record)
        return cast("AIMessage", self.output)

    def _show(self, seen: _Seen, message: AIMessage) -> AIMessage | None:
        """Take a chunk of the answer; gives it as the caller is to see it, unless it is to be kept for the last."""
        message = self.performer.to_show(self.run.shown_tier, message)
        if self._setting.blocks:
            message = seen.as_blocks(message)
        seen.chunks.append(message)
        if isinstance(message, AIMessageChunk) and message.chunk_position != "last":
            return message
        seen.last = message
        return None

    def _last(self, seen: _Seen) -> AIMessage:
        """Give the last chunk, which carries the record."""
        if seen.last is not None:
            last = with_record(seen.chunks.pop(), self.record)
        else:
            last = last_chunk(self.record, seen.chunks[-1].id if seen.chunks else None)
        self.output = merged([*seen.chunks, last])
        return last


class RoutedCall(_Routed[PerformerT]):
    """One routed call: entering opens the router's run, leaving closes it."""

    def __enter__(self) -> Self:
        setting = self._setting
        config, run_id = setting.merged()
        manager = CallbackManager.configure(
            config.get("callbacks"),
            None,
            setting.verbose,
            config.get("tags"),
            None,
            config.get("metadata"),
            None,
        )
        self._manager: CallbackManagerForChainRun | None = None
        child: Child = manager.copy
        if manager.handlers:  # else nobody would hear of the run
            self._manager = manager.on_chain_start(
                None, {"messages": setting.messages}, name=config.get("run_name") or setting.name, run_id=run_id
            )
            child = partial(_child_of, self._manager)
        self._ask_aside(config, child)
        self.performer = self._make(self.asked, config, child)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        told = error and as_langchains(error)
        if self._manager is not None:
            if self.run.around is None:
                tell_costs(self._manager.handlers, self.run.record)
            if told is None:
                self._manager.on_chain_end(self.output)
            else:
                self._manager.on_chain_error(told)
        if told is not error and told is not None:
            raise told from told.__cause__

    def finish(self, decision: Decision) -> AIMessage:
        """Give the answer that was decided on, with its record."""
        self.performer.release(decision)
        return self._answer(self.performer.to_show(decision.tier.name, cast("AIMessage", decision.answer.native)))

    def chunks(self, natives: Generator[object]) -> Generator[AIMessageChunk]:
        """Give the chunks of the answer, the record on the last."""
        shown = self._chunks(natives)
        tapped: Iterator[AIMessageChunk] = shown
        for handler in showing_runs(self._manager):
            tapped = handler.tap_output_iter(cast("Any", self._manager).run_id, tapped)
        with closing(shown):
            yield from tapped

    def _chunks(self, natives: Generator[object]) -> Generator[AIMessageChunk]:
        seen = _Seen()
        try:
            for native in natives:
                shown = self._show(seen, cast("AIMessage", native))
                if shown is not None:
                    yield cast("AIMessageChunk", shown)
        finally:
            natives.close()
        self.performer.release(self.decision)
        yield cast("AIMessageChunk", self._last(seen))


class AsyncRoutedCall(_Routed[PerformerT]):
    """The same for asynchronous calls."""

    async def __aenter__(self) -> Self:
        setting = self._setting
        config, run_id = setting.merged()
        manager = AsyncCallbackManager.configure(
            config.get("callbacks"),
            None,
            setting.verbose,
            config.get("tags"),
            None,
            config.get("metadata"),
            None,
        )
        self._manager: AsyncCallbackManagerForChainRun | None = None
        child: Child = manager.copy
        if manager.handlers:  # else nobody would hear of the run
            self._manager = await manager.on_chain_start(
                None, {"messages": setting.messages}, name=config.get("run_name") or setting.name, run_id=run_id
            )
            child = partial(_child_of, self._manager)
        self._ask_aside(config, child)
        self.performer = self._make(self.asked, config, child)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        told = error and as_langchains(error)
        if self._manager is not None:
            if self.run.around is None:
                tell_costs(self._manager.handlers, self.run.record)
            if told is None:
                await self._manager.on_chain_end(self.output)
            else:
                await self._manager.on_chain_error(told)
        if told is not error and told is not None:
            raise told from told.__cause__

    async def finish(self, decision: Decision) -> AIMessage:
        """Give the answer that was decided on, with its record."""
        await self.performer.arelease(decision)
        return self._answer(self.performer.to_show(decision.tier.name, cast("AIMessage", decision.answer.native)))

    async def chunks(self, natives: AsyncGenerator[object]) -> AsyncGenerator[AIMessageChunk]:
        """Give the chunks of the answer, the record on the last."""
        async with Owned(self._chunks(natives)) as shown:
            tapped: AsyncIterator[AIMessageChunk] = shown
            for handler in showing_runs(self._manager):
                tapped = handler.tap_output_aiter(cast("Any", self._manager).run_id, tapped)
            async for chunk in tapped:
                yield chunk

    async def _chunks(self, natives: AsyncGenerator[object]) -> AsyncGenerator[AIMessageChunk]:
        seen = _Seen()
        async with Owned(natives) as owned:
            async for native in owned:
                shown = self._show(seen, cast("AIMessage", native))
                if shown is not None:
                    yield cast("AIMessageChunk", shown)
        await self.performer.arelease(self.decision)
        yield cast("AIMessageChunk", self._last(seen))


class _Seen:
    """The chunks of an answer so far."""

    def __init__(self) -> None:
        self.chunks: list[AIMessage] = []
        self.last: AIMessage | None = None
        self._index = -1
        self._type = ""

    def as_blocks(self, chunk: AIMessage) -> AIMessage:
        """Give a chunk whose content is LangChain's standard blocks, numbered as in a bare model's stream."""
        chunk = _as_blocks(chunk)
        for block in cast("list[dict[str, Any]]", chunk.content):
            if block["type"] != self._type:
                self._type = block["type"]
                self._index += 1
            block.setdefault("index", self._index)
        return chunk


def _as_blocks(message: AIMessage) -> AIMessage:
    if message.response_metadata.get("output_version") == "v1":
        return message
    metadata = {**message.response_metadata, "output_version": "v1"}
    return message.model_copy(update={"content": message.content_blocks, "response_metadata": metadata})
