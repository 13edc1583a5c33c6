"""What is wrong with a ``slmroute.toml``, said by file, line and key, with the nearest key that would be right."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, cast

from slmroute.config_tables import (
    KEY_IN_FILE,
    BudgetTable,
    ChainTable,
    EmbeddedTable,
    EscalationTable,
    ExampleTable,
    FewShotTable,
    LimitsTable,
    NoClassifierTable,
    PlattTable,
    RouterTable,
    Table,
    TierTable,
    is_a_key,
    names_a_key,
)
from slmroute.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["Place", "config_error", "keys_of", "line_of", "refuse_keys", "where", "written"]

Place = tuple[str | int, ...]
"""Where a setting stands: keys and indices from the top of the file, as in ``("tiers", 0, "model")``."""

KINDS: Final = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a table",
    "string_type": "must be a string",
}
"""pydantic's names for a value of the wrong type, in TOML's words."""

MOST_LINES: Final = 1000
"""Of longer files no line is searched for: each try parses the file up to there."""

_CLASSIFIERS: Final[Mapping[object, type[Table]]] = {
    "embedded": EmbeddedTable,
    "few-shot": FewShotTable,
    "chain": ChainTable,
    "none": NoClassifierTable,
}


def refuse_keys(file: str, text: str, data: object, place: Place = ()) -> None:
    """Make sure that no value anywhere has the form of a key, before any value can stand in another message.

    Args:
        file: The file as its user named it.
        text: What is in it.
        data: The same, parsed, or a part of it.
        place: Where that part stands.

    Raises:
        ConfigError: One has.
    """
    if isinstance(data, str) and is_a_key(data):
        raise ConfigError(f"{where(file, text, place)}: {written(place)} {KEY_IN_FILE}.")
    if isinstance(data, dict):
        for key, inner in cast("dict[str, object]", data).items():
            refuse_keys(file, text, inner, (*place, key))
    elif isinstance(data, list):
        for index, inner in enumerate(cast("list[object]", data)):
            refuse_keys(file, text, inner, (*place, index))


def config_error(file: str, text: str, data: Mapping[str, Any], error: ValidationError) -> ConfigError:
    """Turn pydantic's findings into one error, a line for each, without repeating any value.

    Args:
        file: The file as its user named it.
        text: What is in it.
        data: The same, parsed.
        error: What pydantic found.
    """
    findings: dict[Place, list[str]] = {}
    for found in error.errors(include_url=False, include_input=False):
        place = within(data, found["loc"])
        findings.setdefault(place, []).append(sentence(data, place, found["type"], found["msg"]))
    lines = [f"{where(file, text, place)}: {written(place)} {any_of(said)}" for place, said in findings.items()]
    return ConfigError("\n".join(lines))


def sentence(data: Mapping[str, Any], place: Place, kind: str, message: str) -> str:
    """Say what is wrong with one setting."""
    if kind == "extra_forbidden":
        return unknown_key(data, place)
    if kind == "missing":
        return "is missing"
    if place == ("tiers",):
        return "must be two tables or more: begin each with [[tiers]], cheapest first"
    return KINDS.get(kind) or message.removeprefix("Value error, ").replace("Input should", "must", 1)


def any_of(said: Sequence[str]) -> str:
    """Join what is said of one setting: of several types that would be right, each has its own complaint."""
    first, *more = dict.fromkeys(said)
    text = " or ".join([first, *(one.removeprefix("must be ") for one in more)])
    return text if text.endswith(("?", ".")) else f"{text}."


def unknown_key(data: Mapping[str, Any], place: Place) -> str:
    """Say of a key that is none what was probably meant."""
    *table, last = place
    name, valid = str(last), keys_of(data, tuple(table))
    if names_a_key(name):
        return KEY_IN_FILE
    top = keys_of(data, ())
    if table and name in top:
        return f"is a setting of the router: write {name} above the first [table] of the file."
    if not table and name in keys_of(data, ("tiers", 0)):
        return f"is a setting of a tier: write {name} under its [[tiers]]."
    if close := get_close_matches(name, valid, n=1, cutoff=0.6):
        return f"is not a setting. Did you mean {close[0]}?"
    return f"is not a setting. There are: {', '.join(valid)}."


def keys_of(data: Mapping[str, Any], table: Place) -> list[str]:
    """List the keys that a table takes.

    Args:
        data: The whole file: which keys ``[classifier]`` takes depends on its kind.
        table: Where the table stands.
    """
    match table:
        case ("tiers", int()):
            kind: type[Table] = TierTable
        case ("escalation",):
            kind = EscalationTable
        case ("classifier",):
            kind = _classifier(data.get("classifier"))
        case ("classifier", "first" | "second" as part):
            given: object = data.get("classifier")
            kind = _classifier(cast("Mapping[str, Any]", given).get(part) if isinstance(given, dict) else None)
        case ("budget",):
            kind = BudgetTable
        case ("budget", "per_key", str()):
            kind = LimitsTable
        case ("classifier", *_, "examples", int()):
            kind = ExampleTable
        case ("classifier", *_, "calibrator"):
            kind = PlattTable
        case _:
            kind = RouterTable
    return [field.alias or name for name, field in kind.model_fields.items()]


def _classifier(given: object) -> type[Table]:
    named = cast("Mapping[str, Any]", given).get("kind") if isinstance(given, dict) else None
    return _CLASSIFIERS.get(named, FewShotTable)


def within(data: object, place: Sequence[str | int]) -> Place:
    """Leave out of a place what is not in the file, such as the name of a kind; the last step may be missing there."""
    steps: list[str | int] = []
    for at, step in enumerate(place):
        found, inner = follow(data, step)
        if found or (at == len(place) - 1 and isinstance(data, dict)):
            steps.append(step)
            data = inner
    return tuple(steps)


def follow(data: object, step: str | int) -> tuple[bool, object]:
    """Go one step down; tells whether it is there, and stays where it is not."""
    if isinstance(data, dict):
        table = cast("dict[str | int, object]", data)
        return (True, table[step]) if step in table else (False, table)
    if isinstance(data, list):
        items = cast("list[object]", data)
        return (True, items[step]) if isinstance(step, int) and step < len(items) else (False, items)
    return False, data


def written(place: Place) -> str:
    """Write a place as in ``tiers[0].model``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' * bool(text)}{step}"
    return text


def where(file: str, text: str, place: Place) -> str:
    """Say where a setting stands, with the line where that can be told."""
    line = None
    while place and line is None:
        line = line_of(text, place)
        place = place[:-1]
    return file if line is None else f"{file}, line {line}"


def line_of(text: str, place: Place) -> int | None:
    """Find the line on which a setting begins, counted from 1.

    Asking the parser for more and more of the file is slow and cannot be fooled by comments, quotes or dotted keys.

    Args:
        text: The file, valid TOML.
        place: The setting.

    Returns:
        The line; None where the setting is not in the file, or the file is very long.
    """
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        return None
    complete = 0
    for end in range(1, len(lines) + 1):
        try:
            data: object = tomllib.loads("\n".join(lines[:end]))
        except ValueError:  # in the midst of a value of several lines
            continue
        if holds(data, place):
            return complete + 1
        complete = end
    return None


def holds(data: object, place: Place) -> bool:
    """Tell whether a setting is there."""
    for step in place:
        found, data = follow(data, step)
        if not found:
            return False
    return True
