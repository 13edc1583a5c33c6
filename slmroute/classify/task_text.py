"""What a prompt asks for, told apart from the material it asks about.

"Is this positive?" over twenty pages is a simple task and a one-line "prove it" is not: what decides is the
instruction, which stands in front of, behind or around a text, a document, code, a table or a chat history. No model is
involved: pieces are told apart by their marks (fences, quotes, tags, labels such as ``Text:``) and otherwise by how much
they read like a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from slmroute.classify.labels import label_of, lead_of, stands_alone
from slmroute.classify.lexicon import QUESTION_MARKS, words_of
from slmroute.classify.line_kinds import runs_of
from slmroute.classify.openings import opening_concepts
from slmroute.classify.steering import without_steering
from slmroute.classify.told_work import hear_told_work
from slmroute.classify.wrappers import marked_spans

__all__ = ["TaskText", "split_task"]

HEAD_CHARACTERS = 6000
TAIL_CHARACTERS = 3000
INSTRUCTION_CHARACTERS = 1500
SHORT_REQUEST = 320
"""A prompt of at most so many characters without any mark of a payload is all instruction."""

LONG_PIECE = 400
LONG_CUE = 120
"""An answer's label with no more than this behind it is a cue: ``Category (news, sport):``; a longer line is an answer."""

SHORT_LINE = 200
FRONT_PIECES = 5
END_PIECES = 4
ALL_MAY_SPEAK = 800
"""In prompts of fewer characters any sentence may belong to the instruction."""

SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=\S)|(?<=[。！？])")
REQUEST_CONCEPTS = frozenset(
    """classify extract summarise language_id validate translate correct terse write math_verb analyse design advice polite
    explain same_meaning convert hypothetical code_verb estimate reason""".split()
)
ABOUT_A_TEXT = frozenset("given_text text_kind sentiment language_id same_meaning moderation correct".split())
ABOUT_MORE = frozenset(
    "quantity math_noun math_verb first_person advice hypothetical reason code_noun code_verb design creative".split()
)
"""A question about these is none about the text beside it, whatever else it speaks of."""

LEAST_TEXT = 25


@dataclass(frozen=True, slots=True)
class TaskText:
    """A prompt in two parts.

    Attributes:
        instruction: What is asked for, at most about 1,500 characters.
        payload: What it is asked about: text, code, a table, a history. Bounded like the prompt itself.
        kinds: What was found in the payload: ``code``, ``table``, ``chat``, ``quote``, ``markup``, ``labelled``,
            ``prose``.
        place: Where the instruction stands: ``whole``, ``front``, ``behind``, ``around`` or ``none``.
        characters: The length of the whole prompt, the part that was not looked at included.
        seen: The prompt as it was looked at: bounded, and without what it says about its own difficulty or about models.
    """

    instruction: str
    payload: str
    kinds: frozenset[str]
    place: str
    characters: int
    seen: str = ""


@dataclass(slots=True)
class Piece:
    """A stretch of the prompt: its text, what it was recognised as, and whether it is instruction."""

    text: str
    kind: str
    request: bool = False
    trails: bool = False
    """Whether it follows a labelled part without a label of its own, so that it may be a question behind it."""

    line: int = 0
    """Which line it stands on: what is not on a line with a request can be set apart from it."""

    paragraph: int = 0
    """Behind how many blank lines it stands."""


def bounded(text: str) -> str:
    """Give the head and the tail of a text that is too long to be read whole, without NUL characters."""
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{text[:HEAD_CHARACTERS]}\n\n{text[-TAIL_CHARACTERS:]}"
    return text.replace("\x00", " ").replace("\r\n", "\n").strip()


def split_task(text: str) -> TaskText:
    """Split a prompt into its instruction and its payload.

    Args:
        text: The prompt, of any length; of a long one the first 6,000 and the last 3,000 characters are looked at.

    Returns:
        The two parts. What a prompt says about its own difficulty or about models is in neither.
    """
    seen = without_steering(bounded(text))
    pieces = [piece for piece in pieces_of(seen) if piece.text.strip()]
    if not pieces:
        return TaskText("", "", frozenset(), "none", len(text), seen)
    marked = any(piece.kind != "prose" for piece in pieces)
    if not marked and len(seen) <= SHORT_REQUEST and "\n" not in seen:
        asking = question_of_the_rest(pieces)
        if asking is None:
            return TaskText(seen, "", frozenset(), "whole", len(text), seen)
        asking.request = True
    else:
        choose(pieces)
    instruction = "\n".join(piece.text.strip() for piece in pieces if piece.request)
    payload = "\n".join(piece.text.strip() for piece in pieces if not piece.request)
    kinds = frozenset(piece.kind for piece in pieces if not piece.request)
    if len(instruction) > INSTRUCTION_CHARACTERS:
        half = INSTRUCTION_CHARACTERS // 2
        instruction = f"{instruction[:half]}\n{instruction[-half:]}"
    return TaskText(instruction, payload, kinds, place_of(pieces), len(text), seen)


