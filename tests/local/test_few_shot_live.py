"""The few-shot classifier with a real small model behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from slmroute.classify.few_shot import FewShotClassifier
from slmroute.local import LocalServer
from slmroute.request import RouteRequest

SIMPLE = (
    "Which language is this? Guten Tag",
    "What is the capital of France?",
    "Extract the e-mail address: write to bob@example.org today.",
    "Is this spam? You won a prize, click here!",
    "List the dates in this text: we met on 3 May and on 9 June.",
    "What is the order number? Order 4711 was sent on Friday.",
)
COMPLEX = (
    "Prove that there are infinitely many prime numbers.",
    "Design a migration plan from a monolith to microservices for a bank, with risks and a way back.",
    "Write a Python class for an LRU cache and explain its complexity.",
    "Compose a sonnet about a train that never arrives.",
    "Plan a two-week trip for five people with different budgets and dislikes.",
    "Derive the gradient of the softmax cross-entropy loss.",
)


@pytest.fixture
def classifier(local_server: LocalServer) -> Iterator[FewShotClassifier]:
    # Patient, for the machine may be busy: how long it takes is not what is tested.
    with FewShotClassifier(local_server.model, host=local_server.url, timeout_s=60) as made:
        made.warm_up()
        yield made


async def test_clear_simple_prompts_rank_under_clear_complex_ones(classifier: FewShotClassifier) -> None:
    simple = [classifier.score(RouteRequest.from_text(text)) for text in SIMPLE]
    complex_ = [await classifier.ascore(RouteRequest.from_text(text)) for text in COMPLEX]
    assert all(0 <= score <= 1 for score in simple + complex_)
    # A model of 135M is not sure of any, but the order is right: every pair but one in twenty.
    pairs = [low < high for low in simple for high in complex_]
    assert sum(pairs) / len(pairs) >= 0.95


def test_the_prompts_beginning_is_evaluated_once(classifier: FewShotClassifier, local_server: LocalServer) -> None:
    classifier.classify(RouteRequest.from_text("What is the capital of Spain?"))
    before = local_server.counts
    found = classifier.classify(RouteRequest.from_text("Translate 'good night' into Italian."))
    cached = local_server.counts.cached_tokens - before.cached_tokens
    assert found.usage.input_tokens > 300
    assert found.usage.output_tokens == 1
    # Of hundreds of tokens only the request's own, and the turn around it, are read.
    assert found.usage.input_tokens - cached < 60


async def test_many_scores_at_the_same_time_are_those_of_one_after_the_other(classifier: FewShotClassifier) -> None:
    requests = [RouteRequest.from_text(text) for text in (*SIMPLE[:3], *COMPLEX[:3])]
    together = await asyncio.gather(*map(classifier.ascore, requests))
    assert together == pytest.approx([classifier.score(request) for request in requests], abs=0.05)


def test_what_fills_the_cache_in_between_does_not_cost_the_prefix(
    classifier: FewShotClassifier, local_server: LocalServer
) -> None:
    import ollama

    classifier.classify(RouteRequest.from_text(SIMPLE[0]))
    with ollama.Client(local_server.url) as client:
        for topic in ("rivers", "bread", "clocks"):
            client.generate(local_server.model, f"Tell me about {topic}.", options={"num_predict": 2})
    before = local_server.counts.cached_tokens
    found = classifier.classify(RouteRequest.from_text(SIMPLE[1]))
    assert found.usage.input_tokens - (local_server.counts.cached_tokens - before) < 60
