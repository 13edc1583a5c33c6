"""A scripted model that does what LangChain's standard tests ask: it calls tools, follows schemas, or says hello."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slmroute.testing import Reply

SURE = (-0.01,)
"""The log-probabilities of an answer that a cascade accepts."""

ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "get_weather": {"location": "San Francisco, CA"},
    "greeting_generator": {"answer_style": "pirate"},
    "Joke": {"setup": "Why do cats sit on keyboards?", "punchline": "To watch the mouse."},
    "JokeDict": {"setup": "Why do cats sit on keyboards?", "punchline": "To watch the mouse."},
    "magic_function": {"input": 3},
    "magic_function_no_args": {},
    "my_adder_tool": {"a": 3, "b": 4},
    "unicode_customer": {"customer_name": "你好啊集团", "description": "A Chinese technology company"},
}
JOKE = '{"setup": "Why do cats sit on keyboards?", "punchline": "To watch the mouse."}'


def answer(body: Mapping[str, Any]) -> Reply:
    """Give the reply to a request on either wire."""
    tools = [tool["function"]["name"] for tool in body.get("tools") or ()]
    if tools and body["messages"][-1]["role"] != "tool":
        name = chosen(body.get("tool_choice")) or tools[0]
        said = "\n".join(text_of(message) for message in body["messages"][-1:])
        arguments = dict(ARGUMENTS[name])
        if name == "unicode_customer" and "こんにちは" in said:
            arguments["customer_name"] = "こんにちは株式会社"
        return Reply(tool_calls=[(name, arguments)], logprobs=None)
    if body.get("format") or body.get("response_format"):
        return Reply(JOKE, chunks=[JOKE], logprobs=SURE)
    return Reply("Hello there.", chunks=["Hello there."], logprobs=SURE)


def chosen(choice: object) -> str | None:
    """Give the name of the tool that a request insists on."""
    return choice["function"]["name"] if isinstance(choice, Mapping) else None


def text_of(message: Mapping[str, Any]) -> str:
    """Give the text of a message on either wire."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or ())
