"""Asynchronous generators within one another: the outer one closes the inner, and nobody else does.

An event loop that ends closes all generators that it knows, at the same time. One that its reader closes as well would
then be closed twice at once, which is an error; so the loop is not told of it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar, cast

__all__ = ["Owned"]

T = TypeVar("T")


@contextmanager
def _unknown_to_the_loop() -> Generator[None]:
    """Have generators that begin inside not be told of; it must not span an await."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)


class Owned(Generic[T]):
    """Closes an asynchronous generator at the end, as ``contextlib.aclosing`` does, and alone.

    Args:
        inner: The generator, which nobody has read from yet, or another iterator, which may have nothing to close.

    Example:
        >>> async def outer(inner):
        ...     async with Owned(inner) as items:
        ...         async for item in items:
        ...             yield item
    """

    def __init__(self, inner: AsyncIterator[T]) -> None:
        self._inner = inner
        self._begun = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[T]:
        if self._begun:
            return self._inner.__anext__()
        self._begun = True
        with _unknown_to_the_loop():
            return self._inner.__anext__()

    async def aclose(self) -> None:
        """Close the generator."""
        inner = cast("Any", self._inner)
        if hasattr(inner, "aclose"):
            with _unknown_to_the_loop():
                closed = inner.aclose()
            await closed
