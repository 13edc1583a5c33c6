"""Taking the ledger elsewhere: CSV and Parquet as tables, JSONL as whole calls."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, TextIO, cast, get_args

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer

from slmroute.errors import ConfigError, MissingExtra
from slmroute.ledger.reader import LedgerReader
from slmroute.ledger.rows import attempt_rows, call_row, dollars
from slmroute.ledger.schema import UtcTime, attempts, calls
from slmroute.ledger.summary import StoredCall

__all__ = ["FORMATS", "ExportTable", "export", "write_csv", "write_jsonl"]

ExportTable = Literal["calls", "attempts"]

FORMATS: Final = ("csv", "jsonl", "parquet")

OF_THE_CALL: Final = ("started_at", "key", "category", "status")
"""What an attempt's line repeats of its call, so that it can be read by itself."""

SPECIAL: Final = re.compile('[,"\r\n]|^ | $')
"""What a field of a CSV file must be in quotes for."""

_TYPES: Final[dict[type, str]] = {
    BigInteger: "BIGINT",
    Boolean: "BOOLEAN",
    Float: "DOUBLE",
    Integer: "BIGINT",
    UtcTime: "TIMESTAMPTZ",
}
"""The columns' types in DuckDB's words."""


def export(
    reader: LedgerReader,
    path: str | os.PathLike[str],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    table: ExportTable = "calls",
) -> int:
    """Write a part of the ledger to a file, of the kind that its name ends with: .csv, .parquet or .jsonl.

    Money is in dollars, exact. The file appears when it is complete.

    Args:
        reader: The ledger.
        path: The file.
        since: Calls that began then or later.
        until: Calls that began earlier.
        table: Whether a line is a call or an attempt; in JSONL it is always a call, with its attempts inside.

    Returns:
        How many lines there are.

    Raises:
        ConfigError: The name ends with none of those, or ``table`` is neither.
        MissingExtra: Parquet was asked for, and the extra ``lab`` is not installed.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ConfigError(f"{path} must end with .{', .'.join(FORMATS)} to say what it is to be.")
    if table not in get_args(ExportTable):
        raise ConfigError(f"table={table!r} must be 'calls' or 'attempts'.")
    found = reader.calls(since, until)
    with _appearing(path) as unfinished:
        if kind == "parquet":
            return _write_parquet(found, unfinished, table)
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            return write_jsonl(found, file) if kind == "jsonl" else write_csv(found, file, table)


def write_jsonl(found: Iterable[StoredCall], file: TextIO) -> int:
    """Write calls, one JSON object a line: the record with its attempts, and the feedback."""
    lines = 0
    for stored in found:
        line = stored.record.to_json() | {"feedback": dict(stored.feedback)}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        lines += 1
    return lines


def write_csv(found: Iterable[StoredCall], file: TextIO, table: ExportTable = "calls") -> int:
    """Write calls or attempts as a table with a line of names; money in dollars, times in ISO 8601.

    As PostgreSQL writes it, NULL is nothing and an empty text ``""``.
    """
    names = [name for name, _ in _columns(table)]
    file.write(",".join(names) + "\r\n")
    lines = 0
    for row in _lines(found, table):
        file.write(",".join(_field(row[name]) for name in names) + "\r\n")
        lines += 1
    return lines


def _write_parquet(found: Iterable[StoredCall], path: Path, table: ExportTable) -> int:
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("lab", "Exporting to Parquet") from None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.csv"
        with source.open("w", encoding="utf-8", newline="") as file:
            lines = write_csv(found, file, table)
        with duckdb.connect() as connection:
            types = dict(_columns(table))
            rows = connection.read_csv(
                str(source), columns=types, header=True, auto_detect=False, delimiter=",", allow_quoted_nulls=False
            )
            rows.write_parquet(str(path))
    return lines


def _columns(table: ExportTable) -> list[tuple[str, str]]:
    """The columns' names, and their types in DuckDB's words."""
    own = [_column(column) for column in (calls if table == "calls" else attempts).columns]
    if table == "attempts":
        return [own[0], *(_column(calls.c[name]) for name in OF_THE_CALL), *own[1:]]
    return own


def _column(column: Column[object]) -> tuple[str, str]:
    name = column.name
    if name.endswith("_nano"):
        return name.removesuffix("_nano"), "DECIMAL(28, 9)"
    return name, _TYPES.get(type(cast("object", column.type)), "VARCHAR")


def _lines(found: Iterable[StoredCall], table: ExportTable) -> Iterator[dict[str, object]]:
    for stored in found:
        parts = attempt_rows(stored.record)
        call = call_row(stored.record, parts)
        rows = [call]
        if table == "attempts":
            rows = [{**part, **{name: call[name] for name in OF_THE_CALL}} for part in parts]
        yield from ({name.removesuffix("_nano"): _plain(name, value) for name, value in row.items()} for row in rows)


def _plain(name: str, value: object) -> object:
    if name.endswith("_nano") and isinstance(value, int):
        return format(dollars(value) or Decimal(0), "f")
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _field(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if not text or SPECIAL.search(text) else text


@contextmanager
def _appearing(path: Path) -> Generator[Path]:
    """Give the name of a file to write that takes its place once it is complete, and is gone if it never is."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
