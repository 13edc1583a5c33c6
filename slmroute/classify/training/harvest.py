"""From clones of public repositories to labelled prompts: ``slmroute train sources``.

``sources.toml`` names each repository with its commit, licence and files, and ``kept_apart.txt`` those of their prompts
that well-known evaluations use, which are left out. Nothing of the repositories is kept in the project: the prompts go
to the JSONL file that the command names, and the fit reads it (``slmroute train embedded --data``).
"""

from __future__ import annotations

import json
import random
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from slmroute.classify.training.collections_of_tasks import COLLECTIONS, kinds
from slmroute.classify.training.enclosures import BARE, enclosed
from slmroute.classify.training.mirror import Repository
from slmroute.classify.training.readers import READERS, Row
from slmroute.classify.training.rows import own_table

__all__ = ["harvest", "written"]

MOST_CHARACTERS = 16_000
FEWEST_CHARACTERS = 6
FOREIGN_IN_ENGLISH = 0.25
"""How often a text in another language is wrapped in an English instruction, as people do."""

OPTION_SLOTS = frozenset({"options_", "options_str"})
PASSAGE_HEADS = ("Document [{}]", "[{}]", "Passage {}:", "Source {} -", "({})", "Result {}.", "Context {}:\n")
PASSAGE_POOL = 60
SHORT_TEXT = 160
JOINTS = ("", "", ' "{text}"', " {text}", "\n{text}", " -> {text}", ' "{text}"', " {text}")
LONGEST_PASSAGE = 1500
CHOICE_MARK = "\n\n"
OPTIONS = (
    "OPTIONS:\n- yes\n- no",
    "OPTIONS:\n- (A) yes\n- (B) it is not possible to tell\n- (C) no",
    "Options: yes; no; maybe",
    "OPTIONS:\n- 0\n- 1",
)


@dataclass(slots=True)
class Harvest:
    """What is gathered: the rows that go out, and payloads for the templates that need one.

    Attributes:
        rows: Labelled prompts.
        templates: Templates of sources, filled once all payloads are there.
        texts: Payloads by language.
        questions: Questions about a text, by language.
        asked: Whole questions of knowledge and reasoning, by language.
        counts: Rows taken, by source.
    """

    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    templates: list[tuple[Mapping[str, Any], Row]] = field(default_factory=list[tuple[Mapping[str, Any], Row]])
    texts: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    questions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    asked: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    counts: Counter[str] = field(default_factory=Counter[str])


def manifest() -> list[dict[str, Any]]:
    """Read ``sources.toml``."""
    raw = files("slmroute.classify.training").joinpath("sources.toml").read_text(encoding="utf-8")
    return cast("list[dict[str, Any]]", tomllib.loads(raw)["source"])


@cache
def kept_apart() -> frozenset[str]:
    """Read which prompts are not fitted on, for evaluations have them."""
    lines = files("slmroute.classify.training").joinpath("kept_apart.txt").read_text(encoding="utf-8").split("\n")
    return frozenset(line for line in lines if line and not line.startswith("#"))


def is_kept_apart(prompt: str) -> bool:
    """Whether a prompt is one of those, however it is spaced and punctuated."""
    words = " ".join(re.findall(r"\w+", prompt.lower()))
    return sha256(words.encode("utf-8", "surrogatepass")).hexdigest()[:12] in kept_apart()


