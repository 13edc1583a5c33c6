"""Which concepts a text's words stand for: task verbs, kinds of text, mathematics, code and more, in many languages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from importlib.resources import files

__all__ = [
    "CONCEPTS_VERSION",
    "QUESTION_MARKS",
    "SENTENCE_END",
    "Words",
    "concept_names",
    "concepts_at_start",
    "words_of",
]

WORD = re.compile(r"[^\W\d_](?:[\w+#]|['’\-;](?=\w))*|\d[\d.,]*")
UNSPACED = re.compile(r"[\u0900-\u0dff\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
"""Scripts whose entries match anywhere: no spaces between words, endings glued on, vowel signs that end a ``\\w+``."""

QUESTION_MARKS = ("?", "？", "؟")
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=\S)|(?<=[。！？])")
"""Where one sentence ends and the next begins."""

LONGEST_UNSPACED = 9
WORDS_REMEMBERED = 20_000
CONCEPTS_VERSION = 1


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of ``lexicon.toml``, made ready for looking up."""

    names: tuple[str, ...]
    whole: dict[str, tuple[str, ...]]
    stems: dict[str, tuple[str, ...]]
    unspaced: dict[str, tuple[str, ...]]
    openers: frozenset[str]
    beginnings: frozenset[str]
    digest: str


@dataclass(frozen=True, slots=True)
class Words:
    """What the lexicon knows of a text.

    Attributes:
        counts: How often each concept occurs.
        words: The words, lower case, in order; scripts without spaces as runs.
    """

    counts: dict[str, int]
    words: list[str] = field(repr=False)

    @property
    def concepts(self) -> frozenset[str]:
        """The concepts that occur."""
        return frozenset(self.counts)


@cache
def lexicon() -> Lexicon:
    """Read ``lexicon.toml`` once."""
    import tomllib

    raw = files("slmroute.classify").joinpath("lexicon.toml").read_bytes()
    table: dict[str, dict[str, str]] = tomllib.loads(raw.decode())
    whole: dict[str, list[str]] = {}
    stems: dict[str, list[str]] = {}
    unspaced: dict[str, list[str]] = {}
    for concept, languages in table.items():
        for entries in languages.values():
            for entry in entries.split():
                if UNSPACED.match(entry[0]):
                    home, key = unspaced, entry.replace("_", "")
                elif entry.endswith("*") and "_" not in entry:
                    home, key = stems, entry[:-1]
                else:
                    home, key = whole, entry.rstrip("*")
                concepts = home.setdefault(key, [])
                if concept not in concepts:
                    concepts.append(concept)
    return Lexicon(
        tuple(table),
        {key: tuple(value) for key, value in whole.items()},
        {key: tuple(value) for key, value in stems.items()},
        {key: tuple(value) for key, value in unspaced.items()},
        frozenset(key.partition("_")[0] for key in whole if "_" in key),
        frozenset(key[0] for key in unspaced),
        sha256(raw).hexdigest()[:12],
    )


def concept_names() -> tuple[str, ...]:
    """Give the names of all concepts, in their fixed order."""
    return lexicon().names


def lexicon_digest() -> str:
    """Give a digest of the lexicon: weights fitted with another one do not fit this one."""
    return lexicon().digest


def words_of(text: str) -> Words:
    """Look up every word of a text.

    Args:
        text: Any text; bound its length first.

    Returns:
        How often each concept occurs, and the words.
    """
    book = lexicon()
    words = WORD.findall(text.lower())
    counts: dict[str, int] = {}
    for concept in spaced_concepts(words, book):
        counts[concept] = counts.get(concept, 0) + 1
    if not text.isascii():
        for run in UNSPACED.findall(text):
            for concept in unspaced_concepts(run, book):
                counts[concept] = counts.get(concept, 0) + 1
    return Words(counts, words)


def spaced_concepts(words: list[str], book: Lexicon) -> list[str]:
    """Look up words, their stems, and pairs and triples of neighbours."""
    found: list[str] = []
    whole, openers = book.whole, book.openers
    count = len(words)
    for i, word in enumerate(words):
        found += word_concepts(word)
        if word in openers and i + 1 < count:
            pair = f"{word}_{words[i + 1]}"
            if pair in whole:
                found += whole[pair]
            if i + 2 < count:
                triple = f"{pair}_{words[i + 2]}"
                if triple in whole:
                    found += whole[triple]
    return found


def concepts_at_start(text: str) -> frozenset[str]:
    """Give the concepts of the entries that a text without spaces begins with."""
    book = lexicon()
    found: set[str] = set()
    for length in range(1, LONGEST_UNSPACED + 1):
        found.update(book.unspaced.get(text[:length], ()))
    return frozenset(found)


@lru_cache(maxsize=WORDS_REMEMBERED)
def word_concepts(word: str) -> tuple[str, ...]:
    """Look up a single word and its stems; texts repeat their words."""
    book = lexicon()
    found = [*book.whole.get(word, ())]
    for length in range(3, len(word) + 1):
        found += book.stems.get(word[:length], ())
    return tuple(found)


def unspaced_concepts(run: str, book: Lexicon) -> list[str]:
    """Look up every stretch of a run of characters without spaces."""
    found: list[str] = []
    for start, character in enumerate(run):
        if character not in book.beginnings:
            continue
        for length in range(1, min(LONGEST_UNSPACED, len(run) - start) + 1):
            entry = book.unspaced.get(run[start : start + length])
            if entry is not None:
                found += entry
    return found
