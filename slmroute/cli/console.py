"""How commands print: rich consoles for people, JSON for programs, one red line for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.text import Text

__all__ = ["console", "err", "out", "print_error", "print_json"]


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Make a console to which text is only text.

    Brackets and colons in it mean nothing: keys, tags, paths, names of models and the hints in errors
    (``slmroute[cli]``) come out as they are, in tables too. Style is given apart, by ``style=`` or ``rich.text.Text``.

    Args:
        stderr: Whether it writes to standard error.
        width: Its width in characters; None for the terminal's.
    """
    return Console(stderr=stderr, width=width, markup=False, emoji=False)


out = console()
"""What a command was asked for goes here: standard output."""

err = console(stderr=True)
"""What happens on the way goes here: progress, warnings, errors."""


def print_json(data: object) -> None:
    """Print data as JSON on standard output.

    Args:
        data: Plain data; amounts of money (Decimal), dates and paths become strings, dataclasses objects, sets lists.
    """
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(data, indent=2, ensure_ascii=encoding != "utf8", default=plain)
    sys.stdout.write(f"{text}\n")


def plain(value: object) -> object:
    """Turn what JSON has no word for into what it has."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, Sequence | set | frozenset):
        return list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def print_error(error: BaseException) -> None:
    """Print an error as one line on standard error, red where it is a terminal.

    Args:
        error: What went wrong; its message is for the user, its class is not.
    """
    err.print(Text.assemble(("error: ", "bold red"), (" ".join(str(error).split()), "red")), soft_wrap=True)
