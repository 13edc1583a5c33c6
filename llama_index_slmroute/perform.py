"""Does the core's ``Call`` steps with LlamaIndex's LLMs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM

from llama_index_slmroute.answers import Response, answer_of, chunk_of
from llama_index_slmroute.arguments import for_ollama, for_others
from llama_index_slmroute.carried import without_records
from llama_index_slmroute.messages import extras, for_tier
from llama_index_slmroute.models import TierModels
from llama_index_slmroute.openai_client import aclose_streams, close_streams
from llama_index_slmroute.place import Place
from slmroute.draft import with_draft
from slmroute.gate import Chunk, Growth
from slmroute.once_more import OnceMore
from slmroute.owned import Owned
from slmroute.run import Run
from slmroute.steps import Answer, Call
from slmroute.token_probabilities import asking

__all__ = ["SILENT_KEY", "TIER_KEY", "Asked", "ChatPerformer", "CompletionPerformer", "ToolPerformer"]

ResponseT = TypeVar("ResponseT", bound=Response)

TIER_KEY: Final = "slmroute_tier"
"""Where a response's ``additional_kwargs`` say which tier gave it, in every chunk of a stream."""

SILENT_KEY: Final = "slmroute_silent"
"""Marks the chunk of a stream that only brings the usage that we asked for: a bare LLM would not have had it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the performers need it.

    Attributes:
        run: The call in progress.
        models: The tiers' LLMs.
        messages: The conversation.
        kwargs: The call's arguments, without those that are the router's own.
        place: Where the call stands in traces.
        callbacks: The callback manager for the tiers, or None where they keep their own.
    """

    run: Run
    models: TierModels
    messages: Sequence[ChatMessage] = field(repr=False)
    kwargs: Mapping[str, Any] = field(repr=False)
    place: Place
    callbacks: CallbackManager | None = None


