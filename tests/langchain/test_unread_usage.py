"""Which structured streams of OpenAI's own client end before their usage is read, as the README says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from langchain_slmroute import RoutingChatModel
from slmroute import Tier
from slmroute.testing import FakeServer, Reply
from tests.langchain.stage import record_of

# What ChatOpenAI itself warns of when it streams a Pydantic object.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

TOKENS: Any = {"input_tokens": 100, "output_tokens": 20}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


PLAIN = {"title": "Person", "description": "A person.", **Person.model_json_schema(), "additionalProperties": False}
WORDS = {
    "good": ('{"name": "Anna", "age": 33}', "stop"),
    "no JSON": ("I do not know.", "stop"),
    "a field missing": ('{"name": "Anna"}', "stop"),
    "a wrong field": ('{"name": "Anna", "age": "old"}', "stop"),
    "cut": ('{"name": "Anna", "ag', "length"),
    "filtered": ('{"name": "An', "content_filter"),
}
UNREAD = {
    ("json_schema", Person): {"no JSON", "a field missing", "a wrong field", "cut", "filtered"},
    ("json_schema", None): {"filtered"},
    ("json_mode", Person): {"filtered"},
    ("function_calling", Person): set[str](),
}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(("method", "schema"), UNREAD)
async def test_the_usage_of_a_structured_stream(
    server: FakeServer, method: Any, schema: type[Person] | None, is_async: bool
) -> None:
    unread = set[str]()
    for name, (text, finish) in WORDS.items():
        as_tool = method == "function_calling" and name != "no JSON"
        said: Any = {"tool_calls": [("Person", text)]} if as_tool else {"text": text}
        server.script("gpt-4.1", Reply(**said, **TOKENS, finish=finish))
        model: Any = ChatOpenAI(model="gpt-4.1", base_url=server.openai_url, api_key="k")
        tiers = [Tier(tier, model, input_price=1, output_price=1) for tier in ("small", "big")]
        router: Any = RoutingChatModel(tiers=tiers, classifier=None, validate=False, failover=False)
        chain = router.with_structured_output(schema or PLAIN, method=method, include_raw=True)
        parts: list[Any] = [part async for part in chain.astream("Who?")] if is_async else list(chain.stream("Who?"))
        (attempt,) = record_of(reduce(add, parts)["raw"])["attempts"]
        if attempt["usage"]["source"] == "estimated":
            unread.add(name)
        else:
            assert (attempt["usage"]["input_tokens"], attempt["usage"]["output_tokens"]) == (100, 20)
    assert unread == UNREAD[method, schema]
