"""The grammar of single values in a JSON schema: texts with a pattern or a format, and whole numbers between bounds.

As in ``json_grammar``, the notation is llama.cpp's, and what llama.cpp's own converter refuses or looks over is refused
or looked over here.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Mapping

__all__ = ["FORMATS", "MOST_REPEATS", "Beyond", "between", "integers", "quoted", "text_of"]

MOST_REPEATS = 1_000
"""What llama.cpp repeats more often it refuses."""

LARGEST = 10**16 - 1
"""The largest whole number that is written."""

DATE = '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [1-2] [0-9] | "3" [0-1])'
HOUR = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]'
TIME = f'{HOUR} ":" [0-5] [0-9] ("." [0-9]{{3}})? ("Z" | [\\x2B\\x2D] {HOUR})'
HEX = "[0-9a-fA-F]"

FORMATS: Mapping[str, str] = {
    "date": DATE,
    "time": TIME,
    "date-time": f'{DATE} "T" {TIME}',
    "uuid": ' "-" '.join(f"{HEX}{{{length}}}" for length in (8, 4, 4, 4, 12)),
}
"""What is between the quotes of a text with a format; llama.cpp looks over all others."""

UNWRITTEN = r'"\\\x7F\x00-\x1F'
"""Characters that stand in a text of JSON in another way, as part of a set."""

NOT_ASCII = r"\U00000080-\U0010FFFF"
"""What one dialect of regular expressions takes for letters, digits and spaces, and another does not."""

SETS: Mapping[str, str] = {
    ".": f"[^{UNWRITTEN}]",
    r"\d": "[0-9]",
    r"\w": "[a-zA-Z0-9_]",
    r"\s": "[ ]",
    r"\D": f"[^0-9{UNWRITTEN}{NOT_ASCII}]",
    r"\W": f"[^a-zA-Z0-9_{UNWRITTEN}{NOT_ASCII}]",
    r"\S": f"[^ {UNWRITTEN}{NOT_ASCII}]",
}

PART = re.compile(
    r"(?P<set>\[\^?(?:\\.|[^\]\\])+\])|(?P<known>\\[dswDSW]|\.)|\\(?P<escaped>[^A-Za-z0-9])|(?P<open>\((?:\?:)?)(?!\?)"
    r"|(?P<same>[)|])|(?P<repeat>[*+?]|\{\d+(?:,\d*)?\})\??|(?P<plain>[^\\\[\](){}*+?|.^$])"
)
"""What of regular expressions can be put in a grammar: all that needs no looking around and no memory."""

ITEM = re.compile(
    r"(?P<known>\\[dws])|(?:\\(?P<low>[^A-Za-z0-9])|(?P<low_plain>[^\\]))(?:-(?P<high>\\[^A-Za-z0-9]|[^\\]))?"
)


class Beyond(Exception):
    """The schema says more than is written here."""


def text_of(pattern: str) -> str:
    """Write the grammar of a text that a regular expression matches from its beginning to its end.

    Raises:
        Beyond: It is no regular expression, is not anchored at both ends, or takes more than a grammar can say.
    """
    try:
        # What may come to mean something else, such as a set within a set, is left alone.
        with warnings.catch_warnings(action="error", category=FutureWarning):
            re.compile(pattern)
    except (re.error, FutureWarning):
        raise Beyond from None
    if not (pattern.startswith("^") and re.search(r"(?<!\\)(?:\\\\)*\$\Z", pattern)):
        raise Beyond
    inside, place, parts, before = pattern[1:-1], 0, list[str](), ""
    while place < len(inside):
        found = PART.match(inside, place)
        if found is None or (found.lastgroup == before == "repeat"):
            raise Beyond
        parts.append(part_of(found))
        place, before = found.end(), found.lastgroup or ""
    return quoted(f"({' '.join(parts)})" if parts else "")


def part_of(found: re.Match[str]) -> str:
    """Put a part of a regular expression in a grammar's terms."""
    text = found[found.lastgroup or 0]
    match found.lastgroup:
        case "set":
            return set_of(text[1:-1])
        case "known":
            return SETS[text]
        case "open":
            return "("
        case "same":
            return text
        case "repeat":
            if any(int(count) > MOST_REPEATS for count in re.findall(r"\d+", text)):
                raise Beyond
            return text
        case _:
            return json.dumps(json.dumps(text, ensure_ascii=False)[1:-1], ensure_ascii=False)


