"""What kind of task a prompt is, by the words of its instruction, in many languages."""

from __future__ import annotations

import re
from typing import Final

from slmroute.classify.lexicon import words_of
from slmroute.classify.task_text import TaskText, split_task

__all__ = ["CATEGORIES", "category_of", "category_of_task"]

CATEGORIES: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    ("language detection", frozenset({"language_id"})),
    ("sentiment", frozenset({"sentiment"})),
    ("moderation", frozenset({"moderation"})),
    ("summarisation", frozenset({"summarise"})),
    ("translation", frozenset({"translate"})),
    ("classification", frozenset({"classify", "same_meaning"})),
    ("code", frozenset({"code_noun", "code_trouble"})),
    ("validation", frozenset({"validate"})),
    ("creative writing", frozenset({"creative"})),
    ("extraction", frozenset({"extract"})),
    ("mathematics", frozenset({"math_verb", "math_noun", "quantity"})),
    ("correction", frozenset({"correct", "convert"})),
    ("planning and ideas", frozenset({"design", "ideas"})),
    ("analysis", frozenset({"analyse", "across", "estimate"})),
    ("explanation and advice", frozenset({"explain", "reason", "advice", "hypothetical"})),
    ("writing", frozenset({"write", "business"})),
)
"""The kinds, the more telling first, each with the concepts of the classifier's lexicon that tell it."""

GIVEN_TEXT: Final = "question on a given text"
QUESTION: Final = "question"
OTHER: Final = "other"

OPENING: Final = 160

QUESTION_MARK: Final = re.compile(r"[?\uff1f\u061f]")


def category_of(text: str) -> str:
    """Tell what kind of task a prompt is.

    It is a label for reports, told by words alone; where a call goes is for the classifier to say.

    Args:
        text: The prompt.
    """
    return category_of_task(split_task(text))


def category_of_task(task: TaskText) -> str:
    """Tell what kind of task a prompt is that is already split.

    Args:
        task: Its instruction and its payload.
    """
    # What reads like a list of fields throughout ("Classify this: bug, wish") has no instruction told apart in it.
    words = words_of((task.instruction or task.payload)[:OPENING])
    concepts = words.concepts
    # "Class" is what one writes in Python, and in French a verb: of the two, the kind that more words tell of.
    if words.counts.get("code_noun", 0) > words.counts.get("classify", 0):
        concepts -= {"classify"}
    for name, telling in CATEGORIES:
        if concepts & telling:
            return name
    if "given_text" in concepts or (task.payload and QUESTION_MARK.search(task.instruction)):
        return GIVEN_TEXT
    asks = QUESTION_MARK.search(task.instruction) or concepts & {"who_when", "yes_no"}
    return QUESTION if asks else OTHER
