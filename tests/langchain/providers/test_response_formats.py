"""A response format reaches each provider in its own form, and Azure's as from its own class."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.tools import tool
from pydantic import BaseModel

from slmroute.testing import Reply
from tests.langchain import ways
from tests.langchain.providers.conftest import over
from tests.langchain.providers.providers import AZURE, Provider


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    degrees: int


@tool
def look_up(city: str) -> str:
    """Look the weather up."""
    return f"Sunny in {city}"


SCHEMA = {
    "title": "weather",
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
FORMATS = {
    "class": Weather,
    "format": {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA}},
    "json": {"type": "json_object"},
}
ROME = Reply('{"city": "Rome", "degrees": 30}')
each_way = pytest.mark.parametrize("ask", ways.CORE, ids=ways.name_of)


@pytest.mark.parametrize("wanted", FORMATS)
@each_way
async def test_azure_is_asked_and_read_as_by_its_own_class(kind: str, wanted: str, ask: ways.Ask) -> None:
    with AZURE.serve() as server:
        server.script(AZURE.model, ROME)
        tier = AZURE.tier(kind, server.url)
        bare = AZURE.make(AZURE.model, **AZURE.settings(server.url))
        answers: list[Any] = [
            await ask(model.bind(response_format=FORMATS[wanted]), "Weather in JSON?") for model in (bare, over(tier))
        ]
        own, routed = [{key: call.body.get(key) for key in ("response_format", "tools")} for call in server.calls()]
    assert routed == own
    assert routed["response_format"]["type"] == ("json_object" if wanted == "json" else "json_schema")
    assert answers[0].text == answers[1].text == ROME.text
    assert answers[0].additional_kwargs.get("parsed") == answers[1].additional_kwargs.get("parsed")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_agents_format_beside_a_tool_reaches_azure_as_from_its_own_class(kind: str, is_async: bool) -> None:
    asked = {"messages": "How is it in Rome?"}
    with AZURE.serve() as server:
        bare = AZURE.make(AZURE.model, **AZURE.settings(server.url))
        for model in (bare, over(AZURE.tier(kind, server.url))):
            server.script(AZURE.model, Reply(tool_calls=[("look_up", {"city": "Rome"})]), ROME)
            agent: Any = create_agent(model, [look_up], response_format=ProviderStrategy(Weather))
            answer = await agent.ainvoke(asked) if is_async else agent.invoke(asked)
            assert answer["structured_response"] == Weather(city="Rome", degrees=30)
        sent = [{key: call.body.get(key) for key in ("response_format", "tools")} for call in server.calls()]
    assert len(sent) == 4
    assert sent[:2] == sent[2:]


@pytest.mark.parametrize("wanted", ["class", "format"])
@pytest.mark.parametrize("ask", [ways.ainvoke, ways.stream], ids=ways.name_of)
async def test_a_schema_reaches_every_provider(provider: Provider, server: Any, wanted: str, ask: ways.Ask) -> None:
    server.script(provider.model, ROME)
    router = over(provider.tier("object", server.url))
    answer = await ask(router.bind(response_format=FORMATS[wanted]), "How is it in Rome?")
    assert answer.text == ROME.text
    (call,) = server.calls()
    assert _schema_in(call.body)["required"] == ["city", "degrees"]


def _schema_in(body: Any) -> dict[str, Any]:
    """Find the schema in a request, wherever its provider has it."""
    inner = body.values() if isinstance(body, dict) else body if isinstance(body, list) else ()
    if isinstance(body, dict) and isinstance(body.get("properties"), dict):
        return body
    return next((found for each in inner if (found := _schema_in(each))), {})
