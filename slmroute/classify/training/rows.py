"""Labelled prompts as JSON lines, and the project's own templates filled with payloads."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice, zip_longest
from pathlib import Path
from typing import cast

from slmroute.errors import ConfigError

__all__ = [
    "OWN_PROMPTS",
    "LabelledPrompt",
    "family_of",
    "mixed_prompts",
    "own_prompts",
    "own_table",
    "read_prompts",
]

TIERS = ("simple", "complex")
VARIANTS = 4
"""How many prompts are made of one template: each with another payload or other numbers."""

EVERYDAY = "everyday"
"""The category of messages that are no work on a text and yet simple."""

LONG = "long_"
PASSAGE_HEADS = ("Document [{}]", "[{}]", "Source {}:", "Passage {} -")
OWN = "slmroute:"
OWN_PROMPTS = Path(__file__).with_name("own_prompts.jsonl")
"""The prompts that were written for this project."""


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """A prompt and the tier that a person would choose for it.

    Attributes:
        text: The prompt.
        complex: Whether it needs a large model.
        source: Where it comes from, as ``owner/repository:part``.
        category: The kind of task.
        family: What it is left out together with: sources that share templates or texts.
        own: Whether its instruction was written for this project; figures are taken on the others.
        everyday: Whether it is an everyday message, not work on a text: such prompts are fitted on apart.
    """

    text: str
    complex: bool
    source: str
    category: str
    family: str
    own: bool
    everyday: bool = False


def family_of(source: str) -> str:
    """Give the family that a source belongs to: what shares templates or texts is left out together.

    Args:
        source: ``owner/repository:part``; the part's first word names the data set, as in ``P3/imdb_Reviewer_Opinion``.
    """
    repository, _, part = source.partition(":")
    if part.startswith("P3/"):
        return f"{repository}:{part.split('_')[0]}"
    return source if repository == "slmroute" else repository


def read_prompts(paths: Sequence[Path], *, seed: int = 0) -> list[LabelledPrompt]:
    """Read labelled prompts.

    Args:
        paths: JSONL files with a row for each prompt: ``prompt``, ``tier`` (``simple`` or ``complex``), ``source``, and
            optionally ``category`` (``everyday`` for greetings and the like, which are fitted on apart), ``family``
            (what is left out together; by default the repository) and ``own`` (true where the instruction is one of
            ours, so that no figure is taken on it). A row with ``payload`` (a list of
            kinds) is a template: ``{payload}`` in its prompt is filled with four of the project's own texts; ``{#}``
            stands for a number.
        seed: What the fillings are drawn with.

    Returns:
        The prompts in the files' order, templates filled.

    Raises:
        ConfigError: A file cannot be read or a row is wrong; the message names file, line and field.
    """
    prompts: list[LabelledPrompt] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--data {path}: cannot be read as UTF-8 text ({error}); give a JSONL file.") from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                prompts += filled(checked_row(line, f"--data {path}, line {number}"), seed)
    if not prompts:
        raise ConfigError(
            "--data holds no prompt: give JSONL files with rows "
            '{"prompt": ..., "tier": "simple" or "complex", "source": ...}.'
        )
    return prompts


def own_prompts(seed: int = 0) -> list[LabelledPrompt]:
    """Give the project's own prompts: those of ``own_prompts.jsonl`` and of ``own_everyday.toml``.

    Args:
        seed: What the fillings are drawn with.
    """
    prompts = read_prompts([OWN_PROMPTS], seed=seed)
    table, tiers = own_table("everyday")
    for kinds in table.values():
        for kind, messages in kinds.items():
            fields = {"tier": tiers[kind], "source": f"{OWN}everyday/{kind}"}
            fields["category"] = EVERYDAY if tiers[kind] == "simple" else kind
            for message in messages:
                prompts += filled({"prompt": message, **fields}, seed)
    return prompts


def mixed_prompts(of_a_kind: int) -> list[LabelledPrompt]:
    """Draw from the project's own English prompts so many simple and so many complex ones, of all categories alike."""
    dice = random.Random(0)  # noqa: S311 - the same draw each time, nothing secret
    pools: dict[bool, dict[str, list[LabelledPrompt]]] = {False: {}, True: {}}
    for line in OWN_PROMPTS.read_text(encoding="utf-8").splitlines():
        row = checked_row(line, str(OWN_PROMPTS))
        if row.get("language") == "en":
            prompt = next(filled(row, seed=0))
            pools[prompt.complex].setdefault(prompt.category, []).append(prompt)
    chosen: list[LabelledPrompt] = []
    for pool in pools.values():
        for category in pool.values():
            dice.shuffle(category)
        rounds = zip_longest(*pool.values())
        chosen += islice((prompt for turn in rounds for prompt in turn if prompt is not None), of_a_kind)
    return chosen


