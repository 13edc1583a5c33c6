"""Records are whole on the answer, and gone from whatever memories store, count and print into prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.generic_utils import messages_to_history_str, messages_to_prompt
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index_slmroute.carried import CarriedRecord, without_records
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]
NODES = [TextNode(text=f"Report {number}.") for number in range(3)]


class Floors(BaseModel):
    """How many floors."""

    count: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def bodies(server: FakeServer) -> str:
    return json.dumps([dict(call.body) for call in server.calls()])


@pytest.mark.parametrize("mode", ["simple", "context", "condense_question", "condense_plus_context"])
async def test_nothing_of_a_record_is_sent_with_the_default_memory(bench: Any, server: FakeServer, mode: str) -> None:
    server.script(SMALL, Reply("Well, hello."))
    engine = VectorStoreIndex(NODES).as_chat_engine(chat_mode=mode, llm=bench().llm)
    engine.chat("How many?")
    await engine.achat("And why?")
    "".join(engine.stream_chat("And then?").response_gen)
    engine.chat("And now?")
    assert "Well, hello." in str(server.calls()[-1].body) + str(server.calls()[-2].body)
    assert "slmroute" not in bodies(server)


async def test_the_default_memory_keeps_as_much_as_with_a_bare_llm(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Well, hello."))
    llm = bench().llm
    bare: LLM = llm.tiers[0].model
    kept: list[int] = []
    for each in (bare, llm):
        engine = SimpleChatEngine.from_defaults(llm=each, memory=Memory.from_defaults(token_limit=600))
        for number in range(12):
            await engine.achat(f"Question {number}?")
        kept.append(len(server.calls()[-1].body["messages"]))  # type: ignore[arg-type]
    assert kept[0] == kept[1] == 23


def test_a_record_stays_readable_on_the_answer_and_is_not_written_with_it(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply("Well, hello."))
    message = bench().llm.chat(HELLO).message
    record = message.additional_kwargs["slmroute"]
    assert json.loads(json.dumps(record))["attempts"][-1]["tier"] == "small"
    assert message.model_dump(mode="json")["additional_kwargs"] == {}
    assert json.loads(message.model_dump_json())["additional_kwargs"] == {}
    assert ChatMessage.model_validate(message.model_dump()).content == "Well, hello."


def test_a_stored_message_that_calls_tools_keeps_its_tiers_name(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    server.script(FRONTIER, Reply(tool_calls=[("add", {"a": 1, "b": 2})]))
    made = bench()
    tool = FunctionTool.from_defaults(add)
    asked = made.llm.chat_with_tools([tool], user_msg="A hard sum.").message
    stored = ChatMessage.model_validate(asked.model_dump(mode="json"))
    assert stored.additional_kwargs["slmroute"] == {"tier": "frontier", "mark": "d41c7e"}
    result = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "add"})
    server.script(FRONTIER, Reply("It is 3."))
    made.llm.chat_with_tools([tool], chat_history=[*HELLO, stored, result])
    assert made.records[-1].reason == "tool_loop"
    assert made.tiers == ["frontier", "frontier"]


@pytest.mark.parametrize("whole", [False, True])
async def test_printed_records_are_taken_out_of_every_prompt(bench: Any, server: FakeServer, whole: bool) -> None:
    """As a user's own memory may keep them, whole, or as the router's answers print them."""
    answer = Reply('{"count": 6}', tool_calls=[("add", {"a": 1, "b": 2})])
    server.script(SMALL, answer)
    server.script(FRONTIER, answer)
    llm, tool = bench().llm, FunctionTool.from_defaults(add)
    message = llm.chat_with_tools([tool], user_msg="A hard sum.").message
    if whole:
        kwargs = message.additional_kwargs
        kwargs = {**kwargs, "slmroute": dict(kwargs["slmroute"]), "session_id": "s"}
        message = message.model_copy(update={"additional_kwargs": kwargs})
    history, prompt = messages_to_history_str([*HELLO, message]), messages_to_prompt([*HELLO, message])
    assert "'slmroute'" in history
    template = PromptTemplate("{history}\nWhy?")
    for tier in ("small", "frontier"):
        llm.predict(template, history=history)
        llm.complete(prompt, tier=tier)
        await llm.acomplete(prompt, tier=tier)
        list(llm.stream_complete(f"Additional Info: ({message.additional_kwargs})", tier=tier))
        llm.structured_predict(Floors, template, llm_kwargs={"tier": tier}, history=history)
        llm.chat([ChatMessage(content=history)], tier=tier)
    assert "slmroute" not in bodies(server)
    assert "function" in str(server.calls()[-1].body)


OTHERS = st.dictionaries(
    st.text("abc{}'\"\\ ", min_size=1, max_size=4), st.text("abc{}'\"\\, \n", max_size=6), max_size=2
)


@given(
    OTHERS,
    OTHERS,
    st.sampled_from(["short", "whole", "stored"]),
    st.text(max_size=10),
    st.text(max_size=10),
    st.text(max_size=12),
)
def test_what_stands_beside_a_printed_record_stays(
    first: dict[str, str], last: dict[str, str], form: str, before: str, after: str, value: str
) -> None:
    last = {key: text for key, text in last.items() if key not in first}
    record: dict[str, object] = {"call_id": "0f" * 16, "tier": value, "attempts": [{"model": value, "usage": {}}]}
    if form == "stored":
        record = {"tier": value, "mark": "d41c7e"}
    printed = str({**first, "slmroute": CarriedRecord(record) if form == "short" else record, **last})
    left = without_records(f"{before}{printed}{after}")
    alone = before.removesuffix("\n") + after
    assert left == (f"{before}{ {**first, **last} }{after}" if first or last else alone)


@pytest.mark.parametrize(
    "text",
    [
        "Read metadata['slmroute'].",
        "{'slmroute': 3}",
        '{"slmroute": {"tier": "small"}}',
        "'slmroute': x",
        "Explain the dict {'slmroute': {'tier': 'small'}}, please.",
        "It is {'slmroute': {'call_id': '...', 'tier': 'small'}}.",
    ],
)
def test_other_texts_about_the_router_stay_as_they_are(text: str) -> None:
    assert without_records(text) == text
