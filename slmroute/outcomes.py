"""Outcomes to calibrate on: a small model's answers with their log-probabilities, and whether each was right."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from slmroute.errors import ConfigError
from slmroute.jsonl import Row, read_rows
from slmroute.ollama import OllamaServer
from slmroute.ollama_address import OllamaAddress
from slmroute.token_probabilities import ALTERNATIVES, logprobs_of, margins_of, read_tokens

if TYPE_CHECKING:
    from ollama import ChatResponse

__all__ = [
    "KnownAnswer",
    "Outcome",
    "distinct",
    "is_right",
    "read_known_answers",
    "read_outcomes",
    "run_model",
    "sampled",
]

BRIEFLY: Final = "Answer as briefly as you can."
CHOOSING: Final = "Answer with one of these words and nothing else: {}."
LONGEST_ANSWER: Final = 20
"""Tokens: the known answers are short."""

TIMEOUT_S: Final = 120.0
NUM_CTX: Final = 2048
MOST_IN_A_ROW: Final = 5
"""After so many answers in a row that could not be had, something is wrong with the server."""

MOST_LABELS: Final = 8
WORDS = re.compile(r"[^\w]+")
LETTER = re.compile(
    r"^\W*(?:the\s+)?(?:correct\s+|best\s+)?(?:answer|option|choice)?\W*(?:is\b)?\W*([A-Z])(?![\w'])(?!\s+[a-z])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A prompt whose right answer is known.

    Attributes:
        id: Its name.
        source: Where it comes from; sources are left out as a whole when a calibration is tested.
        category: The kind of task.
        prompt: What is asked. Never in the repr.
        answer: The right answer.
        labels: All answers that there are in its source, where they are few: one of them must then be named first.
    """

    id: str
    source: str
    category: str
    prompt: str = field(repr=False)
    answer: str = field(repr=False)
    labels: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one answer of the small model. Neither prompt nor answer are kept.

    Attributes:
        id: The prompt's name, its source's own; empty where it has none.
        source: Where the prompt comes from.
        category: The kind of task.
        correct: Whether the answer was right.
        logprobs: The natural log-probability of each generated token.
        margins: How far each token was ahead of the next likely one, in log-probability, where that is known.
        model: The model that answered.
        total_ms: How long it took.
    """

    id: str
    source: str
    category: str
    correct: bool
    logprobs: tuple[float, ...] = field(repr=False)
    margins: tuple[float, ...] | None = field(default=None, repr=False)
    model: str = ""
    total_ms: float | None = None

    def to_json(self) -> dict[str, object]:
        """Give the row that ``read_outcomes`` reads."""
        return {
            "id": self.id,
            "source": self.source,
            "category": self.category,
            "correct": self.correct,
            "logprobs": [round(one, 5) for one in self.logprobs],
            "margins": None if self.margins is None else [round(one, 5) for one in self.margins],
            "model": self.model,
            "total_ms": None if self.total_ms is None else round(self.total_ms, 1),
        }


def read_outcomes(path: Path) -> list[Outcome]:
    """Read outcomes.

    Args:
        path: JSONL with ``correct`` (true or false) and ``logprobs`` (one for each token of the answer), optionally
            ``id``, ``source``, ``category``, ``margins``, ``model``, ``total_ms``.

    Raises:
        ConfigError: A row is wrong; the message names file, line and field.
    """
    return [outcome_of(row) for row in read_rows(path)]


def outcome_of(row: Row) -> Outcome:
    """Read one outcome."""
    correct = row.fields.get("correct")
    if not isinstance(correct, bool) and correct not in (0, 1):
        raise row.wrong("correct", "true or false")
    logprobs = row.numbers("logprobs")
    if logprobs is None and "confidence" in row.fields:
        raise ConfigError(
            f"{row.where}: 'logprobs' is missing, and a plain 'confidence' is not calibrated here: put a judge's "
            "right in Python, SelfCheck(calibrator=Platt.fit(log_odds, labels))."
        )
    if not logprobs or max(logprobs) > 1e-3:
        raise row.wrong("logprobs", "a list of log-probabilities, none of them above 0, one for each token")
    margins = row.numbers("margins")
    if margins and len(margins) != len(logprobs):
        raise row.wrong("margins", f"as long as 'logprobs', {len(logprobs)}, one for each token")
    return Outcome(
        row.text("id", ""),
        row.text("source", ""),
        row.text("category", ""),
        bool(correct),
        logprobs,
        margins,
        row.text("model", ""),
        row.number("total_ms"),
    )


def distinct(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Give outcomes without repeats, the first of each: a row that stands twice is no second answer.

    Rows of one model and one source are the same where their ids are; rows without an id are where they were as right
    with the same log-probabilities.
    """
    found: dict[tuple[object, ...], Outcome] = {}
    for one in outcomes:
        what = (one.id,) if one.id else (one.correct, one.logprobs, one.margins)
        found.setdefault((one.model, one.source, *what), one)
    return list(found.values())


