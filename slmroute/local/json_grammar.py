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
from slmroute.local.value_grammar import FORMATS, MOST_REPEATS, Beyond, integers, quoted, text_of

__all__ = ["grammar_of"]

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
    {"$anchor", "$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated", "description"}
    | {"discriminator", "examples", "multipleOf", "readOnly", "title", "uniqueItems", "writeOnly"}
)
"""Keywords that restrict nothing, or that llama.cpp looks over."""


def grammar_of(schema: Json) -> str | None:
    """Write the grammar of what follows a schema.

    Args:
        schema: A JSON schema.

    Returns:
        The grammar, or None for a schema that restricts by what is not known here, or makes no sense: it is left to
        llama.cpp, which knows more of them, or says what is wrong with it.
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
        if "allOf" in schema:
            return self.rule(self._all_of(schema))
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
        if not isinstance(reference, str):
            raise Beyond
        if reference not in self._named:
            found = self._referred(reference)
            # Named first: a definition may hold itself.
            name = self._named[reference] = f"definition-{len(self._named)}"
            self.rules[name] = self.rule(found)
        return self._named[reference]

    def _referred(self, reference: object) -> object:
        if not isinstance(reference, str) or not reference.startswith("#/") or "~" in reference or "%" in reference:
            raise Beyond
        found: object = self.schema
        for part in reference.removeprefix("#/").split("/"):
            if not isinstance(found, dict) or part not in found:
                raise Beyond
            found = cast("Json", found)[part]
        return found

    def _all_of(self, schema: dict[str, object]) -> Json:
        """Put schemas that all hold in one: that of an object with the members of all."""
        parts = schema.pop("allOf")
        if not isinstance(parts, list) or not parts:
            raise Beyond
        every = [*cast("list[object]", parts), *([schema] if schema else [])]
        if len(every) == 1 and isinstance(every[0], dict):
            return cast("Json", every[0])
        members: dict[str, object] = {}
        required: list[object] = []
        closed: object = None
        for each in every:
            part = self._object_part(each)
            for name, value in cast("Json", part.get("properties", {})).items():
                if members.setdefault(name, value) != value:
                    raise Beyond
            required += cast("list[object]", part.get("required", []))
            closed = False if part.get("additionalProperties") is False else closed
        return {"type": "object", "properties": members, "required": required, "additionalProperties": closed}

    def _object_part(self, given: object) -> Json:
        if isinstance(given, dict) and "$ref" in given:
            given = self._referred(cast("Json", given)["$ref"])
        part = (
            {key: value for key, value in cast("Json", given).items() if key not in SAYING}
            if isinstance(given, dict)
            else {}
        )
        fit = part.keys() <= {"type", "properties", "required", "additionalProperties"}
        lists = isinstance(part.get("properties", {}), dict) and isinstance(part.get("required", []), list)
        if not part or not fit or not lists or part.get("type", "object") != "object":
            raise Beyond
        return part

    def _typed(self, kind: object, schema: dict[str, object]) -> str:
        match kind:
            case "string":
                found = text(schema)
            case "array":
                found = self._array(schema)
            case "object":
                found = self._object(schema)
            case "integer":
                found = integers(schema)
            case "number":
                for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
                    # As in llama.cpp, which bounds whole numbers only.
                    schema.pop(bound, None)
                found = "number"
            case "boolean" | "null":
                found = str(kind)
            case _:
                raise Beyond
        if schema:
            raise Beyond
        return found

    def _array(self, schema: dict[str, object]) -> str:
        first = schema.pop("prefixItems", None)
        if first is not None:
            return self._tuple(first, schema)
        item = self.rule(schema.pop("items", True))
        least, most = limits(schema, "minItems", "maxItems")
        if most == 0:
            return f'"[" {SPACE} "]"'
        more = repeated(max(least - 1, 0), None if most is None else most - 1)
        several = f'{item} ("," {SPACE} {item}){more} {SPACE}'
        return f'"[" {SPACE} {several if least else f"({several})?"} "]"'

    def _tuple(self, first: object, schema: dict[str, object]) -> str:
        for others in ("items", "minItems", "maxItems"):
            schema.pop(others, None)
        if not isinstance(first, list) or not first:
            raise Beyond
        values = f' "," {SPACE} '.join(self.rule(each) for each in cast("list[object]", first))
        return f'"[" {SPACE} {values} {SPACE} "]"'

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


def text(schema: dict[str, object]) -> str:
    """Take what restricts a text out of a schema, and write its grammar; as in llama.cpp the first of them holds."""
    pattern, form = schema.pop("pattern", None), schema.pop("format", None)
    repeats = bounds(schema, "minLength", "maxLength")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise Beyond
        return text_of(pattern)
    if isinstance(form, str) and form in FORMATS:
        return quoted(FORMATS[form])
    return "string" if repeats == "*" else quoted(f"char{repeats}")


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
