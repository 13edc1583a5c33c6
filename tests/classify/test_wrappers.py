"""A text is given and a question asked of it: the same whatever marks set the text apart."""

from __future__ import annotations

import time

import pytest

from slmroute.classify.task_text import split_task
from slmroute.classify.wrappers import marked_spans, without_marks

TEXT = (
    "The mill at Oxley Ford was built in 1764 by the miller Josiah Crane. A flood in 1811 carried away its wheel, and "
    "it stood idle for nine years. It closed in 1932 and is now a hostel with forty beds."
)
OTHER = "Orders can be returned within 30 days of delivery, and the postage is free for members of the club."
ASKED = "Who built the mill?"
WRAPPED = [
    "<doc>\n{}\n</doc>\n\n{asked}",
    "<context>{}</context>\n{asked}",
    '<document id="1">\n{}\n</document>\n{asked}',
    "```\n{}\n```\n\n{asked}",
    "```text\n{}\n```\n{asked}",
    '"""\n{}\n"""\n\n{asked}',
    "'''{}'''\n{asked}",
    "---\n{}\n---\n{asked}",
    "[CONTEXT]\n{}\n[/CONTEXT]\n{asked}",
    "### Context\n{}\n\n### Question\n{asked}",
    "## Document\n\n{}\n\n## Question\n\n{asked}",
    "**Context:**\n{}\n\n**Question:** {asked}",
    "<context>\n{}\n</context>\n<question>\n{asked}\n</question>",
    "[1] {}\n\n[2] {other}\n\n{asked}",
    "Document 1: {}\n\nDocument 2: {other}\n\n{asked}",
]


@pytest.mark.parametrize("form", WRAPPED)
def test_whatever_the_marks_the_question_is_told_from_its_text(form: str) -> None:
    found = split_task(form.format(TEXT, asked=ASKED, other=OTHER))
    assert found.instruction.removeprefix("Question:").strip() == ASKED
    assert found.kinds == {"labelled"}
    assert found.place == "behind"
    assert TEXT[:60] in found.payload


def test_code_in_a_fence_and_pages_stay_what_they_are() -> None:
    assert split_task("What does it print?\n```\nfor x in y:\n    print(x)\n```").kinds == {"code"}
    assert split_task("What does it print?\n```python\nx\n```").kinds == {"code"}
    page = "<div>The tea of the day is green, and it costs three euros.</div>"
    assert split_task(f"What does the tea cost?\n{page}").kinds == {"markup"}


def test_more_than_two_rules_part_sections() -> None:
    assert marked_spans(f"---\n{TEXT}\n---\n{ASKED}")
    assert not marked_spans(f"---\n{TEXT}\n---\n{OTHER}\n---\n{ASKED}")


def test_a_line_in_front_that_speaks_of_the_context_is_heard() -> None:
    found = split_task(f"Use the context to answer.\n\n<context>\n{TEXT}\n</context>\n\n{ASKED}")
    assert found.instruction == f"Use the context to answer.\n{ASKED}"


@pytest.mark.parametrize("text", ["<doc>\nA mill.\n</doc>", "```\nA mill.\n```", '"""A mill."""', "---\nA mill.\n---"])
def test_marks_at_the_edges_are_left_out(text: str) -> None:
    assert without_marks(text) == "A mill."


@pytest.mark.parametrize(
    "text", ["[ab]" * 2_500 + "[/", "[ab] " * 290 + "[/", "'''" * 3_000, "---\n" * 2_000, "# a\n" * 2_000]
)
def test_heaps_of_marks_are_read_in_bounded_time(text: str) -> None:
    began = time.process_time()
    split_task(text)
    # A ceiling against runaway patterns, a hundred times what it takes.
    assert time.process_time() - began < 2.0
