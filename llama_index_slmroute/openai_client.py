"""OpenAI clients whose streams can be ended, and whose requests are counted that got no whole answer.

LlamaIndex's OpenAI class drops a stream that is not read to its end: it holds on to itself, so that its request goes
on, and is paid for, until Python collects its garbage. And the class asks again by itself what its client has asked
for again and again already; of all that only the last error is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

from llama_index.core.bridge.pydantic import ValidationError
from llama_index.core.llms import LLM

from slmroute.attempt import Attempt
from slmroute.availability import availability_errors
from slmroute.unanswered import may_count

__all__ = ["Watch", "WatchedAsyncClient", "WatchedClient", "aclose_streams", "close_streams", "parsed_answers"]

_WAYS: Final = frozenset({"chat", "completions", "responses"})
"""The parts of a client that lead to the methods that ask a model."""


@dataclass(slots=True)
class Watch:
    """What becomes of the requests of one call.

    Attributes:
        attempt: Where it is noted how many requests of earlier rounds may count, or None.
        streams: The streams that were opened.
        parsed: The answers that the client parsed itself, whose class tells no callbacks of them; None for each that
            could not be parsed.
        late: How many requests of the latest round may count though no answer came.
    """

    attempt: Attempt | None = None
    streams: list[Any] = field(default_factory=list[Any])
    parsed: list[Any] = field(default_factory=list[Any])
    late: int = 0

    @contextmanager
    def parsing(self) -> Generator[None]:
        """Watch one round of asking for an answer that the client parses."""
        with self.round():
            try:
                yield
            except ValidationError:
                self.parsed.append(None)
                raise

    @contextmanager
    def round(self) -> Generator[None]:
        """Watch one round of asking."""
        if self.attempt is not None:
            self.attempt.ask_again(self.late)
        self.late = 0
        try:
            yield
        except availability_errors() as error:
            self.late = may_count(error, outside=0 if self.attempt is None else self.attempt.outside)
            raise


class WatchedClient:
    """Stands for an OpenAI client, or a part of one, and notes what becomes of its requests.

    Args:
        client: Gives the client, which may be made when first needed.
        watch: Where it is noted.
    """

    def __init__(self, client: Callable[[], Any], watch: Watch) -> None:
        self._slmroute_client = client
        self._slmroute_watch = watch

    def create(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the client's own method does."""
        with self._slmroute_watch.round():
            return self._noted(self._slmroute_client().create(*args, **kwargs))

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the client's own method does."""
        with self._slmroute_watch.parsing():
            return self._noted_parsed(self._slmroute_client().parse(*args, **kwargs))

    def _noted_parsed(self, answer: Any) -> Any:
        self._slmroute_watch.parsed.append(answer)
        return answer

    def _noted(self, answer: Any) -> Any:
        if hasattr(answer, "close"):
            self._slmroute_watch.streams.append(answer)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_slmroute"):  # not there while a copy is being made
            raise AttributeError(name)
        if name in _WAYS:
            return type(self)(lambda: getattr(self._slmroute_client(), name), self._slmroute_watch)
        return getattr(self._slmroute_client(), name)


class WatchedAsyncClient(WatchedClient):
    """Stands for an asynchronous OpenAI client, and notes what becomes of its requests."""

    async def create(self, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do what the client's own method does."""
        with self._slmroute_watch.round():
            return self._noted(await self._slmroute_client().create(*args, **kwargs))

    async def parse(self, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do what the client's own method does."""
        with self._slmroute_watch.parsing():
            return self._noted_parsed(await self._slmroute_client().parse(*args, **kwargs))


def close_streams(llm: LLM) -> None:
    """End the streams that an LLM has opened with a watched client; those that were read to their end are ended."""
    for watch in _watches(llm, "_client"):
        for stream in watch.streams:
            stream.close()


async def aclose_streams(llm: LLM) -> None:
    """Do what ``close_streams`` does for those of an asynchronous client."""
    for watch in _watches(llm, "_aclient"):
        for stream in watch.streams:
            await stream.close()


def parsed_answers(llm: LLM) -> list[Any]:
    """Give the answers that an LLM's watched client has parsed itself; None for each that could not be parsed."""
    return [answer for watch in _watches(llm, "_client") for answer in watch.parsed]


def _watches(llm: LLM, name: str) -> list[Watch]:
    private: dict[str, Any] = llm.__pydantic_private__ or {}
    client = cast("object", private.get(name))
    return [client._slmroute_watch] if isinstance(client, WatchedClient) else []  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
