"""What each provider answers reaches the caller whole: text, tool calls, structured answers, and what it cost."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from slmroute import Tier
from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.providers.google_wire import Blocked
from tests.langchain.providers.loopback import Billed
from tests.langchain.providers.providers import AZURE, GOOGLE, OPENAI, Provider
from tests.langchain.stage import record_of

WAYS = (ways.invoke, ways.ainvoke, ways.stream, ways.astream)
each_way = pytest.mark.parametrize("ask", WAYS, ids=ways.name_of)


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    degrees: int


def get_weather(city: str) -> str:
    """Look the weather up."""
    return f"Sunny in {city}"


def last_attempt(message: AIMessage) -> dict[str, Any]:
    return record_of(message)["attempts"][-1]


@each_way
async def test_an_answer_comes_whole_with_its_usage(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Reply("Paris, of course.", input_tokens=100, output_tokens=20))
    answer = await ask(routed, "Where is the Louvre?")
    assert answer.text == "Paris, of course."
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]) == (100, 20)
    attempt = last_attempt(answer)
    assert (attempt["role"], attempt["tier"], attempt["error"]) == ("final", "asked", None)
    assert (attempt["provider"], attempt["model"]) == (provider.served_by, provider.model)
    usage = attempt["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["source"]) == (100, 20, "reported")
    assert attempt["price_id"] == provider.price_id
    assert (attempt["cost"] is None) == (provider.price_id == "unpriced")
    assert len(server.calls()) == 1


@each_way
async def test_special_tokens_are_told_apart(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    reply = Billed(
        "Yes.", input_tokens=100, output_tokens=20, cached_tokens=40, cache_write_tokens=10, reasoning_tokens=5
    )
    server.script(provider.model, reply)
    usage = last_attempt(await ask(routed, "Is it?"))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (100, 20)
    kinds = {"cached": "cached_tokens", "written": "cache_write_tokens", "reasoning": "reasoning_tokens"}
    scripted = {"cached": 40, "written": 10, "reasoning": 5}
    for told, name in kinds.items():
        assert usage[name] == (scripted[told] if told in provider.reports else 0), told


@each_way
async def test_a_tool_call_and_its_result_go_round(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    called = Reply(tool_calls=[("get_weather", {"city": "Rome"})], input_tokens=50, output_tokens=10)
    server.script(provider.model, called, Reply("Sunny, in Rome.", input_tokens=70, output_tokens=6))
    bound = routed.bind_tools([get_weather])
    question = HumanMessage("How is Rome?")
    asking = await ask(bound, [question])
    assert [(call["name"], call["args"]) for call in asking.tool_calls] == [("get_weather", {"city": "Rome"})]
    result = ToolMessage("Sunny in Rome", tool_call_id=asking.tool_calls[0]["id"])
    answer = await ask(bound, [question, asking, result])
    assert answer.text == "Sunny, in Rome."
    assert record_of(answer)["reason"] == "tool_loop"
    assert "slmroute" not in str(server.calls()[-1].body)


@pytest.mark.parametrize("include_raw", [False, True], ids=["parsed", "raw"])
@each_way
async def test_structured_answers_are_parsed(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask, include_raw: bool
) -> None:
    server.script(provider.model, structured)
    wanted = routed.with_structured_output(Weather, include_raw=include_raw)
    if ask is ways.stream:
        parts = list(wanted.stream("How is Rome?"))
    elif ask is ways.astream:
        parts = [part async for part in wanted.astream("How is Rome?")]
    else:
        parts = [await ask(wanted, "How is Rome?")]
    if not include_raw:
        assert parts[-1] == Weather(city="Rome", degrees=25)
        return
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    assert whole["parsed"] == Weather(city="Rome", degrees=25)
    assert whole["parsing_error"] is None if "parsing_error" in whole else True
    record = record_of(whole["raw"])
    assert (record["tier"], record["attempts"][-1]["usage"]["input_tokens"]) == ("asked", 50)


@pytest.mark.parametrize("ask", [ways.invoke, ways.ainvoke], ids=ways.name_of)
async def test_a_structured_answer_that_does_not_fit_escalates(
    provider: Provider, server: Any, kind: str, ask: ways.Ask
) -> None:
    server.script(provider.model, lambda body: structured(body, city=["Rome"]))
    with OPENAI.serve() as other:
        other.script(OPENAI.model, structured)
        better = OPENAI.make(OPENAI.model, **OPENAI.settings(other.url))
        tiers = [provider.tier(kind, server.url), Tier("better", better, input_price=50, output_price=90)]
        wanted = RoutingChatModel(tiers=tiers, classifier=None).with_structured_output(Weather, include_raw=True)
        given: Any = await ask(wanted, "How is Rome?")
    assert given["parsed"] == Weather(city="Rome", degrees=25)
    attempts = record_of(given["raw"])["attempts"]
    assert [attempt["tier"] for attempt in attempts] == ["asked", "better"]
    assert attempts[0]["fault"] == "bad_json"
    usage = attempts[0]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["source"]) == (50, 10, "reported")


def structured(body: Any, city: object = "Rome") -> Reply:
    """Answer with a tool call where a tool is there, and with JSON otherwise."""
    weather = {"city": city, "degrees": 25}
    if body.get("tools"):
        return Reply(tool_calls=[("Weather", weather)], input_tokens=50, output_tokens=10)
    text = str(weather).replace("'", '"')
    return Reply(text, chunks=[text], input_tokens=50, output_tokens=10)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@each_way
async def test_why_an_answer_ended_is_understood(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask, finish: str
) -> None:
    text = "It was a dark and" if finish == "length" else ""
    server.script(provider.model, Reply(text, finish=finish, input_tokens=30, output_tokens=4))
    if provider is AZURE and finish == "content_filter" and ask in (ways.invoke, ways.ainvoke):
        with pytest.raises(ValueError, match="content filter being triggered"):  # as the bare model does
            await ask(routed, "Tell me a story.")
        return
    answer = await ask(routed, "Tell me a story.")
    record = record_of(answer)
    # What a filter withheld stands; no other tier is had to say it.
    assert record["tier"] == "asked"
    assert ("truncated:asked" in record["events"]) == (finish == "length")


@each_way
@pytest.mark.parametrize("provider", [GOOGLE], ids=["google"])
async def test_a_prompt_that_google_blocks_is_not_asked_elsewhere(
    provider: Provider, server: Any, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Blocked(input_tokens=30))
    answer = await ask(routed, "Something unsafe.")
    assert (answer.text, record_of(answer)["tier"]) == ("", "asked")
    assert "Something" not in str(record_of(answer))


@each_way
async def test_stop_and_sampling_reach_the_provider(
    provider: Provider, server: Any, kind: str, routed: RoutingChatModel, ask: ways.Ask
) -> None:
    server.script(provider.model, Reply("One two", input_tokens=10, output_tokens=2))
    await ask(routed, "Count.", stop=["three"], temperature=0.25, max_tokens=77)
    body = str(server.calls()[-1].body)
    assert "three" in body
    assert "0.25" in body
    assert "77" in body