def question_of_the_rest(pieces: list[Piece]) -> Piece | None:
    """Find the first or last sentence of one line that asks about a text, which the other sentences then are."""
    for asking, rest in ((pieces[-1], pieces[:-1]), (pieces[0], pieces[1:])):
        if not ends_as_question(asking.text) or sum(len(one.text) for one in rest) < LEAST_TEXT:
            continue
        concepts = words_of(asking.text).concepts
        if not concepts & ABOUT_A_TEXT or concepts & ABOUT_MORE:
            continue
        if not any("?" in one.text or opening_concepts(one.text) & REQUEST_CONCEPTS for one in rest):
            return asking
    return None


def ends_as_question(text: str) -> bool:
    """Whether a sentence ends with a question mark, quotation marks and the like left aside."""
    return text.rstrip("\"')*_ ").endswith(QUESTION_MARKS)


def place_of(pieces: list[Piece]) -> str:
    """Say where the instruction stands among the pieces."""
    if all(piece.request for piece in pieces):
        return "whole"
    if not any(piece.request for piece in pieces):
        return "none"
    first, last = pieces[0].request, pieces[-1].request
    return "around" if first and last else "front" if first else "behind" if last else "around"


def pieces_of(text: str) -> Iterator[Piece]:
    """Cut a prompt at the marks that set a payload apart, and what is left into sentences."""
    position, line = 0, 0
    for start, end, kind, given in [*marked_spans(text), (len(text), len(text), "", "")]:
        for piece in loose_pieces(text[position:start], line):
            line = max(line, piece.line)
            yield piece
        if kind == "task":
            yield Piece(given, "prose", request=True)
        elif kind:
            yield Piece(given, kind)
        position = end


def loose_pieces(text: str, number: int = 0) -> Iterator[Piece]:
    """Cut text without marks into runs of code, table, chat or quoted lines, labelled parts and sentences.

    Args:
        text: The text.
        number: How many lines with prose stand in front of it.
    """
    heading = number
    labelled, asked, paragraph = False, False, number
    for kind, lines in runs_of(text.split("\n")):
        block = "\n".join(lines)
        if kind != "prose":
            yield Piece(block, kind)
            labelled = asked = False
            continue
        for line in lines:
            if not line.strip():
                paragraph += 1
                # One right below the heading still belongs to it.
                asked = asked and heading == number
                continue
            number += 1
            label = label_of(line)
            if label is not None:
                asked, heading = label == "task" and stands_alone(line), number
            if label is None and (lead := lead_of(line)) is not None:
                found = [Piece(lead[0], "prose"), *sentences(lead[1], "labelled")]
                labelled = True
            elif label is None and asked:
                # What stands below the heading "Question".
                found = list(sentences(line, "prose"))
                for piece in found:
                    piece.request = True
            elif label is None:
                found = list(sentences(line, "labelled" if labelled else "prose"))
                for piece in found:
                    piece.trails = labelled
            else:
                labelled = label == "payload"
                found = list(labelled_line(line, label))
            for piece in found:
                piece.line, piece.paragraph = number, paragraph
                yield piece


def labelled_line(line: str, label: str) -> Iterator[Piece]:
    """Give the pieces of a line that begins with a label."""
    if label == "payload":
        yield from sentences(line, "labelled")
    elif label == "task":
        for piece in sentences(plain_label(line), "prose"):
            piece.request = True
            yield piece
    elif len(line) <= LONG_CUE:
        yield Piece(line, "prose", request=True)
    else:
        yield from sentences(line, "labelled")


def plain_label(line: str) -> str:
    """Write a task's label without the marks of a heading: ``### Question`` as ``Question:``."""
    plain = line.replace("**", "").strip(" \t#*_=-[]")
    return f"{plain}:" if stands_alone(line) and not plain.endswith((":", "：")) else plain


