"""A small model that knows the demo's answers: it gives every second one wrong, and is surer of the right ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from slmroute.demo.requests import Request, load_requests
from slmroute.demo.small import SmallModel
from slmroute.testing import FakeServer, Reply

KNOWN = {request.prompt: (number, request) for number, request in enumerate(load_requests())}


def knows(number: int) -> bool:
    return number % 2 == 0


def answer_to(body: Mapping[str, object]) -> Reply:
    messages = cast("list[dict[str, Any]]", body["messages"])
    if not messages:
        return Reply("")
    number, request = KNOWN[messages[-1]["content"]]
    right = ", ".join(request.answers) if request.match == "set" else (*request.answers, "It is well.")[0]
    said = right if knows(number) else "I could not say."
    words = len(said.split())
    sure = math.log(0.9 if knows(number) else 0.4)
    return Reply(said, logprobs=[sure] * words, input_tokens=100, output_tokens=words)


@pytest.fixture
def scripted() -> Iterator[FakeServer]:
    with FakeServer({"llama3.1:8b": answer_to}) as server:
        yield server


@pytest.fixture
def small(scripted: FakeServer) -> SmallModel:
    return SmallModel("llama3.1:8b", scripted.url, "a script", "8.0B", stand_in=False)


@pytest.fixture(scope="session")
def requests() -> list[Request]:
    return load_requests(20)
