"""Reading logs with DuckDB: any size in bounded memory, bad lines counted and named, never fatal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from slmroute.audit.formats import Format
from slmroute.audit.kinds import BYTE_ORDER_MARK, Kind, csv_header, head_of, is_utf8, kind_of, list_within, object_of
from slmroute.audit.lines import copy_lines, line_numbers
from slmroute.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import duckdb

__all__ = ["Log", "Totals", "connect"]

MEMORY: Final = "500MB"
LARGEST_LINE: Final = 4 << 20
"""Longer lines do not fit in memory beside each other; they are counted as bad."""
LARGEST_RECORD: Final = 16 << 20
RECORD: Final = "CASE json_type(json) WHEN 'OBJECT' THEN json WHEN 'VARCHAR' THEN json_object('prompt', json) END"
"""A value as a record: a text alone is a prompt."""
FIRST: Final = 200
NAMED: Final = 10
PAGE: Final = 500
PROBED: Final = 20_000
"""By so many rows of a CSV file it is told how it is written."""

Doc = Mapping[str, Any]

T = TypeVar("T")


class UnreadableError(ConfigError):
    """A log that DuckDB gives up on."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How many records a log has.

    Attributes:
        records: How many can be read and are model calls.
        other: How many can be read and are something else: chains, tools, spans.
        bad: How many lines cannot be read.
        bad_lines: The numbers of the first of them, counted from 1; empty where the file has no lines.
    """

    records: int
    other: int
    bad: int
    bad_lines: tuple[int, ...]


def connect() -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory that keeps within bounds.

    Raises:
        MissingExtra: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("lab", "slmroute audit") from None
    connection = duckdb.connect(config={"memory_limit": MEMORY, "autoinstall_known_extensions": "false"})
    connection.execute("SET enable_progress_bar = false")
    return connection


class Log:
    """One file of a log, as records with numbers.

    Args:
        path: The file; its ending or its first bytes tell what it is.
        connection: See ``connect``.
        scratch: A folder for copies of logs that cannot be read as they are.

    Raises:
        ConfigError: It is not there, empty, or not what it says it is; the message says what was found.
    """

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection, scratch: Path) -> None:
        self.path = path
        self._scratch = scratch
        self._copy: Path | None = None
        self._connection = connection
        if not path.is_file():
            if path.is_dir():
                raise ConfigError(
                    f"{path} is a folder: name the files in it that are to be audited, for example {path / '*.jsonl'}."
                )
            raise ConfigError(f"There is no file {path}.")
        self._head = head_of(path)
        if not self._head.strip():
            raise ConfigError(f"{path} is empty: there is nothing to audit.")
        self.kind = kind_of(path, self._head)
        if self.kind == "text" or (self.kind == "json lines" and self._head.startswith(BYTE_ORDER_MARK)):
            self._copy_lines()
        self._source = self._source_of(self.kind)
        if self.kind in ("json lines", "json"):
            self._in_a_copy_at_worst(self._open_page)
        if self.kind == "csv":
            self._told_apart()

    def first(self) -> list[Doc]:
        """Give the first records, whatever they are.

        Raises:
            ConfigError: None of the first lines can be read.
        """
        rows = self._in_a_copy_at_worst(
            lambda: self._rows(f"SELECT doc FROM ({self._source}) WHERE doc IS NOT NULL LIMIT {FIRST}")
        )
        docs = [doc for (text,) in rows if (doc := object_of(text)) is not None]
        if not docs:
            raise ConfigError(f"{self.path} holds no records: none of its first lines is {self._wanted}.{self._hint}")
        return docs

    def totals(self, given: Format) -> Totals:
        """Count all records."""
        return self._in_a_copy_at_worst(lambda: self._totals(given))

    def _totals(self, given: Format) -> Totals:
        keep = _keep(given)
        records, other, bad = self._rows(
            f"SELECT count(*) FILTER ({keep}), count(*) FILTER (doc IS NOT NULL AND NOT {keep}), "
            f"count(*) FILTER (doc IS NULL) FROM ({self._source})"
        )[0]
        rejected, lines = self._rejected()
        if bad and not lines and self.kind in ("json lines", "text"):
            lines = self._bad_lines()
        return Totals(records=int(records), other=int(other), bad=int(bad) + rejected, bad_lines=lines)

    def sample(self, given: Format, size: int, seed: int) -> list[tuple[int, str]]:
        """Draw model calls at random without replacement, the same ones every time.

        Args:
            given: The log's format.
            size: How many; all where there are fewer.
            seed: Another one draws others.

        Returns:
            Each record as JSON, with its number in the file, counted from 1.
        """
        rows = self._rows(
            f"SELECT place, doc FROM ({self._numbered}) WHERE doc IS NOT NULL AND {_keep(given)} "
            f"ORDER BY hash(place, {int(seed)}) LIMIT {int(size)}"
        )
        return [(int(place), text) for place, text in rows]

    def all(self, given: Format) -> Iterator[list[tuple[int, str]]]:
        """Give all model calls as JSON, each with its number, some hundreds at a time."""
        query = f"SELECT place, doc FROM ({self._numbered}) WHERE doc IS NOT NULL AND {_keep(given)}"
        cursor = self._connection.cursor()
        self._execute(query, cursor)
        while rows := cast("list[tuple[int, str]]", cursor.fetchmany(PAGE)):
            yield rows

    @property
    def _wanted(self) -> str:
        return {
            "json lines": "a JSON object",
            "json": "a JSON object or a list of them",
            "csv": "a row with as many fields as the header",
            "parquet": "a row",
            "text": "text",
        }[self.kind]

    @property
    def _hint(self) -> str:
        if self.kind == "parquet" or is_utf8(self._head):
            return ""
        return " It is not in UTF-8: convert it first (iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW)."

    def _open_page(self) -> None:
        """Read the records that a page holds instead of the page, where the file is what an API gave."""
        rows = self._rows(f"SELECT doc FROM ({self._source}) WHERE doc IS NOT NULL LIMIT 1")
        record = object_of(rows[0][0]) if rows else None
        inner = None if record is None else list_within(record)
        if inner is not None:
            self._source = (
                f"SELECT unnest(json_extract(doc, '$.{inner}[*]')) AS doc FROM ({self._source}) WHERE doc IS NOT NULL"
            )

    def _told_apart(self) -> None:
        """Say how a CSV file is written where damaged rows have DuckDB not find that out, or take it for another."""
        bad = {self._source: self._bad_at_first(self._source)}
        if bad[self._source] == 0:
            return
        delimiter, names = csv_header(self._head)
        columns = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in names)
        dialect = f"columns = {{{columns}}}, delim = {_quoted(delimiter)}, quote = '\"', escape = '\"'"
        usual = self._csv(f"auto_detect = false, {dialect}")
        bad[usual] = self._bad_at_first(usual)
        self._source = min(bad, key=lambda source: bad[source])
        if math.isinf(bad[self._source]):
            self._source = self._csv(f"auto_detect = false, {dialect}, strict_mode = false")

    def _bad_at_first(self, source: str) -> float:
        """Count the rows among the first thousands that cannot be read: infinitely many where DuckDB gives up."""
        try:
            self._rows(f"SELECT sum(strlen(doc)) FROM (SELECT doc FROM ({source}) LIMIT {PROBED})")
            return self._rejected()[0]
        except UnreadableError:
            return math.inf

    @property
    def _numbered(self) -> str:
        return f"SELECT row_number() OVER () AS place, doc FROM ({self._source})"

    def _source_of(self, kind: Kind) -> str:
        name = _quoted(str(self._copy or self.path))
        match kind:
            case "json lines" | "text":
                return (
                    f"SELECT CASE WHEN strlen(json) <= {LARGEST_LINE} THEN {RECORD} END AS doc FROM read_json_objects("
                    f"{name}, format = 'newline_delimited', ignore_errors = true, "
                    f"maximum_object_size = {LARGEST_LINE})"
                )
            case "json":
                if self._head.startswith(BYTE_ORDER_MARK):
                    raise ConfigError(
                        f"{self.path} begins with a byte order mark, which JSON has none of: take it off first "
                        "(tail -c +4 FILE > NEW)."
                    )
                form = "array" if self._head.lstrip()[:1] == b"[" else "unstructured"
                return (
                    f"SELECT {RECORD} AS doc FROM read_json_objects({name}, format = '{form}', "
                    f"maximum_object_size = {LARGEST_RECORD})"
                )
            case "csv":
                return self._csv("all_varchar = true")
            case "parquet":
                return f"SELECT to_json(t) AS doc FROM read_parquet({name}) t"

    def _csv(self, dialect: str) -> str:
        return (
            f"SELECT to_json(t) AS doc FROM read_csv({_quoted(str(self.path))}, header = true, {dialect}, "
            "store_rejects = true, rejects_limit = 0) t"
        )

    def _bad_lines(self) -> tuple[int, ...]:
        rows = self._rows(f"SELECT place FROM ({self._numbered}) WHERE doc IS NULL ORDER BY place LIMIT {NAMED}")
        return line_numbers(self.path, {int(place) for (place,) in rows}, most=LARGEST_LINE)

    def _copy_lines(self) -> None:
        self._copy = self._scratch / f"{len(list(self._scratch.iterdir()))}.jsonl"
        copy_lines(self.path, self._copy, prompts=self.kind == "text", most=LARGEST_LINE)

    def _in_a_copy_at_worst(self, ask: Callable[[], T]) -> T:
        """Ask the log; where DuckDB gives up on its lines, ask a copy in which those it cannot take are marked."""
        try:
            return ask()
        except UnreadableError:
            if self.kind != "json lines" or self._copy is not None:
                raise
        self._copy_lines()
        self._source = self._source_of(self.kind)
        return ask()

    def _rejected(self) -> tuple[int, tuple[int, ...]]:
        """Count the rows of a CSV file that could not be read."""
        if self.kind != "csv":
            return 0, ()
        rows = self._rows("SELECT DISTINCT line FROM reject_errors ORDER BY line")
        lines = tuple(int(line) for (line,) in rows)
        for table in ("reject_errors", "reject_scans"):
            self._execute(f"DELETE FROM {table}")
        return len(lines), lines[:NAMED]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._execute(query).fetchall()

    def _execute(self, query: str, on: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return (on or self._connection).execute(query)
        except duckdb.Error as error:
            said = " ".join(str(error).split("\n")[0].split())[:200]
            raise UnreadableError(
                f"{self.path} cannot be read as {self.kind}: {said} Is it whole, and is its ending right?"
            ) from None


def _quoted(text: str) -> str:
    """Write a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def _path(place: str) -> str:
    """Write a place as a JSON path, quoted for SQL."""
    steps = (f"[{step}]" if step.isdecimal() else f'."{step}"' for step in place.replace('"', "").split("."))
    return _quoted("$" + "".join(steps))


def _keep(given: Format) -> str:
    if given.keep is None:
        return "doc IS NOT NULL"
    place, value = given.keep
    found = f"json_extract_string(doc, {_path(place)})"
    return f"(doc IS NOT NULL AND coalesce({found}, '{value}') = '{value}')"
