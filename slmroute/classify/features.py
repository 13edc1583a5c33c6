"""What the embedded classifier sees of a prompt: structure as a vector, the instruction's spelling as hashed n-grams.

Both are linear in the weights, so a score is a handful of sums. How long the payload is, is not among the features;
only that there is one, and of what kind.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from slmroute.classify.lexicon import concept_names, words_of
from slmroute.classify.passages import LEAST_PARAGRAPH, alike_heads, paragraphs_of
from slmroute.classify.questions import question_in, question_shape, question_support
from slmroute.classify.task_text import TaskText, split_task
from slmroute.classify.wrappers import without_marks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BUCKETS",
    "NGRAM_VERSION",
    "Features",
    "dense_features",
    "feature_names",
    "ngram_buckets",
    "prompt_features",
    "task_features",
]

HASH_BITS = 16
NGRAM_SIZES = (2, 3, 4, 5)
NGRAM_CHARACTERS = 500
EDGE_CHARACTERS = 160
ASKED_PARTS = ("asks", "opens", "closes", "asks-of-payload")
REGIONS = ("instruction", "head", "tail")
"""Whose n-grams are counted apart: the instruction as it was found, and the prompt's edges in case it was not."""

NGRAM_VERSION = 7
"""Raise it when the same text would give other features, so that weights fitted before are refused."""

BUCKETS = len(REGIONS) << HASH_BITS
"""How many n-gram weights there are, over all regions."""

PAYLOAD_SAMPLE = 700
SHORT_MESSAGE = 60
"""Longer messages are no mere greeting and no mere sum."""

LEAST_PAYLOAD = 25
MOST_QUESTION_PARTS = 3
"""Fewer paragraphs are a question and one text."""

PAYLOAD_CONCEPTS = (
    "first_person", "logic_words", "math_noun", "math_verb", "quantity", "code_noun", "code_trouble", "expert", "constraint",
    "reason", "who_when", "write", "design",
)  # fmt: skip
PAYLOAD_KINDS = ("code", "table", "chat", "quote", "markup", "labelled", "prose")
PLACES = ("whole", "front", "behind", "around", "none")

LATEX = re.compile(r"\\[a-zA-Z]{2,}|\$[^$\n]{1,80}\$|\\\[|\\\(")
OPERATORS = re.compile(r"[\d\w)\]] ?[=+*/^<>≤≥×÷·−] ?[\d\w(\[\\-]|[∑∫√∞∀∃∈⊂∪∩→⇒]")
SYMBOLS = re.compile(r"[{};]|\(\)|=>|->|==|!=|\b\w+\(\w*\)|\b\w+\.\w+\(|`[^`\n]+`|</?\w+>|#include|::")
SYMBOL_MARKS = ("(", "`", "<", "{", "}", ";", "->", "=>", "==", "!=", "::", "#include")
"""Without one of these there are no symbols, and they need not be counted."""

NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
OPTION = re.compile(r"(?:^|\n)[ \t]*(?:\(?[A-Ja-j]\)|[A-J][.:)])\s*\S")
SUM = re.compile(r"\d\s?(?:[+*×x÷/·−-]|[^\W\d_]{1,12}(?: by)?)\s?\d")
"""Two numbers with one operation between them, in signs or in a word."""

BULLET = re.compile(r"(?:^|\n)[ \t]*(?:[-*•]\s|\d{1,2}[.)]\s)")
CHOICE = re.compile(
    r"[\w-]+(?:, ?[\w-]+(?: [\w-]+)?){1,12},? (?:or|oder|ou|o|of|или|lub|e|und|and|y) [\w-]+|\w+ ?/ ?\w+ ?/ ?\w+|[\w]+(?:、[\w]+){1,10}"
)
CHOICE_MARKS = ",/、"
"""Without one of these there is no choice, and it need not be looked for."""

