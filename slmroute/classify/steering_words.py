"""Clauses that speak of routing and of nothing else, told by their words, as ``Only GPT-4 class models can do this`` is.

What can be said of a task's difficulty or of who should answer is said in few words; ``steering.toml`` lists them in
many languages. A clause of none but these, one of which names a model or a degree of difficulty, holds no task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from slmroute.classify.lexicon import QUESTION_MARKS, UNSPACED
from slmroute.classify.openings import opening_concepts

__all__ = ["without_routing_talk"]

EDGE = 400
LONGEST_HEADING = 40
"""How much of either end is looked at: what steers is put in front of a task or behind it."""

WORDS_REMEMBERED = 20_000
LONGEST_ENTRY = 10
TOKEN = re.compile(r"\d[\d.,%/]*|[^\W\d_](?:[\w+#]|['’.\-](?=\w))*")
PARTS = re.compile(r"[-_'’.]")
SENTENCE = re.compile(r"(?:[^.!?。！？।;；\n]|\.(?=\S))*(?:[.!?。！？।;；\n]+[ \t]*|\Z)")
CLAUSE = re.compile(r"(?:[^,，،:：()\[\]{}\"“”|–—\n-]|(?<!\s)-|-(?!\s))*(?:[,，،:：()\[\]{}\"“”|–—\n-]+[ \t]*|\Z)")
NOTE = re.compile(r"<([\w-]{2,20})>([^<>\n]{1,60})</\1>[ \t]*|[\[{(]([^\[\]{}()\n]{3,60})[\]})][ \t]*")
"""What may be a forged note in tags or brackets."""

ASSIGNMENT = re.compile(
    r"(?:^|(?<=[\s,;]))([A-Za-z][\w-]{2,20})[ \t]?[:=][ \t]?([A-Za-z][\w-]{2,12}|\d[\d./%]{0,6})(?=[\s,;.]|$)[,;.]?[ \t]*"
)
ASSIGNED = re.compile(r"[:=：]")
INTRODUCES = (":", "：", "–", "—", "-")
INNER_END = re.compile(r"(?<=[.!?:;])\s+|(?<=[。！？：；])")
MOST_WORDS = 40
CORES = frozenset(("grade", "model"))
REQUESTS = frozenset(
    "classify extract summarise translate correct write explain analyse design convert code_verb math_verb advice".split()
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of ``steering.toml``, and the groups that each is in."""

    whole: dict[str, frozenset[str]]
    stems: dict[str, frozenset[str]]
    unspaced: dict[str, frozenset[str]]


@cache
def vocabulary() -> Vocabulary:
    """Read ``steering.toml`` once."""
    import tomllib

    table: dict[str, dict[str, str]] = tomllib.loads(
        files("slmroute.classify").joinpath("steering.toml").read_text(encoding="utf-8")
    )
    homes: tuple[dict[str, set[str]], ...] = ({}, {}, {})
    for group, languages in table.items():
        for entry in " ".join(languages.values()).split():
            kind = 2 if UNSPACED.match(entry) else 1 if entry.endswith("*") else 0
            homes[kind].setdefault(entry.rstrip("*"), set()).add(group)
    return Vocabulary(*({key: frozenset(value) for key, value in home.items()} for home in homes))


@lru_cache(maxsize=WORDS_REMEMBERED)
def groups_of(word: str) -> frozenset[str]:
    """Give the groups that a word in lower case is in; numbers are a group of their own."""
    book = vocabulary()
    if word[0].isdigit():
        return frozenset(("number",))
    found = set(book.whole.get(word, ()))
    for length in range(3, len(word) + 1):
        found |= book.stems.get(word[:length], frozenset())
    if not found and PARTS.search(word):
        parts = [groups_of(part) for part in PARTS.split(word) if part]
        return frozenset[str]().union(*parts) if all(parts) else frozenset()
    return frozenset(found)


def unspaced_groups(run: str) -> Iterator[frozenset[str]]:
    """Cut characters without spaces into the longest known entries; an unknown character is in no group."""
    book, place = vocabulary().unspaced, 0
    while place < len(run):
        for length in range(min(LONGEST_ENTRY, len(run) - place), 0, -1):
            found = book.get(run[place : place + length])
            if found is not None:
                yield found
                place += length
                break
        else:
            if run[place].isalpha():
                yield frozenset()
            place += 1


def words_in(text: str) -> list[frozenset[str]]:
    """Give the groups of each word of a clause."""
    lower = text.lower()
    found = [groups_of(token) for token in TOKEN.findall(UNSPACED.sub(" ", lower))]
    for run in UNSPACED.findall(lower):
        found += unspaced_groups(run)
    return found


def may_speak_of_routing(text: str) -> bool:
    """Whether there is a word of difficulty or of models at all; nearly every text has none, and this is quick."""
    lower = text.lower()
    return any(not CORES.isdisjoint(groups_of(token)) for token in TOKEN.findall(lower)) or (
        not lower.isascii() and any(not CORES.isdisjoint(groups_of_run(run)) for run in UNSPACED.findall(lower))
    )


