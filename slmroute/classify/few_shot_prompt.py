"""The few-shot prompt: what a small model is told and shown, and how a request is put before it as mere data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256

from slmroute.errors import ConfigError
from slmroute.request import estimate_tokens

__all__ = ["COMPLEX", "EXAMPLES", "INSTRUCTION", "SIMPLE", "Example", "FewShotPrompt", "as_data", "bounded"]

SIMPLE = "simple"
COMPLEX = "complex"
"""The labels: each is a single token of most vocabularies."""

FEWEST, MOST = 5, 10

CUT = "\n[... {} characters left out ...]\n"

QUESTION = f"{SIMPLE} or {COMPLEX}?"
"""Asked after each task, for the smallest models answer the task itself where it is the last thing they read: with
this SmolLM2-135M ranks 24 clear prompts with an AUC of 1.00 and the demo's 68 with 0.90, without it 0.65 and 0.59."""

BRACKETED = re.compile(r"\[(?=/?[A-Z_]{3,}\])")
"""Control words such as ``[INST]`` and ``[/INST]``."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request and whether it is complex.

    Attributes:
        text: What a user may write. Never in the repr.
        complex: Whether it needs a large model.
    """

    text: str = field(repr=False)
    complex: bool


INSTRUCTION = (
    "Sort each task by how hard it is. simple: one small step, such as to classify, extract, translate a phrase, "
    "find a fact in a given text, or sum it up, however long the text is. complex: reasoning in several steps, proof, "
    "calculation, code, planning, judgement or original writing, however short the request is. Answer with one word: "
    "simple or complex."
)

EXAMPLES: tuple[Example, ...] = (
    Example(
        "Is this customer review positive or negative?\n\nThe kettle boils quickly, but the lid came loose.", False
    ),
    Example("A train leaves at 9:40 at 60 km/h, another at 10:05 at 90 km/h. When do they meet, and where?", True),
    Example(
        "Minutes of the meeting: Ana showed the budget. Ben asked for two more weeks. The next meeting is on 4 May.\n\n"
        "When is the next meeting?",
        False,
    ),
    Example("Write a function that merges overlapping intervals, and say what it costs.", True),
    Example("Which language is this? Onde fica a biblioteca?", False),
    Example("Our shop must move to another database without closing. Plan the steps and name the risks.", True),
    Example("List the names in this text as JSON: Mr Okafor wrote to Ms Lind about the lease.", False),
    Example("Write a short poem in which a lighthouse regrets its light.", True),
)


@dataclass(frozen=True)
class FewShotPrompt:
    """The messages to a small model: a prefix that never changes, so that the server's cache holds it, and the request.

    Args:
        examples: Five to ten requests of both kinds.
        instruction: What the model is told; it must ask for the words ``simple`` and ``complex``.
        max_bytes: How much of a request is shown, in bytes of UTF-8: scripts that take several bytes a character take
            as many more tokens.

    Raises:
        ConfigError: The number of examples is wrong, they are all of one kind, or the instruction lacks a label.
    """

    examples: tuple[Example, ...] = field(default=EXAMPLES, repr=False)
    instruction: str = field(default=INSTRUCTION, repr=False)
    max_bytes: int = 2000

    def __post_init__(self) -> None:
        for example in self.examples:
            if not isinstance(example, Example) or not isinstance(example.complex, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigError(
                    f"FewShotClassifier(examples=) holds a {type(example).__name__} that is no Example with True or "
                    "False: write Example('the request', complex=True)."
                )
        count = len(self.examples)
        if not FEWEST <= count <= MOST:
            raise ConfigError(f"FewShotClassifier(examples=) has {count}: give {FEWEST} to {MOST}.")
        if len({example.complex for example in self.examples}) < 2:
            raise ConfigError("FewShotClassifier(examples=) are all of one kind: give simple ones and complex ones.")
        if missing := [label for label in (SIMPLE, COMPLEX) if label not in self.instruction]:
            raise ConfigError(
                f"FewShotClassifier(instruction=) does not name the label {missing[0]!r}: the model must answer "
                f"{SIMPLE!r} or {COMPLEX!r}."
            )
        if self.max_bytes < 100:
            raise ConfigError(f"FewShotClassifier(max_characters={self.max_bytes}) must be 100 or more.")

    def prefix(self) -> list[dict[str, str]]:
        """Give the messages before the request, the same for every request."""
        messages = [{"role": "system", "content": self.instruction}]
        for example in self.examples:
            messages.append({"role": "user", "content": question(example.text, self.max_bytes)})
            messages.append({"role": "assistant", "content": COMPLEX if example.complex else SIMPLE})
        return messages

    def messages(self, text: str) -> list[dict[str, str]]:
        """Give all messages for a request's text."""
        return [*self.prefix(), {"role": "user", "content": question(text, self.max_bytes)}]

    @property
    def tokens(self) -> int:
        """About how many tokens the longest prompt takes, the chat template's own included."""
        prefix = self.prefix()
        return sum(estimate_tokens(message["content"]) + 5 for message in prefix) + self.max_bytes // 3

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that change with anything the model is shown."""
        content = "\0".join(message["content"] for message in self.prefix())
        return sha256(f"{content}\0{self.max_bytes}".encode()).hexdigest()[:8]


def question(text: str, max_bytes: int) -> str:
    """Write the question for a text, which is put before the model as data."""
    return f"{as_data(text, max_bytes)}\n{QUESTION}"


def as_data(text: str, max_bytes: int) -> str:
    """Write a text as the data of a prompt: bounded, between marks that it cannot close, and without control words.

    Chat templates are filled in by the server and read again for control tokens (``<|im_start|>``, ``</s>``,
    ``[INST]``), wherever they came from. Their brackets are swapped for others that look like them, so nothing is lost
    to the reader.

    Args:
        text: Any text.
        max_bytes: See ``bounded``.

    Returns:
        The text between ``<task>`` and ``</task>``.
    """
    shown = (
        bounded(text, max_bytes)
        .replace("\0", "\N{SYMBOL FOR NULL}")
        .replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}")
    )
    shown = BRACKETED.sub("\N{LEFT TORTOISE SHELL BRACKET}", shown)
    return f"<task>\n{shown}\n</task>"


def bounded(text: str, max_bytes: int) -> str:
    """Keep the head and the tail of a text that is too long, with a mark where it was cut.

    Instructions stand first or last; two thirds are given to the head.

    Args:
        text: Any text; half surrogate pairs become the replacement character.
        max_bytes: How many bytes of UTF-8 to keep.

    Returns:
        The text, or its head, a mark and its tail. The work is bounded by ``max_bytes`` too.
    """
    if len(text) <= max_bytes:
        whole = encoded(text)
        if len(whole) <= max_bytes:
            return whole.decode()
    head_bytes = max_bytes * 2 // 3
    head = encoded(text[:head_bytes])[:head_bytes].decode(errors="ignore")
    tail = encoded(text[-(max_bytes - head_bytes) :])[-(max_bytes - head_bytes) :].decode(errors="ignore")
    return head + CUT.format(len(text) - len(head) - len(tail)) + tail


def encoded(text: str) -> bytes:
    """Encode a text that may hold half surrogate pairs, which UTF-8 has no bytes for."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
