"""Structured answers: the chosen tier's own way of getting one, and one that does not parse escalates."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.bridge.pydantic import BaseModel, ValidationError
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate

from llama_index_slmroute.answers import Response, answer_of
from llama_index_slmroute.callbacks import WatchedCallbacks
from llama_index_slmroute.openai_client import parsed_answers
from llama_index_slmroute.perform import Asked, ChatPerformer, OwnedStream, closed_after
from slmroute.gate import Chunk, Growth
from slmroute.steps import Answer, Call

__all__ = ["Outline", "Parsed", "StructuredPerformer"]

_NOT_PARSED = (TypeError, ValueError)
"""What LlamaIndex raises for an answer that is not what was asked for, ``ValidationError`` included."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What kind of structured answer is wanted.

    Attributes:
        output_cls: Its class.
        prompt: The prompt.
        arguments: The prompt's arguments.
        as_given: Whether a tier may be handed the prompt as it is, because the router changes nothing about it.
    """

    output_cls: type[BaseModel]
    prompt: BasePromptTemplate
    arguments: Mapping[str, Any] = field(repr=False)
    as_given: bool


@dataclass(frozen=True, slots=True)
class Parsed:
    """A structured answer, or a part of one, as its adapter keeps it.

    Attributes:
        value: The object.
        error: Why there is none.
        whole: The neutral answer, where it came whole although a stream was asked for.
    """

    value: Any
    error: Exception | None = None
    whole: Answer | None = None


@dataclass(slots=True)
class _Tail:
    """Keeps back an object that has not grown: it may come of the chunk with the usage that only we asked for."""

    waiting: Chunk | None = None

    def show(self, chunk: Chunk) -> Sequence[Chunk]:
        """Take an object; gives those to show now."""
        before = () if self.waiting is None else (self.waiting,)
        self.waiting = None if chunk.unseen else chunk
        return (*before, chunk) if chunk.unseen else before

    def end(self, *, silent: bool) -> Sequence[Chunk]:
        """Give what was kept back, unless a bare LLM would not have had it."""
        return () if silent or self.waiting is None else (self.waiting,)


class StructuredPerformer(ChatPerformer):
    """Has tiers answer by their ``structured_predict`` methods, which give an object and nothing beside.

    What was really answered, and so its tokens, comes from the events of the call.

    Args:
        asked: The call.
        outline: What is wanted.
    """

    def __init__(self, asked: Asked, outline: Outline) -> None:
        super().__init__(asked)
        self.outline = outline
        self._seen: list[Response] = []

    def callbacks(self, call: Call) -> CallbackManager:
        """See ``ChatPerformer``."""
        self._seen.clear()
        inner = self.asked.callbacks or self.models.model(call.tier).callback_manager
        return WatchedCallbacks(inner, lambda response: self._note(call, response))

    def prepared(self, call: Call) -> tuple[Any, dict[str, Any]]:
        """See ``ChatPerformer``."""
        llm, kwargs = super().prepared(call)
        if self.models.dialect(call.tier).provider is None:
            _overhear(llm, self._seen, lambda response: self._note(call, response))
        return llm, kwargs

    def _call(self, call: Call) -> Answer:
        self.models.prepare(call.tier)
        llm, kwargs = self.prepared(call)
        prompt, arguments = self._prompt(call)
        try:
            value = llm.structured_predict(self.outline.output_cls, prompt, llm_kwargs=kwargs, **arguments)
        except _NOT_PARSED as error:
            self._hear_parsed(call, llm)
            return self._failed(call, error)
        self._hear_parsed(call, llm)
        return self._answer(call, Parsed(value))

    async def _acall(self, call: Call) -> Answer:
        await self.models.aprepare(call.tier)
        llm, kwargs = self.prepared(call)
        prompt, arguments = self._prompt(call)
        try:
            value = await llm.astructured_predict(self.outline.output_cls, prompt, llm_kwargs=kwargs, **arguments)
        except _NOT_PARSED as error:
            self._hear_parsed(call, llm)
            return self._failed(call, error)
        self._hear_parsed(call, llm)
        return self._answer(call, Parsed(value))

    def _stream(self, call: Call) -> Generator[Chunk]:
        if call.hold:  # an answer that is judged by its log-probabilities is held, and so may come whole
            yield _whole(self._call(call))
            return
        self.models.prepare(call.tier)
        llm, kwargs, asks_usage = self.prepared_stream(call)
        prompt, arguments = self._prompt(call)
        with self.asked.place.again():
            stream = llm.stream_structured_predict(self.outline.output_cls, prompt, llm_kwargs=kwargs, **arguments)
        written, tail = Growth(), _Tail()
        try:
            with closed_after(stream, llm) as values:
                for value in values:
                    yield from tail.show(_chunk(Parsed(value), written))
            yield from tail.end(silent=asks_usage and self._told_usage())
        except _NOT_PARSED as error:
            if not self._seen:  # it was not the answer that was wrong
                raise
            yield _chunk(Parsed(None, error), written)

    async def _astream(self, call: Call) -> AsyncGenerator[Chunk]:
        if call.hold:
            yield _whole(await self._acall(call))
            return
        await self.models.aprepare(call.tier)
        llm, kwargs, asks_usage = self.prepared_stream(call)
        prompt, arguments = self._prompt(call)
        ask = llm.astream_structured_predict
        with self.asked.place.again():
            stream = await ask(self.outline.output_cls, prompt, llm_kwargs=kwargs, **arguments)
        written, tail = Growth(), _Tail()
        try:
            async with OwnedStream(stream, llm) as values:
                async for value in values:
                    for chunk in tail.show(_chunk(Parsed(value), written)):
                        yield chunk
            for chunk in tail.end(silent=asks_usage and self._told_usage()):
                yield chunk
        except _NOT_PARSED as error:
            if not self._seen:  # it was not the answer that was wrong
                raise
            yield _chunk(Parsed(None, error), written)

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        last = cast("Parsed", natives[-1]) if natives else Parsed(None, ValueError("The stream held no object."))
        if last.whole is not None:
            return last.whole
        return self._answer(call, last if last.error else self._checked(last))

    def _checked(self, last: Parsed) -> Parsed:
        """Hold the last object of a stream against its class: on the way objects may lack anything."""
        try:
            dumped = last.value.model_dump() if isinstance(last.value, BaseModel) else last.value
            self.outline.output_cls.model_validate(dumped)
        except ValidationError as error:
            return Parsed(last.value, error)
        return last

    def _told_usage(self) -> bool:
        """Whether the last chunk of the stream that has ended brought nothing but its usage."""
        return bool(self._seen) and getattr(self._seen[-1].raw, "choices", None) == []

    def _prompt(self, call: Call) -> tuple[BasePromptTemplate, Mapping[str, Any]]:
        if self.outline.as_given and call.draft is None:
            return self.outline.prompt, self.outline.arguments
        return ChatPromptTemplate(message_templates=self.history(call)), {}

    def _note(self, call: Call, response: Response) -> None:
        """Note what the LLM has answered; it may be asked again, and all of it counts."""
        self._seen.append(response)
        if self.run.open is not None:
            self.run.open.end_request(answer_of([response], self.models.provider(call.tier)))

    def _hear_parsed(self, call: Call, llm: Any) -> None:
        """Note what a class has had its client parse, without a word to callbacks."""
        for raw in parsed_answers(llm) if not self._seen else ():
            text = getattr(raw, "output_text", "")
            self._note(call, ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=text), raw=raw))

    def _failed(self, call: Call, error: Exception) -> Answer:
        if not self._seen:  # it was not the answer that was wrong
            raise error
        return self._answer(call, Parsed(None, error))

    def _answer(self, call: Call, parsed: Parsed) -> Answer:
        provider = self.models.provider(call.tier)
        base = answer_of(self._seen[-1:], provider) if self._seen else Answer()
        self._seen.clear()
        text = base.text or (_json(parsed.value) if parsed.error is None else "")
        # A tool call is only how some tiers give their answer; whether it parses is what counts.
        return replace(
            base,
            text=text,
            tool_calls=(),
            parsed=parsed.error is None,
            provider=provider,
            native=parsed,
        )


def _overhear(llm: Any, seen: Sequence[Response], note: Callable[[Response], object]) -> None:
    """Note what an LLM answers although it may tell no callbacks of it, as users' own classes do not.

    Args:
        llm: The copy of it that is made for one call.
        seen: What is known of its answers; what callbacks have told of stands there already.
        note: Called with an answer that is not.
    """

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            before = len(seen)
            response = method(*args, **kwargs)
            if len(seen) == before:
                note(response)
            return response

        return answer

    def anoting(method: Callable[..., Any]) -> Callable[..., Any]:
        async def answer(*args: Any, **kwargs: Any) -> Any:
            before = len(seen)
            response = await method(*args, **kwargs)
            if len(seen) == before:
                note(response)
            return response

        return answer

    # Not as attributes, which Pydantic has none of but the class's own: before its methods these are found.
    llm.__dict__.update({name: noting(getattr(llm, name)) for name in ("chat", "complete")})
    llm.__dict__.update({name: anoting(getattr(llm, name)) for name in ("achat", "acomplete")})


def _whole(answer: Answer) -> Chunk:
    parsed = cast("Parsed", answer.native)
    return _chunk(replace(parsed, whole=answer), Growth())


def _chunk(parsed: Parsed, written: Growth) -> Chunk:
    """Hand on an object as far as it has come; ``written`` is how far it had come before."""
    unseen = written.of(_json(parsed.value)) if parsed.error is None else ""
    return Chunk(parsed, tool_call=True, unseen=unseen)


def _json(value: Any) -> str:
    return value.model_dump_json() if isinstance(value, BaseModel) else json.dumps(value, default=str)