@cache
def own_table(part: str) -> tuple[dict[str, dict[str, list[str]]], dict[str, str]]:
    """Read ``own_templates.toml`` or ``own_everyday.toml``: texts by language and kind, and the tier of each kind."""
    raw = files("slmroute.classify.training").joinpath(f"own_{part}.toml").read_text(encoding="utf-8")
    table = cast("dict[str, dict[str, list[str]]]", tomllib.loads(raw))
    sorted_out = table.pop("tiers")
    return table, {kind: tier for tier, kinds in sorted_out.items() for kind in kinds}


def checked_row(line: str, where: str) -> dict[str, object]:
    """Parse a row and check its fields."""
    try:
        row: object = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where} is not JSON ({error}).") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where} is not a JSON object.")
    fields = cast("dict[str, object]", row)
    for name in ("prompt", "source"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise ConfigError(f"{where}: {name!r} must be a text that is not empty.")
    if fields.get("tier") not in TIERS:
        raise ConfigError(f"{where}: 'tier' must be 'simple' or 'complex', not {fields.get('tier')!r}.")
    payload = fields.get("payload")
    known = isinstance(payload, list) and all(kind in payload_kinds() for kind in cast("list[object]", payload))
    if payload is not None and not (known and "{payload}" in str(fields["prompt"])):
        raise ConfigError(
            f"{where}: 'payload' must list kinds out of {', '.join(payload_kinds())}, and the prompt hold {{payload}}."
        )
    return fields


def filled(row: dict[str, object], seed: int) -> Iterator[LabelledPrompt]:
    """Give the prompts of a row: one, or four different fillings of a template."""
    template, source = str(row["prompt"]), str(row["source"])
    kinds = cast("list[str]", row.get("payload") or [])
    language = str(row.get("language") or "en")
    family = str(row.get("family") or family_of(source))
    own = source.startswith(OWN)
    numbered = own and "{#}" in template
    dice = random.Random(f"{seed}\n{template}")  # noqa: S311 - reproducible fillings, nothing secret
    seen: set[str] = set()
    for _ in range(VARIANTS if kinds or numbered else 1):
        text = template
        if kinds:
            text = text.replace("{payload}", payload_of(dice.choice(kinds), language, dice))
        while numbered and "{#}" in text:
            text = text.replace("{#}", str(dice.randint(2, 60)), 1)
        if text not in seen:
            seen.add(text)
            category, hard = str(row.get("category") or "other"), row["tier"] == "complex"
            own_words = own or row.get("own") is True
            yield LabelledPrompt(text, hard, source, category, family, own_words, category == EVERYDAY)


@cache
def payloads() -> dict[tuple[str, str], list[str]]:
    """Read the project's own texts by kind and language."""
    found: dict[tuple[str, str], list[str]] = {}
    content = files("slmroute.classify.training").joinpath("own_payloads.jsonl").read_text(encoding="utf-8")
    for line in content.strip().split("\n"):
        row = cast("dict[str, str]", json.loads(line))
        found.setdefault((row["kind"], row["language"]), []).append(row["text"])
    return found


@cache
def payload_kinds() -> tuple[str, ...]:
    """Give the kinds a template may ask for."""
    kinds = sorted({kind for kind, _ in payloads()})
    return (*kinds, *(f"{LONG}{kind}" for kind in ("report", "meeting", "article", "contract")), "passages", "anylang")


def payload_of(kind: str, language: str, dice: random.Random) -> str:
    """Draw a text of a kind, in the language where there is one."""
    pool = payloads()
    if kind == "anylang":
        return dice.choice(pool[dice.choice([key for key in pool if key[1] != "en"])])
    if kind == "passages":
        articles = list(pool["article", "en"])
        dice.shuffle(articles)
        head = dice.choice(PASSAGE_HEADS)
        return "\n\n".join(f"{head.format(number)} {text}" for number, text in enumerate(articles, start=1))
    if kind.startswith(LONG):
        texts = list(pool[kind.removeprefix(LONG), "en"])
        dice.shuffle(texts)
        return "\n\n".join(texts)
    return dice.choice(pool.get((kind, language)) or pool[kind, "en"])
