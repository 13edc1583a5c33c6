"""How many passages a payload is made of: retrieved chunks, search results, numbered documents.

One text to read from and many to bring together are different tasks, and the passages' heads tell them apart: paragraph
after paragraph begins with the same word and another number, or with a number in brackets.
"""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["LEAST_PARAGRAPH", "alike_heads", "paragraphs_of"]

BLANK_LINE = re.compile(r"\n[ \t]*\n")
HEAD = re.compile(
    r"^\W{0,3}([^\W\d_]{1,14}(?: [^\W\d_]{1,14})?)?[ \t]*[#\[(]{0,2}(\d{0,3})[\])]{0,2}[ \t]?[.:)\]–-]"  # noqa: RUF001
)
"""A word or two, a number, or both, and what sets them apart from the passage: ``Document 3:``, ``[4]``, ``Title:``."""

HEAD_CHARACTERS = 60
LEAST_PASSAGE = 40
LEAST_PARAGRAPH = 60


def paragraphs_of(text: str) -> list[str]:
    """Cut a text at its blank lines, what is too short for a paragraph left out."""
    return [part for part in map(str.strip, BLANK_LINE.split(text)) if len(part) >= LEAST_PASSAGE]


def alike_heads(paragraphs: list[str]) -> int:
    """Count the paragraphs that begin with the most frequent head.

    Args:
        paragraphs: What ``paragraphs_of`` gave.

    Returns:
        How many share it; their numbers may differ. 0 where no paragraph has a head.
    """
    heads = Counter[str]()
    for paragraph in paragraphs:
        head = HEAD.match(paragraph[:HEAD_CHARACTERS])
        if head is not None and (head[1] or head[2] or paragraph.startswith("[")):
            heads[(head[1] or "").lower()] += 1
    return max(heads.values(), default=0)
