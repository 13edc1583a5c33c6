"""Turning files of public repositories into rows: one generator for each shape of file.

A row is a dictionary of texts. ``prompt`` is a whole prompt; ``text`` (with ``question``, or ``premise`` and
``hypothesis``) is a payload that the harvest wraps in an instruction of our own. ``language``, ``tier`` and
``category`` override what the manifest says for the source.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from slmroute.classify.training.mirror import Repository

__all__ = ["READERS", "Reader", "Row"]

Row = dict[str, str]
Reader = Callable[[Repository, Mapping[str, Any]], Iterator[Row]]

csv.field_size_limit(10_000_000)


def files_of(repository: Repository, source: Mapping[str, Any]) -> Iterator[tuple[str, str, Row]]:
    """Give the path, the text and what a path's own groups say (``language``) of each file of a source."""
    names = cast("dict[str, str]", source.get("languages", {}))
    for path, raw in repository.contents(repository.paths(source["files"])):
        found = re.search(source["files"], path)
        groups = {key: value for key, value in (found.groupdict() if found else {}).items() if value}
        if "language" in groups:
            groups["language"] = names.get(groups["language"], groups["language"])
        for name, content in unpacked(path, raw):
            yield name, content.decode(source.get("encoding", "utf-8-sig"), "replace").replace("\r\n", "\n"), groups


