"""The demo's requests, and whether an answer to one is right."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final, Literal, cast

from slmroute.errors import ConfigError

__all__ = ["BACK_OFFICE", "Match", "Request", "is_right", "load_requests"]

Match = Literal["label", "contains", "number", "set"]
"""How a right answer is told: it names the one right label; holds the text; gives the number; names all items."""

BACK_OFFICE: Final = frozenset(
    {"planning", "debugging", "root-cause", "contract", "strategy", "sql", "proof", "reasoning", "long-document"}
)
"""The kinds of work that the back office asks for; the rest is the support desk's."""

SHORT: Final = 16

_NUMBER = re.compile(r"\d+(?:[.,\u00a0 ]\d{3})*(?:[.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        id: Its name.
        kind: The kind of work, for example ``extraction``.
        tier: Where a person would send it: ``simple`` or ``complex``.
        prompt: What is asked.
        answers: What a right answer has; empty where answers are not graded.
        match: How that is told, or None where answers are not graded.
        labels: The labels to choose from.
    """

    id: str
    kind: str
    tier: Literal["simple", "complex"]
    prompt: str = field(repr=False)
    answers: tuple[str, ...] = ()
    match: Match | None = None
    labels: tuple[str, ...] = ()

    @property
    def team(self) -> str:
        """Whose request it is."""
        return "back-office" if self.kind in BACK_OFFICE else "support-desk"


def load_requests(limit: int | None = None, *, short: bool = False) -> list[Request]:
    """Read the demo's requests.

    Args:
        limit: At most so many, spread evenly over the kinds of work; None for all.
        short: Sixteen of them, as many of each tier as in all.

    Raises:
        ConfigError: ``limit`` is less than 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit={limit} must be 1 or more.")
    text = files("slmroute.demo").joinpath("requests.jsonl").read_text(encoding="utf-8")
    requests = [_request(json.loads(line)) for line in text.splitlines()]
    wanted = min(limit or len(requests), SHORT if short else len(requests), len(requests))
    return [requests[place * len(requests) // wanted] for place in range(wanted)]


def is_right(request: Request, answer: str) -> bool | None:
    """Tell whether an answer is right.

    Args:
        request: What was asked.
        answer: The answer, in whatever words a model wrapped it.

    Returns:
        None where answers to this request are not graded.
    """
    text = _folded(answer)
    match request.match:
        case None:
            return None
        case "label":
            return _label_of(text, request.labels) == _folded(request.answers[0])
        case "contains":
            return any(_folded(accepted) in text for accepted in request.answers)
        case "set":
            return all(_folded(item) in text for item in request.answers)
        case "number":
            numbers = [_value(number) for number in _NUMBER.findall(answer)]
            return _value(request.answers[0]) in numbers[:1] + numbers[-1:]


def _request(row: dict[str, Any]) -> Request:
    answer = cast("str | list[str] | None", row["answer"])
    answers = () if answer is None else (answer,) if isinstance(answer, str) else tuple(answer)
    return Request(
        id=row["id"],
        kind=row["kind"],
        tier=row["tier"],
        prompt=row["prompt"],
        answers=(*answers, *row.get("accept", ())),
        match=row["match"],
        labels=tuple(row.get("labels", ())),
    )


def _label_of(text: str, labels: Sequence[str]) -> str | None:
    """Give the label that an answer chooses: the one it begins with, else the only one it names."""
    named = {_folded(label): _place(_folded(label), text) for label in labels}
    found = {label: place for label, place in named.items() if place is not None}
    opening = [label for label, place in found.items() if not text[:place].strip(" \"'*`#-.:([")]
    if opening:
        return opening[0]
    return next(iter(found)) if len(found) == 1 else None


def _place(word: str, text: str) -> int | None:
    found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)
    return None if found is None else found.start()


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _value(number: str) -> float:
    """Read a number as people write it: a comma or point before the last one or two digits is the decimal mark."""
    digits = re.sub(r"[\u00a0 ]", "", number)
    whole, mark, rest = digits.rpartition(".") if digits.rfind(".") > digits.rfind(",") else digits.rpartition(",")
    if mark and len(rest) != 3:
        return float(re.sub(r"[.,]", "", whole) + "." + rest)
    return float(re.sub(r"[.,]", "", digits))