def set_of(inside: str) -> str:
    """Put a set of characters in a grammar's terms; those that JSON writes in another way are left out."""
    but = inside.startswith("^")
    items: list[str] = []
    place = int(but)
    while place < len(inside):
        found = ITEM.match(inside, place)
        if found is None:
            raise Beyond
        if found["known"]:
            items.append(SETS[found["known"]][1:-1])
        else:
            low = ord(found["low"] or found["low_plain"])
            high = low if found["high"] is None else ord(found["high"][-1])
            items += [span(low, high)] if but else [span(*each) for each in written(low, high)]
        place = found.end()
    if but:
        return f"[^{''.join(items)}{UNWRITTEN}]"
    if not items:
        raise Beyond
    return f"[{''.join(items)}]"


def written(low: int, high: int) -> list[tuple[int, int]]:
    """Split a range of characters at those that JSON writes in another way, and leave them out."""
    left: list[tuple[int, int]] = []
    start = max(low, 0x20)
    for gap in (ord('"'), ord("\\"), 0x7F):
        if start <= gap <= high:
            left.append((start, gap - 1))
            start = gap + 1
    return [(first, last) for first, last in (*left, (start, high)) if first <= last]


def span(low: int, high: int) -> str:
    """Write a range of characters as a part of a set."""
    return f"\\U{low:08X}" + (f"-\\U{high:08X}" if high > low else "")


def quoted(inside: str) -> str:
    """Write the grammar of a text by that of what is between its quotes."""
    return rf'"\"" {inside} "\""'


def integers(schema: dict[str, object]) -> str:
    """Take the bounds of a whole number out of a schema, and write its grammar."""
    given = {name: schema.pop(name, None) for name in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")}
    if all(bound is None for bound in given.values()):
        return "integer"
    lows, highs = [-LARGEST], [LARGEST]
    for name, bound in given.items():
        if bound is None:
            continue
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
            raise Beyond
        if "inimum" in name:
            lows.append(math.floor(bound) + 1 if name.startswith("ex") else math.ceil(bound))
        else:
            highs.append(math.ceil(bound) - 1 if name.startswith("ex") else math.floor(bound))
    return between(max(lows), min(highs))


def between(low: int, high: int) -> str:
    """Write the grammar of the whole numbers from ``low`` to ``high``.

    Raises:
        Beyond: There are none.
    """
    if low > high:
        raise Beyond
    ways: list[str] = []
    if low < 0:
        ways.append(f'"-" ({" | ".join(natural(max(1, -high), -low))})')
    if high >= 0:
        ways += natural(max(0, low), high)
    return f"({' | '.join(ways)})"


def natural(low: int, high: int) -> list[str]:
    """Write the numbers from ``low`` to ``high``, neither below zero, by how many digits they have."""
    lengths = range(len(str(low)), len(str(high)) + 1)
    spans = [(max(low, 10 ** (n - 1) if n > 1 else 0), min(high, 10**n - 1)) for n in lengths]
    return [digits(str(first), str(last)) for first, last in spans]


def digits(low: str, high: str) -> str:
    """Write the numbers between two that have the same number of digits."""
    if low == high:
        return f'"{low}"'
    count = len(low) - 1
    least, most = "0" * count, "9" * count
    if low[0] == high[0]:
        return f'"{low[0]}" {digits(low[1:], high[1:])}'
    first, last = int(low[0]), int(high[0])
    below, above = list[str](), list[str]()
    if low[1:] != least:
        below = [f'"{first}" {digits(low[1:], most)}']
        first += 1
    if high[1:] != most:
        above = [f'"{last}" {digits(least, high[1:])}']
        last -= 1
    full = [f"[{first}-{last}]" + (f" [0-9]{{{count}}}" if count else "")] if first <= last else []
    ways = [*below, *full, *above]
    return ways[0] if len(ways) == 1 else f"({' | '.join(ways)})"
