"""What models of LangChain's take that a classifier or a judge calls: nobody else would count it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.tracers.context import register_configure_hook

from langchain_slmroute.messages import answer_of, chunk_of
from slmroute.context import Held
from slmroute.gate import Chunk
from slmroute.overheard import Heard, ModelCall, hear
from slmroute.steps import Answer, Usage

__all__ = ["overhearing"]


class Overhear(BaseCallbackHandler):
    """Tells the core of each model call that is made under it: its tokens, its model and who served it.

    Args:
        heard: Where the calls are noted.
    """

    run_inline = True  # in the thread of the call, so that it is told before the classifier or the judge has ended

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._begun: dict[UUID, list[ModelCall]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note whose call it is, and about how long its prompt."""
        self._begin(run_id, [" ".join(message.text for message in each) for each in messages], metadata or {})

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Do the same for a model that completes plain text."""
        self._begin(run_id, prompts, metadata or {})

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Note what it took, as reported, or else estimated."""
        for call, generations in zip(self._begun.pop(run_id, ()), response.generations, strict=False):
            if generations:
                answer = _answer_of(generations[0], call.provider)
                call.end(answer.usage, answer.text)
                call.model, call.provider = answer.model or call.model, answer.provider

    def on_llm_new_token(self, token: Any, *, chunk: object = None, run_id: UUID, **kwargs: Any) -> None:
        """Note what has come of an answer: some classes stream one that is asked for as a whole, too."""
        for call in self._begun.get(run_id, ())[:1]:
            if isinstance(chunk, Generation):
                call.hear(_chunk_of(chunk, call.provider))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that it has not answered, or a stream of it not to its end."""
        response = kwargs.get("response")
        generations = response.generations if isinstance(response, LLMResult) else []
        for place, call in enumerate(self._begun.pop(run_id, ())):
            begun = generations[place][0] if place < len(generations) and generations[place] else None
            if begun is not None and not call.text:  # of streams of events no token is told of
                call.hear(_chunk_of(begun, call.provider))
            call.fail(error)

    def _begin(self, run_id: UUID, prompts: list[str], told: dict[str, Any]) -> None:
        here = hear()
        if here is not None and here is not self._heard:
            return  # a router's tier, called in the asking of another: that call has a record of its own
        name, provider = told.get("ls_model_name"), told.get("ls_provider")
        calls = [ModelCall.of(prompt, name, provider) for prompt in prompts]
        self._heard.extend(calls)
        self._begun[run_id] = calls


_overhear: ContextVar[Overhear | None] = ContextVar("slmroute_overhear", default=None)
# A call that is given callbacks has those in place of its context's: what a hook adds, it has beside them.
register_configure_hook(_overhear, inheritable=True)


def overhearing(heard: Heard, manager: BaseCallbackManager) -> Held[Overhear | None]:
    """Have the models of LangChain's that are called inside be heard, whatever callbacks their calls are given.

    Args:
        heard: Where their calls are noted.
        manager: What calls have that are handed the config inside, in threads of their own, too. No call is heard
            twice: LangChain adds no handler to a run that has it.
    """
    handler = Overhear(heard)
    manager.add_handler(handler, inherit=True)
    return Held(_overhear, handler)


def _chunk_of(generation: Generation, provider: str | None) -> Chunk:
    if isinstance(generation, ChatGeneration):
        return chunk_of(generation.message)
    return Chunk(generation, generation.text, usage=_answer_of(generation, provider).usage)


def _answer_of(generation: Generation, provider: str | None) -> Answer:
    if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
        return answer_of(generation.message, provider)
    told = generation.generation_info or {}
    usage = Usage(told.get("prompt_eval_count") or 0, told.get("eval_count") or 0)  # as Ollama has it
    return Answer(text=generation.text, usage=usage if usage.input_tokens else None, provider=provider)