SHORT_QUOTE = re.compile(r"[\"“”«»「」'‘’][^\"“”«»「」\n]{2,60}[\"“”«»「」'’]")
LETTERED = re.compile(r"(?:^|[\n ])\(?[A-Ea-eА-ДΑ-Ε][.):：、．]\s*[^\n]{1,200}")
LETTERED_LINE = re.compile(r"(?m)^[ \t]*\(?([A-Fa-f])(?:[ \t]{1,4}|[.):、．][ \t]*)(?=\S)")
ANSWER_CUE = re.compile(
    r"(?i)(?:answer|antwort|réponse|respuesta|risposta|resposta|antwoord|odpowiedź|ответ|відповідь|svar|vastaus|cevap|jawaban|trả lời|答案|答え|回答"
    r"|답|الجواب|الإجابة|उत्तर|คำตอบ)\s*[:：]?\s*$"
)
MANY_PARTS = re.compile(
    r"(?im)(?:^|\n)\W{0,4}(?:document|doc|passage|source|chapter|section|exhibit|part|paper|article|chunk|meeting|dokument|quelle)\s*\[?#?(?:\d+|[A-D])\b"
)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A prompt as numbers.

    Attributes:
        dense: Concepts and structure, of shape ``(len(feature_names()),)``.
        buckets: The n-grams' buckets, each in ``[0, BUCKETS)``.
        values: What each bucket counts, of the same shape: one over the square root of how many its region has.
        instruction: What is asked for, for classifiers that embed it. Never in the repr.
        payload: Whether there is something that it is asked about.
    """

    dense: NDArray[np.float32]
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]
    instruction: str = field(default="", repr=False)
    payload: bool = False


def prompt_features(text: str) -> Features:
    """Read a prompt.

    Args:
        text: The prompt, of any length; the work is bounded.

    Returns:
        Its dense features and its n-grams.
    """
    return task_features(split_task(text))


def task_features(task: TaskText) -> Features:
    """Read a prompt that is already split.

    Args:
        task: Its instruction and its payload.

    Returns:
        Its dense features and its n-grams.
    """
    import numpy as np

    bare = without_marks(task.seen)
    buckets = ngram_buckets((task.instruction, bare[:EDGE_CHARACTERS], bare[-EDGE_CHARACTERS:]))
    regions = buckets >> HASH_BITS
    counts = np.bincount(regions, minlength=len(REGIONS)).tolist()
    return Features(
        dense_features(task, bare),
        buckets,
        np.array([1 / math.sqrt(max(1, count)) for count in counts], dtype=np.float32)[regions],
        task.instruction,
        len(task.payload) >= LEAST_PAYLOAD,
    )


@cache
def feature_names() -> tuple[str, ...]:
    """Give the names of the dense features, in their fixed order."""
    names = [f"{part}:{concept}" for concept in concept_names() for part in ASKED_PARTS]
    names += [f"payload:{concept}" for concept in PAYLOAD_CONCEPTS]
    names += [f"kind:{kind}" for kind in PAYLOAD_KINDS]
    names += [f"place:{place}" for place in PLACES]
    return (*names, *structure_of(split_task("")))


@cache
def concept_places() -> dict[str, int]:
    """Give where each concept's dense features begin."""
    return {concept: len(ASKED_PARTS) * number for number, concept in enumerate(concept_names())}


def dense_features(task: TaskText, bare: str) -> NDArray[np.float32]:
    """Describe a split prompt by its concepts and its structure.

    Args:
        task: The prompt's instruction and payload.
        bare: The prompt as it was looked at, without the marks at its ends.

    Returns:
        A vector of shape ``(len(feature_names()),)``; most entries are 0 or 1, none is above 2.
    """
    import numpy as np

    asks = words_of(task.instruction).counts
    opens = words_of(task.instruction[:60]).counts if len(task.instruction) > 60 else asks
    closes = words_of(bare[-80:]).counts if task.seen != task.instruction or len(task.seen) > 80 else asks
    payload = len(task.payload) >= LEAST_PAYLOAD
    places = concept_places()
    values = [0.0] * (len(ASKED_PARTS) * len(places))
    for part, found in enumerate((asks, opens, closes, asks if payload else {})):
        for concept in found:
            values[places[concept] + part] = 1.0
    sample = sample_of(task.payload)
    held = words_of(sample).counts if payload else {}
    values += [min(1.0, held.get(concept, 0) / 6) for concept in PAYLOAD_CONCEPTS]
    values += [1.0 if kind in task.kinds else 0.0 for kind in PAYLOAD_KINDS]
    values += [1.0 if place == task.place else 0.0 for place in PLACES]
    values += structure_of(task).values()
    return np.array(values, dtype=np.float32)


