"""Only OpenAI's classes of service have prices of their own; others use the same words."""

from __future__ import annotations

import pytest
from llama_index.core.llms import ChatMessage, ChatResponse

from llama_index_slmroute.answers import answer_of


@pytest.mark.parametrize(
    ("provider", "service"), [("openai", "flex"), ("azure", "flex"), (None, "flex"), ("groq", None)]
)
def test_a_class_of_service_is_openais_and_azures(provider: str | None, service: str | None) -> None:
    told = {"usage": {"prompt_tokens": 5, "completion_tokens": 3}, "service_tier": "flex"}
    usage = answer_of([ChatResponse(message=ChatMessage("Yes."), raw=told)], provider).usage
    assert usage is not None
    assert (usage.input_tokens, usage.service_tier) == (5, service)
