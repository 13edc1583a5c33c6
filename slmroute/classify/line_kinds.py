"""Lines that are no prose: code, tables, chat histories and quotations, told by what each line looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slmroute.classify.labels import label_of

__all__ = ["looks_like_code", "runs_of"]

LONGEST_LINE = 400
"""Longer ones are paragraphs, whatever is in them."""

CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import |return\b|for \(|if \(|while \(|public |private |const |let |var |function\b"
    r"|#include|using |SELECT |INSERT |UPDATE |CREATE |FROM |WHERE |@\w+|package |func |fn |struct |\}|\{|</?\w+[^>]*>\s*$)"
    r"|[;{}]\s*$|^\s{4,}(?:(?:if|elif|else|for|while|with|try|except|finally)\b.*:\s*$|(?:del|raise|yield|await|pass|break|continue)\b)"
    r"|^\s*\w[\w.\[\]]* ?(?:=|\+=|:=) ?\S|^\s{4,}\S+\(.*\)"
)
TABLE_LINE = re.compile(
    r"^\s*\|.*\||^[^|\n]+\|[^|\n]+\||^[^\t\n]+\t[^\t\n]+|^(?:[^,\n]{1,40},){3,}[^,\n]{0,40}$|^[^;\n]{1,40};[^;\n]{1,40};"
)
CHAT_LINE = re.compile(r"^\s*(?:[\[(]?\d{1,2}:\d{2}(?::\d{2})?[\])]?\s*[-–]?\s*)?[\w.@#][\w .@#-]{0,24}[:：]\s+\S")
SPEAKER = re.compile(r"\s*customer[ \t]*:", re.IGNORECASE)
"""Labels a text where it stands alone, and one who speaks where lines like it follow one another."""

QUOTED_LINE = re.compile(r"^\s*>")


def runs_of(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Group neighbouring lines of one kind; a run too short to be a block of its kind is prose."""
    kind, run = "prose", list[str]()
    for line in lines:
        found = line_kind(line) if line.strip() else kind
        if found != kind and run:
            yield settled(kind, run)
            run = []
        kind = found
        run.append(line)
    if run:
        yield settled(kind, run)


def settled(kind: str, run: list[str]) -> tuple[str, list[str]]:
    """Take a run for what it looks like only when it is long enough."""
    filled = sum(bool(line.strip()) for line in run)
    needed = {"code": 2, "table": 2, "chat": 3, "quote": 1}.get(kind, 1)
    return (kind if filled >= needed else "prose"), run


def looks_like_code(lines: list[str]) -> bool:
    """Whether a block is code: every third of its lines looks so, or more."""
    filled = [line for line in lines if line.strip()]
    return 3 * sum(len(line) < LONGEST_LINE and CODE_LINE.search(line) is not None for line in filled) >= max(
        1, len(filled)
    )


def line_kind(line: str) -> str:
    """Say what a single line looks like."""
    if QUOTED_LINE.match(line):
        return "quote"
    short = len(line) < LONGEST_LINE
    if short and CODE_LINE.search(line):
        return "code"
    # What somebody says may be a list with commas, as a row of a table is.
    if CHAT_LINE.match(line) and (label_of(line) is None or SPEAKER.match(line)):
        return "chat"
    return "table" if short and TABLE_LINE.match(line) else "prose"
