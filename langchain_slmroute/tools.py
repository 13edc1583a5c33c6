"""Tools as they are bound to a router: in no provider's own form until a tier is about to be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from slmroute.request import ToolSpec

__all__ = ["BoundTool", "builtin_providers", "is_forced", "neutral_choice", "neutral_tools", "sources", "tool_spec"]

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

_BUILT_IN: Final[Mapping[str, frozenset[str]]] = {
    # The marks of the tools that a provider runs itself; those of Anthropic end in a date.
    "code_interpreter": frozenset({"openai", "azure"}),
    "computer_use_preview": frozenset({"openai", "azure"}),
    "custom": frozenset({"openai", "azure"}),
    "file_search": frozenset({"openai", "azure"}),
    "image_generation": frozenset({"openai", "azure"}),
    "local_shell": frozenset({"openai", "azure"}),
    "mcp": frozenset({"openai", "azure"}),
    "tool_search": frozenset({"openai", "azure"}),
    "web_search": frozenset({"openai", "azure"}),
    "web_search_preview": frozenset({"openai", "azure"}),
    "code_execution": frozenset({"google_genai", "google_vertexai"}),
    "google_maps": frozenset({"google_genai", "google_vertexai"}),
    "google_search": frozenset({"google_genai", "google_vertexai"}),
    "google_search_retrieval": frozenset({"google_genai", "google_vertexai"}),
    "url_context": frozenset({"google_genai", "google_vertexai"}),
}
_ANTHROPIC: Final = frozenset({"anthropic"})


class BoundTool(dict[str, Any]):
    """A tool as OpenAI's dictionary, which agents look into, with what the user gave beside it for the tiers to bind.

    Attributes:
        source: The tool as the user gave it.
    """

    source: ToolLike

    @classmethod
    def of(cls, tool: ToolLike, *, strict: bool | None = None) -> BoundTool:
        """Wrap a tool; a provider's own built-in one stays the dictionary it is."""
        if isinstance(tool, BoundTool):
            return tool
        as_is = isinstance(tool, Mapping) and builtin_providers(cast("Mapping[str, Any]", tool)) is not None
        described = (
            cast("Mapping[str, Any]", tool) if as_is else convert_to_openai_tool(cast("Any", tool), strict=strict)
        )
        bound = cls(described)
        bound.source = tool
        return bound

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (dict(self), self.source))


def _restored(described: dict[str, Any], source: ToolLike) -> BoundTool:
    bound = BoundTool(described)
    bound.source = source
    return bound


def neutral_tools(tools: Sequence[ToolLike], *, strict: bool | None = None) -> list[BoundTool]:
    """Wrap tools for binding them to a router."""
    return [BoundTool.of(tool, strict=strict) for tool in tools]


def sources(tools: Sequence[ToolLike]) -> list[Any]:
    """Give tools as their user gave them, for a tier's own ``bind_tools``."""
    return [tool.source if isinstance(tool, BoundTool) else tool for tool in tools]


def builtin_providers(tool: Mapping[str, Any]) -> frozenset[str] | None:
    """Tell which providers run a built-in tool themselves; None for a tool that the user runs."""
    if "function" in tool or "input_schema" in tool or "parameters" in tool or "title" in tool:
        return None
    kind = str(tool.get("type", ""))
    if kind in _BUILT_IN:
        return _BUILT_IN[kind]
    if kind[-9:-8] == "_" and kind[-8:].isdigit():
        return _ANTHROPIC
    return next((_BUILT_IN[name] for name in tool if name in _BUILT_IN), None)


def neutral_choice(choice: Any) -> Any:
    """Give ``tool_choice`` as every tier's ``bind_tools`` takes it: a name, or a word such as ``any``.

    Args:
        choice: What the caller gave, in LangChain's form or a provider's own. A form that is not known stays as it is.
    """
    if not isinstance(choice, Mapping):
        return choice
    given = cast("Mapping[str, Any]", choice)
    match given.get("type"):
        case "function":
            named = cast("Mapping[str, Any]", given.get("function") or given).get("name")
            return given if named is None else named
        case "tool" if "name" in given:
            return given["name"]
        case "any" | "auto" | "none" as word if len(given) == 1:
            return word
        case _:
            return given


def is_forced(choice: Any) -> bool:
    """Whether a ``tool_choice`` says that the answer must call a tool."""
    return neutral_choice(choice) not in (None, False, "auto", "none")


def tool_spec(tool: Any) -> ToolSpec:
    """Describe a tool to the core."""
    described = cast("Mapping[str, Any]", tool) if isinstance(tool, Mapping) else convert_to_openai_tool(tool)
    function = cast("Mapping[str, Any]", described.get("function") or described)
    parameters = function.get("parameters") or function.get("input_schema")
    name = function.get("name") or function.get("title") or ""
    return ToolSpec(str(name), cast("Mapping[str, object] | None", parameters))
