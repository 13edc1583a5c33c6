"""Whether a value follows a JSON schema, as far as a schema of a tool or of a structured answer goes.

Followed are types, ``enum`` and ``const``, objects (``properties``, ``required``, ``additionalProperties``), arrays
(``items``, ``prefixItems``), bounds of size, ``$ref`` into the schema itself, and ``anyOf``, ``oneOf`` and ``allOf``;
see the JSON Schema draft 2020-12 (Wright et al., 2022). What is not followed is taken to fit, and so is what would take
too long: an answer is only called wrong where it surely is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

__all__ = ["fits"]

MOST_STEPS: Final = 20_000
"""How many schemas are held against how many values; a few milliseconds' worth."""
DEEPEST: Final = 100
"""How far into a value and through references is looked."""

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}

Schema = Mapping[str, object]


def fits(value: object, schema: Schema) -> bool:
    """Tell whether a value follows a JSON schema.

    Of ``oneOf`` one branch or more must fit: that an answer fits several makes it no wrong answer.

    Args:
        value: What ``json.loads`` gives: the arguments of a tool call, or a structured answer.
        schema: The schema; parts of it that make no sense are passed over.
    """
    try:
        return _Checker(schema).fits(value, schema, 0)
    except _TooMuch:
        return True


class _TooMuch(Exception):
    """The work has come to its bound."""


class _Checker:
    """Holds the parts of one value against the parts of one schema.

    Args:
        root: The schema that references point into.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._steps = 0

    def fits(self, value: object, schema: object, depth: int) -> bool:
        self._steps += 1
        if self._steps > MOST_STEPS or depth > DEEPEST:
            raise _TooMuch
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            return True
        rules = cast("Schema", schema)
        if value is None and rules.get("nullable") is True:  # as OpenAPI says it
            return True
        if not _is_of(value, rules.get("type")) or not self._is_listed(value, rules):
            return False
        if isinstance(value, str):
            return _sized(len(value), rules, "Length") and self._combined(value, rules, depth)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _within(value, rules) and self._combined(value, rules, depth)
        if isinstance(value, Mapping):
            members = cast("Schema", value)
            return self._object(members, rules, depth) and self._combined(members, rules, depth)
        if isinstance(value, list):
            items = cast("list[object]", value)
            return self._array(items, rules, depth) and self._combined(items, rules, depth)
        return self._combined(value, rules, depth)

    def _object(self, value: Schema, rules: Schema, depth: int) -> bool:
        if any(isinstance(name, str) and name not in value for name in _list(rules.get("required"))):
            return False
        declared = _mapping(rules.get("properties"))
        for name, schema in declared.items():
            if name in value and not self.fits(value[name], schema, depth + 1):
                return False
        further = rules.get("additionalProperties", True)
        if further is True or "patternProperties" in rules:
            return True
        return all(self.fits(each, further, depth + 1) for name, each in value.items() if name not in declared)

    def _array(self, value: list[object], rules: Schema, depth: int) -> bool:
        if not _sized(len(value), rules, "Items"):
            return False
        first, items = _list(rules.get("prefixItems")), rules.get("items", True)
        if isinstance(items, list):  # as drafts before 2020-12 say ``prefixItems``
            first, items = cast("list[object]", items), rules.get("additionalItems", True)
        if not all(self.fits(each, schema, depth + 1) for each, schema in zip(value, first, strict=False)):
            return False
        return items is True or all(self.fits(each, items, depth + 1) for each in value[len(first) :])

    def _combined(self, value: object, rules: Schema, depth: int) -> bool:
        """Hold a value against the schemas that are said to apply to it as a whole."""
        reference = rules.get("$ref")
        if isinstance(reference, str) and not self.fits(value, self._referred(reference), depth + 1):
            return False
        if not all(self.fits(value, schema, depth + 1) for schema in _list(rules.get("allOf"))):
            return False
        for name in ("anyOf", "oneOf"):
            branches = _list(rules.get(name))
            if branches and not any(self.fits(value, schema, depth + 1) for schema in branches):
                return False
        return True

    def _referred(self, reference: str) -> object:
        """Follow a reference into the schema itself; one that leads elsewhere or nowhere allows anything."""
        found: object = self._root
        head, *path = reference.split("/")
        if head != "#":
            return True
        for step in path:
            key = step.replace("~1", "/").replace("~0", "~")
            members, items = _mapping(found), _list(found)
            if key in members:
                found = members[key]
            elif key.isdecimal() and int(key) < len(items):
                found = items[int(key)]
            else:
                return True
        return found

    def _is_listed(self, value: object, rules: Schema) -> bool:
        if "const" in rules and not self._same(value, rules["const"]):
            return False
        values = rules.get("enum")
        return not isinstance(values, list) or any(self._same(value, each) for each in cast("list[object]", values))

    def _same(self, one: object, other: object) -> bool:
        """Whether two values are the same as JSON has it: true is not 1, but 1.0 is."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise _TooMuch
        if isinstance(one, bool) or isinstance(other, bool):
            return one is other
        if isinstance(one, list) and isinstance(other, list):
            left, right = cast("list[object]", one), cast("list[object]", other)
            return len(left) == len(right) and all(map(self._same, left, right))
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            mine, theirs = cast("Schema", one), cast("Schema", other)
            return mine.keys() == theirs.keys() and all(self._same(mine[name], theirs[name]) for name in mine)
        return one == other


def _is_of(value: object, kind: object) -> bool:
    kinds = cast("list[object]", kind) if isinstance(kind, list) else [kind]
    known = [_TYPES[name] for name in kinds if isinstance(name, str) and name in _TYPES]
    if len(known) < len(kinds):
        return True
    if isinstance(value, bool):
        return (bool,) in known
    if isinstance(value, float) and value.is_integer():
        return (int,) in known or (int, float) in known
    return any(isinstance(value, types) for types in known)


def _within(value: float, rules: Schema) -> bool:
    least, most = _number(rules.get("minimum")), _number(rules.get("maximum"))
    over, under = _number(rules.get("exclusiveMinimum")), _number(rules.get("exclusiveMaximum"))
    above = (least is None or value >= least) and (over is None or value > over)
    return above and (most is None or value <= most) and (under is None or value < under)


def _sized(size: int, rules: Schema, of: str) -> bool:
    least, most = _number(rules.get(f"min{of}")), _number(rules.get(f"max{of}"))
    return (least is None or size >= least) and (most is None or size <= most)


def _number(found: object) -> float | None:
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def _list(found: object) -> Sequence[object]:
    return cast("list[object]", found) if isinstance(found, list) else ()


def _mapping(found: object) -> Schema:
    return cast("Schema", found) if isinstance(found, Mapping) else {}