def sentences(line: str, kind: str) -> Iterator[Piece]:
    """Cut a line into its sentences, very short ones that ask nothing kept with the next."""
    parts = [part for part in SENTENCE_END.split(line) if part.strip()]
    held = ""
    for part in parts:
        held = f"{held} {part}" if held else part
        if len(held) >= 25 or held.rstrip("\"')").endswith(QUESTION_MARKS):
            yield Piece(held, kind)
            held = ""
    if held:
        yield Piece(held, kind)


def choose(pieces: list[Piece]) -> None:
    """Mark the pieces that make up the instruction: at the front and at the end, as far as they read like a request."""
    count = len(pieces)
    short = sum(len(piece.text) for piece in pieces) < ALL_MAY_SPEAK
    told = [piece for piece in pieces if piece.request]
    if hear_told_work(pieces):
        return
    for i, piece in enumerate(pieces):
        if piece.request:
            continue
        at_edge = i < FRONT_PIECES or i >= count - END_PIECES
        may_speak = (piece.kind == "prose" and (short or at_edge)) or (piece.trails and i >= count - 2)
        piece.request = may_speak and requests(piece.text, edge=i in (0, count - 1))
    hear_what_stands_apart(pieces)
    first = pieces[0]
    if first.kind == "prose" and len(first.text) <= SHORT_LINE and any(piece.kind != "prose" for piece in pieces[1:3]):
        # "Use the context to answer." in front of the context.
        first.request |= "given_text" in words_of(first.text).counts
    for piece in told:
        piece.request = True
    if not any(piece.request for piece in pieces):
        guess(pieces)


def hear_what_stands_apart(pieces: list[Piece]) -> None:
    """Take a short first or last line that asks for something at its word, and no sentence of other paragraphs then.

    Where no line of its own begins like a request, the verb may stand further on: ``Read the text and discuss it``.
    """
    lengths: dict[int, int] = {}
    for piece in pieces:
        lengths[piece.line] = lengths.get(piece.line, 0) + len(piece.text)
    loose = [piece for piece in pieces if piece.line and piece.kind == "prose"]
    edges = {loose[0].line, loose[-1].line} if loose else set[int]()
    own = [piece for piece in loose if lengths[piece.line] <= LONG_PIECE]
    asked = {piece.line for piece in own if piece.request}
    if not asked & edges:
        for piece in own:
            if piece.line in edges and words_of(piece.text).concepts & REQUEST_CONCEPTS:
                piece.request = True
                asked.add(piece.line)
    if not asked & edges:
        return
    asking = {line for line in asked & edges if lengths[line] <= SHORT_LINE} or asked & edges
    for piece in loose:
        if lengths[piece.line] <= SHORT_LINE:
            piece.request |= piece.line in asking
        elif piece.line not in asking:
            piece.request &= piece is pieces[0] or piece is pieces[-1]


def guess(pieces: list[Piece]) -> None:
    """Without anything that reads like a request, take the first or the last line for it, if it is much shorter than the rest."""
    loose = [piece for piece in pieces if piece.kind == "prose"]
    if not loose:
        # The question may stand behind a labelled text, on its line.
        last = pieces[-1]
        last.request = len(pieces) > 1 and last.kind == "labelled" and requests(last.text, edge=True)
        return
    first = [piece for piece in loose if piece.line == loose[0].line]
    last = [piece for piece in loose if piece.line == loose[-1].line]
    total = sum(len(piece.text) for piece in pieces)
    ends = [end for end in (first, last) if sum(len(piece.text) for piece in end) <= min(LONG_PIECE, total / 2)]
    for piece in [piece for end in ends for piece in end] or loose[:1] + loose[-1:]:
        piece.request = len(piece.text) <= LONG_PIECE


def requests(sentence: str, *, edge: bool) -> bool:
    """Whether a sentence reads like a request to the one who answers."""
    text = sentence.strip()
    if len(text) > LONG_PIECE * 2:
        return False
    weight = 0.3 * edge + 0.3 * text.endswith((":", "：")) - 0.5 * (len(text) > LONG_PIECE)
    weight += 1.2 * ends_as_question(text)
    if weight < 1.0:
        weight += 1.0 * bool(opening_concepts(text) & REQUEST_CONCEPTS)
    if 0.5 <= weight < 1.0:
        weight += 0.5 * ("given_text" in words_of(text[:LONG_PIECE]).counts)
    return weight >= 1.0
