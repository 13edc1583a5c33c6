"""Reading JSONL that a user wrote: every complaint names the file, the line and the field."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from slmroute.errors import ConfigError

__all__ = ["Row", "finite", "read_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file.

    Attributes:
        where: The file and the line, for messages.
        fields: What is in it. Never in the repr: it may hold prompts.
    """

    where: str
    fields: Mapping[str, object] = field(repr=False)

    def wrong(self, name: str, wanted: str) -> ConfigError:
        """Make the error for a field that is missing or wrong; its value is not repeated."""
        state = "must be" if name in self.fields else "is missing: it must be"
        return ConfigError(f"{self.where}: {name!r} {state} {wanted}.")

    def text(self, name: str, default: str | None = None) -> str:
        """Give a string; with a default it may be left out.

        Raises:
            ConfigError: It is none.
        """
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def number(self, name: str) -> float | None:
        """Give a finite number, or None where it is left out or null.

        Raises:
            ConfigError: It is something else.
        """
        value = self.fields.get(name)
        if value is None:
            return None
        number = finite(value)
        if number is None:
            raise self.wrong(name, "a number")
        return number

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Give a list of finite numbers, or None where it is left out or null.

        Raises:
            ConfigError: It is something else.
        """
        value = self.fields.get(name)
        if value is None:
            return None
        listed = cast("list[object]", value) if isinstance(value, list) else [None]
        numbers = [number for one in listed if (number := finite(one)) is not None]
        if len(numbers) != len(listed):
            raise self.wrong(name, "a list of numbers")
        return tuple(numbers)


def finite(value: object) -> float | None:
    """Give a number, or None where something is none: truth values, not-a-number, integers too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def read_rows(path: Path) -> Iterator[Row]:
    """Read a file line by line; empty lines are passed over.

    Args:
        path: JSONL: one JSON object a line, in UTF-8.

    Raises:
        ConfigError: The file cannot be read, or a line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                try:
                    found: object = json.loads(line)
                except (ValueError, RecursionError):
                    raise ConfigError(f"{where} is not JSON: write one object a line.") from None
                if not isinstance(found, dict):
                    raise ConfigError(f"{where} is not a JSON object: write one object a line.")
                yield Row(where, cast("dict[str, object]", found))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8: save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
