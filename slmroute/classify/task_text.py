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

from slmroute.classify.labels import label_of, lead_of
from slmroute.classify.lexicon import UNSPACED, words_of
from slmroute.classify.line_kinds import runs_of
from slmroute.classify.steering import without_steering

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

FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
LONG_QUOTE = re.compile(
    r'"""(.{2,}?)"""|“([^”]{40,})”|«([^»]{40,})»|„([^“”]{40,})[“”]|「([^」]{20,})」|(?<!\w)"([^"\n]{60,})"', re.DOTALL
)
OPENING_MARKS = "“«„「"
MOST_OPENINGS = 300
TAG = re.compile(r"<([A-Za-z][\w-]{1,30})(?: [^<>]{0,80})?>(.{15,}?)</\1>", re.DOTALL)
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
QUESTION_MARKS = ("?", "？", "؟")


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
    position = 0
    for start, end, kind in marked_spans(text):
        yield from loose_pieces(text[position:start])
        yield Piece(text[start:end], kind)
        position = end
    yield from loose_pieces(text[position:])


def marked_spans(text: str) -> list[tuple[int, int, str]]:
    """Find fenced code, long quotations and tagged blocks, in order and without overlap."""
    found: list[tuple[int, int, str]] = []
    if "```" in text or "~~~" in text:
        found += [(match.start(), match.end(), "code") for match in FENCE.finditer(text)]
    if "</" in text:
        found += [(match.start(), match.end(), "markup") for match in TAG.finditer(text)]
    openings = sum(text.count(mark) for mark in OPENING_MARKS)
    # Each that is never closed is read to the text's end.
    if ('"' in text or openings) and openings <= MOST_OPENINGS:
        found += [(match.start(), match.end(), "quote") for match in LONG_QUOTE.finditer(text)]
    spans: list[tuple[int, int, str]] = []
    for span in sorted(found):
        if not spans or span[0] >= spans[-1][1]:
            spans.append(span)
    return spans


def loose_pieces(text: str) -> Iterator[Piece]:
    """Cut text without marks into runs of code, table, chat or quoted lines, labelled parts and sentences."""
    labelled, number = False, 0
    for kind, lines in runs_of(text.split("\n")):
        block = "\n".join(lines)
        if kind != "prose":
            yield Piece(block, kind)
            labelled = False
            continue
        for line in lines:
            if not line.strip():
                continue
            number += 1
            label = label_of(line)
            if label is None and (lead := lead_of(line)) is not None:
                found = [Piece(lead[0], "prose"), *sentences(lead[1], "labelled")]
                labelled = True
            elif label is None:
                found = list(sentences(line, "labelled" if labelled else "prose"))
                for piece in found:
                    piece.trails = labelled
            else:
                labelled = label == "payload"
                found = list(labelled_line(line, label))
            for piece in found:
                piece.line = number
                yield piece


def labelled_line(line: str, label: str) -> Iterator[Piece]:
    """Give the pieces of a line that begins with a label."""
    if label == "payload":
        yield from sentences(line, "labelled")
    elif label == "task":
        for piece in sentences(line, "prose"):
            piece.request = True
            yield piece
    elif len(line) <= LONG_CUE:
        yield Piece(line, "prose", request=True)
    else:
        yield from sentences(line, "labelled")


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
    for i, piece in enumerate(pieces):
        if piece.request:
            continue
        at_edge = i < FRONT_PIECES or i >= count - END_PIECES
        may_speak = (piece.kind == "prose" and (short or at_edge)) or (piece.trails and i >= count - 2)
        piece.request = may_speak and requests(piece.text, edge=i in (0, count - 1))
    hear_what_stands_apart(pieces)
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


def opening_concepts(text: str) -> frozenset[str]:
    """Give the concepts where a request carries its verb: the first words, the whole where verbs come last."""
    if UNSPACED.search(text, 0, 60):
        # Japanese, Korean and Hindi requests end with their verb, Chinese and Thai ones begin with it.
        return words_of(text if len(text) <= 60 else f"{text[:25]} {text[-25:]}").concepts
    words = text[:80].split(maxsplit=6)
    few = words_of(" ".join(words[:2])).concepts
    return few if "polite" not in few and len(words) > 3 else few | words_of(" ".join(words[:6])).concepts
