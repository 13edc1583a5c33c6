"""A stream that is left is charged for the prompt as the first chunks told it, cached tokens and all.

LangChain's class for Anthropic keeps what the first event tells to itself, and the others' servers tell at the end.
"""

from __future__ import annotations

from typing import Any

import pytest

from slmroute.hooks import HookRunner
from tests.langchain.providers.conftest import over
from tests.langchain.providers.loopback import Billed
from tests.langchain.providers.providers import GOOGLE, Provider

REPLY = Billed("one two three four five six seven eight", input_tokens=1000, output_tokens=20, cached_tokens=900)


@pytest.fixture
def provider() -> Provider:
    return GOOGLE


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(HookRunner, "tell", lambda self, record: [hook(record) for hook in self._hooks])
    return []


async def test_what_was_told_of_a_stream_that_is_left_is_charged(
    provider: Provider, server: Any, records: list[Any]
) -> None:
    server.script(provider.model, REPLY)
    router = over(provider.tier("string", server.url), hooks=[records.append])
    list(router.stream("word " * 2000))
    chunks = router.stream("word " * 2000)
    next(chunks)
    next(chunks)
    chunks.close()
    achunks = router.astream("word " * 2000)
    await anext(achunks)
    await anext(achunks)
    await achunks.aclose()  # type: ignore[attr-defined]
    whole, *left = (record.attempts[0] for record in records)
    for cut in left:
        assert (cut.usage.input_tokens, cut.usage.cached_tokens) == (1000, 900)
        assert cut.usage.source == "estimated"
        assert cut.usage.output_tokens < whole.usage.output_tokens
        assert 0 < cut.cost < whole.cost
