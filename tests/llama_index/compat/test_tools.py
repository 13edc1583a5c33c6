"""Tools, and the answers that call them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from slmroute.testing import Reply

if TYPE_CHECKING:
    from conftest import Subject

CALLS = Reply(tool_calls=[("add", {"a": 1, "b": 2})], input_tokens=100, output_tokens=10)
TEXT = Reply("No tool is needed.", logprobs=[-0.01, -0.01])


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


async def all_ways(llm: Any, **kwargs: Any) -> list[Any]:
    return [
        llm.chat_with_tools([TOOL], user_msg="1+2?", **kwargs),
        await llm.achat_with_tools([TOOL], user_msg="1+2?", **kwargs),
        list(llm.stream_chat_with_tools([TOOL], user_msg="1+2?", **kwargs))[-1],
        [part async for part in await llm.astream_chat_with_tools([TOOL], user_msg="1+2?", **kwargs)][-1],
    ]


async def test_a_tool_is_called_in_all_four_ways(subject: Subject) -> None:
    subject.says(CALLS)
    for response in await all_ways(subject.llm):
        (call,) = subject.llm.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 1, "b": 2})
    assert all(sent.body["tools"][0]["function"]["name"] == "add" for sent in subject.calls)
    assert len(subject.calls) == 4


def test_tool_calls_can_be_read_from_every_chunk(subject: Subject) -> None:
    subject.says(CALLS)
    read = [
        subject.llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)
        for chunk in subject.llm.stream_chat_with_tools([TOOL], user_msg="1+2?")
    ]
    assert read[-1][0].tool_kwargs == {"a": 1, "b": 2}


async def test_a_missing_tool_call_is_an_error_or_an_empty_list(subject: Subject) -> None:
    subject.says(TEXT)
    for response in await all_ways(subject.llm):
        assert subject.llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        with pytest.raises(ValueError, match="tool call"):
            subject.llm.get_tool_calls_from_response(response)


def test_a_forced_tool_is_called(subject: Subject) -> None:
    subject.all_say(CALLS)
    response = subject.llm.chat_with_tools([TOOL], user_msg="1+2?", tool_required=True)
    assert subject.llm.get_tool_calls_from_response(response)[0].tool_name == "add"


def test_parallel_calls_are_cut_to_one_unless_allowed(subject: Subject) -> None:
    subject.says(Reply(tool_calls=[("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})]))
    one = subject.llm.chat_with_tools([TOOL], user_msg="1+2 and 3+4?")
    both = subject.llm.chat_with_tools([TOOL], user_msg="1+2 and 3+4?", allow_parallel_tool_calls=True)
    assert len(subject.llm.get_tool_calls_from_response(one)) == 1
    assert len(subject.llm.get_tool_calls_from_response(both)) == 2


def test_predict_and_call(subject: Subject) -> None:
    subject.says(CALLS)
    response = subject.llm.predict_and_call([TOOL], user_msg="1+2?")
    assert response.response == "3"
    assert len(subject.calls) == 1


async def test_apredict_and_call(subject: Subject) -> None:
    subject.says(CALLS)
    assert (await subject.llm.apredict_and_call([TOOL], user_msg="1+2?")).response == "3"


def test_a_tools_result_goes_back_in_the_conversation(subject: Subject) -> None:
    subject.says(CALLS, Reply("It is 3."))
    asked = ChatMessage(content="1+2?")
    called = subject.llm.chat_with_tools([TOOL], chat_history=[asked])
    (call,) = subject.llm.get_tool_calls_from_response(called)
    result = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": call.tool_id})
    response = subject.llm.chat_with_tools([TOOL], chat_history=[asked, called.message, result])
    assert response.message.content == "It is 3."
    roles = [message["role"] for message in subject.calls[-1].body["messages"]]
    assert roles == ["user", "assistant", "tool"]


@pytest.mark.bare_class_fails("Ollama", "OpenAI", reason="it appends to the caller's list")
def test_the_callers_history_stays_as_it_is(subject: Subject) -> None:
    subject.says(TEXT)
    history = [ChatMessage(content="Hello."), ChatMessage(role="assistant", content="Hello!")]
    subject.llm.chat_with_tools([TOOL], user_msg="1+2?", chat_history=history)
    assert len(history) == 2


def texts(chunks: Iterator[Any]) -> str:
    return "".join(chunk.delta or "" for chunk in chunks)


async def atexts(chunks: AsyncIterator[Any]) -> str:
    return "".join([chunk.delta or "" async for chunk in chunks])


async def test_text_in_place_of_a_tool_call_streams(subject: Subject) -> None:
    subject.says(TEXT)
    assert texts(subject.llm.stream_chat_with_tools([TOOL], user_msg="Hi")) == "No tool is needed."
    assert await atexts(await subject.llm.astream_chat_with_tools([TOOL], user_msg="Hi")) == "No tool is needed."


def test_tools_can_be_given_to_chat_itself(subject: Subject) -> None:
    subject.says(CALLS)
    spec = TOOL.metadata.to_openai_tool()
    response = subject.llm.chat([ChatMessage(content="1+2?")], tools=[spec])
    assert subject.llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"a": 1, "b": 2}


def test_several_tools_are_all_offered(subject: Subject) -> None:
    subject.says(CALLS)

    def subtract(a: int, b: int) -> int:
        """Subtract a number from another."""
        return a - b

    subject.llm.chat_with_tools([TOOL, FunctionTool.from_defaults(subtract)], user_msg="1+2?")
    names = [tool["function"]["name"] for tool in subject.calls[-1].body["tools"]]
    assert names == ["add", "subtract"]