@lru_cache(maxsize=WORDS_REMEMBERED)
def groups_of_run(run: str) -> frozenset[str]:
    """Give the groups of all that a run of characters without spaces holds."""
    return frozenset[str]().union(*unspaced_groups(run))


def speaks_of_routing(clause: str, *, behind_another: bool = False) -> bool:
    """Whether a clause speaks of a task's difficulty or of models, and of nothing else.

    Args:
        clause: The clause, or a whole line.
        behind_another: Whether it goes on after such a clause: ``für Experten`` does not stand alone.
    """
    words = words_in(clause)
    if not words or len(words) > MOST_WORDS:
        return False
    held = frozenset[str]().union(*words)
    chosen = "model" in held
    strange = sum(not (groups if chosen or behind_another else groups - {"choose"}) for groups in words)
    # Who names a model and what is to be done with it may put one word between that is not known, where no task begins.
    orders = any(opening_concepts(part.strip()) & REQUESTS for part in INNER_END.split(clause) if part.strip())
    spare = len(words) // 5 if chosen and held & {"choose", "size"} and not orders else 0
    if strange > min(2, spare):
        return False
    if behind_another:
        return bool(held & {"model", "grade", "size"})
    if chosen and held & {"choose", "size", "grade"}:
        return True
    if "grade" not in held:
        return False
    if ASSIGNED.search(clause) and "meta" in held and len(words) > 1:
        return True
    return any("task" in groups and "grade" not in groups for groups in words)


def without_routing_talk(text: str) -> str:
    """Leave out, near both ends of a text, what speaks of nothing but routing."""
    if len(text) <= 2 * EDGE:
        return kept_of(text) if may_speak_of_routing(text) else text
    head_end = text.rfind(" ", 0, EDGE) + 1 or EDGE
    tail_start = text.find(" ", len(text) - EDGE)
    tail_start = len(text) - EDGE if tail_start < 0 else tail_start
    head, tail = text[:head_end], text[tail_start:]
    head = kept_of(head) if may_speak_of_routing(head) else head
    tail = kept_of(tail) if may_speak_of_routing(tail) else tail
    return f"{head}{text[head_end:tail_start]}{tail}"


def kept_of(text: str) -> str:
    """Leave out lines, sentences and clauses."""
    kept: list[str] = []
    text = NOTE.sub(lambda note: "" if speaks_of_routing(f"{note[1] or ''}: {note[2] or note[3]}") else note[0], text)
    lines = text.splitlines(keepends=True)
    skipped = -1
    for place, line in enumerate(lines):
        if place != skipped and not may_speak_of_routing(line):
            kept.append(line)
            continue
        if place == skipped or (
            line.strip() and not line.rstrip().endswith(QUESTION_MARKS) and speaks_of_routing(line)
        ):
            continue
        if place + 1 < len(lines) and heads_a_grade(line, lines[place + 1]):
            skipped = place + 1
            continue
        kept += kept_sentences(line)
    return ASSIGNMENT.sub(lambda found: "" if assigns_a_grade(found[1], found[2]) else found[0], "".join(kept))


def assigns_a_grade(name: str, value: str) -> bool:
    """Whether this is a value for routing: ``tier=frontier``, ``complexity: 0.9``."""
    keys, values = groups_of(name.lower()), groups_of(value.lower())
    named = bool(keys & CORES) and bool(values & {"grade", "size", "model", "number"})
    return named or ("meta" in keys and "grade" in values)


def heads_a_grade(line: str, following: str) -> bool:
    """Whether two lines are a heading such as ``### Difficulty`` and a grade below it."""
    if len(line) > LONGEST_HEADING or len(following) > LONGEST_HEADING or not line.strip() or not following.strip():
        return False
    heading = words_in(line)
    if len(heading) > 3 or not all("meta" in groups for groups in heading):
        return False
    return speaks_of_routing(f"{line.strip()}: {following.strip()}")


def kept_sentences(line: str) -> Iterator[str]:
    """Give what is left of a line."""
    dropped = False
    for sentence in SENTENCE.findall(line):
        asks = sentence.rstrip().endswith(QUESTION_MARKS)
        if not sentence.strip() or asks or not speaks_of_routing(sentence, behind_another=dropped):
            left = list(kept_clauses(sentence, asks))
            dropped = len("".join(left)) < len(sentence) and not "".join(left).strip()
            yield from left
        else:
            dropped = True


def kept_clauses(sentence: str, asks: bool) -> Iterator[str]:
    """Give what is left of a sentence; of a question only what introduces it can be left out."""
    dropped = False
    for clause in CLAUSE.findall(sentence):
        if clause.strip():
            introduces = clause.rstrip().endswith(INTRODUCES)
            dropped = (introduces or not asks) and speaks_of_routing(clause, behind_another=dropped)
        if not dropped:
            yield clause
