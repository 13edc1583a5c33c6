"""The lines of a log as a JSON reader takes them, whatever stands in them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Final, cast

from slmroute.audit.kinds import BYTE_ORDER_MARK
from slmroute.errors import ConfigError

__all__ = ["GZIP", "copy_lines", "line_numbers"]

GZIP: Final = b"\x1f\x8b"
"""What a gzip file begins with."""

NOTHING: Final = b"null\n"
"""What stands in a copy for a line that cannot be read, so that it is counted."""


def copy_lines(path: Path, to: Path, *, prompts: bool, most: int) -> None:
    """Copy a log, one JSON value a line.

    Args:
        path: The log; it may be packed with gzip and begin with a byte order mark.
        to: Where to.
        prompts: Whether its lines are prompts and not JSON.
        most: So many bytes a line may have; longer ones, and those that are not in UTF-8, are counted as bad.

    Raises:
        ConfigError: It breaks off, or there is no room for the copy.
    """
    try:
        with to.open("wb") as out:
            for _, line in _lines(path, most):
                out.write(NOTHING if line is None else _as_json(line) if prompts else _as_it_is(line))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ConfigError(f"{path} is no whole gzip file: it breaks off or is damaged.") from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be copied to {to.parent}: {error.strerror}. Name a folder with room for it in TMPDIR."
        ) from None


def line_numbers(path: Path, records: Collection[int], *, most: int) -> tuple[int, ...]:
    """Give the numbers of the lines that records stand on: empty lines are no records.

    Args:
        path: The log.
        records: The records' numbers, counted from 1.
        most: See ``copy_lines``.
    """
    found: list[int] = []
    for record, (number, _) in enumerate(_lines(path, most), start=1):
        if record in records:
            found.append(number)
            if len(found) == len(records):
                break
    return tuple(found)


def _lines(path: Path, most: int) -> Iterator[tuple[int, bytes | None]]:
    """Give the lines that are not empty, with their numbers; None for those that are too long."""
    with path.open("rb") as raw:
        packed = raw.read(len(GZIP)) == GZIP
    with cast("IO[bytes]", gzip.open(path) if packed else path.open("rb")) as file:
        number = 0
        while line := file.readline(most):
            number += 1
            whole = line.endswith(b"\n") or len(line) < most
            while not (line.endswith(b"\n") or len(line) < most):
                line = file.readline(most)
            line = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
            if not whole or line.strip():
                yield number, line if whole else None


def _as_json(line: bytes) -> bytes:
    try:
        text = line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return NOTHING
    return json.dumps({"prompt": text}, ensure_ascii=False).encode() + b"\n"


def _as_it_is(line: bytes) -> bytes:
    try:
        line.decode()
    except UnicodeDecodeError:
        return NOTHING
    return line.rstrip(b"\r\n") + b"\n"
