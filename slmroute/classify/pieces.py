"""A prompt cut into pieces: what its marks, labels and lines set apart, and the sentences of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from slmroute.classify.labels import COLONS, inline_lead_of, label_of, lead_of, parts_at_labels, stands_alone
from slmroute.classify.lexicon import QUESTION_MARKS, SENTENCE_END
from slmroute.classify.line_kinds import runs_of
from slmroute.classify.wrappers import marked_spans

__all__ = ["Piece", "pieces_of"]

LONG_CUE = 120
"""An answer's label with no more than this behind it is a cue: ``Category (news, sport):``; a longer line is an answer."""


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
        for line in chain.from_iterable(map(parts_at_labels, lines)):
            if not line.strip():
                paragraph += 1
                # One right below the heading still belongs to it.
                asked = asked and heading == number
                continue
            number += 1
            label = label_of(line)
            lead = lead_of(line) if label is None else None
            cut = lead or (inline_lead_of(line) if label in (None, "task") else None)
            if label is not None:
                asked, heading = label == "task" and stands_alone(line), number
            if cut is not None:
                found = [Piece(cut[0], "prose", request=lead is None), *sentences(cut[1], "labelled")]
                # A text announced in the middle of a sentence may end with the rest of it.
                found[-1].trails = lead is None
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
    return f"{plain}:" if stands_alone(line) and not plain.endswith(COLONS) else plain


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
