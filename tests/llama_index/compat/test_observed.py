"""What callbacks and instrumentation see, and what LlamaIndex does with an LLM as an object."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.utils import resolve_llm

from slmroute.testing import Reply

if TYPE_CHECKING:
    from conftest import Subject

HELLO = [ChatMessage(content="Where is it?")]
PARIS = Reply("Paris it is.", input_tokens=100, output_tokens=10, logprobs=[-0.01, -0.01, -0.01])


class Listener(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


@pytest.fixture
def listener() -> Iterator[Listener]:
    handler = Listener(seen=[])
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)


def of_answer(subject: Subject, events: list[Any]) -> list[Any]:
    """The events of the calls that gave the answer, and not of drafts."""
    return [event for event in events if getattr(event, "model_dict", {}).get("model_name") == subject.model]


def test_a_chat_has_one_start_and_one_end(subject: Subject, listener: Listener) -> None:
    subject.says(PARIS)
    subject.llm.chat(HELLO)
    starts = [event for event in listener.seen if isinstance(event, LLMChatStartEvent)]
    assert len(of_answer(subject, starts)) == 1
    (start,) = of_answer(subject, starts)
    ends = [event for event in listener.seen if isinstance(event, LLMChatEndEvent) and event.span_id == start.span_id]
    assert [event.response.message.content for event in ends] == ["Paris it is."]


def counted(subject: Subject, events: list[Any]) -> tuple[int, int]:
    mine = [event for event in events if event.completion_token_count == 10]
    return len(mine), sum(event.total_token_count for event in mine)


async def test_tokens_are_counted_once(subject: Subject) -> None:
    subject.says(PARIS)
    counter = TokenCountingHandler()
    subject.llm.callback_manager = CallbackManager([counter])
    subject.llm.chat(HELLO)
    await subject.llm.achat(HELLO)
    assert counted(subject, counter.llm_token_counts) == (2, 220)


@pytest.mark.bare_class_fails("Ollama", reason="its complete is told of twice, once by the chat inside")
def test_the_tokens_of_a_completion_are_counted_once(subject: Subject) -> None:
    subject.says(PARIS)
    counter = TokenCountingHandler()
    subject.llm.callback_manager = CallbackManager([counter])
    subject.llm.complete("Where is it?")
    assert counted(subject, counter.llm_token_counts) == (1, 110)


@pytest.mark.bare_class_fails("OpenAI", reason="it does not ask for the usage of streams")
def test_the_tokens_of_a_stream_are_counted_as_reported(subject: Subject) -> None:
    subject.says(PARIS)
    counter = TokenCountingHandler()
    subject.llm.callback_manager = CallbackManager([counter])
    list(subject.llm.stream_chat(HELLO))
    assert counted(subject, counter.llm_token_counts) == (1, 110)


def test_the_settings_callback_manager_is_told(subject: Subject) -> None:
    subject.says(PARIS)
    counter = TokenCountingHandler()
    Settings.callback_manager = CallbackManager([counter])
    Settings.llm = subject.llm
    Settings.llm.chat(HELLO)
    assert counted(subject, counter.llm_token_counts) == (1, 110)


def test_the_debug_handler_pairs_its_events(subject: Subject) -> None:
    subject.says(PARIS)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    subject.llm.callback_manager = CallbackManager([debug])
    subject.llm.chat(HELLO)
    pairs = debug.get_event_pairs(CBEventType.LLM)
    assert pairs
    assert all(len(pair) == 2 for pair in pairs)


def test_it_is_resolved_as_an_llm(subject: Subject) -> None:
    assert resolve_llm(subject.llm) is subject.llm


def test_its_metadata_can_be_read(subject: Subject) -> None:
    subject.says(PARIS)
    metadata = subject.llm.metadata
    assert metadata.context_window > 0
    assert metadata.is_chat_model is True
    assert metadata.is_function_calling_model is True
    assert metadata.model_name


def test_its_payload_has_no_secret_and_is_json(subject: Subject) -> None:
    subject.says(PARIS)
    written = json.dumps(subject.llm.to_payload())
    assert "canary" not in written


@pytest.mark.bare_class_fails("OpenAI", reason="it writes its api_key down")
def test_its_dictionary_has_no_secret_and_is_json(subject: Subject) -> None:
    written = json.dumps(subject.llm.to_dict())
    assert subject.llm.class_name() in written
    assert "canary" not in written


@pytest.mark.bare_class_fails("OpenAI", reason="it shows its api_key")
def test_its_repr_has_no_secret(subject: Subject) -> None:
    assert type(subject.llm).__name__ in repr(subject.llm)
    assert "canary" not in repr(subject.llm)
    assert "canary" not in str(subject.llm)


def test_a_class_name_is_there(subject: Subject) -> None:
    assert isinstance(subject.llm.class_name(), str)
    assert subject.llm.class_name() != "base_component"


@pytest.mark.filterwarnings("ignore")
def test_it_can_be_pickled(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")  # a router's pickles hold no key
    if subject.name in {"small", "frontier"}:
        subject.llm = subject.llm.model_copy(update={"classifier": None, "default_tier": None})
        subject.all_say(PARIS)
    else:
        subject.says(PARIS)
    copy = pickle.loads(pickle.dumps(subject.llm))  # noqa: S301
    assert copy.chat(HELLO).message.content == "Paris it is."


def test_a_copy_answers_like_it(subject: Subject) -> None:
    subject.says(PARIS)
    assert subject.llm.model_copy().chat(HELLO).message.content == "Paris it is."