def order_of(text: str) -> str:
    """Give a text's place in a reproducible random order."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def harvest(mirror: Path, *, seed: int = 0, missing: Callable[[str], object] | None = None) -> Harvest:
    """Read every source of the manifest that is cloned below ``mirror``.

    Args:
        mirror: A folder of clones named ``owner+repository``.
        seed: What the wrapping is drawn with.
        missing: Called with the name of each repository that is not there.

    Returns:
        The rows, sorted by source, without repeats.

    Raises:
        ConfigError: A source's files are not as the manifest says.
    """
    found = Harvest()
    for source in manifest():
        repository = Repository.find(mirror, source["repository"], source["commit"])
        if repository is None:
            if missing is not None:
                missing(source["repository"])
            continue
        reader = {**READERS, **COLLECTIONS}[source["read"]]
        gather(found, source, list(reader(repository, source)), seed)
    for source, row in found.templates:
        fill(found, source, row, seed)
    seen: set[str] = set()
    kept: list[dict[str, Any]] = []
    for row in found.rows:
        key = " ".join(row["prompt"].split()).casefold()
        if key not in seen and not is_kept_apart(row["prompt"]):
            seen.add(key)
            kept.append(row)
    found.rows = kept
    found.counts = Counter(row["source"] for row in kept)
    return found


def gather(found: Harvest, source: Mapping[str, Any], rows: Sequence[Row], seed: int) -> None:
    """Take a source's share of its rows: whole prompts as they are, payloads wrapped, templates kept for later."""
    limit = int(source.get("rows", 200))
    wraps = cast("list[str]", source.get("wrap", []))
    longest, shortest = int(source.get("longest", MOST_CHARACTERS)), int(source.get("shortest", FEWEST_CHARACTERS))
    taken: Counter[str] = Counter()
    names = cast("dict[str, str]", source.get("languages", {}))
    ranked = {order_of("".join(row.values())): row for row in (tidied(row, source) for row in rows)}
    in_order = [row for _, row in sorted(ranked.items())]
    others = [row["text"] for row in in_order if "text" in row][:PASSAGE_POOL]
    for row in in_order:
        body = next((row[key] for key in ("prompt", "text", "premise", "template", "question") if row.get(key)), "")
        language = row.get("language") or str(source.get("language", "en"))
        row["language"] = names.get(language, language)
        group = row.get(source["each"], "") if "each" in source else ""
        if taken[group] >= limit or not shortest <= len(body) <= longest:
            continue
        taken[group] += 1
        if "template" in row:
            found.templates.append((source, row))
        elif wraps:
            pool(found, row)
            wrap(found, source, row, wraps, others, seed)
            if "qa" in wraps and row.get("text") and row.get("question"):
                bare(found, source, row, seed)
        else:
            add(found, source, row, row["prompt"])


def tidied(row: Row, source: Mapping[str, Any]) -> Row:
    """Apply what the manifest says of a prompt's text: ``cut`` it, ``squeeze`` spaces, put a line ``before``."""
    prompt = row.get("prompt")
    if prompt is None:
        return row
    if "cut" in source:
        found = re.search(source["cut"], prompt, re.DOTALL)
        prompt = found.group(1).strip() if found else ""
    if source.get("squeeze"):
        prompt = re.sub(r"(?<=[^\x00-\x7f]) +| +(?=[^\x00-\x7f])", "", prompt)
    if "choices" in row:
        prompt = f"{prompt}\n{lettered(row['choices'].split(CHOICE_MARK))}"
    if "before" in source:
        starts = cast("list[str]", source["before"])
        prompt = f"{starts[int(order_of(prompt)[:8], 16) % len(starts)]}\n{prompt}".strip()
    return {**{key: value for key, value in row.items() if key != "choices"}, "prompt": prompt}


def lettered(choices: Sequence[str]) -> str:
    """Write the choices of an exam question as exams do, in one of several styles."""
    style = ("{}) {}", "{}. {}", "({}) {}", "{}: {}")[int(order_of("".join(choices))[:8], 16) % 4]
    return "\n".join(
        style.format(letter, choice.strip()) for letter, choice in zip("ABCDEFG", filter(None, choices), strict=False)
    )


def pool(found: Harvest, row: Row) -> None:
    """Remember a payload for templates that have none."""
    if text := row.get("text") or row.get("premise"):
        found.texts.setdefault(row["language"], []).append(text)
    if "question" in row:
        found.questions.setdefault(row["language"], []).append(row["question"])


def wrap(
    found: Harvest, source: Mapping[str, Any], row: Row, kinds: Sequence[str], others: Sequence[str], seed: int
) -> None:
    """Put a payload into one of our own instructions, in its language or in English, or hide it among ``others``."""
    table, _ = own_table("templates")
    dice = random.Random(f"{seed} {order_of(''.join(row.values()))}")  # noqa: S311 - reproducible, nothing secret
    kind = dice.choice(list(kinds))
    own = table.get(row["language"], {}).get(kind, [])
    choices = own if own and dice.random() > FOREIGN_IN_ENGLISH else table["en"][kind]
    prompt = dice.choice(choices)
    if len(row.get("text", "")) <= SHORT_TEXT:
        prompt = joined(prompt, dice)
    prompt = enclosed(prompt, dice)
    if "{passages}" in prompt:
        pool = [text for text in others or found.texts[row["language"]] if len(text) < LONGEST_PASSAGE]
        found_there = [row["text"]] if row.get("text") else retrieved(row.get("question", ""), pool, dice)
        prompt = prompt.replace("{passages}", hidden_among(found_there, pool, dice))
    add_filled(found, source, row, kind, prompt)


