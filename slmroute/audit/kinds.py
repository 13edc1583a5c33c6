"""What kind of file a log is, by its ending and its first bytes."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, cast

from slmroute.errors import ConfigError

__all__ = ["BYTE_ORDER_MARK", "Kind", "csv_header", "head_of", "is_utf8", "kind_of", "list_within", "object_of"]

Kind = Literal["json lines", "json", "csv", "parquet", "text"]

SUFFIXES: Final[Mapping[str, Kind]] = {
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some programs put before UTF-8."""

UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")

PACKED: Final[Mapping[bytes, str]] = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ\x00": "packed with xz",
}
"""How files begin that have to be unpacked first."""

CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\r\f\v\b\x1b") | {127}
MOST_CONTROLS: Final = 0.02
"""Text has no more than so many bytes that stand for no character."""

DELIMITERS: Final = ",;\t|"

HEAD: Final = 4096
HEAD_LINES: Final = 50


def head_of(path: Path) -> bytes:
    """Give the first bytes of a file, unpacked.

    Raises:
        ConfigError: It is a damaged gzip file, or in UTF-16.
    """
    with path.open("rb") as file:
        start = file.read(HEAD)
    if start[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                start = file.read(HEAD)
        except (OSError, EOFError):
            raise ConfigError(f"{path} is no whole gzip file: it breaks off or is damaged.") from None
    if start[:2] in UTF_16:
        raise ConfigError(
            f"{path} is in UTF-16, and logs are read in UTF-8: convert it first (iconv -f UTF-16 -t UTF-8 FILE > NEW)."
        )
    return start


def is_utf8(head: bytes) -> bool:
    """Whether a file that begins so can be in UTF-8."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == HEAD and error.start > HEAD - 4  # the last character is cut
    return True


def kind_of(path: Path, head: bytes) -> Kind:
    """Tell what kind of file a log is.

    Args:
        path: The file.
        head: Its first bytes, see ``head_of``.

    Raises:
        ConfigError: It would be taken for text, and is none.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".gzip")]
    if head[:4] == b"PAR1":
        return "parquet"
    kind = SUFFIXES.get(suffixes[-1]) if suffixes else None
    start = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if kind in (None, "json", "json lines") and start[:1] in (b"{", b"["):
        return _kind_of_json(start)
    if kind in (None, "text", "csv"):
        _check_text(path, head)
    return kind or "text"


def csv_header(head: bytes) -> tuple[str, list[str]]:
    """Give what parts the fields of a CSV file that begins so, and what they are called."""
    lines = head.decode("utf-8-sig", errors="replace").lstrip().splitlines(keepends=True)
    rows = {delimiter: list(csv.reader(lines[:HEAD_LINES], delimiter=delimiter)) for delimiter in DELIMITERS}
    # What parts them parts all rows alike, but for those that are damaged.
    delimiter = max(DELIMITERS, key=lambda each: sum(len(row) == len(rows[each][0]) > 1 for row in rows[each]))
    names = rows[delimiter][0]
    return delimiter, list(dict.fromkeys(name.strip() or f"column{place}" for place, name in enumerate(names)))


def _check_text(path: Path, head: bytes) -> None:
    packed = next((what for start, what in PACKED.items() if head.startswith(start)), None)
    if packed is not None:
        raise ConfigError(f"{path} is {packed}: unpack it first, or pack it with gzip.")
    if sum(byte in CONTROLS for byte in head) > MOST_CONTROLS * len(head):
        raise ConfigError(
            f"{path} is no log: it holds bytes that are no text. Logs are JSON lines, JSON, CSV, Parquet or plain text."
        )


def object_of(text: str) -> Mapping[str, Any] | None:
    """Read a JSON object; None where it is none."""
    with suppress(ValueError):
        found: object = json.loads(text)
        if isinstance(found, dict):
            return cast("Mapping[str, Any]", found)
    return None


def list_within(record: Mapping[str, Any]) -> str | None:
    """Give the field that holds the records, where a file is a page as APIs give them and not a record itself."""
    if isinstance(record.get("data"), list) and (
        isinstance(record.get("meta"), dict) or record.get("object") == "list" or "total_pages" in record
    ):
        return "data"  # Langfuse's, OpenAI's and LiteLLM's
    if isinstance(record.get("runs"), list) and "cursors" in record:
        return "runs"  # LangSmith's
    return None


def _kind_of_json(start: bytes) -> Kind:
    """Tell objects on lines of their own from a list of them and from one that runs over several lines."""
    if start[:1] == b"[":
        return "json"
    line, newline, _ = start.partition(b"\n")
    if not newline:
        return "json lines"  # the first record is longer than what was looked at
    return "json lines" if object_of(line.decode(errors="replace")) is not None or len(line) > 1 else "json"
