"""Hugging Face beyond answers: whom its hub has serve a model, and endpoint embeddings as a classifier's features."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings

from langchain_slmroute import RoutingChatModel
from langchain_slmroute.models import TierModels
from slmroute import EmbeddedClassifier, RouteRequest, Tier
from slmroute.errors import ClassifierUnavailable, ConfigError
from slmroute.testing import Fault, Reply
from tests.langchain import ways
from tests.langchain.providers.conftest import Spare
from tests.langchain.providers.loopback import Asked, Json, LoopbackServer
from tests.langchain.providers.providers import HUGGING_FACE, KEY
from tests.langchain.stage import record_of

FRUITS = ("apple", "pear", "plum", "cherry", "lemon", "melon", "grape", "fig", "peach", "lime")
METALS = ("iron", "copper", "zinc", "tin", "lead", "nickel", "silver", "gold", "cobalt", "chrome")
PROMPTS = [f"Say something about {thing}, number {n}." for n in range(3) for thing in (*FRUITS, *METALS)]
LABELS = [any(metal in prompt for metal in METALS) for prompt in PROMPTS]


class EmbeddingWire:
    """The wire of feature extraction: what is about metals points one way, and all else another."""

    def model(self, asked: Asked) -> str:
        return "embedder"

    def streams(self, asked: Asked) -> bool:
        return False

    def whole(self, model: str, reply: Reply) -> Any:
        return json.loads(reply.text)

    def events(self, model: str, reply: Reply) -> Iterator[bytes]:
        raise AssertionError

    def error(self, fault: Fault) -> Json:
        return {"error": "Service unavailable"}

    def error_event(self, fault: Fault) -> bytes:
        raise AssertionError


def embedding(text: str) -> list[float]:
    metal = any(word in text for word in METALS)
    return [0.9, 0.1 if metal else -0.1, 0.3, len(text) % 7 / 100]


def embed_all(body: Any) -> Reply:
    return Reply(json.dumps([embedding(text) for text in body["inputs"]]))


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(EmbeddingWire()) as running:
        running.script("embedder", embed_all)
        yield running


@pytest.fixture
def embeddings(server: LoopbackServer) -> HuggingFaceEndpointEmbeddings:
    made = HuggingFaceEndpointEmbeddings(model="sentence-transformers/all-mpnet-base-v2", huggingfacehub_api_token=KEY)
    made.client = InferenceClient(model=server.url, token=KEY)  # its model= takes no address
    return made


@pytest.fixture
def classifier(embeddings: HuggingFaceEndpointEmbeddings) -> EmbeddedClassifier:
    return EmbeddedClassifier().fit(PROMPTS, LABELS, embed=embeddings.embed_documents)


def test_endpoint_embeddings_tell_apart_what_the_other_features_do_not(classifier: EmbeddedClassifier) -> None:
    unseen = ["Say something about bronze and tin.", "Say something about a ripe melon."]
    scores = classifier.score_many(unseen)
    assert scores[0] > 0.5 > scores[1]
    assert [classifier.score(RouteRequest.from_text(text)) for text in unseen] == pytest.approx(list(scores))
    plain = EmbeddedClassifier().score_many(unseen)
    assert abs(plain[0] - plain[1]) < scores[0] - scores[1]


async def test_they_are_asked_off_the_event_loop(classifier: EmbeddedClassifier, server: LoopbackServer) -> None:
    requests = [RouteRequest.from_text(f"Say something about {metal}.") for metal in METALS]
    found = await asyncio.gather(*map(classifier.ascore, requests))
    assert found == [classifier.score(request) for request in requests]


def test_many_texts_take_few_requests_without_what_the_texts_are_about(
    classifier: EmbeddedClassifier, server: LoopbackServer
) -> None:
    before = len(server.calls())
    assert before == len(PROMPTS) // 32 + 1
    classifier.score_many([f"Summarise this:\n\n{'The lamp works well. ' * 300}"] * 40)
    assert len(server.calls()) == before + 2
    assert len(str(server.calls()[-1].body)) < 5_000
    assert server.calls()[-1].headers["authorization"] == f"Bearer {KEY}"


def test_a_refitted_classifier_is_named_copied_and_fitted_again(
    classifier: EmbeddedClassifier, embeddings: HuggingFaceEndpointEmbeddings
) -> None:
    assert KEY not in repr(classifier)
    assert "endpoint" in classifier.version
    assert copy.copy(classifier).version == classifier.version
    request = RouteRequest.from_text("Say something about zinc.")
    assert copy.copy(classifier).score(request) == classifier.score(request)
    swapped = classifier.fit(PROMPTS, [not label for label in LABELS])
    assert swapped.score(request) < classifier.score(request)
    assert swapped.version != classifier.version
    with pytest.raises(ConfigError, match="embed="):
        classifier.save("somewhere.npz")


async def test_a_router_falls_back_to_its_default_tier_when_the_endpoint_is_down(
    classifier: EmbeddedClassifier, server: LoopbackServer
) -> None:
    tiers = [Tier("small", Spare()), Tier("big", Spare())]
    router = RoutingChatModel(tiers=tiers, classifier=classifier, threshold=0.5)
    for ask in (ways.invoke, ways.ainvoke):
        record = record_of(await ask(router, "Say something about a plum."))
        assert (record["tier"], record["classifier_version"]) == ("small", classifier.version)
        assert record_of(await ask(router, "Say something about copper."))["tier"] == "big"
    server.script("embedder", Fault(503))
    record = record_of(await router.ainvoke("Say something about a plum."))
    assert (record["tier"], record["reason"]) == ("big", "default")
    assert "classifier_unavailable" in record["events"]


def test_what_is_no_embedding_is_refused(classifier: EmbeddedClassifier) -> None:
    fitted = EmbeddedClassifier()
    for wrong in (
        lambda texts: [],
        lambda texts: [[1.0, float("nan")] for _ in texts],
        lambda texts: [[1.0] * (1 + n % 2) for n, _ in enumerate(texts)],
        lambda texts: [1.0 for _ in texts],
    ):
        with pytest.raises(ConfigError, match="embed="):
            fitted.fit(PROMPTS, LABELS, embed=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 40"):
        fitted.fit(PROMPTS[:5], LABELS[:5], embed=lambda texts: [[1.0] for _ in texts])
    classifier._embed = lambda texts: [[1.0, 2.0] for _ in texts]  # type: ignore[attr-defined]
    with pytest.raises(ClassifierUnavailable, match="gave 2 numbers"):
        classifier.score(RouteRequest.from_text("Say something."))
    classifier._embed = lambda texts: []  # type: ignore[attr-defined]
    with pytest.raises(ClassifierUnavailable):
        classifier.score(RouteRequest.from_text("Say something."))


def test_fitting_without_embeddings_stays_as_it_was() -> None:
    one, other = (EmbeddedClassifier().fit(PROMPTS, LABELS) for _ in range(2))
    assert type(one) is EmbeddedClassifier
    assert one.version == other.version
    np.testing.assert_array_equal(one.score_many(PROMPTS), other.score_many(PROMPTS))


def test_a_model_is_priced_by_who_serves_it() -> None:
    model, token = HUGGING_FACE.model, {"api_key": KEY}
    tiers = [
        Tier("own", f"huggingface:{model}", model_args=token),
        Tier("hub", f"huggingface:{model}", model_args={**token, "provider": "novita"}),
        Tier("object", ChatHuggingFace(llm=HuggingFaceEndpoint(repo_id=model, provider="novita", task="conversational",
                                                               huggingfacehub_api_token=KEY))),
    ]  # fmt: skip
    models = TierModels(tiers, {})
    assert [models.provider(tier) for tier in tiers] == ["huggingface", "huggingface_novita", "huggingface_novita"]
    assert models.identities() == {"hub": f"huggingface_novita:{model}", "object": f"huggingface_novita:{model}"}


def test_a_hubs_listed_price_is_found() -> None:
    from slmroute.price import PriceBook
    from slmroute.steps import Usage

    tier = Tier("hub", "huggingface:deepseek-ai/DeepSeek-V3", model_args={"api_key": KEY, "provider": "novita"})
    book = PriceBook([tier], named=TierModels([tier], {}).identities())
    priced = book.price(tier, Usage(1_000, 1_000), provider=None, model=None)
    assert priced.cost is not None
    assert priced.price_id.startswith("genai-prices:huggingface_novita/")