class ChatPerformer(OnceMore):
    """Has tiers answer by their ``chat`` methods, once more where one refuses what only we asked for.

    Args:
        asked: The call.
    """

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked.run, asked.models)
        self.asked = asked
        self.models = asked.models

    def _call(self, call: Call) -> Answer:
        self.models.prepare(call.tier)
        llm, kwargs = self.prepared(call)
        return self.answer(call, [self.ask(llm, call, kwargs)])

    async def _acall(self, call: Call) -> Answer:
        await self.models.aprepare(call.tier)
        llm, kwargs = self.prepared(call)
        return self.answer(call, [await self.aask(llm, call, kwargs)])

    def _stream(self, call: Call) -> Generator[Chunk]:
        self.models.prepare(call.tier)
        llm, kwargs, asks_usage = self.prepared_stream(call)
        with self.asked.place.again():
            stream = self.ask_stream(llm, call, kwargs)
        written = Growth()
        with closed_after(stream, llm) as responses:
            for response in responses:
                yield chunk_of(_marked(response, call, asks_usage=asks_usage), written)

    async def _astream(self, call: Call) -> AsyncGenerator[Chunk]:
        await self.models.aprepare(call.tier)
        llm, kwargs, asks_usage = self.prepared_stream(call)
        with self.asked.place.again():
            stream = await self.aask_stream(llm, call, kwargs)
        written = Growth()
        async with OwnedStream(stream, llm) as responses:
            async for response in responses:
                yield chunk_of(_marked(response, call, asks_usage=asks_usage), written)

    def collect(self, call: Call, natives: Sequence[object]) -> Answer:
        """See ``drive.Performer``."""
        responses = cast("Sequence[Response]", natives)
        return answer_of(responses, self.models.provider(call.tier)) if responses else Answer(native=None)

    # --- how the tier's own methods are called ---

    def ask(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Response:
        """Have the tier answer."""
        return llm.chat(self.history(call), **kwargs)

    async def aask(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Response:
        """Have the tier answer, asynchronously."""
        return await llm.achat(self.history(call), **kwargs)

    def ask_stream(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Generator[Response]:
        """Have the tier answer in chunks."""
        return llm.stream_chat(self.history(call), **kwargs)

    async def aask_stream(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> AsyncGenerator[Response]:
        """Have the tier answer in chunks, asynchronously."""
        return await llm.astream_chat(self.history(call), **kwargs)

    # --- preparing a call, in each tier's own terms ---

    def prepared(self, call: Call) -> tuple[Any, dict[str, Any]]:
        """Give the tier's LLM, and the arguments of its call."""
        dialect, name = self.models.dialect(call.tier), call.tier.name
        # Log-probabilities are asked for only where something is to be judged by them.
        logprobs = call.hold and self.run.policy.judge is None and name not in self.models.no_logprobs
        if logprobs and "logprobs" not in self.asked.kwargs:
            self._unasked.add(name)
        how = dialect.logprobs if logprobs else dict[str, Any]()
        asked = asking(how, self.run.engine.calibrator, self.models.model(call.tier))
        if dialect.is_ollama:
            kwargs, options = for_ollama(self.asked.kwargs)
            return self.models.copy(call.tier, self.callbacks(call), logprobs=asked, options=options), kwargs
        kwargs = for_others(self.asked.kwargs)
        llm = self.models.copy(call.tier, self.callbacks(call), attempt=self.run.open)
        return llm, {**asked, **kwargs}

    def prepared_stream(self, call: Call) -> tuple[Any, dict[str, Any], bool]:
        """Do the same for a stream; gives also whether its usage is asked for by us and not by the user."""
        llm, kwargs = self.prepared(call)
        own: Mapping[str, Any] = getattr(llm, "additional_kwargs", None) or {}
        streaming = self.models.dialect(call.tier).streaming
        new = {name: value for name, value in streaming.items() if name not in kwargs and name not in own}
        return llm, {**new, **kwargs}, bool(new)

    def callbacks(self, call: Call) -> CallbackManager | None:
        """Give the callback manager to call a tier with; None for the tier's own."""
        del call
        return self.asked.callbacks

    def history(self, call: Call) -> list[ChatMessage]:
        """Give the conversation as a tier is shown it."""
        return for_tier(self.asked.messages, tool_ids=self.models.dialect(call.tier).tool_ids, draft=call.draft)

    def answer(self, call: Call, responses: Sequence[Response]) -> Answer:
        """Read what the tier answered."""
        marked = [_marked(response, call, asks_usage=False) for response in responses]
        return answer_of(marked, self.models.provider(call.tier))


class ToolPerformer(ChatPerformer):
    """Has tiers answer by their ``chat_with_tools`` methods, for each writes tools down in its own way.

    Args:
        asked: The call.
        tools: The tools.
    """

    def __init__(self, asked: Asked, tools: Sequence[Any]) -> None:
        super().__init__(asked)
        self.tools = tools

    def ask(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Response:
        """See ``ChatPerformer``."""
        return llm.chat_with_tools(self.tools, chat_history=self.history(call), **kwargs)

    async def aask(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Response:
        """See ``ChatPerformer``."""
        return await llm.achat_with_tools(self.tools, chat_history=self.history(call), **kwargs)

    def ask_stream(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Generator[Response]:
        """See ``ChatPerformer``."""
        return llm.stream_chat_with_tools(self.tools, chat_history=self.history(call), **kwargs)

    async def aask_stream(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> AsyncGenerator[Response]:
        """See ``ChatPerformer``."""
        return await llm.astream_chat_with_tools(self.tools, chat_history=self.history(call), **kwargs)


class CompletionPerformer(ChatPerformer):
    """Has tiers complete a prompt.

    Args:
        asked: The call.
        prompt: The prompt.
        formatted: Whether the prompt is in the model's own format already.
    """

    def __init__(self, asked: Asked, prompt: str, formatted: bool) -> None:
        super().__init__(asked)
        self.prompt = without_records(prompt)
        self.formatted = formatted

    def ask(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Response:
        """See ``ChatPerformer``."""
        if self._by_chat(llm, call):
            return chat_to_completion_decorator(llm.chat)(self._prompt(call), **kwargs)
        return llm.complete(self._prompt(call), self.formatted, **kwargs)

    async def aask(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Response:
        """See ``ChatPerformer``."""
        if self._by_chat(llm, call):
            return await achat_to_completion_decorator(llm.achat)(self._prompt(call), **kwargs)
        return await llm.acomplete(self._prompt(call), self.formatted, **kwargs)

    def ask_stream(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> Generator[Response]:
        """See ``ChatPerformer``."""
        if self._by_chat(llm, call):
            return cast("Any", stream_chat_to_completion_decorator(llm.stream_chat)(self._prompt(call), **kwargs))
        return llm.stream_complete(self._prompt(call), self.formatted, **kwargs)

    async def aask_stream(self, llm: Any, call: Call, kwargs: dict[str, Any]) -> AsyncGenerator[Response]:
        """See ``ChatPerformer``."""
        if self._by_chat(llm, call):
            complete = astream_chat_to_completion_decorator(llm.astream_chat)
            return cast("Any", await complete(self._prompt(call), **kwargs))
        return await llm.astream_complete(self._prompt(call), self.formatted, **kwargs)

    def _by_chat(self, llm: Any, call: Call) -> bool:
        return not self.models.dialect(call.tier).completes and llm.metadata.is_chat_model

    def _prompt(self, call: Call) -> str:
        return self.prompt if call.draft is None else with_draft(self.prompt, call.draft)


@contextmanager
def closed_after(stream: Any, llm: LLM) -> Generator[Any]:
    """Close a stream at the end, and the LLM's requests for it; LLMs of others may give what cannot be closed."""
    with ExitStack() as stack:
        stack.callback(close_streams, llm)
        yield stack.enter_context(closing(stream)) if hasattr(stream, "close") else stream


class OwnedStream(Owned[Any]):
    """Closes an asynchronous stream at the end, and the LLM's requests for it; see ``closed_after``."""

    def __init__(self, stream: Any, llm: LLM) -> None:
        super().__init__(stream)
        self._llm = llm

    async def aclose(self) -> None:
        """Close them."""
        try:
            await super().aclose()
        finally:
            await aclose_streams(self._llm)


def _marked(response: ResponseT, call: Call, *, asks_usage: bool) -> ResponseT:
    """Say in a response which tier gave it."""
    marks: dict[str, Any] = {TIER_KEY: call.tier.name}
    if asks_usage and getattr(response.raw, "choices", None) == []:
        marks[SILENT_KEY] = True
    return response.model_copy(update={"additional_kwargs": {**extras(response), **marks}})
