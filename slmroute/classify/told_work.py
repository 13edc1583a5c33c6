"""Lines that order work on a text: ``Translate to German:`` in front, ``Which language is the above?`` behind it.

Whatever the text itself asks is then no task: a question to be translated is translated, and not answered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from slmroute.classify.labels import ASKING, COLONS, LISTING
from slmroute.classify.lexicon import QUESTION_MARKS, SENTENCE_END, UNSPACED, words_of
from slmroute.classify.openings import opening_concepts

__all__ = ["hear_told_work"]

LONGEST_ORDER = 240
LONGEST_MANNER = 120
FRONT_LINES = 3
LEAST_TEXT = 6
LONG_TEXT = 400

WORK = frozenset("classify extract summarise language_id validate translate correct convert same_meaning".split())
"""Concepts of orders that take a text whatever is in it."""

ABOUT = frozenset("sentiment language_id moderation correct same_meaning classify".split())
THOUGHT = frozenset(
    "math_verb explain advice hypothetical reason code_verb design creative write analyse ideas estimate".split()
)
"""Where these are asked for, what follows may be the task itself: ``Explain the following:``."""

MANNER = frozenset("terse constraint given_text".split())
REFERENCE = frozenset(("given_text", "text_kind"))
MAKING = re.compile(
    r"\W*(?:please |bitte |por favor,? |kindly )?(?:make|put|turn|render|say|phrase|polish|mach|formulier|schreib|mets|rends|haz|pon|rendi|metti|сделай|把|将|使)",
    re.IGNORECASE,
)
ITS_QUESTION = re.compile(
    r"question|query|queries|problem|exercise|frage|aufgabe|pregunta|domanda|pergunta|vraag|pytani|вопрос|задач|问题|題|题|質問|질문",
    re.IGNORECASE,
)
ANSWERING = re.compile(
    r"\b(?:answer|solve|respond|beantwort|lös|répond|réso|respond|resuelv|rispond|risolv|resolv|antwoord|odpowiedz|rozwiąż|ответ|реши)|回答|解答|解决|答え|解いて|답",
    re.IGNORECASE,
)
POINTING = re.compile(
    r"\b(?:this|these|the (?:following|above|text|sentence|message|paragraph)|above|below|dies\w*|folgend\w*|obig\w*|ce(?:t|tte)?|ci-dess\w+|suivant\w*"
    r"|est[ea]|siguiente\w*|quest[oa]|seguente|seguinte|abaixo|acima|dit|deze|volgende|onderstaand\w*|poniższ\w*|powyższ\w*|t[eęoą]\b|эт\w{1,3}|следующ\w*|выше|ниже)\b"
    r"|以下|下面|上面|上述|这|這|次の|上記|この|다음|위의?|이 |निम्न|इस|التالي|هذا|هذه",
    re.IGNORECASE,
)


class Stretch(Protocol):
    """What is needed of a piece of the prompt; see ``pieces.Piece``."""

    text: str
    kind: str
    request: bool
    line: int
    paragraph: int


def hear_told_work(pieces: Sequence[Stretch]) -> bool:
    """Find a line that orders work on a text, and take all else for that text.

    Labels that announce a task or an answer, and lines that say in what manner to answer, stay with the order.

    Args:
        pieces: The prompt's pieces; those of the order are marked as a request.

    Returns:
        Whether there is such a line.
    """
    lines = lines_of(pieces)
    if len(lines) < 2:
        return False
    for place, line in enumerate(lines[:FRONT_LINES]):
        if any(piece.kind != "prose" for piece in line):
            break
        if orders_work(line, pointing=False) and enough(lines[place + 1 :]):
            behind = lines[place + 1 :]
            colon = text_of(line).endswith(COLONS)
            kept = 0 if colon else manners(behind)
            tell(line, *behind[:kept])
            rest = behind[kept:]
            if len(rest) > 1 and rest[-1][0].paragraph != rest[-2][0].paragraph and goes_on(rest, colon):
                tell(rest[-1])
            return True
    last = lines[-1]
    if all(piece.kind == "prose" for piece in last) and orders_work(last, pointing=True) and enough(lines[:-1]):
        tell(last)
        return True
    return False


def lines_of(pieces: Sequence[Stretch]) -> list[list[Stretch]]:
    """Put the pieces of each line together; what is set apart by marks is a line of its own."""
    lines: list[list[Stretch]] = []
    for piece in pieces:
        if lines and piece.line and lines[-1][0].line == piece.line:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return lines


def text_of(line: Sequence[Stretch]) -> str:
    """Give a line's text."""
    return " ".join(piece.text.strip() for piece in line)


def enough(lines: Sequence[Sequence[Stretch]]) -> bool:
    """Whether there is a text to work on."""
    return sum(len(piece.text.strip()) for line in lines for piece in line if not piece.request) >= LEAST_TEXT


def tell(*lines: Sequence[Stretch]) -> None:
    """Mark whole lines as the request."""
    for line in lines:
        for piece in line:
            piece.request = True


def orders_work(line: Sequence[Stretch], *, pointing: bool) -> bool:
    """Whether a line orders work on a text that stands on other lines."""
    text = text_of(line)
    if len(text) > LONGEST_ORDER:
        return False
    return any(orders(sentence.strip(), pointing=pointing) for sentence in SENTENCE_END.split(text) if sentence.strip())


def orders(sentence: str, *, pointing: bool) -> bool:
    """Whether a sentence orders work on a text, one that it points to where ``pointing``."""
    colon = sentence.endswith(COLONS)
    if LISTING.search(sentence.rstrip(":： ")):
        return False
    concepts = words_of(sentence).concepts
    # Scripts without spaces have no articles either.
    points = POINTING.search(sentence) is not None or (
        "given_text" in concepts and UNSPACED.search(sentence) is not None
    )
    if (ITS_QUESTION.search(sentence) and ANSWERING.search(sentence)) or ((pointing or not colon) and not points):
        return False
    if sentence.endswith(QUESTION_MARKS):
        return bool(concepts & ABOUT) and bool(concepts & REFERENCE or points) and not concepts & THOUGHT
    opening = opening_concepts(sentence)
    if opening & THOUGHT and not opening & WORK:
        return False
    if opening & WORK or ASKING.match(sentence.lstrip(" \t-*#").lower()):
        return True
    if colon and points and concepts & ABOUT and not concepts & THOUGHT:
        return True
    return points and MAKING.match(sentence) is not None and not concepts & (THOUGHT - {"write"})


def manners(lines: Sequence[Sequence[Stretch]]) -> int:
    """Count the lines behind an order that still say how it is to be done."""
    kept = 0
    while kept < len(lines) - 1 and says_how(lines[kept]):
        kept += 1
    return kept


def goes_on(lines: Sequence[Sequence[Stretch]], colon: bool) -> bool:
    """Whether the last line belongs to the order: it says how to answer, or asks one more thing behind a long text."""
    last = lines[-1]
    if says_how(last) or orders_work(last, pointing=True):
        return True
    text = text_of(last)
    long = sum(len(piece.text) for line in lines[:-1] for piece in line) >= LONG_TEXT
    return long and not colon and len(text) <= LONGEST_MANNER and last[0].line > 0 and text.endswith(QUESTION_MARKS)


def says_how(line: Sequence[Stretch]) -> bool:
    """Whether a line says how to answer, as ``One word only.`` does."""
    text = text_of(line)
    if len(text) > LONGEST_MANNER or text.endswith(QUESTION_MARKS) or any(piece.kind != "prose" for piece in line):
        return False
    return bool(words_of(text).concepts & MANNER)
