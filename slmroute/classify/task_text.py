"""What a prompt asks for, told apart from the material it asks about.

"Is this positive?" over twenty pages is a simple task and a one-line "prove it" is not: what decides is the
instruction, which stands in front of, behind or around a text, a document, code, a table or a chat history. No model is
involved: pieces are told apart by their marks (fences, quotes, tags, labels such as ``Text:``) and otherwise by how much
they read like a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slmroute.classify.instruction import REQUEST_CONCEPTS, about_a_text, choose, ends_as_question
from slmroute.classify.openings import opening_concepts
from slmroute.classify.pieces import Piece, pieces_of
from slmroute.classify.steering import without_steering

__all__ = ["TaskText", "split_task"]

HEAD_CHARACTERS = 6000
TAIL_CHARACTERS = 3000
INSTRUCTION_CHARACTERS = 1500
SHORT_REQUEST = 320
"""A prompt of at most so many characters without any mark of a payload is all instruction."""

LEAST_TEXT = 25
LINE_BREAK = re.compile(r"<br ?/?>")


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


def bounded(text: str) -> str:
    """Give the head and the tail of a text that is too long to be read whole, without NUL characters."""
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{text[:HEAD_CHARACTERS]}\n\n{text[-TAIL_CHARACTERS:]}"
    text = text.replace("\x00", " ").replace("\r\n", "\n")
    return (LINE_BREAK.sub("\n", text) if "<br" in text else text).strip()


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
        if not about_a_text(asking.text):
            continue
        if not any("?" in one.text or opening_concepts(one.text) & REQUEST_CONCEPTS for one in rest):
            return asking
    return None


def place_of(pieces: list[Piece]) -> str:
    """Say where the instruction stands among the pieces."""
    if all(piece.request for piece in pieces):
        return "whole"
    if not any(piece.request for piece in pieces):
        return "none"
    first, last = pieces[0].request, pieces[-1].request
    return "around" if first and last else "front" if first else "behind" if last else "around"
