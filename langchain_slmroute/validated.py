"""Structured answers where a class does it otherwise: it gives dictionaries only, or its client does the parsing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata, add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableParallel, RunnableSequence
from langchain_core.runnables.retry import RunnableRetry
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ValidationError

from langchain_slmroute.usage import SERVICE_TIERS
from slmroute.errors import NothingGenerated

__all__ = ["Catcher", "End", "is_pydantic", "not_parsed", "validated", "with_kwargs"]


def is_pydantic(schema: object) -> bool:
    """Whether a schema is a Pydantic class."""
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def validated(chain: Runnable[Any, Any], schema: type[BaseModel], *, include_raw: bool) -> Runnable[Any, Any]:
    """Have the dictionaries that a structured chain gives made into objects of a Pydantic class.

    As with other chains of structured answers, of a stream's unfinished answers those that the class takes are given.

    Args:
        chain: What ``with_structured_output`` gave for the class's JSON schema.
        schema: The class.
        include_raw: Whether the chain gives ``{"raw", "parsed", "parsing_error"}``; an answer that the class does not
            take is then noted there, and raised otherwise.
    """

    def transform(parts: Iterator[Any]) -> Iterator[Any]:
        objects = _Objects(schema, include_raw=include_raw)
        for part in parts:
            yield from objects.take(part)
        yield from objects.end()

    async def atransform(parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
        objects = _Objects(schema, include_raw=include_raw)
        async for part in parts:
            for each in objects.take(part):
                yield each
        for each in objects.end():
            yield each

    return chain | RunnableGenerator(transform, atransform, name="PydanticValidation")


def with_kwargs(chain: Runnable[Any, Any], kwargs: Mapping[str, Any]) -> Runnable[Any, Any]:
    """Bind arguments to the model in a structured chain; given to the whole of it, a chain with raw would drop them."""
    if not kwargs or isinstance(chain, RunnableLambda | RunnableGenerator):  # they would hand them to their function
        return chain
    if isinstance(chain, RunnableRetry):  # as some classes wrap theirs
        return chain.model_copy(update={"bound": with_kwargs(chain.bound, kwargs)})
    if not isinstance(chain, RunnableSequence):
        return chain.bind(**kwargs)
    first, *rest = chain.steps
    if isinstance(first, RunnableParallel):
        first = RunnableParallel({name: step.bind(**kwargs) for name, step in first.steps__.items()})
    else:
        first = first.bind(**kwargs)
    return RunnableSequence(first, *rest)


def not_parsed() -> tuple[type[Exception], ...]:
    """Give the errors that mean that an answer was there and could not be parsed, by a chain or by a client."""
    openai: Any = sys.modules.get("openai")
    chat: Any = sys.modules.get("langchain_openai.chat_models.base")
    own = () if openai is None else (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError)
    return (
        OutputParserException,
        ValidationError,
        NothingGenerated,
        *own,
        *(() if chat is None else (chat.OpenAIRefusalError,)),
    )


def _unparsed(error: Exception) -> AIMessage | None:
    """Read the message that a client could not parse; None where its error does not hold it.

    OpenAI's client parses answers by itself, and hangs the HTTP response or the answer on the error: its tokens were
    paid for.
    """
    held = cast("Any", error)
    try:
        body = held.response.json() if hasattr(held, "response") else held.completion.model_dump()
        usage, choice = body["usage"], body["choices"][0]
        service = body.get("service_tier")
        prefix = f"{service}_" if service in SERVICE_TIERS else ""
        inputs = {f"{prefix}cache_read": _detail(usage, "prompt_tokens_details", "cached_tokens")}
        if prefix:
            inputs[service] = usage["prompt_tokens"] - inputs[f"{prefix}cache_read"]
        return AIMessage(
            content=choice["message"]["content"] or "",
            response_metadata={"model_name": body["model"], "finish_reason": choice["finish_reason"]},
            usage_metadata=UsageMetadata(
                input_tokens=usage["prompt_tokens"],
                output_tokens=usage["completion_tokens"],
                total_tokens=usage["total_tokens"],
                input_token_details=cast("InputTokenDetails", inputs),
                output_token_details=cast(
                    "OutputTokenDetails",
                    {f"{prefix}reasoning": _detail(usage, "completion_tokens_details", "reasoning_tokens")},
                ),
            ),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return None  # another client's error, or a body that is no chat completion


def _detail(usage: Mapping[str, Any], of: str, name: str) -> int:
    return cast("Mapping[str, int | None]", usage.get(of) or {}).get(name) or 0


@dataclass(frozen=True, slots=True)
class End:
    """The end of a structured stream: the whole message, and the error of parsing it."""

    message: AIMessage | None
    error: BaseException | None


class Catcher(BaseCallbackHandler):
    """Catches the message beneath a structured answer: its tokens must be paid for, whatever becomes of the parsing."""

    run_inline = True

    def __init__(self) -> None:
        self.message: AIMessage | None = None
        self._chunks: list[AIMessageChunk] = []

    @property
    def streams(self) -> bool:
        """Whether the message comes in chunks."""
        return bool(self._chunks)

    def on_llm_new_token(self, token: Any, *, chunk: object = None, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``."""
        if isinstance(chunk, ChatGenerationChunk) and isinstance(chunk.message, AIMessageChunk):
            self._chunks.append(chunk.message)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            self.message = generation.message

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        """See ``BaseCallbackHandler``."""
        # Clients that parse by themselves raise in the midst of an answer: this much of it was there.
        if self._chunks:
            self.message = add_ai_message_chunks(*self._chunks)

    def parsed(self, value: object) -> dict[str, Any]:
        """Give what a structured chain that gives the message, too, would have given for what it parsed."""
        return {"raw": self.message or AIMessage(content=""), "parsed": value, "parsing_error": None}

    def failed(self, error: Exception) -> dict[str, Any]:
        """Give what such a chain would have given for an answer that could not be parsed.

        Raises:
            Exception: It was something else that was wrong.
        """
        if not isinstance(error, not_parsed()) and (type(error) is not ValueError or self.message is None):
            raise error
        raw = _unparsed(error) or self.message or AIMessage(content="")
        return {"raw": raw, "parsed": None, "parsing_error": error}


class _Objects:
    """Makes objects of a chain's parts as they come."""

    def __init__(self, schema: type[BaseModel], *, include_raw: bool) -> None:
        self._schema = schema
        self._include_raw = include_raw
        self._error: ValidationError | None = None

    def take(self, part: Any) -> Iterator[Any]:
        if not self._include_raw:
            yield from self._made(part)
            return
        whole = cast("Mapping[str, Any]", part)
        for made in self._made(whole["parsed"]) if whole.get("parsed") is not None else ():
            whole = {**whole, "parsed": made}
        if self._error is not None:
            whole = {key: value for key, value in whole.items() if key != "parsed"}
        if whole:
            yield AddableDict(whole)

    def end(self) -> Iterator[Any]:
        if self._error is None:
            return
        if not self._include_raw:
            raise self._error
        yield AddableDict(parsed=None, parsing_error=self._error)

    def _made(self, value: object) -> list[BaseModel]:
        try:
            made = self._schema.model_validate(value)
        except ValidationError as error:
            self._error = error
            return []
        self._error = None
        return [made]
