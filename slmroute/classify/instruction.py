"""Which of a prompt's pieces make up its instruction: those that read like a request, at the front and at the end."""

from __future__ import annotations

import re
from itertools import groupby, takewhile

from slmroute.classify.labels import COLONS, label_of
from slmroute.classify.lexicon import QUESTION_MARKS, words_of
from slmroute.classify.openings import addresses, opening_concepts
from slmroute.classify.pieces import Piece
from slmroute.classify.told_work import hear_told_work

__all__ = ["REQUEST_CONCEPTS", "about_a_text", "choose", "ends_as_question"]

LONG_PIECE = 400
SHORT_LINE = 200
LONGEST_PARAGRAPH = 1500
FRONT_PIECES = 5
END_PIECES = 4
ALL_MAY_SPEAK = 800
"""In prompts of fewer characters any sentence may belong to the instruction."""

REQUEST_CONCEPTS = frozenset(
    """classify extract summarise language_id validate translate correct terse write math_verb analyse design advice polite
    explain same_meaning convert hypothetical code_verb estimate reason""".split()
)

ABOUT_A_TEXT = frozenset("given_text text_kind sentiment language_id same_meaning moderation correct".split())
ABOUT_MORE = frozenset(
    "quantity math_noun math_verb first_person advice hypothetical reason code_noun code_verb design creative".split()
)
"""A question about these is none about the text beside it, whatever else it speaks of."""

HEADING = re.compile(r"#{1,6} .{0,40}\Z")


def choose(pieces: list[Piece]) -> None:
    """Mark the pieces that make up the instruction: at the front and at the end, as far as they read like a request."""
    count = len(pieces)
    short = sum(len(piece.text) for piece in pieces) < ALL_MAY_SPEAK
    for piece in pieces[:-1]:
        # "## Summary" announces an answer at the end of a prompt, and elsewhere a section of the text.
        piece.request &= HEADING.match(piece.text) is None or label_of(piece.text) != "answer"
    told = [piece for piece in pieces if piece.request]
    if hear_told_work(pieces):
        return
    for i, piece in enumerate(pieces):
        if piece.request:
            continue
        at_edge = i < FRONT_PIECES or i >= count - END_PIECES
        may_speak = (piece.kind == "prose" and (short or at_edge)) or (piece.trails and i >= count - 2)
        piece.request = may_speak and requests(piece.text, edge=i in (0, count - 1))
    leave_inner_questions(pieces)
    hear_what_stands_apart(pieces)
    hear_who_is_addressed(pieces)
    first = pieces[0]
    if first.kind == "prose" and len(first.text) <= SHORT_LINE and any(piece.kind != "prose" for piece in pieces[1:3]):
        # "Use the context to answer." in front of the context.
        first.request |= "given_text" in words_of(first.text).counts
    for piece in told:
        piece.request = True
    behind, heard = behind_labelled(pieces), any(piece.request for piece in pieces)
    if behind and (not heard or any(piece.request for piece in behind)):
        for piece in behind:
            piece.request = True
    elif not heard:
        guess(pieces)


def leave_inner_questions(pieces: list[Piece]) -> None:
    """Leave what a long paragraph asks itself to the paragraph: a request stands at its beginning or at its end."""
    for _, on_line in groupby((piece for piece in pieces if piece.line), key=lambda piece: piece.line):
        paragraph = list(on_line)
        length = sum(len(piece.text) for piece in paragraph)
        if length <= LONG_PIECE or 2 * sum(len(piece.text) for piece in paragraph if piece.request) > length:
            continue
        edges = [*takewhile(asks, paragraph), *takewhile(asks, reversed(paragraph))]
        if any(asks(end) and about_a_text(end.text) for end in (paragraph[0], paragraph[-1])):
            # What is asked about the text on this line; that text may ask something next to it.
            edges = [
                piece for piece in edges if opening_concepts(piece.text) & REQUEST_CONCEPTS or about_a_text(piece.text)
            ]
        for piece in paragraph if edges else ():
            if ends_as_question(piece.text) and not opening_concepts(piece.text) & REQUEST_CONCEPTS:
                piece.request &= any(piece is one for one in edges)


def asks(piece: Piece) -> bool:
    """Whether a piece was taken for a request."""
    return piece.request


def about_a_text(sentence: str) -> bool:
    """Whether a question is about a text beside it."""
    concepts = words_of(sentence).concepts
    return bool(concepts & ABOUT_A_TEXT) and not concepts & ABOUT_MORE


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
    said: dict[int, int] = {}
    for piece in loose:
        said[piece.line] = said.get(piece.line, 0) + len(piece.text) * piece.request
    apart = {line for line in lines_alone(loose) if 2 * said[line] >= lengths[line]}
    brief = {line for line, length in lengths.items() if length <= (LONG_PIECE if line in apart else SHORT_LINE)}
    asking = asked & edges & brief or asked & edges
    for piece in loose:
        if piece.line in brief:
            piece.request |= piece.line in asking
        elif piece.line not in asking:
            piece.request &= piece is pieces[0] or piece is pieces[-1]


def lines_alone(pieces: list[Piece]) -> set[int]:
    """Give the lines that are paragraphs of their own, where there is more than one paragraph."""
    lines: dict[int, set[int]] = {}
    for piece in pieces:
        lines.setdefault(piece.paragraph, set()).add(piece.line)
    return {min(found) for found in lines.values() if len(found) == 1} if len(lines) > 1 else set()


def hear_who_is_addressed(pieces: list[Piece]) -> None:
    """Take sentences that tell the one who answers what to do, in the first paragraph or beside a request, for requests.

    A first paragraph that begins with such a sentence is an instruction as a whole where others follow it.
    """
    spoken = {piece.paragraph for piece in pieces if piece.request} | {pieces[0].paragraph}
    loose = [piece for piece in pieces if piece.kind == "prose" and piece.line]
    for piece in loose:
        if piece.paragraph in spoken:
            piece.request |= addresses(piece.text)
    opening = [piece for piece in loose if piece.paragraph == pieces[0].paragraph]
    apart = len(opening) < len(pieces) and sum(len(piece.text) for piece in opening) <= LONGEST_PARAGRAPH
    if opening and opening[0] is pieces[0] and apart and addresses(opening[0].text):
        for piece in opening:
            piece.request = True


def behind_labelled(pieces: list[Piece]) -> list[Piece]:
    """Give the short last paragraph behind a labelled text, or nothing."""
    last = pieces[-1].paragraph
    behind = [piece for piece in pieces if piece.paragraph == last and piece.trails]
    before = sum(len(piece.text) for piece in pieces if piece.paragraph != last)
    apart = pieces[-1].trails and sum(len(piece.text) for piece in behind) <= min(LONG_PIECE, before)
    return behind if apart else []


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
    if len(text) > LONG_PIECE * 2 or (HEADING.match(text) and not text.endswith((*COLONS, *QUESTION_MARKS))):
        return False
    weight = 0.3 * edge + 0.3 * text.endswith(COLONS) - 0.5 * (len(text) > LONG_PIECE)
    weight += 1.2 * ends_as_question(text)
    if weight < 1.0:
        weight += 1.0 * bool(opening_concepts(text) & REQUEST_CONCEPTS)
    if 0.5 <= weight < 1.0:
        weight += 0.5 * ("given_text" in words_of(text[:LONG_PIECE]).counts)
    return weight >= 1.0


def ends_as_question(text: str) -> bool:
    """Whether a sentence ends with a question mark, quotation marks and the like left aside."""
    return text.rstrip("\"')*_ ").endswith(QUESTION_MARKS)
