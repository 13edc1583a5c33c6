"""A router's own rate limiter, asked for each call and not for each attempt of it."""

from __future__ import annotations

from langchain_core.rate_limiters import BaseRateLimiter

__all__ = ["OncePerCall"]


class OncePerCall(BaseRateLimiter):
    """Stands before the limiters of the tiers that one call asks.

    They ask it when they are about to send a request, so that an answer out of a cache waits for nothing.

    Args:
        limiter: The router's.
    """

    def __init__(self, limiter: BaseRateLimiter) -> None:
        self._limiter = limiter
        self._asked = False

    def before(self, own: BaseRateLimiter | None) -> BaseRateLimiter:
        """Give the limiter of a tier: this one, and then its own."""
        return self if own is None else _Both(self, own)

    def acquire(self, *, blocking: bool = True) -> bool:
        """See ``BaseRateLimiter``."""
        if self._asked:
            return True
        self._asked = True
        return self._limiter.acquire(blocking=blocking)

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """See ``BaseRateLimiter``."""
        if self._asked:
            return True
        self._asked = True
        return await self._limiter.aacquire(blocking=blocking)


class _Both(BaseRateLimiter):
    def __init__(self, first: BaseRateLimiter, second: BaseRateLimiter) -> None:
        self._first = first
        self._second = second

    def acquire(self, *, blocking: bool = True) -> bool:
        return self._first.acquire(blocking=blocking) and self._second.acquire(blocking=blocking)

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return await self._first.aacquire(blocking=blocking) and await self._second.aacquire(blocking=blocking)
