"""A router beneath its public methods: how a call is put to the core, and streams in which it is the only run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from langchain_slmroute.callbacks import counted
from langchain_slmroute.limiter import OncePerCall
from langchain_slmroute.messages import request_of
from langchain_slmroute.private import PrivatePerformer
from langchain_slmroute.routed import Asked
from langchain_slmroute.router import Router
from slmroute.context import current_context
from slmroute.drive import adrive, adrive_stream, drive, drive_stream
from slmroute.owned import Owned
from slmroute.request import RouteRequest
from slmroute.run import Run

__all__ = ["ModelLevel"]


class ModelLevel(Router):
    """What LangChain itself calls of a chat model; ``RoutingChatModel`` is the one to use.

    Its model-level v3 streams come by here. The router is then the run, and the tiers' calls are none.
    """

    def _call_arguments(
        self, stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[dict[str, Any], str | None, bool]:
        """Give what goes to the tier, the tier asked for by name, and whether to stay local."""
        rest, tier, model = dict(kwargs), None, None
        if rest:
            for tracing_only in ("ls_structured_output_format", "structured_output_format"):
                rest.pop(tracing_only, None)
            tier, model = rest.pop("tier", None), rest.pop("model", None)
        stop = stop if stop is not None else list(self.stop) if self.stop else None
        if stop is not None:
            rest["stop"] = stop
        if self.streaming and "stream" not in rest:
            rest["stream"] = True
        return rest, tier or model, bool(rest.pop("local_only", False))

    def _asked(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        schema: Mapping[str, object] | None = None,
    ) -> Asked:
        """Put a call to the core, once it is known what the tiers can do."""
        request, rest = self._request(messages, stop, kwargs, schema)
        self.models.prepare(request)
        return self._asked_of(request, messages, rest)

    async def _aasked(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        schema: Mapping[str, object] | None = None,
    ) -> Asked:
        """Do what ``_asked`` does without holding up the event loop."""
        request, rest = self._request(messages, stop, kwargs, schema)
        await self.models.aprepare(request)
        return self._asked_of(request, messages, rest)

    def _request(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        schema: Mapping[str, object] | None,
    ) -> tuple[RouteRequest, dict[str, Any]]:
        rest, tier, local_only = self._call_arguments(stop, kwargs)
        request = request_of(
            messages,
            rest,
            context=current_context(),
            engine=self.engine.number,
            tier=tier,
            local_only=local_only,
            schema=schema,
        )
        return request, rest

    def _asked_of(self, request: RouteRequest, messages: Sequence[BaseMessage], rest: dict[str, Any]) -> Asked:
        models = self.models
        run = Run(self.engine, request, models.known(request, rest))
        limiter = OncePerCall(self.rate_limiter) if self.rate_limiter else None
        return Asked(run, models, messages, rest, self.cache, limiter, self.disable_streaming)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        performer = PrivatePerformer(self._asked(messages, stop, _unstreamed(kwargs)))
        with counted(performer.run, run_manager):
            return performer.result(drive(performer.run, performer))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        performer = PrivatePerformer(await self._aasked(messages, stop, _unstreamed(kwargs)))
        with counted(performer.run, run_manager):
            return performer.result(await adrive(performer.run, performer))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Generator[ChatGenerationChunk]:
        performer = PrivatePerformer(self._asked(messages, stop, _unstreamed(kwargs)))
        with counted(performer.run, run_manager), closing(drive_stream(performer.run, performer)) as natives:
            for native in natives:
                yield performer.generation(cast("AIMessage", native))
        yield performer.last_generation()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk]:
        performer = PrivatePerformer(await self._aasked(messages, stop, _unstreamed(kwargs)))
        with counted(performer.run, run_manager):
            async with Owned(adrive_stream(performer.run, performer)) as natives:
                async for native in natives:
                    yield performer.generation(cast("AIMessage", native))
        yield performer.last_generation()


def _unstreamed(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if key != "stream"}
