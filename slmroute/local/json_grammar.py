"""The grammar of a JSON schema, in llama.cpp's own notation (GBNF).

Given the schema itself, llama.cpp's chats let the model write the object inside a code fence, whose tokens are counted
and timed and take a part of the limit, but are not in the answer. Given the grammar, the object is all there is. It
permits what llama.cpp's own does: no members but those named, in their order, and little white space.

See https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from slmroute.local.completion import Json

__all__ = ["grammar_of"]

MOST_REPEATS = 1_000
"""What llama.cpp repeats more often it refuses."""

SPACE = "space"

SHARED: Mapping[str, str] = {
    SPACE: r'| " " | "\n"{1,2} [ \t]{0,20}',
    "char": r'[^"\\\x7F\x00-\x1F] | [\\] (["\\bfnrt] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" char* "\""',
    "whole": "[0] | [1-9] [0-9]{0,15}",
    "integer": '"-"? whole',
    "number": 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,16})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "member": f'string ":" {SPACE} value',
    "object": f'"{{" {SPACE} (member ("," {SPACE} member)* {SPACE})? "}}"',
    "array": f'"[" {SPACE} (value ("," {SPACE} value)* {SPACE})? "]"',
    "value": "object | array | string | number | boolean | null",
}

SAYING = frozenset(
    {"$comment", "$defs", "$id", "$schema", "default", "definitions", "description", "examples", "title"}
)
"""Keywords that restrict nothing."""


class Beyond(Exception):
    """The schema says more than is written here."""


def grammar_of(schema: Json) -> str | None:
    """Write the grammar of what follows a schema.

    Args:
        schema: A JSON schema.

    Returns:
        The grammar, or None for a schema that restricts by more than types, members, elements, lengths and
        enumerations: it is left to llama.cpp, which knows more of them, or says what is wrong with it.
    """
    writer = Writer(schema)
    try:
        root = writer.rule(schema)
    except (Beyond, RecursionError):
        return None
    return "\n".join(f"{name} ::= {body}" for name, body in {**SHARED, **writer.rules, "root": root}.items())


class Writer:
    """Writes rules, one for each object and each definition.

    Args:
        schema: The whole schema, which has the definitions.
    """

    def __init__(self, schema: Json) -> None:
        self.schema = schema
        self.rules: dict[str, str] = {}
        self._named: dict[str, str] = {}

    def rule(self, given: object) -> str:
        """Give what stands for a schema inside a rule."""
        if given is True:
            return "value"
        if not isinstance(given, dict):
            raise Beyond
        schema = {key: value for key, value in cast("Json", given).items() if key not in SAYING}
        if not schema:
            return "value"
        for key in ("$ref", "anyOf", "oneOf", "const", "enum"):
            if key in schema:
                return self._special(key, schema)
        kinds = schema.pop("type", "object" if "properties" in schema else None)
        if isinstance(kinds, list):
            if not kinds or schema:
                raise Beyond
            return either(self._typed(kind, {}) for kind in cast("list[object]", kinds))
        return self._typed(kinds, schema)

    def _special(self, key: str, schema: dict[str, object]) -> str:
        value = schema.pop(key)
        kind = schema.pop("type", None)
        if schema or (kind is not None and key not in ("const", "enum")):
            raise Beyond
        match key:
            case "$ref":
                return self._definition(value)
            case "const":
                return literal(value)
            case "enum" if isinstance(value, list) and value:
                return either(literal(each) for each in cast("list[object]", value))
            case "anyOf" | "oneOf" if isinstance(value, list) and value:
                return either(self.rule(each) for each in cast("list[object]", value))
            case _:
                raise Beyond

    def _definition(self, reference: object) -> str:
        if not isinstance(reference, str) or not reference.startswith("#/") or "~" in reference or "%" in reference:
            raise Beyond
        if reference not in self._named:
            found: object = self.schema
            for part in reference.removeprefix("#/").split("/"):
                if not isinstance(found, dict) or part not in found:
                    raise Beyond
                found = cast("Json", found)[part]
            # Named first: a definition may hold itself.
            name = self._named[reference] = f"definition-{len(self._named)}"
            self.rules[name] = self.rule(found)
        return self._named[reference]

    def _typed(self, kind: object, schema: dict[str, object]) -> str:
        match kind:
            case "string":
                repeats = bounds(schema, "minLength", "maxLength")
                found = "string" if repeats == "*" else rf'"\"" char{repeats} "\""'
            case "array":
                found = self._array(schema)
            case "object":
                found = self._object(schema)
            case "integer" | "number" | "boolean" | "null":
                found = str(kind)
            case _:
                raise Beyond
        if schema:
            raise Beyond
        return found

    def _array(self, schema: dict[str, object]) -> str:
        item = self.rule(schema.pop("items", True))
        least, most = limits(schema, "minItems", "maxItems")
        if most == 0:
            return f'"[" {SPACE} "]"'
        more = repeated(max(least - 1, 0), None if most is None else most - 1)
        several = f'{item} ("," {SPACE} {item}){more} {SPACE}'
        return f'"[" {SPACE} {several if least else f"({several})?"} "]"'

    def _object(self, schema: dict[str, object]) -> str:
        members, others = schema.pop("properties", {}), schema.pop("additionalProperties", None)
        required = schema.pop("required", [])
        if not isinstance(members, dict) or not isinstance(required, list):
            raise Beyond
        named, needed = cast("Json", members), cast("Sequence[object]", required)
        if any(name not in named for name in needed):
            raise Beyond
        if not named:
            return self._mapping(others)
        if others not in (None, False):
            raise Beyond
        name = f"object-{len(self.rules)}"
        self.rules[name] = ""
        pairs = [(f'{literal(key)} ":" {SPACE} {self.rule(value)}', key in needed) for key, value in named.items()]
        self.rules[name] = f'"{{" {SPACE} {self._members(name, pairs)} {SPACE} "}}"'
        return name

    def _mapping(self, values: object) -> str:
        if values in (None, True):
            return "object"
        if values is False:
            return f'"{{" {SPACE} "}}"'
        member = f'string ":" {SPACE} {self.rule(values)}'
        return f'"{{" {SPACE} ({member} ("," {SPACE} {member})* {SPACE})? "}}"'

    def _members(self, name: str, pairs: Sequence[tuple[str, bool]]) -> str:
        """Write the members in order; each but the first that is there comes after a comma."""
        rest = ""
        start = '""'
        for place, (pair, needed) in reversed(list(enumerate(pairs))):
            start = f"{pair} {rest}" if needed else f"({pair} {rest} | {start})"
            if place:
                after = f'"," {SPACE} {pair}'
                self.rules[f"{name}-{place}"] = f"{after} {rest}" if needed else f"({after})? {rest}"
                rest = f"{name}-{place}"
        return start


def literal(value: object) -> str:
    """Write a value as the text that it is in JSON."""
    return json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False)


def either(rules: Iterable[str]) -> str:
    """Write alternatives."""
    return f"({' | '.join(rules)})"


def limits(schema: dict[str, object], least: str, most: str) -> tuple[int, int | None]:
    """Take the bounds of a number of repetitions out of a schema."""
    low, high = schema.pop(least, 0), schema.pop(most, None)
    for bound in (low, high):
        if bound is not None and not (type(bound) is int and 0 <= bound <= MOST_REPEATS):
            raise Beyond
    found = cast("int", low), cast("int | None", high)
    if found[1] is not None and found[1] < found[0]:
        raise Beyond
    return found


def bounds(schema: dict[str, object], least: str, most: str) -> str:
    """Take the bounds out of a schema, and write how often something is repeated."""
    return repeated(*limits(schema, least, most))


def repeated(low: int, high: int | None) -> str:
    """Write how often something is repeated."""
    if high is None:
        return f"{{{low},}}" if low else "*"
    return f"{{{low},{high}}}"