def read_known_answers(path: Path) -> list[KnownAnswer]:
    """Read prompts with known answers.

    Args:
        path: JSONL with ``prompt`` and ``answer``, optionally ``id``, ``source`` and ``category``.

    Returns:
        The prompts, the first of each name: within its source a prompt is named by its id, without one by its digest.

    Raises:
        ConfigError: A row is wrong; the message names file, line and field.
    """
    rows = list(read_rows(path))
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        seen[row.text("source", "")][folded(row.text("answer"))] += 1
    known: dict[tuple[str, str], KnownAnswer] = {}
    for row in rows:
        source, prompt = row.text("source", ""), row.text("prompt")
        answers = seen[source]
        closed = 2 <= len(answers) <= MOST_LABELS and answers.total() >= 3 * len(answers)
        one = KnownAnswer(
            row.text("id", "") or digest_of(prompt),
            source,
            row.text("category", ""),
            prompt,
            row.text("answer"),
            tuple(answers) if closed else (),
        )
        known.setdefault((source, one.id), one)
    return list(known.values())


def digest_of(prompt: str) -> str:
    """Name a prompt by what it says, so that it has the same name in every file."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def sampled(known: Sequence[KnownAnswer], limit: int | None, seed: int = 0) -> list[KnownAnswer]:
    """Take so many prompts, as evenly from all sources as they have them.

    Args:
        known: All of them.
        limit: How many; None for all.
        seed: Which ones.
    """
    dice = random.Random(seed)  # noqa: S311  a sample, no secret
    waiting: dict[str, list[KnownAnswer]] = {}
    for one in known:
        waiting.setdefault(one.source, []).append(one)
    for rows in waiting.values():
        dice.shuffle(rows)
    taken: list[KnownAnswer] = []
    wanted = len(known) if limit is None else min(limit, len(known))
    while len(taken) < wanted:
        for source in sorted(waiting):
            if waiting[source] and len(taken) < wanted:
                taken.append(waiting[source].pop())
    return taken


def is_right(reply: str, known: KnownAnswer) -> bool:
    """Tell whether a reply is right, in whatever words a model wraps it.

    A letter must stand where an answer stands, not as a word. Of few labels the right one must be named first, and not
    as one of several to choose from. Anything else must be in the reply, word for word.

    Args:
        reply: What the model said.
        known: What was asked, and the right answer.
    """
    if len(known.answer.strip()) == 1 and known.answer.strip().isalpha():
        found = LETTER.match(reply)
        return found is not None and found[1].upper() == known.answer.strip().upper()
    text, wanted = f" {folded(reply)} ", folded(known.answer)
    if not wanted:
        return False
    places = [(text.find(f" {label} "), -len(label), label) for label in {*known.labels, wanted}]
    named = sorted(place for place in places if place[0] >= 0)
    if not named or named[0][2] != wanted:
        # Without a list of labels there is one place at most, and it is the answer's.
        return False
    rest = text[named[0][0] + 1 + len(wanted) :]
    return not any(rest.startswith(f" or {label} ") for label in known.labels)


def folded(text: str) -> str:
    """Write a text in small letters, without punctuation."""
    return WORDS.sub(" ", text.casefold()).strip()


def run_model(
    known: Iterable[KnownAnswer],
    model: str,
    *,
    host: str | None = None,
    done: Callable[[Outcome], object] = lambda _: None,
) -> list[Outcome]:
    """Have a model on Ollama answer prompts whose answers are known, one after the other.

    Args:
        known: The prompts.
        model: The model's name.
        host: The server's address; None for ``OLLAMA_HOST``.
        done: Called with each outcome as it comes.

    Returns:
        The outcomes. A prompt whose answer the server did not give (it timed out, or broke) is left out.

    Raises:
        ServerUnreachable: No Ollama answers, or it stopped answering.
        ModelMissing: It does not have the model.
        ConfigError: It gives no log-probabilities.
    """
    import httpx
    import ollama

    OllamaServer(host).require(model)
    address = OllamaAddress(host)
    outcomes: list[Outcome] = []
    failed = 0
    for one in known:
        began = time.monotonic()
        try:
            response = address.chat(body_of(one, model), TIMEOUT_S)
        except (ollama.ResponseError, httpx.HTTPError, ConnectionError):
            failed += 1
            if failed >= MOST_IN_A_ROW:
                raise address.unreachable() from None
            continue
        failed = 0
        outcomes.append(graded(one, response, model, (time.monotonic() - began) * 1000))
        done(outcomes[-1])
    return outcomes


def body_of(one: KnownAnswer, model: str) -> dict[str, object]:
    """Make the request for one prompt; where there are few labels, the model is told them."""
    system = CHOOSING.format(", ".join(one.labels)) if one.labels else BRIEFLY
    return {
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": one.prompt}],
        "options": {"temperature": 0, "num_predict": LONGEST_ANSWER, "num_ctx": NUM_CTX},
        "keep_alive": "10m",
        "logprobs": True,
        "top_logprobs": ALTERNATIVES,
        "think": False,
    }


def graded(one: KnownAnswer, response: ChatResponse, model: str, total_ms: float) -> Outcome:
    """Make an outcome of a reply."""
    if not response.logprobs:
        raise ConfigError(
            f"The server gives no log-probabilities for {model!r}, and confidence is read from them: use Ollama 0.12.11"
            " or newer, or `slmroute serve`."
        )
    tokens = read_tokens(response.logprobs)
    return Outcome(
        one.id,
        one.source,
        one.category,
        is_right(response.message.content or "", one),
        tuple(min(logprob, 0.0) for logprob in logprobs_of(tokens)),
        margins_of(tokens) or None,
        model,
        total_ms,
    )


def append_outcome(path: Path, outcome: Outcome) -> None:
    """Write an outcome at the end of a file, so that a run that was broken off can go on."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(outcome.to_json()) + "\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from None
