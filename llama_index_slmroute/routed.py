"""One routed call in LlamaIndex: the answer with its record, and what events and callbacks are told."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.callbacks import CallbackManager
from llama_index_instrumentation import get_dispatcher

from llama_index_slmroute.answers import Response
from llama_index_slmroute.callbacks import RouteCallbackHandler, RouteDecisionEvent
from llama_index_slmroute.loops import WrittenLoops
from llama_index_slmroute.messages import extras, with_record
from llama_index_slmroute.perform import SILENT_KEY, ChatPerformer
from llama_index_slmroute.queries import Query
from llama_index_slmroute.structured import Parsed
from slmroute.drive import adrive_stream, drive_stream
from slmroute.owned import Owned
from slmroute.run import Run
from slmroute.steps import Decision

__all__ = ["RoutedCall"]

PerformerT = TypeVar("PerformerT", bound=ChatPerformer)

_dispatcher: Final = get_dispatcher(__name__)


@dataclass(slots=True)
class _Tail:
    """Keeps back the chunk that may turn out to be the last, for that one carries the record.

    Only chunks without text wait, which providers' streams end with: no token is shown a moment later for it. Where a
    stream has ended with text, as those of users' own classes do, its last chunk is given the record once it is read.
    """

    waiting: Response | None = None
    last: Response | None = None

    def show(self, chunk: Response) -> Sequence[Response]:
        """Take a chunk; gives the chunks to show now."""
        if extras(chunk).get(SILENT_KEY):
            return ()
        before, self.waiting = ([self.waiting] if self.waiting is not None else []), None
        self.last = chunk
        if chunk.delta or extras(chunk).get("thinking_delta"):
            return [*before, chunk]
        self.waiting = chunk
        return before

    def end(self, record: dict[str, object]) -> Sequence[Response]:
        """Give the last chunk, with the record; none where the stream was empty."""
        if self.waiting is not None:
            return [with_record(self.waiting, record)]
        if self.last is not None:  # shown already; it is a copy of ours, which nobody else holds
            marked = with_record(self.last, record)
            if isinstance(self.last, ChatResponse) and isinstance(marked, ChatResponse):
                self.last.message = marked.message
            else:
                cast("Any", self.last).additional_kwargs = extras(marked)
        return ()


class RoutedCall(AbstractContextManager["RoutedCall[PerformerT]"], Generic[PerformerT]):
    """A call from its beginning, whose context and span it remembers, until its record has been handed out.

    Args:
        run: The call.
        performer: Calls the tiers.
        callbacks: The router's callback manager.
        query: The query that it is made for, or None.
        loops: Where it is noted who gave a step of an agent's loop.
    """

    def __init__(
        self, run: Run, performer: PerformerT, callbacks: CallbackManager, query: Query | None, loops: WrittenLoops
    ) -> None:
        self.run = run
        self.performer = performer
        self._callbacks = callbacks
        self._query = query
        self._loops = loops

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        record, decision = self.run.record, self.run.decision
        if record is None:
            return
        if decision is not None:
            self._loops.note(self.performer.asked.messages, decision.answer.text, decision.tier.name)
        handlers = [each for each in self._callbacks.handlers if isinstance(each, RouteCallbackHandler)]
        for handler in handlers:
            handler.costs.add(record)
        if handlers and self._query is not None:
            self._query.note(self.record)
        span = self.performer.asked.place.span
        event = RouteDecisionEvent(span_id=span, tier=record.tier, reason=record.reason, record=self.record)
        _dispatcher.event(event)

    @cached_property
    def record(self) -> dict[str, Any]:
        """The call's record as plain JSON."""
        assert self.run.record is not None  # noqa: S101  the driver has settled it
        return self.run.record.to_json()

    def response(self, decision: Decision) -> Any:
        """Give the answer that was decided on, with the record."""
        return with_record(cast("Any", decision.answer.native), self.record)

    def value(self, decision: Decision) -> Any:
        """Give the object that was decided on.

        Raises:
            ValueError: No tier's answer could be parsed; the last one's own error.
            TypeError: As above.
        """
        parsed = cast("Parsed", decision.answer.native)
        if parsed.error is not None:
            raise parsed.error
        return parsed.value

    def chunks(self) -> Generator[Any]:
        """Drive the call, giving the chunks of the answer."""
        tail = _Tail()
        with self, closing(drive_stream(self.run, self.performer)) as natives:
            for native in natives:
                yield from tail.show(cast("Response", native))
            yield from tail.end(self.record)

    async def achunks(self) -> AsyncGenerator[Any]:
        """Drive the call, giving the chunks of the answer, asynchronously."""
        tail = _Tail()
        with self:
            async with Owned(adrive_stream(self.run, self.performer)) as natives:
                async for native in natives:
                    for chunk in tail.show(cast("Response", native)):
                        yield chunk
            for chunk in tail.end(self.record):
                yield chunk

    def parts(self) -> Generator[Any]:
        """Drive the call, giving the object as far as it has come.

        Raises:
            ValueError: See ``value``.
            TypeError: See ``value``.
        """
        error: Exception | None = None
        with self, closing(drive_stream(self.run, self.performer)) as natives:
            for native in natives:
                parsed = cast("Parsed", native)
                error = parsed.error
                if error is None:
                    yield parsed.value
        if error is not None:
            raise error

    async def aparts(self) -> AsyncGenerator[Any]:
        """Drive the call, giving the object as far as it has come, asynchronously; see ``parts``."""
        error: Exception | None = None
        with self:
            async with Owned(adrive_stream(self.run, self.performer)) as natives:
                async for native in natives:
                    parsed = cast("Parsed", native)
                    error = parsed.error
                    if error is None:
                        yield parsed.value
        if error is not None:
            raise error