def sample_of(payload: str) -> str:
    """Give the head and the tail of a payload."""
    if len(payload) <= 2 * PAYLOAD_SAMPLE:
        return payload
    return f"{payload[:PAYLOAD_SAMPLE]}\n{payload[-PAYLOAD_SAMPLE:]}"


def much(count: int, enough: int) -> float:
    """Bring a count into [0, 1], growing with its logarithm."""
    return min(1.0, math.log1p(count) / math.log1p(enough))


def structure_of(task: TaskText) -> dict[str, float]:
    """Count the marks of mathematics, code, options and constraints in both parts."""
    asked, sample = task.instruction, sample_of(task.payload)
    length = len(asked)
    both = length + len(task.payload)
    questions = asked.count("?") + asked.count("？") + asked.count("؟")
    payload = len(task.payload) >= LEAST_PAYLOAD
    return {
        "payload": float(payload),
        "no payload, one question": float(not payload and questions == 1),
        "payload and a question": float(payload and questions > 0),
        "payload, nothing asked": float(payload and length < 8),
        "share of payload": len(task.payload) / both if both else 0.0,
        "length": much(length, 600),
        "very short": float(0 < length < 30),
        "empty": float(length == 0),
        "pleasantries": pleasantries(asked) if length < SHORT_MESSAGE else 0.0,
        "one step": float(length < SHORT_MESSAGE and len(NUMBER.findall(asked)) == 2 and SUM.search(asked) is not None),
        "sentences": much(len(re.findall(r"[.!?。！？]+(?:\s|$)", asked)), 12),
        "questions": min(2, questions) / 2,
        "latex": much(len(LATEX.findall(asked)), 8),
        "operators": much(len(OPERATORS.findall(asked)), 10),
        "symbols": much(symbols_in(asked), 12),
        "numbers": much(len(NUMBER.findall(asked)), 10),
        "options": much(len(OPTION.findall(asked)), 6),
        "bullets": much(len(BULLET.findall(asked)), 8),
        "choices": float(any(mark in asked for mark in CHOICE_MARKS) and CHOICE.search(asked) is not None),
        "short quotes": much(len(SHORT_QUOTE.findall(asked)), 4),
        "colon at the end": float(asked.rstrip().endswith((":", "："))),
        "payload latex": much(len(LATEX.findall(sample)), 8),
        "payload operators": much(len(OPERATORS.findall(sample)), 10),
        "payload symbols": much(symbols_in(sample), 20),
        "payload numbers": much(len(NUMBER.findall(sample)), 30),
        "payload options": much(len(OPTION.findall(sample)), 6),
        "payload bullets": much(len(BULLET.findall(sample)), 12),
        "payload questions": min(2, sample.count("?") + sample.count("？")) / 2,
        "payload parts": much(len(MANY_PARTS.findall(sample)), 4),
        **question_of(task),
        **passages_of(task),
    }


def symbols_in(text: str) -> int:
    """Count the marks of code."""
    return len(SYMBOLS.findall(text)) if any(mark in text for mark in SYMBOL_MARKS) else 0


def pleasantries(message: str) -> float:
    """Give the share of a short message's words that greet, thank, agree or take leave."""
    found = words_of(message)
    return min(1.0, found.counts.get("greeting", 0) / len(found.words)) if found.words else 0.0


