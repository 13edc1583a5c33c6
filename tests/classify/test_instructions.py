"""Where an instruction ends and its material begins, when neither a label nor a blank line says so."""

# ruff: noqa: E501, RUF001  prompts in their own scripts

from __future__ import annotations

import pytest

from slmroute.classify.labels import parts_at_labels
from slmroute.classify.task_text import split_task

STORY = "The old lighthouse stood at the end of the pier, and nobody had climbed its stairs for years. " * 6
REVIEW = (
    "I went in without hopes. Who pays for films like this? The first hour drags along and the second is no better. "
    "Has nobody read the script? The leads try, the score tries, and the light on the water is good for once. " * 3
)


def test_what_a_class_says_of_itself_is_code() -> None:
    code = 'class Mill:\n    """\n    This grinds rye. Which sort is best?\n    """\n\n    def grind(self, sack):\n        pass'
    found = split_task(f"Implement the class below.\n\n{code}")
    assert found.instruction == "Implement the class below."
    assert "Which sort is best?" in found.payload
    assert "code" in found.kinds


@pytest.mark.parametrize(
    "instruction",
    [
        "In this task, you are given a letter. Your job is to say who wrote it. The name may stand at its end.",
        "You will be shown a tale. You must name its place. Places may be towns or rivers.",
        "Deine Aufgabe ist es, den Ort zu nennen. Orte können Städte sein.",
    ],
)
def test_who_is_told_what_is_to_come_is_instructed_by_the_whole_paragraph(instruction: str) -> None:
    found = split_task(f"{instruction}\n\n{STORY}")
    assert found.instruction.replace("\n", " ") == instruction
    assert found.payload.startswith("The old lighthouse")


def test_a_text_that_addresses_somebody_else_is_no_instruction() -> None:
    letter = f"Dear Anna, you must come in spring. {STORY}\n\nYou should see the pier. You will like the boats."
    assert (
        split_task(f"Is this letter friendly or formal?\n\n{letter}").instruction
        == "Is this letter friendly or formal?"
    )


@pytest.mark.parametrize(
    "order",
    [
        "As an experienced reader, classify the text below as fact or fiction.",
        "Based on your knowledge of style, classify these sentences as old or new.",
        "Basándote en tu experiencia, clasifica el texto siguiente como formal o informal.",
        "通过分析这些句子的语气，将以下文本分类为正式或随意。",
    ],
)
def test_something_may_stand_in_front_of_the_order(order: str) -> None:
    found = split_task(f"{order}\nWho would have thought it, said the miller, and shut the door.")
    assert found.instruction == order


def test_a_statement_with_something_in_front_is_no_order() -> None:
    text = f"From the tower, list prices were hard to read.\n\n{STORY}\n\nWhen was it built?"
    assert "list prices" not in split_task(text).instruction


def test_a_text_may_be_announced_in_the_middle_of_a_line() -> None:
    found = split_task(f"A friend asked me this: who had climbed it?, using the article: {STORY}")
    assert found.instruction == "A friend asked me this: who had climbed it?, using the article:"
    assert "nobody had climbed" in found.payload


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("Does one follow? Premise: It rains. Hypothesis: It is wet.", 3),
        ("Folgt es daraus? Prämisse: Es regnet. Hypothese: Es ist nass.", 2),
        ("Write a poem. Note: it must rhyme.", 1),
        ("The rule is old: nobody climbs. Anna said: why not?", 1),
    ],
)
def test_a_line_is_cut_at_the_labels_inside_it(line: str, parts: int) -> None:
    cut = parts_at_labels(line)
    assert "".join(cut).split() == line.split()
    assert len(cut) == parts


def test_labelled_parts_of_one_line_are_its_material() -> None:
    found = split_task("Does the second follow from the first? Premise: It rains in Rome. Hypothesis: Rome is dry.")
    assert found.instruction == "Does the second follow from the first?"


def test_the_line_breaks_of_a_page_end_a_sentence() -> None:
    text = f"{STORY}<br /><br />Perhaps I own the last one.<br />How does the writer feel about the movie?"
    assert split_task(text).instruction == "How does the writer feel about the movie?"


@pytest.mark.parametrize("front", [True, False])
def test_what_a_long_paragraph_asks_itself_is_no_task(front: bool) -> None:
    asked = "What is the sentiment expressed in this review?"
    text = f"{asked} {REVIEW}" if front else f"{REVIEW} {asked}"
    assert "Who pays" not in split_task(text).instruction
    assert asked in split_task(text).instruction


def test_several_questions_of_one_request_stay() -> None:
    text = (
        "Which of the two plans is cheaper over ten years? What would change if the rate rose? How sure are you of that? "
        "Could the bank refuse? Who would have to sign for it, and by when? What should I ask the notary before that? "
        "Is there a third plan that we have not thought of? What would you do in our place, given that we are both over "
        "fifty and own no house?"
    )
    assert split_task(text).instruction.count("?") == text.count("?")


def test_a_paragraph_behind_a_labelled_text_is_heard_in_any_language() -> None:
    order = "Whakatauhia ngā ingoa kei roto i te rerenga. Me hoatu hei rārangi."
    found = split_task(f"Text: {STORY}\n\n{order}")
    assert found.instruction.replace("\n", " ") == order


def test_a_heading_in_the_text_is_no_order() -> None:
    found = split_task(f"Is this formal or friendly?\n\n## Summary\n\n{STORY}\n\n## Brief recap\n\n{STORY}")
    assert found.instruction == "Is this formal or friendly?"
