"""Errors that are both ours and LangChain's, for code that catches, retries or recovers by LangChain's classes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

from langchain_core.exceptions import ContextOverflowError, ModelError

from slmroute.availability import is_too_long
from slmroute.errors import NoTierAnswered, PromptTooLong, SlmrouteError

__all__ = ["as_langchains", "told_as_langchains"]


def as_langchains(error: BaseException) -> BaseException:
    """Give an error of ours so that it is of LangChain's class, too, where there is one for what has happened.

    A bare model raises ``ContextOverflowError`` for a prompt that is too long, ``ModelAuthenticationError`` for a key
    that is refused, and so on; middleware that summarises or retries goes by these.

    Args:
        error: Whatever a routed call raised.

    Returns:
        The same error, or one that is an instance of its class and of LangChain's, with the same causes.
    """
    found = _class_of(error) if isinstance(error, SlmrouteError) and not isinstance(error, ModelError) else None
    if found is None:
        return error
    both = cast("BaseException", _both(type(error), found)(*error.args))
    both.__dict__.update(error.__dict__)
    both.__cause__, both.__suppress_context__ = error.__cause__, True
    return both.with_traceback(error.__traceback__)


@contextmanager
def told_as_langchains() -> Generator[None]:
    """Have the errors of what is done inside come out as ``as_langchains`` gives them."""
    try:
        yield
    except SlmrouteError as error:
        told = as_langchains(error)
        if told is error:
            raise
        raise told from error.__cause__


def _class_of(error: BaseException) -> type[ModelError] | None:
    """LangChain's class for what has happened, as a bare model would have raised it."""
    if isinstance(error, NoTierAnswered):
        found = {_class_of(each) for each in error.exceptions}
        if len(found) == 1:
            return found.pop()
        # Of several kinds none is right, but that asking again is in vain is still to be told.
        in_vain = all(kind is not None and not kind.is_retryable for kind in found)
        return ModelError if in_vain else None
    if isinstance(error, PromptTooLong) or (isinstance(error, Exception) and is_too_long(error)):
        return ContextOverflowError
    if isinstance(error, ModelError):
        return next(kind for kind in type(error).__mro__ if kind.__module__ == ModelError.__module__)
    return None if error.__cause__ is None or not isinstance(error, SlmrouteError) else _class_of(error.__cause__)


@cache
def _both(ours: type[SlmrouteError], langchains: type[ModelError]) -> type[SlmrouteError]:
    def reduce(self: Any) -> tuple[Any, ...]:
        return _made, (ours, langchains, self.args)

    return type(ours.__name__, (ours, langchains), {"__module__": ours.__module__, "__reduce__": reduce})


def _made(ours: type[SlmrouteError], langchains: type[ModelError], args: tuple[Any, ...]) -> SlmrouteError:
    return _both(ours, langchains)(*args)