def question_of(task: TaskText) -> dict[str, float]:
    """Describe what is asked about a payload (a chain of clauses takes more than looking up a fact), and exam questions."""
    payload = len(task.payload) >= LEAST_PAYLOAD
    question = question_in(task.instruction) if payload else ""
    clauses, between, compares = question_shape(question)
    words, names, apart = (
        question_support(question, task.payload, passages_beside(question, task.seen))
        if question
        else (0.0, 0.0, False)
    )
    end = task.seen[-1800:]
    options = len(LETTERED.findall(end)) >= 3
    lettered = letters_in_order(end)
    return {
        "lettered lines": much(lettered, 5) if lettered >= 3 else 0.0,
        "question length, of payload": much(len(question), 160),
        "question clauses, of payload": much(clauses, 8),
        "question between two": float(between),
        "question compares": float(compares),
        "question words in payload": words,
        "question names in payload": names,
        "question names apart": float(apart),
        "options and cue": float(options and ANSWER_CUE.search(end) is not None),
    }


def passages_beside(question: str, seen: str) -> list[str]:
    """Give the paragraphs, or the long lines of a single one, that the question does not stand in."""
    passages = paragraphs_of(seen)
    if len(passages) < MOST_QUESTION_PARTS:
        passages = [line for line in seen.split("\n") if len(line) >= LEAST_PARAGRAPH]
    return [passage for passage in passages if question.strip() not in passage]


def letters_in_order(text: str) -> int:
    """Count lines that begin with A, B, C and so on, in their order: the options of an exam."""
    wanted = 0
    for match in LETTERED_LINE.finditer(text):
        if ord(match[1].upper()) - ord("A") == wanted:
            wanted += 1
    return wanted


def passages_of(task: TaskText) -> dict[str, float]:
    """Describe how many passages the prompt brings, and whether a question is asked of many."""
    paragraphs = paragraphs_of(task.seen) if len(task.payload) >= LEAST_PAYLOAD else []
    alike = alike_heads(paragraphs)
    several = much(max(0, alike - 1), 8)
    return {
        "alike passages": several,
        "several alike passages": float(alike >= 3),
        "paragraphs": much(max(0, sum(len(part) >= LEAST_PARAGRAPH for part in paragraphs) - 1), 10),
        "alike passages and a question": several if "?" in task.instruction else 0.0,
    }


def ngram_buckets(regions: Sequence[str]) -> NDArray[np.int64]:
    """Hash the character n-grams (of 2 to 5 characters) of a prompt's regions.

    Args:
        regions: Their texts; of each, 500 characters of its head and tail are read.

    Returns:
        The buckets, sorted and without repeats, those of each region behind those of the one before. Digits count as
        one character, runs of blanks as one blank.
    """
    import numpy as np

    texts = [f" {shortened(' '.join(region.lower().split()))} " for region in regions]
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    points = np.where((points >= 48) & (points <= 57), np.uint64(48), points)
    rolled = [np.zeros_like(points)]
    for size in range(1, max(NGRAM_SIZES) + 1):
        last = rolled[-1]
        rolled.append(last[: max(0, len(points) - size + 1)] * np.uint64(0x9E3779B97F4A7C15) + points[size - 1 :])
    ends = list(itertools.accumulate(map(len, texts)))
    # No n-gram reaches from one region into the next.
    runs = [
        (rolled[size][end - len(text) : end - size + 1], size, region)
        for region, (text, end) in enumerate(zip(texts, ends, strict=True))
        for size in NGRAM_SIZES
        if len(text) >= size
    ]
    lengths = [len(run) for run, _, _ in runs]
    mixed = np.concatenate([run for run, _, _ in runs])
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed += np.repeat(np.array([size for _, size, _ in runs], dtype=np.uint64), lengths)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed >>= np.uint64(64 - HASH_BITS)
    buckets = mixed.astype(np.int32)
    buckets += np.repeat(np.array([region << HASH_BITS for _, _, region in runs], dtype=np.int32), lengths)
    buckets.sort()
    # The same as np.unique, at a quarter of its time.
    new = np.ones(len(buckets), dtype=bool)
    np.not_equal(buckets[1:], buckets[:-1], out=new[1:])
    return buckets[new].astype(np.int64)


def shortened(text: str) -> str:
    """Give the head and the tail of a region."""
    if len(text) <= NGRAM_CHARACTERS:
        return text
    return f"{text[: NGRAM_CHARACTERS // 2]} {text[-NGRAM_CHARACTERS // 2 :]}"
