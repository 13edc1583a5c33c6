"""Structured answers where a class does it otherwise: it gives dictionaries only, or its client does the parsing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ValidationError

__all__ = ["is_pydantic", "unparsed", "validated"]


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


def unparsed(error: Exception) -> dict[str, Any]:
    """Give what a structured chain would have, had it raised in its parser and not in the client beneath.

    OpenAI's client parses answers by itself, and hangs the HTTP response on the error: its tokens were paid for.

    Args:
        error: What was raised.
    """
    raw = AIMessage(content="")
    try:
        body = cast("Any", error).response.json()
        usage = body["usage"]
        raw = AIMessage(
            content=body["choices"][0]["message"]["content"] or "",
            response_metadata={"model_name": body["model"]},
            usage_metadata=UsageMetadata(
                input_tokens=usage["prompt_tokens"],
                output_tokens=usage["completion_tokens"],
                total_tokens=usage["total_tokens"],
            ),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        pass  # another client's error, or a body that is no chat completion
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
