"""Structured answers: the chosen tier's own chain runs, and an answer that does not parse escalates."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict

from langchain_slmroute.messages import last_chunk, with_record
from langchain_slmroute.outline import Outline
from langchain_slmroute.perform import Asked, Child
from langchain_slmroute.routed import AsyncRoutedCall, RoutedCall
from langchain_slmroute.schemas import json_schema_of
from langchain_slmroute.structured_performer import Parsed, StructuredPerformer
from langchain_slmroute.validated import End, is_pydantic
from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.steps import Decision

if TYPE_CHECKING:
    from langchain_slmroute.chat_model import RoutingChatModel

__all__ = ["StructuredRouter"]


class StructuredRouter(Runnable[LanguageModelInput, Any]):
    """What ``RoutingChatModel.with_structured_output`` gives: a router whose answers follow a schema.

    Args:
        router: The router.
        outline: What is wanted.
    """

    def __init__(self, router: RoutingChatModel, outline: Outline) -> None:
        self.router = router
        self.outline = outline
        self.name = router.get_name()
        self._schema = json_schema_of(outline.schema)

    @property
    def OutputType(self) -> Any:  # noqa: N802  LangChain's name
        """The type of the answers, as far as a bare model's chain tells it."""
        outline = self.outline
        if outline.include_raw:
            return dict[str, Any]
        return outline.schema if is_pydantic(outline.schema) and outline.method != "function_calling" else Any

    @classmethod
    def of(
        cls,
        router: RoutingChatModel,
        schema: Any,
        *,
        include_raw: bool,
        method: str | None,
        strict: bool | None,
        kwargs: Mapping[str, Any],
    ) -> StructuredRouter:
        """Make one; see ``RoutingChatModel.with_structured_output``."""
        return cls(router, Outline(schema, include_raw, method, strict, dict(kwargs)))

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Answer a call with the parsed answer.

        Raises:
            OutputParserException: No tier's answer could be parsed; the last one's error.
        """
        with _StructuredCall(*self._prepared(input, config, kwargs)) as routed:
            return routed.finish(drive(routed.run, routed.performer))

    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Answer a call with the parsed answer, asynchronously; see ``invoke``."""
        async with _AsyncStructuredCall(*await self._aprepared(input, config, kwargs)) as routed:
            return await routed.finish(await adrive(routed.run, routed.performer))

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """Answer a call with the answer as far as it is parsed, growing."""
        with _StructuredCall(*self._prepared(input, config, kwargs)) as routed:
            yield from routed.parts(drive_stream(routed.run, routed.performer))

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """Answer a call with the answer as far as it is parsed, growing, asynchronously."""
        async with _AsyncStructuredCall(*await self._aprepared(input, config, kwargs)) as routed:
            parts = routed.parts(adrive_stream(routed.run, routed.performer))
            try:
                async for part in parts:
                    yield part
            finally:
                await parts.aclose()

    def _prepared(self, model_input: LanguageModelInput, config: RunnableConfig | None, kwargs: dict[str, Any]) -> Any:
        stop = kwargs.pop("stop", None)
        return self.router.prepared(model_input, config, stop, kwargs, self._make, self._schema)

    async def _aprepared(
        self, model_input: LanguageModelInput, config: RunnableConfig | None, kwargs: dict[str, Any]
    ) -> Any:
        stop = kwargs.pop("stop", None)
        return await self.router.aprepared(model_input, config, stop, kwargs, self._make, self._schema)

    def _make(self, asked: Asked, own: RunnableConfig, child: Child) -> StructuredPerformer:
        performer = StructuredPerformer(asked, own, child)
        performer.structured, performer.outline, performer.settings = self, self.outline, self._settings()
        return performer

    def _settings(self) -> dict[str, Any]:
        """Give what the router itself is set to and its tiers' chains must be, for they are what is streamed."""
        return {"output_version": "v1"} if self.router.output_version == "v1" else {}


def _is_last(part: object) -> bool:
    """Whether a part is the one that a stream with ``include_raw`` ends with; the record goes before it."""
    return isinstance(part, AddableDict) and list(part) == ["parsing_error"]


def _is_whole(part: Any) -> bool:
    """Whether a part holds a message that came whole: the record goes into it, for nothing can be added to it."""
    return isinstance(part, AddableDict) and "raw" in part and not isinstance(part["raw"], BaseMessageChunk)


class _Structured:
    """What the sync and the async call share."""

    def _given(self, decision: Decision, record: dict[str, object]) -> Any:
        found, performer = cast("Parsed", decision.answer.native), cast("Any", self).performer
        if performer.outline.include_raw:
            raw = with_record(performer.to_show(decision.tier.name, found.raw), record)
            return {"raw": raw, "parsed": found.parsed, "parsing_error": found.error}
        if found.error is not None:
            raise found.error
        return found.parsed

    def _part(self, part: object) -> Any:
        if not isinstance(part, AddableDict) or "raw" not in part:
            return part
        routed = cast("Any", self)
        raw = routed.performer.to_show(routed.run.shown_tier, cast("AIMessage", part["raw"]))
        return AddableDict({**part, "raw": raw})

    def _waits(self, waiting: list[Any]) -> bool:
        """Put a part of a stream beside those that wait for the record, where it is to wait, too."""
        part = cast("Any", self).output
        waits = _is_last(part) or any(map(_is_whole, (part, *waiting)))
        if waits:
            waiting.append(part)
        return waits

    def _closing(self, decision: Decision, record: dict[str, object], waiting: Sequence[Any]) -> list[Any]:
        """Give the last parts with the record."""
        found = cast("Parsed", decision.answer.native)
        # What a client could not parse it raised in the midst of the parts; what a chain could not is among them.
        told = {} if found.error is None or found.told else {"parsed": None, "parsing_error": found.error}
        if waiting and _is_whole(waiting[0]):
            first, *waiting = waiting
            ending = AddableDict({**first, **told, "raw": with_record(first["raw"], record)})
        else:
            ending = AddableDict(raw=last_chunk(record, None), **told)
        return [ending, *sorted(waiting, key=_is_last)]


class _StructuredCall(_Structured, RoutedCall[StructuredPerformer]):
    def finish(self, decision: Decision) -> Any:
        self.performer.release(decision)
        self.output = self._given(decision, self.record)
        return self.output

    def parts(self, natives: Generator[object]) -> Generator[Any]:
        waiting: list[object] = []
        try:
            for native in natives:
                if not isinstance(native, End):
                    self.output = self._part(native)
                    if not self._waits(waiting):
                        yield self.output
        finally:
            natives.close()
        decision = self.decision
        self.performer.release(decision)
        self.output = self._given(decision, self.record)
        if self.performer.outline.include_raw:
            yield from self._closing(decision, self.record, waiting)


class _AsyncStructuredCall(_Structured, AsyncRoutedCall[StructuredPerformer]):
    async def finish(self, decision: Decision) -> Any:
        await self.performer.arelease(decision)
        self.output = self._given(decision, self.record)
        return self.output

    async def parts(self, natives: AsyncGenerator[object]) -> AsyncGenerator[Any]:
        waiting: list[object] = []
        try:
            async for native in natives:
                if not isinstance(native, End):
                    self.output = self._part(native)
                    if not self._waits(waiting):
                        yield self.output
        finally:
            await natives.aclose()
        decision = self.decision
        await self.performer.arelease(decision)
        self.output = self._given(decision, self.record)
        if self.performer.outline.include_raw:
            for part in self._closing(decision, self.record, waiting):
                yield part
