"""Structured answers: the chosen tier's own chain runs, and an answer that does not parse escalates."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict

from langchain_slmroute.dialects import llm_type
from langchain_slmroute.messages import answer_of, chunk_of, last_chunk, with_record
from langchain_slmroute.outline import Outline
from langchain_slmroute.perform import Asked, ChatPerformer, Child
from langchain_slmroute.relay import is_streamed
from langchain_slmroute.routed import AsyncRoutedCall, RoutedCall
from langchain_slmroute.schemas import json_schema_of
from langchain_slmroute.validated import Catcher, End, is_pydantic, not_parsed, validated, with_kwargs
from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.gate import Chunk, Growth
from slmroute.json_schema import fits
from slmroute.owned import Owned
from slmroute.steps import Answer, Call, Decision

if TYPE_CHECKING:
    from langchain_slmroute.chat_model import RoutingChatModel

__all__ = ["StructuredRouter"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A structured answer as its adapter keeps it; ``told`` of an error that a stream's parts hold already."""

    raw: AIMessage
    parsed: Any
    error: BaseException | None
    told: bool = False


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
                yield _part(part, written)
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
                    yield _part(part, written)
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
            yield _part(AddableDict(raw=found.raw, parsed=found.parsed, parsing_error=found.error), Growth())
        elif found.error is None and found.parsed is not None:
            yield _part(found.parsed, Growth())
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
        return config, catcher

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


def _part(part: Any, written: Growth) -> Chunk:
    """Hand on a part; ``written`` is how far the object had come, where it comes without the chunks it is read from."""
    if not isinstance(part, AddableDict):
        return Chunk(part, tool_call=True, unseen=written.of(str(part)))
    raw = cast("Mapping[str, Any]", part).get("raw")
    text, unseen = (raw.text, chunk_of(raw).unseen) if isinstance(raw, AIMessageChunk) else ("", "")
    return Chunk(part, text, tool_call=True, unseen=unseen)


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

    def _closing(self, decision: Decision, record: dict[str, object]) -> Any:
        raw, found = last_chunk(record, None), cast("Parsed", decision.answer.native)
        # What a client could not parse it raised in the midst of the parts; what a chain could not is among them.
        told = {} if found.error is None or found.told else {"parsed": None, "parsing_error": found.error}
        return AddableDict(raw=raw, **told)


class _StructuredCall(_Structured, RoutedCall[StructuredPerformer]):
    def finish(self, decision: Decision) -> Any:
        self.performer.release(decision)
        self.output = self._given(decision, self.record)
        return self.output

    def parts(self, natives: Generator[object]) -> Generator[Any]:
        try:
            for native in natives:
                if not isinstance(native, End):
                    self.output = self._part(native)
                    yield self.output
        finally:
            natives.close()
        decision = self.decision
        self.performer.release(decision)
        self.output = self._given(decision, self.record)
        if self.performer.outline.include_raw:
            yield self._closing(decision, self.record)


class _AsyncStructuredCall(_Structured, AsyncRoutedCall[StructuredPerformer]):
    async def finish(self, decision: Decision) -> Any:
        await self.performer.arelease(decision)
        self.output = self._given(decision, self.record)
        return self.output

    async def parts(self, natives: AsyncGenerator[object]) -> AsyncGenerator[Any]:
        try:
            async for native in natives:
                if not isinstance(native, End):
                    self.output = self._part(native)
                    yield self.output
        finally:
            await natives.aclose()
        decision = self.decision
        await self.performer.arelease(decision)
        self.output = self._given(decision, self.record)
        if self.performer.outline.include_raw:
            yield self._closing(decision, self.record)