def unpacked(path: str, raw: bytes) -> list[tuple[str, bytes]]:
    """Unpack a gzip, tar.gz or zip file; other files are given as they are."""
    if not raw:
        return []
    if path.endswith((".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            return [(member.name, file.read()) for member in members if (file := archive.extractfile(member))]
    if path.endswith(".gz"):
        return [(path[:-3], gzip.decompress(raw))]
    if path.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return [(name, archive.read(name)) for name in archive.namelist() if not name.endswith("/")]
    return [(path, raw)]


def value_at(record: Any, path: str) -> str:
    """Follow a dotted path (``instances.0.input``) into parsed JSON; empty where it leads nowhere."""
    for key in path.split("."):
        if isinstance(record, list):
            items = cast("list[Any]", record)
            if not key.isdigit() or int(key) >= len(items):
                return ""
            record = items[int(key)]
        elif isinstance(record, dict):
            record = cast("dict[str, Any]", record).get(key)
        else:
            return ""
    if isinstance(record, list):
        return "\n".join(str(item) for item in cast("list[Any]", record))
    return "" if record is None else str(record)


def row_of(record: Any, source: Mapping[str, Any], groups: Row) -> Row | None:
    """Build a row from a record: ``fields`` maps row keys to paths, a list of paths is joined by blank lines."""
    keep = cast("dict[str, str]", source.get("where", {}))
    for path, pattern in keep.items():
        if not re.search(pattern, value_at(record, path)):
            return None
    row = dict(groups)
    fields = cast("dict[str, str | list[str]]", source["fields"])
    for key, paths in fields.items():
        parts = [value_at(record, path).strip() for path in ([paths] if isinstance(paths, str) else paths)]
        row[key] = "\n\n".join(part for part in parts if part)
    return row


def records(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Read JSON lists, JSON lines, CSV and TSV files, by the file's name or ``format``."""
    for path, text, groups in files_of(repository, source):
        kind = source.get("format") or path.rsplit(".", 1)[-1]
        parsed: list[Any]
        if kind == "jsonl":
            parsed = [item for line in text.split("\n") if (item := parsed_line(line)) is not None]
        elif kind == "json":
            found: Any = json.loads(text)
            for key in str(source.get("under", "")).split("."):
                found = found[key] if key else found
            parsed = list(cast("dict[str, Any]", found).values()) if isinstance(found, dict) else found
        else:
            delimiter = source.get("delimiter", "\t" if kind in ("tsv", "txt") else ",")
            names = cast("list[str] | None", source.get("columns"))
            quoting = csv.QUOTE_NONE if source.get("unquoted") else csv.QUOTE_MINIMAL
            parsed = list(csv.DictReader(io.StringIO(text), fieldnames=names, delimiter=delimiter, quoting=quoting))
        for record in parsed:
            if (row := row_of(record, source, groups)) is not None:
                yield row


def parsed_line(line: str) -> Any:
    """Parse one line of JSON; None for blank and broken lines."""
    try:
        return json.loads(line) if line.strip() else None
    except ValueError:
        return None


def lines(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take each line that matches ``line`` (its first group, where it has one)."""
    pattern = re.compile(source.get("line", r"\S"))
    for _, text, groups in files_of(repository, source):
        for line in text.split("\n"):
            if found := pattern.search(line):
                yield {**groups, source.get("key", "text"): found.group(1) if pattern.groups else line.strip()}


def blocks(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take each match of ``block`` in a file; its group ``prompt``, ``text`` and so on give the row."""
    pattern = re.compile(source["block"], re.DOTALL | re.MULTILINE)
    for _, text, groups in files_of(repository, source):
        for found in pattern.finditer(text):
            named = {key: value for key, value in found.groupdict().items() if value}
            if source.get("html"):
                named = {key: unescaped(value) for key, value in named.items()}
            yield {**groups, **named}


def unescaped(text: str) -> str:
    """Undo what a Markdown table does to a text: line breaks as tags, escaped bars and stars."""
    return re.sub(r"\\([|*_`~\[\]])", r"\1", re.sub(r"<br ?/?>", "\n", text)).strip()


def whole(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take each file as one prompt, ``{{...}}`` in it replaced by a payload mark."""
    for _, text, groups in files_of(repository, source):
        yield {**groups, "prompt": text.strip()}


def squad(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Read reading comprehension in SQuAD's layout: one question for each paragraph."""
    for _, text, groups in files_of(repository, source):
        for article in json.loads(text)["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"][:1]:
                    yield {**groups, "text": paragraph["context"], "question": asked["question"]}


def tokens(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Read token-per-line files (CoNLL) as sentences."""
    for _, text, groups in files_of(repository, source):
        for block in re.split(r"\n\s*\n", text):
            words = [line.split()[0] for line in block.split("\n") if line.strip() and not line.startswith("#")]
            if len(words) > 4:
                yield {**groups, "text": " ".join(words)}


def excerpts(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Cut one stretch out of each long text, its place and length drawn by the path."""
    for path, text, groups in files_of(repository, source):
        dice = random.Random(path)  # noqa: S311 - reproducible stretches, nothing secret
        length = dice.randint(*cast("list[int]", source.get("stretch", [2000, 20_000])))
        start = dice.randint(0, max(0, len(text) - length))
        start = text.rfind("\n", 0, start) + 1
        yield {**groups, "text": text[start : start + length].strip()}


def dialogues(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Write conversations that are lists of turns as text, one turn a line."""
    for _, text, groups in files_of(repository, source):
        for record in json.loads(text):
            turns = [
                f"{value_at(turn, source['speaker'])}: {value_at(turn, source['said'])}"
                for turn in record[source["turns"]]
            ]
            if len(turns) > 3:
                yield {**groups, "text": "\n".join(turns)}


def transcripts(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Write transcripts kept as ``token|speaker|...|punctuation`` lines as text, one turn a line."""
    for _, text, groups in files_of(repository, source):
        turns: list[tuple[str, list[str]]] = []
        for line in text.split("\n")[1:]:
            columns = line.split("|")
            if len(columns) < 5:
                continue
            if not turns or turns[-1][0] != columns[1]:
                turns.append((columns[1], []))
            turns[-1][1].append(columns[0] + columns[4])
        yield {**groups, "text": "\n".join(f"Speaker {speaker}: {' '.join(words)}" for speaker, words in turns)}


READERS: dict[str, Reader] = {
    "records": records,
    "lines": lines,
    "blocks": blocks,
    "whole": whole,
    "squad": squad,
    "tokens": tokens,
    "excerpts": excerpts,
    "dialogues": dialogues,
    "transcripts": transcripts,
}
