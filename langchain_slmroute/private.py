"""Does the core's ``Call`` steps beneath LangChain's public methods, where the router itself is the only run."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator
from typing import Any, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_slmroute.messages import answer_of, chunk_of, last_chunk, with_record
from langchain_slmroute.tier_calls import TierCalls
from slmroute.gate import Chunk
from slmroute.owned import Owned
from slmroute.steps import Answer, Call, Decision

__all__ = ["PrivatePerformer"]


class PrivatePerformer(TierCalls):
    """Calls tiers beneath the public methods, for the streams in which the router itself is the only run."""

    def _call(self, call: Call) -> Answer:
        inner, kwargs = self.model(call)
        self._wait(call)
        result = inner._generate(self.history(call), **kwargs)  # noqa: SLF001
        return answer_of(cast("AIMessage", result.generations[0].message), self.provider(call))

    async def _acall(self, call: Call) -> Answer:
        inner, kwargs = self.model(call)
        await self._await(call)
        result = await inner._agenerate(self.history(call), **kwargs)  # noqa: SLF001
        return answer_of(cast("AIMessage", result.generations[0].message), self.provider(call))

    def _stream(self, call: Call) -> Generator[Chunk]:
        inner, kwargs = self.model(call, streams=True)
        if not _can_stream(inner, "_stream"):
            yield chunk_of(cast("AIMessage", self._call(call).native))
            return
        self._wait(call)
        for chunk in inner._stream(self.history(call), **kwargs):  # noqa: SLF001
            yield chunk_of(_with_generation_info(chunk))

    async def _astream(self, call: Call) -> AsyncGenerator[Chunk]:
        inner, kwargs = self.model(call, streams=True)
        if not _can_stream(inner, "_astream", "_stream"):
            yield chunk_of(cast("AIMessage", (await self._acall(call)).native))
            return
        await self._await(call)
        chunks = inner._astream(self.history(call), **kwargs)  # noqa: SLF001
        async with Owned(chunks) as stream:
            async for chunk in stream:
                yield chunk_of(_with_generation_info(chunk))

    def _wait(self, call: Call) -> None:
        """Wait for a tier's own rate limiter, which its public methods, passed by here, would have asked."""
        if limiter := self.ready(call).model.rate_limiter:
            limiter.acquire(blocking=True)

    async def _await(self, call: Call) -> None:
        if limiter := self.ready(call).model.rate_limiter:
            await limiter.aacquire(blocking=True)

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


def _can_stream(model: BaseChatModel, *methods: str) -> bool:
    return any(getattr(type(model), name) is not getattr(BaseChatModel, name) for name in methods)


def _with_generation_info(chunk: Any) -> AIMessageChunk:
    message = cast("AIMessageChunk", chunk.message)
    message.response_metadata = {**(chunk.generation_info or {}), **message.response_metadata}
    return message