def bare(found: Harvest, source: Mapping[str, Any], row: Row, seed: int) -> None:
    """Ask a text its question without a word more, as people do."""
    dice = random.Random(f"{seed} bare {order_of(''.join(row.values()))}")  # noqa: S311 - reproducible, nothing secret
    add_filled(found, source, row, "qa", enclosed(dice.choice(BARE), dice))


def add_filled(found: Harvest, source: Mapping[str, Any], row: Row, kind: str, template: str) -> None:
    """Add one of our own instructions, of a kind of task, with a row's texts in it."""
    _, tiers = own_table("templates")
    for slot in ("premise", "hypothesis", "question", "text"):
        template = template.replace(f"{{{slot}}}", row.get(slot, ""))
    add(found, source, {**row, "tier": tiers[kind], "category": kind}, template, wrapped=True)


def joined(template: str, dice: random.Random) -> str:
    """Put a short text on the instruction's own line, as often as not: people do not leave lines between."""
    style = dice.choice(JOINTS)
    return template.replace("\n\n{text}", style) if style else template


def retrieved(question: str, pool: Sequence[str], dice: random.Random) -> list[str]:
    """Title two passages with what the question names, each with a part of it: so much of it a retriever finds."""
    words = [word for word in question.strip(" ?").split() if len(word) > 3 or word[:1].isupper()]
    middle = len(words) // 2
    parts = [" ".join(part) for part in (words[:middle], words[middle:]) if part]
    return [f"{part}\n{dice.choice(pool)}" for part in parts] or [dice.choice(pool)]


def hidden_among(texts: Sequence[str], others: Sequence[str], dice: random.Random) -> str:
    """Number texts among passages that do not answer the question, as a retriever returns them."""
    passages = [*dice.sample(list(others), min(len(others), dice.randint(3, 12))), *texts]
    dice.shuffle(passages)
    head = dice.choice(PASSAGE_HEADS)
    return "\n\n".join(f"{head.format(number)} {passage}" for number, passage in enumerate(passages, start=1))


def fill(found: Harvest, source: Mapping[str, Any], row: Row, seed: int) -> None:
    """Fill a template's slots with payloads in its language; a template with a slot of another kind is left out."""
    dice = random.Random(f"{seed} {row['template']}")  # noqa: S311 - reproducible, nothing secret
    language = row["language"]
    texts = found.texts.get(language) or found.texts["en"]
    questions = found.questions.get(language) or found.questions["en"]
    if row.get("tier", source.get("tier")) == "complex":
        texts = questions = found.asked.get(language) or found.asked["en"]
    short = [text for text in texts if len(text) < 160] or [text[:160] for text in texts]
    prompt = row["template"]
    for slot in re.findall(r"\{(\w+)\}", prompt):
        if slot in kinds()["slots"]["text"]:
            value = dice.choice(texts)
        elif slot in kinds()["slots"]["short"]:
            value = dice.choice(short)
        elif slot in kinds()["slots"]["question"]:
            value = dice.choice(questions)
        elif slot in OPTION_SLOTS:
            value = dice.choice(OPTIONS)
        else:
            return
        prompt = prompt.replace(f"{{{slot}}}", value, 1)
    add(found, source, row, prompt)


def add(found: Harvest, source: Mapping[str, Any], row: Row, prompt: str, *, wrapped: bool = False) -> None:
    """Add one row; ``wrapped`` tells that the instruction is one of ours."""
    tier, category = row.get("tier") or str(source["tier"]), row.get("category") or str(source["category"])
    part = source["part"]
    family = source.get("family")
    entry: dict[str, Any] = {
        "prompt": prompt.strip(),
        "tier": tier,
        "source": f"{source['repository']}:{part}",
        "category": category,
        "language": row["language"],
        "licence": str(source["licence"]),
        "own": wrapped,
    }
    if category in ("knowledge", "reasoning") and not wrapped and len(prompt) < 500:
        found.asked.setdefault(row["language"], []).append(prompt)
    found.rows.append({**entry, "family": family} if family else entry)


def written(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Give the rows as JSON lines."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"
