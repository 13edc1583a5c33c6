"""Schemas of structured answers, in whichever of LangChain's and the providers' forms they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from langchain_core.utils.function_calling import convert_to_openai_tool

__all__ = ["is_schema", "json_schema_of", "neutral_format", "portable_schema", "response_schema", "titled_schema"]

_ABOUT: Final = {"title": "name", "description": "description"}
"""What a schema says of itself, and where a function's description says it."""


def json_schema_of(given: object) -> Mapping[str, object]:
    """Give a schema as JSON schema.

    Args:
        given: A class that LangChain takes as a schema, a JSON schema, OpenAI's ``json_schema`` format or a function's
            description around one, or None where any JSON will do.
    """
    if given is None:
        return {}
    described = _mapping(given)
    if described is None:
        function = convert_to_openai_tool(cast("Any", given))["function"]
        about = {key: function[name] for key, name in _ABOUT.items() if function.get(name)}
        return about | cast("dict[str, object]", function.get("parameters") or {"type": "object"})
    for wrapper in ("json_schema", "function"):
        if described.get("type") == wrapper:
            described = _mapping(described.get(wrapper)) or described
    inner = [_mapping(described.get(key)) for key in ("schema", "parameters", "input_schema") if "name" in described]
    return next((each for each in inner if each is not None), described)


def portable_schema(given: Any) -> Any:
    """Give a schema as the classes of all providers take it: out of OpenAI's ``json_schema`` format, its name kept.

    What is in no such format stays as it is.
    """
    outer = _mapping(cast("object", given)) or {}
    described = _mapping(outer.get("json_schema")) if outer.get("type") == "json_schema" else outer
    if described is None or "name" not in described or _mapping(described.get("schema")) is None:
        return given
    kept = {key: described[key] for key in ("description",) if key in described}
    return {"title": str(described["name"]), **kept, **json_schema_of(described)}


def titled_schema(given: Any) -> Any:
    """Give a JSON schema a title, where it has none: most classes name a function or a format by it."""
    described = _mapping(cast("object", given))
    if described is None or {"title", "name", "json_schema", "function"} & described.keys():
        return given
    return {"title": "answer", **described}


def is_schema(wanted: object) -> bool:
    """Whether a ``response_format`` holds a schema, rather than a mere word for JSON or text."""
    return (_mapping(wanted) or {}).get("type") not in ("json_object", "text")


def response_schema(kwargs: Mapping[str, Any]) -> Mapping[str, object] | None:
    """Give the JSON schema that a call's ``response_format`` asks for, or None."""
    wanted = kwargs.get("response_format")
    if wanted is None:
        return None
    if is_schema(wanted):
        return json_schema_of(wanted)
    return {"type": "object"} if wanted["type"] == "json_object" else None


def neutral_format(wanted: Any) -> Any:
    """Give a ``response_format`` in OpenAI's form, which other providers' classes translate into their own."""
    if not is_schema(wanted) or "json_schema" in (_mapping(wanted) or {}):
        return wanted
    schema = dict(json_schema_of(wanted))
    name = getattr(wanted, "__name__", None) or schema.get("title") or "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def _mapping(value: object) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None
