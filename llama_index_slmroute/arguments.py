"""A call's arguments in the terms of the tier that is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from slmroute.request import ToolSpec

__all__ = ["ToolSpecs", "for_ollama", "for_others", "forced_tool", "schema_of"]

_OPTIONS: Final = {
    "max_tokens": "num_predict",
    "num_predict": "num_predict",
    "repeat_penalty": "repeat_penalty",
    "seed": "seed",
    "stop": "stop",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
_OLLAMA_ONLY: Final = frozenset({"format", "keep_alive", "options", "think"})


def for_ollama(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a call's arguments into those of LlamaIndex's Ollama, and the model's options, which it takes none of.

    Args:
        kwargs: The arguments as the caller gave them, in OpenAI's terms or in Ollama's.

    Returns:
        The arguments and the options.
    """
    options = {_OPTIONS[name]: kwargs[name] for name in _OPTIONS if kwargs.get(name) is not None}
    options |= cast("Mapping[str, Any]", kwargs.get("options") or {})
    rest = {name: value for name, value in kwargs.items() if name not in _OPTIONS and name != "options"}
    schema = schema_of(rest)
    if schema is not None and "format" not in rest:
        rest["format"] = dict(schema)
    return rest, options


def for_others(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a call's arguments what only Ollama takes, and say a JSON schema in OpenAI's way."""
    rest = {name: value for name, value in kwargs.items() if name not in _OLLAMA_ONLY}
    wanted = kwargs.get("format")
    if isinstance(wanted, Mapping):
        schema = {"name": "answer", "schema": dict(cast("Mapping[str, Any]", wanted))}
        rest.setdefault("response_format", {"type": "json_schema", "json_schema": schema})
    elif wanted == "json":
        rest.setdefault("response_format", {"type": "json_object"})
    return rest


def schema_of(kwargs: Mapping[str, Any]) -> Mapping[str, object] | None:
    """Give the JSON schema that a call's arguments ask for, in OpenAI's way or in Ollama's; None where none does."""
    wanted = kwargs.get("format")
    if isinstance(wanted, Mapping):
        return cast("Mapping[str, object]", wanted)
    if wanted == "json":
        return {"type": "object"}
    described = kwargs.get("response_format")
    if not isinstance(described, Mapping):
        return None
    found = cast("Mapping[str, Any]", described)
    if found.get("type") == "json_schema":
        inner = cast("Mapping[str, Any]", found.get("json_schema") or {})
        return cast("Mapping[str, object]", inner.get("schema") or {})
    return {"type": "object"} if found.get("type") == "json_object" else None


class ToolSpecs:
    """Describes tools to the core, each schema read once: agents bring the same tools to every step."""

    def __init__(self) -> None:
        self._read: WeakKeyDictionary[type, Mapping[str, object]] = WeakKeyDictionary()

    def of(self, tool: Any) -> ToolSpec:
        """Describe one of LlamaIndex's tools, or a dictionary in OpenAI's form."""
        if isinstance(tool, Mapping):
            described = cast("Mapping[str, Any]", tool)
            function = cast("Mapping[str, Any]", described.get("function") or described)
            return ToolSpec(str(function.get("name", "")), function.get("parameters"))
        schema: type | None = tool.metadata.fn_schema
        parameters = None if schema is None else self._read.get(schema)
        if parameters is None:
            parameters = cast("Mapping[str, object]", tool.metadata.get_parameters_dict())
            if schema is not None:
                self._read[schema] = parameters
        return ToolSpec(str(tool.metadata.get_name()), parameters)


def forced_tool(kwargs: Mapping[str, Any], tools: Sequence[ToolSpec]) -> bool | str:
    """Say whether a call's arguments ask for a tool call whatever the model thinks of it.

    Args:
        kwargs: The arguments: ``tool_required``, or ``tool_choice`` in any provider's way.
        tools: The tools at hand.

    Returns:
        The tool's name where it is one of these, else True or False.
    """
    choice = kwargs.get("tool_choice")
    if isinstance(choice, Mapping):
        described = cast("Mapping[str, Any]", choice)
        function = cast("Mapping[str, Any]", described.get("function") or described)
        choice = function.get("name") or described.get("type")
    if not tools or choice in (None, False, "auto", "none"):
        return bool(tools) and bool(kwargs.get("tool_required"))
    return choice if any(tool.name == choice for tool in tools) else True
