"""Answers that are wrong on their face, told without asking any model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from slmroute.errors import ConfigError
from slmroute.json_schema import fits
from slmroute.request import RouteRequest
from slmroute.steps import CONTENT_FILTER, Answer, ToolCall

__all__ = ["FAULTS", "checks_of", "fault_of"]

FAULTS: Final = frozenset(
    {"bad_json", "empty", "no_tool_call", "other_tool", "refusal", "tool_arguments", "unknown_tool"}
)
"""Every fault there is: ``validate=`` takes True for all, False for none, or a set of them."""

_I_CANNOT = r"i\s?(?:can't|cannot|can\s+not|am\s+(?:unable|not\s+able)|'m\s+(?:unable|not\s+able)|don't\s+have|won't)\b"
_REFUSAL = re.compile(
    rf"""^\W*(?:
        (?:(?:i'm|i\s+am)\s+(?:\w+\s+)?sorry|i\s+apologi[sz]e|sorry|unfortunately)\b[^.!?\n]{{0,40}}?\b{_I_CANNOT}
      | as\s+an?\s+(?:ai|artificial|(?:large\s+)?language\s+model)\b[^.!?\n]{{0,60}}?\b(?:{_I_CANNOT}|i\s+do\s+not)
      | {_I_CANNOT}\s+(?:to\s+)?(?:help(?!\s+but\b)|assist|answer|provide|do|fulfil|comply|process|access
            |complete|generate)\b
      | es\s+tut\s+mir\s+leid[^.!?\n]{{0,40}}?\bich\s+(?:kann|darf)\b
      | (?:je\s+suis\s+)?d\u00e9sol\u00e9e?[^.!?\n]{{0,40}}?\bje\s+ne\s+(?:peux|puis)\b
      | lo\s+siento[^.!?\n]{{0,40}}?\bno\s+puedo\b
      | mi\s+dispiace[^.!?\n]{{0,40}}?\bnon\s+posso\b
      | desculpe[^.!?\n]{{0,40}}?\bn\u00e3o\s+posso\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_OPENING = 200
"""Refusals open an answer; how long it goes on does not matter."""


def checks_of(setting: bool | AbstractSet[str]) -> frozenset[str]:
    """Read ``validate=``.

    Args:
        setting: True for all faults, False for none, or their names.

    Raises:
        ConfigError: A name is not one of ``FAULTS``.
    """
    if isinstance(setting, bool):
        return FAULTS if setting else frozenset()
    if unknown := frozenset(setting) - FAULTS:
        raise ConfigError(f"validate={sorted(unknown)} unknown; there are {', '.join(sorted(FAULTS))}.")
    return frozenset(setting)


def fault_of(answer: Answer, request: RouteRequest, checks: AbstractSet[str]) -> str | None:
    """Tell what is wrong with an answer on its face.

    Args:
        answer: The answer, complete.
        request: What was asked, with its tools and schema.
        checks: Which faults count.

    Returns:
        The first fault found, a name out of ``FAULTS``, or None. What a provider's content filter withheld is none:
        no other tier is asked to say what one was kept from saying.
    """
    if answer.finish == CONTENT_FILTER:
        return None
    for fault in _faults(answer, request):
        if fault in checks:
            return fault
    return None


def _faults(answer: Answer, request: RouteRequest) -> list[str]:
    # Where there is a schema and there are no tools, a tool call is the way some providers give the structure.
    if answer.tool_calls and (request.tools or request.schema is None):
        return [fault for call in answer.tool_calls if (fault := _tool_fault(call, request)) is not None]
    if request.schema is not None:
        return [] if _parses(answer, request.schema) else ["bad_json"]
    if not answer.text.strip():
        return ["empty"]
    faults = ["refusal"] if _REFUSAL.match(answer.text[:_OPENING].replace("\u2019", "'")) else []
    return [*faults, "no_tool_call"] if request.forced_tool else faults


def _parses(answer: Answer, schema: Mapping[str, object]) -> bool:
    if answer.parsed is not None:
        return answer.parsed
    try:
        value: object = json.loads(answer.text)
    except (ValueError, RecursionError):
        return False
    return fits(value, schema)


def _tool_fault(call: ToolCall, request: RouteRequest) -> str | None:
    spec = next((tool for tool in request.tools if tool.name == call.name), None)
    if spec is None:
        return "unknown_tool"
    if isinstance(request.forced_tool, str) and call.name != request.forced_tool:
        return "other_tool"
    if call.arguments is None or not fits(call.arguments, spec.parameters or {}):
        return "tool_arguments"
    return None
