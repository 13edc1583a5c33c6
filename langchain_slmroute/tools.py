"""Tools as they are bound to a router: in no provider's own form until a tier is about to be called."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from slmroute.request import ToolSpec

__all__ = [
    "Bindings",
    "BoundTool",
    "builtin_providers",
    "choice_for",
    "forced_tool",
    "neutral_choice",
    "neutral_tools",
    "sources",
    "tool_spec",
]

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

MOST: Final = 16
"""How many bindings are kept: agents bind their tools anew for every call."""
_WORDS: Final = {"required": "any"}
"""Words for a choice, and what every class of LangChain's calls them."""
_OPENAIS: Final = frozenset({"openai", "azure"})
_GOOGLES: Final = frozenset({"google_genai", "google_vertexai"})
_BUILT_IN: Final[Mapping[str, frozenset[str]]] = {
    # The marks of the tools that a provider runs itself; those of Anthropic end in a date.
    "code_interpreter": _OPENAIS,
    "computer_use_preview": _OPENAIS,
    "custom": _OPENAIS,
    "file_search": _OPENAIS,
    "image_generation": _OPENAIS,
    "local_shell": _OPENAIS,
    "mcp": _OPENAIS,
    "tool_search": _OPENAIS,
    "web_search": _OPENAIS,
    "web_search_preview": _OPENAIS,
    "code_execution": _GOOGLES,
    "google_maps": _GOOGLES,
    "google_search": _GOOGLES,
    "google_search_retrieval": _GOOGLES,
    "url_context": _GOOGLES,
}
_ANTHROPIC: Final = frozenset({"anthropic"})


class BoundTool(dict[str, Any]):
    """A tool as OpenAI's dictionary, which agents look into, with what the user gave beside it for the tiers to bind.

    Attributes:
        source: The tool as the user gave it, and as it was then.
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
        # As with a bare model, what becomes of the tool afterwards is no matter, unless it is what is sent itself.
        bound.source = tool if described is tool else cast("ToolLike", copy.copy(cast("object", tool)))
        return bound

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (dict(self), self.source))


def _restored(described: dict[str, Any], source: ToolLike) -> BoundTool:
    bound = BoundTool(described)
    bound.source = source
    return bound


class Bindings:
    """What one model's class made of tools that are bound once and sent with many calls: making it takes long.

    Safe to use from many threads.
    """

    def __init__(self) -> None:
        self._known: tuple[tuple[Sequence[ToolLike], Mapping[str, Any], Mapping[str, Any]], ...] = ()

    def get(self, tools: Sequence[ToolLike], options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Give the arguments that binding gave; None where these very tools were not bound so, or not lately."""
        for bound, given, kwargs in self._known:
            if len(bound) == len(tools) and all(map(operator.is_, bound, tools)) and given == options:
                return dict(kwargs)
        return None

    def put(self, tools: Sequence[ToolLike], options: Mapping[str, Any], kwargs: Mapping[str, Any]) -> None:
        """Keep the arguments that binding gave; tools that their user can still change are bound anew each time."""
        if all(isinstance(tool, BoundTool) for tool in tools):
            self._known = ((tuple(tools), dict(options), dict(kwargs)), *self._known)[:MOST]


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
    """Give ``tool_choice`` as every tier's ``bind_tools`` takes it: ``any``, ``auto``, ``none`` or a tool's name.

    Args:
        choice: What the caller gave, in LangChain's form or a provider's own. A form that is not known stays as it is.
    """
    if choice is False:
        return None
    if choice is True:
        return "any"
    if isinstance(choice, str):
        return _WORDS.get(choice, choice)
    if isinstance(choice, list | tuple):  # Google's: one of these
        names = cast("Sequence[Any]", choice)
        return names[0] if len(names) == 1 else "any"
    if not isinstance(choice, Mapping):
        return choice
    given = cast("Mapping[str, Any]", choice)
    match given.get("type"):
        case "function":
            named = cast("Mapping[str, Any]", given.get("function") or given).get("name")
            return given if named is None else named
        case "tool" if "name" in given:
            return given["name"]
        case "any" | "auto" | "none" | "required" as word:
            return _WORDS.get(word, word)
        case "allowed_tools":
            word = cast("Mapping[str, Any]", given.get("allowed_tools") or given).get("mode", "auto")
            return _WORDS.get(word, word)
        case _:
            return _from_google(given)


def _from_google(given: Mapping[str, Any]) -> Any:
    config = cast("Mapping[str, Any]", given.get("function_calling_config") or given)
    names = cast("Sequence[str]", config.get("allowed_function_names") or ())
    word = str(config.get("mode", "")).lower()
    if word not in ("any", "auto", "none"):
        return given
    return names[0] if word == "any" and len(names) == 1 else word


def choice_for(choice: Any, provider: str | None) -> Any:
    """Give ``tool_choice`` as the ``bind_tools`` of one provider's class takes it.

    Args:
        choice: What the caller gave. What is the provider's own form, and says more than a neutral one can, stays.
        provider: Who serves the tier.
    """
    neutral = neutral_choice(choice)
    given = cast("Mapping[str, Any]", choice if isinstance(choice, Mapping) else {})
    if provider == "anthropic":
        own = given.get("type") in ("any", "auto", "none", "tool")
        # Its class takes a word that it does not know for a tool's name.
        return given if own else {"type": "none"} if neutral == "none" else neutral
    if provider in _GOOGLES:
        own = isinstance(choice, list | tuple) or "mode" in given or "function_calling_config" in given
        return cast("Any", choice) if own else neutral
    return given if provider in _OPENAIS and given.get("type") == "allowed_tools" else neutral


def forced_tool(choice: Any, tools: Sequence[ToolSpec]) -> bool | str:
    """Say whether a ``tool_choice`` has the answer call a tool: the tool's name where it is one of these, or True."""
    neutral = neutral_choice(choice)
    if neutral in (None, "auto", "none"):
        return False
    return neutral if any(tool.name == neutral for tool in tools) else True


def tool_spec(tool: Any) -> ToolSpec:
    """Describe a tool to the core."""
    described = cast("Mapping[str, Any]", tool) if isinstance(tool, Mapping) else convert_to_openai_tool(tool)
    function = cast("Mapping[str, Any]", described.get("function") or described)
    parameters = function.get("parameters") or function.get("input_schema")
    name = function.get("name") or function.get("title") or ""
    return ToolSpec(str(name), cast("Mapping[str, object] | None", parameters))
