"""Calls of the tiers' own structured chains, and what their answers and streams come to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict

from langchain_slmroute.dialects import llm_type
from langchain_slmroute.messages import answer_of, chunk_of
from langchain_slmroute.outline import Outline
from langchain_slmroute.perform import ChatPerformer
from langchain_slmroute.relay import is_streamed
from langchain_slmroute.validated import Catcher, End, is_pydantic, not_parsed, validated, with_kwargs
from slmroute.gate import Chunk, Growth
from slmroute.json_schema import fits
from slmroute.owned import Owned
from slmroute.steps import Answer, Call

if TYPE_CHECKING:
    from langchain_slmroute.structured import StructuredRouter

__all__ = ["Parsed", "StructuredPerformer"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A structured answer as its adapter keeps it; ``told`` of an error that a stream's parts hold already."""

    raw: AIMessage
    parsed: Any
    error: BaseException | None
    told: bool = False


class StructuredPerformer(ChatPerformer):
    """Calls each tier's own structured chain as a child run."""

    structured: StructuredRouter
    outline: Outline
    settings: Mapping[str, Any]

    def _call(self, call: Call) -> Answer:
        (config, catcher), include_raw = self._watched(call, watch=True), self._asks_for_raw(call)
        chain = self._chain(call, include_raw=include_raw, streams=is_streamed(config))
        try:
            result = chain.invoke(self.history(call), config)
        except (ValueError, *not_parsed()) as error:
            return self._answer(call, catcher.failed(error))
        return self._answer(call, result if include_raw else catcher.parsed(result))

    async def _acall(self, call: Call) -> Answer:
        (config, catcher), include_raw = self._watched(call, watch=True), self._asks_for_raw(call)
        chain = self._chain(call, include_raw=include_raw, streams=is_streamed(config))
        try:
            result = await chain.ainvoke(self.history(call), config)
        except (ValueError, *not_parsed()) as error:
            return self._answer(call, catcher.failed(error))
        return self._answer(call, result if include_raw else catcher.parsed(result))

    def _asks_for_raw(self, call: Call) -> bool:
        """Whether a chain is to give the message, too; else it is caught, for such chains start threads to run in."""
        # Beneath a tier that is a router there may be more messages than the one that is the answer.
        return self.outline.include_raw or llm_type(self.ready(call).model) == "slmroute"

    def _stream(self, call: Call) -> Generator[Chunk]:
        if self._whole:
            yield from self._parts(self._call(call))
            return
        chain = self._chain(call, include_raw=self.outline.include_raw, streams=True)
        (config, catcher), written = self._watched(call, watch=False), Growth()
        try:
            for part in chain.stream(self.history(call), config):
                yield _part(part, written, heard=catcher.streams)
        except (ValueError, *not_parsed()) as error:
            yield Chunk(End(catcher.failed(error)["raw"], error))
        else:
            yield Chunk(End(catcher.message, None))

    async def _astream(self, call: Call) -> AsyncGenerator[Chunk]:
        if self._whole:
            for part in self._parts(await self._acall(call)):
                yield part
            return
        chain = self._chain(call, include_raw=self.outline.include_raw, streams=True)
        (config, catcher), written = self._watched(call, watch=False), Growth()
        try:
            async with Owned(chain.astream(self.history(call), config)) as stream:
                async for part in stream:
                    yield _part(part, written, heard=catcher.streams)
        except (ValueError, *not_parsed()) as error:
            yield Chunk(End(catcher.failed(error)["raw"], error))
        else:
            yield Chunk(End(catcher.message, None))

    @property
    def _whole(self) -> bool:
        """Whether an answer is to come whole that LangChain's parsers make nothing of in a stream: a tool call's."""
        return bool(self.asked.disable_streaming) and self.outline.method == "function_calling"

    def _parts(self, answer: Answer) -> Generator[Chunk]:
        found = cast("Parsed", answer.native)
        if self.outline.include_raw:
            yield _part(
                AddableDict(raw=found.raw, parsed=found.parsed, parsing_error=found.error), Growth(), heard=True
            )
        elif found.error is None and found.parsed is not None:
            yield _part(found.parsed, Growth(), heard=True)
        yield Chunk(End(found.raw, found.error))

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        end = natives[-1] if natives and isinstance(natives[-1], End) else End(None, None)
        parts = [part for part in natives if not isinstance(part, End)]
        parsed: Any = parts[-1] if parts and end.error is None else None
        error: BaseException | None = end.error
        told = False
        if self.outline.include_raw:
            whole: Mapping[str, Any] = {}
            for part in parts:
                whole = cast("Any", whole) + part if whole else cast("Mapping[str, Any]", part)
            parsed, error = whole.get("parsed"), whole.get("parsing_error") or end.error
            told = whole.get("parsing_error") is not None
        raw = end.message or AIMessage(content="")
        return self._answer(call, {"raw": raw, "parsed": parsed, "parsing_error": error}, told=told)

    def _chain(self, call: Call, *, include_raw: bool, streams: bool) -> Runnable[Any, Any]:
        inner, kwargs = self.model(call, streams=streams)
        if self.settings:
            inner = inner.model_copy(update=self.settings)
        ready = self.ready(call)
        if inner is not ready.model:  # a copy that was made for one call is not met again
            return with_kwargs(self._built(call, inner, include_raw=include_raw), kwargs)
        chains = ready.chains.setdefault(self.structured, {})
        chain = chains.get(include_raw)
        if chain is None:
            chain = chains[include_raw] = self._built(call, inner, include_raw=include_raw)
        return with_kwargs(chain, kwargs)

    def _built(self, call: Call, inner: BaseChatModel, *, include_raw: bool) -> Runnable[Any, Any]:
        """Build a tier's own chain, which takes a good part of a millisecond."""
        outline, dialect = self.outline, self.ready(call).dialect
        given = {"method": outline.method, "strict": outline.is_strict if "strict" in dialect.binding else None}
        options = {key: value for key, value in given.items() if value is not None}
        schema = outline.schema_for(dialect)
        asked = inner.with_structured_output(schema, include_raw=include_raw, **options, **outline.kwargs)
        plain, chain = dialect.plain_schemas and is_pydantic(outline.schema), cast("Runnable[Any, Any]", asked)
        return validated(chain, outline.schema, include_raw=include_raw) if plain else chain

    def _watched(self, call: Call, *, watch: bool) -> tuple[RunnableConfig, Catcher]:
        config, catcher = self.config(call, watch=watch), Catcher()
        cast("Any", config["callbacks"]).add_handler(catcher, inherit=True)  # pyright: ignore[reportTypedDictNotRequiredAccess]
        return self.heard(call, config, beneath=True), catcher

    def _answer(self, call: Call, result: Mapping[str, Any], *, told: bool = False) -> Answer:
        raw, parsed, error = cast("AIMessage", result["raw"]), result["parsed"], result["parsing_error"]
        answer = answer_of(raw, self.provider(call))
        # A tool call is only how some tiers give their answer; whether it parses is what counts.
        good = parsed is not None and error is None and self._follows(parsed)
        return replace(answer, tool_calls=(), parsed=good, native=Parsed(raw, parsed, error, told))

    def _follows(self, parsed: object) -> bool:
        """Whether a value of JSON's kinds follows its schema, which nobody has checked yet; an object does."""
        schema = self.run.request.schema
        return (
            schema is None
            or not isinstance(parsed, dict | list | str | int | float)
            or fits(cast("object", parsed), schema)
        )


def _part(part: Any, written: Growth, *, heard: bool) -> Chunk:
    """Hand on a part.

    Args:
        part: The part.
        written: How far the object had come, where it comes without the chunks that it is read from.
        heard: Whether these are heard of by themselves, so that they are counted.
    """
    if heard:
        return Chunk(part, tool_call=True)
    if not isinstance(part, AddableDict):
        return Chunk(part, tool_call=True, unseen=written.of(str(part)))
    raw = cast("Mapping[str, Any]", part).get("raw")
    text, unseen = (raw.text, chunk_of(raw).unseen) if isinstance(raw, AIMessageChunk) else ("", "")
    return Chunk(part, text, tool_call=True, unseen=unseen)
