"""What a question looks like that is asked of given material: reading, and not knowledge of the world."""

from __future__ import annotations

import pytest

from slmroute import EmbeddedClassifier, RouteRequest

EASY = [
    "When do parcels leave?",
    "Who wrote the report?",
    "What is the refund policy?",
    "Which files hold the tests?",
    "Does the plan cover dental care?",
    "How long is the warranty?",
]
HARD = [
    "Compare the risk models of both papers and derive which assumptions conflict.",
    "Design a migration plan from the described monolith to microservices, with trade-offs.",
    "Write a Python implementation of the described scheduler with tests.",
    "Critique the methodology and propose a better experimental design.",
]


def test_only_a_question_asked_of_material_says_so() -> None:
    asked = RouteRequest(text="When {do} parcels leave?", grounded=True)
    assert asked.text == RouteRequest.from_text(asked.text).task == "When {do} parcels leave?"
    assert asked.text in asked.task != asked.text


async def test_such_questions_are_simple_and_hard_tasks_stay_hard() -> None:
    classifier = EmbeddedClassifier()

    def up(text: str) -> bool:
        return classifier.score(RouteRequest(text=text, grounded=True)) > classifier.threshold

    assert not [text for text in EASY if up(text)]
    assert [text for text in HARD if up(text)] == HARD
    assert sum(classifier.score(RouteRequest.from_text(text)) > classifier.threshold for text in EASY) > 3
    request = RouteRequest(text=EASY[0], grounded=True)
    assert await classifier.ascore(request) == classifier.score(request)


@pytest.mark.parametrize("text", ["", "😀", "x" * 5_000])
def test_any_text_may_be_asked_of_material(text: str) -> None:
    assert 0 <= EmbeddedClassifier().score(RouteRequest(text=text, grounded=True)) <= 1
