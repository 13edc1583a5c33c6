"""Marks that set a text apart: fences, quotation marks, tags, rules. Which of them is used says nothing of the task.

A text in ``<doc>`` tags, in a fence, between rules or behind ``Context:`` is one kind of payload; code in a fence and
marked-up pages are others.
"""

from __future__ import annotations

import re

from slmroute.classify.labels import TASK_LABELS
from slmroute.classify.line_kinds import looks_like_code

__all__ = ["marked_spans", "without_marks"]

FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
FENCED = re.compile(r"(?:```|~~~)([\w+#.-]*)[ \t]*\n?(.*?)(?:```|~~~)?\Z", re.DOTALL)
TEXT_FENCES = frozenset(("", "text", "txt", "plain", "plaintext", "markdown", "md", "context", "document"))
LONG_QUOTE = re.compile(
    r"'''(.{2,}?)'''"
    r'|"""(.{2,}?)"""|“([^”]{40,})”|«([^»]{40,})»|„([^“”]{40,})[“”]|「([^」]{20,})」|(?<!\w)"([^"\n]{60,})"',
    re.DOTALL,
)
EDGE_QUOTE = re.compile(
    r"(?<=[?？؟;:：.!。])\s*[\"“«„「]([^\"“”«»「」\n]{12,})[\"”»“」]\.?\s*\Z"
    r"|\A\s*[\"“«„「]([^\"“”«»「」\n]{12,})[\"”»“」](?=\s+[^\s,.])"
)
"""A quotation that ends a prompt behind a whole sentence, or begins one."""

DOCUMENTED = re.compile(
    r"^[ \t]*(?:async )?(?:class|def) [^\n]*:[ \t]*\n\s*[rub]?(\"{3}|'{3}).*?(?:\1|\Z)", re.DOTALL | re.MULTILINE
)
"""What a class or a function says of itself is code, like the line above it."""

OPENING_MARKS = "“«„「"
MOST_OPENINGS = 300
TAG = re.compile(r"<([A-Za-z][\w-]{1,30})(?: [^<>]{0,80})?>(.{15,}?)</\1>", re.DOTALL)
BRACKETED = re.compile(r"\[([A-Za-z][\w ]{2,20})\](.{15,}?)\[/\1\]", re.DOTALL)
RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,}|_{3,}|#{3,}|~{4,})[ \t]*$", re.MULTILINE)
CODE_TAGS = frozenset("code pre script style".split())
PAGE_TAGS = frozenset(
    "html head body div span p a ul ol li table tr td th thead tbody h1 h2 h3 h4 h5 h6 b i em strong svg form section "
    "article nav header footer main xml root item".split()
)
QUESTION_LENGTH = 800

FRONT_MARKS = re.compile(
    r"""(?:\s|<[A-Za-z][\w-]{1,30}>|```\w*\n|~~~\w*\n|\"{3}|'{3}|[-=_*#]{3,}(?=\s)|#{1,6}(?= ))+"""
)
END_MARKS = re.compile(r"""(?:\s|</[A-Za-z][\w-]{1,30}>|```|~~~|\"{3}|'{3}|(?<=\s)[-=_*#]{3,})+\Z""")


def without_marks(text: str) -> str:
    """Leave out the marks that a prompt begins and ends with."""
    begins = FRONT_MARKS.match(text)
    start = begins.end() if begins else 0
    ends = END_MARKS.search(text, max(start, len(text) - 80))
    return text[start : ends.start() if ends else len(text)]


def marked_spans(text: str) -> list[tuple[int, int, str, str]]:
    """Find fenced, quoted, tagged and ruled-off blocks, in order and without overlap.

    Args:
        text: A bounded prompt.

    Returns:
        Of each where it begins and ends, its kind (``code``, ``quote``, ``markup``, ``labelled``, or ``task`` for a
        question in tags), and what is in it.
    """
    found: list[tuple[int, int, str, str]] = []
    if "```" in text or "~~~" in text:
        found += [(match.start(), match.end(), *fenced(match[0])) for match in FENCE.finditer(text)]
    if "</" in text:
        found += [(match.start(), match.end(), *tagged(match[1], match)) for match in TAG.finditer(text)]
    if "[/" in text and text.count("[") <= MOST_OPENINGS:
        found += [(match.start(), match.end(), "labelled", match[2]) for match in BRACKETED.finditer(text)]
    if '"""' in text or "'''" in text:
        found += [(match.start(), match.end(), "code", match[0]) for match in DOCUMENTED.finditer(text)]
    openings = sum(text.count(mark) for mark in OPENING_MARKS)
    # Each that is never closed is read to the text's end.
    if ('"' in text or "'''" in text or openings) and openings <= MOST_OPENINGS:
        for match in LONG_QUOTE.finditer(text):
            given = match[1] or match[2]
            found.append((match.start(), match.end(), "labelled" if given else "quote", given or match[0]))
        found += [(match.start(), match.end(), "quote", match[0]) for match in EDGE_QUOTE.finditer(text)]
    found += ruled_off(text)
    spans: list[tuple[int, int, str, str]] = []
    for span in sorted(found):
        if not spans or span[0] >= spans[-1][1]:
            spans.append(span)
    return spans


def fenced(block: str) -> tuple[str, str]:
    """Say whether a fence holds code or a text, and give what is in it."""
    match = FENCED.match(block)
    if match is None or match[1].lower() not in TEXT_FENCES or looks_like_code(match[2].split("\n")):
        return "code", block
    return "labelled", match[2]


def tagged(name: str, match: re.Match[str]) -> tuple[str, str]:
    """Say what stands between two tags, and give it."""
    lower = name.lower()
    if lower in CODE_TAGS:
        return "code", match[0]
    if lower in PAGE_TAGS:
        return "markup", match[0]
    # The last word of "user_question" is what is known.
    asked = lower.rsplit("_", 1)[-1] in TASK_LABELS and len(match[2]) <= QUESTION_LENGTH
    return ("task" if asked else "labelled"), match[2]


def ruled_off(text: str) -> list[tuple[int, int, str, str]]:
    """Find the text between two rules; more than two part sections."""
    if not any(mark in text for mark in ("---", "===", "***", "___", "###", "~~~~")):
        return []
    rules = list(RULE.finditer(text))
    if len(rules) != 2 or rules[0][0].strip()[0] != rules[1][0].strip()[0]:
        return []
    inner = text[rules[0].end() : rules[1].start()]
    return [(rules[0].start(), rules[1].end(), "labelled", inner)] if len(inner) >= 15 else []
