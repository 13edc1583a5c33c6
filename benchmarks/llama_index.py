"""What a router adds to a bare LlamaIndex call, measured in turn with it on the same instant LLM."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool

from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, RouteRequest, Tier

SHORT = "Classify the sentiment of this review as positive or negative: I loved every minute of it."
LONG = ("The parcel arrived late and the box was wet, but the lamp works well. " * 340)[:23_000] + "\n\n" + SHORT
USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
WORDS = ("pos", "it", "ive")


class Instant(FunctionCallingLLM):
    """Answers at once, and tells callbacks of it as LlamaIndex's own classes do."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, is_function_calling_model=True, model_name="instant")

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return self._whole()

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return self._whole()

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return (chunk for chunk in self._chunks())

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def chunks() -> Any:
            for chunk in self._chunks():
                yield chunk

        return chunks()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError

    def _prepare_chat_with_tools(self, tools: Any, chat_history: Any = None, user_msg: Any = None, **_: Any) -> Any:
        return {"messages": chat_history or [ChatMessage(content=user_msg)], "tools": tools}

    def _whole(self) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content="".join(WORDS)), raw={"usage": USAGE})

    def _chunks(self) -> list[ChatResponse]:
        texts = ["".join(WORDS[: end + 1]) for end in range(len(WORDS))]
        chunks = [
            ChatResponse(message=ChatMessage(role="assistant", content=text), delta=word, raw={})
            for word, text in zip(WORDS, texts, strict=True)
        ]
        return [*chunks, ChatResponse(message=chunks[-1].message, delta="", raw={"usage": USAGE})]


class Constant:
    """A classifier that takes no time."""

    def score(self, request: RouteRequest) -> float:
        return 0.1

    async def ascore(self, request: RouteRequest) -> float:
        return 0.1


def router(**settings: Any) -> RoutingLLM:
    """A router of two instant tiers."""
    small = Tier("small", Instant(), local=True, input_price="0.05", output_price="0.08")
    return RoutingLLM(tiers=[small, Tier("big", Instant(), input_price="2", output_price="8")], **settings)


def added_us(llms: dict[str, Any], call: Callable[[Any], object], rounds: int) -> dict[str, float]:
    """Microseconds that each adds to the bare LLM's call: medians of calls taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in llms}
    for round_ in range(rounds + 5):
        for name, llm in llms.items():
            start = time.perf_counter()
            call(llm)
            if round_ >= 5:
                taken[name].append(time.perf_counter() - start)
    return differences(taken)


async def aadded_us(llms: dict[str, Any], call: Callable[[Any], Awaitable[object]], rounds: int) -> dict[str, float]:
    """The same for asynchronous calls."""
    taken: dict[str, list[float]] = {name: [] for name in llms}
    for round_ in range(rounds + 5):
        for name, llm in llms.items():
            start = time.perf_counter()
            await call(llm)
            if round_ >= 5:
                taken[name].append(time.perf_counter() - start)
    return differences(taken)


def differences(taken: dict[str, list[float]]) -> dict[str, float]:
    """Give the bare median, and what each other one adds to it, in microseconds."""
    medians = {name: statistics.median(times) * 1e6 for name, times in taken.items()}
    return {name: median if name == "bare" else median - medians["bare"] for name, median in medians.items()}


def first_token(llm: Any) -> None:
    """Read a stream up to its first text."""
    next(chunk for chunk in llm.stream_chat([ChatMessage(content=SHORT)]) if chunk.delta)


def show(title: str, figures: dict[str, float]) -> None:
    """Print a line of figures."""
    parts = [f"{name} {'' if name == 'bare' else '+'}{value:,.0f} us" for name, value in figures.items()]
    print(f"{title:<28}{'  '.join(parts)}")


def main() -> None:
    """Measure and print."""
    constant, embedded, bare = router(classifier=Constant()), router(), Instant()
    unsure = router(classifier=None, escalation=Confidence(0.5, judge=lambda request, answer: 0.9))
    machinery = {"bare": bare, "router": constant}
    judged = {"bare": bare, "router, judged": unsure}
    classifying = {"bare": bare, "router (embedded)": embedded}
    short, long = [ChatMessage(content=SHORT)], [ChatMessage(content=LONG)]
    tool = FunctionTool.from_defaults(lambda a: a, name="tool", description="a tool")
    prompt = PromptTemplate("Context: {context_str}\nQuestion: {query_str}")

    print("Medians of calls taken in turn; what the router adds to the bare LLM's time.")
    show("chat, machinery only", added_us(machinery, lambda llm: llm.chat(short), 1500))
    show("chat, classifying, short", added_us(classifying, lambda llm: llm.chat(short), 800))
    show("chat, classifying, 23 kB", added_us(classifying, lambda llm: llm.chat(long), 300))
    show("chat, judged", added_us(judged, lambda llm: llm.chat(short), 800))
    show("chat_with_tools", added_us(machinery, lambda llm: llm.chat_with_tools([tool], user_msg=SHORT), 800))
    show(
        "predict of a query",
        added_us(machinery, lambda llm: llm.predict(prompt, context_str=LONG, query_str=SHORT), 300),
    )
    show("first token of stream_chat", added_us(machinery, first_token, 800))
    show("whole stream_chat", added_us(machinery, lambda llm: list(llm.stream_chat(short)), 800))
    show("achat, machinery only", asyncio.run(aadded_us(machinery, lambda llm: llm.achat(short), 800)))
    show("achat, classifying, short", asyncio.run(aadded_us(classifying, lambda llm: llm.achat(short), 500)))


if __name__ == "__main__":
    main()
