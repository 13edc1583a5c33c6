"""Lines that no reader likes: counted and named, never fatal, and never in the way of the others."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from slmroute.audit import audit
from slmroute.audit.lines import copy_lines, line_numbers
from slmroute.audit.log import LARGEST_LINE
from slmroute.errors import ConfigError

ASKED = "Is this review positive? I loved it"


def as_json(*prompts: str) -> list[bytes]:
    return [json.dumps({"prompt": prompt}).encode() for prompt in prompts]


def read(tmp_path: Path, name: str, lines: list[bytes]) -> tuple[int, int, tuple[int, ...]]:
    content = b"\n".join(lines) + b"\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    found = audit([path])
    return found.looked_at, found.files[0].bad, found.files[0].bad_lines


@pytest.mark.parametrize("name", ["log.txt", "log.txt.gz"])
def test_text_may_hold_any_marks_and_its_bad_lines_are_named(tmp_path: Path, name: str) -> None:
    lines = [b"one\rand the same", b"", b"caf\xe9", b'a "quoted, one\\x01', "Größe?".encode(), b"  ", b"\xff"]
    assert read(tmp_path, name, lines) == (3, 2, (3, 7))


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "txt"])
def test_lines_that_are_too_long_are_counted_and_named(tmp_path: Path, ending: str) -> None:
    long = "x" * (5 * LARGEST_LINE)
    lines = [long.encode(), ASKED.encode()] if ending == "txt" else as_json(long, ASKED)
    assert read(tmp_path, f"log.{ending}", [lines[1], lines[0], lines[1], lines[0]]) == (2, 2, (2, 4))


def test_the_numbers_of_bad_lines_are_those_of_an_editor(tmp_path: Path) -> None:
    good = as_json(ASKED)[0]
    assert read(tmp_path, "log.jsonl", [good, b"", b"", b"{broken", good, b"", b"[1]"]) == (2, 2, (4, 7))


def test_a_copy_has_a_line_for_each_that_is_not_empty(tmp_path: Path) -> None:
    log, copy = tmp_path / "log", tmp_path / "copy"
    log.write_bytes(b"\xef\xbb\xbfone\r\n\n" + b"y" * 20 + b"\ntwo\n\xff\nlast")
    copy_lines(log, copy, prompts=True, most=10)
    assert copy.read_text() == '{"prompt": "one"}\nnull\n{"prompt": "two"}\nnull\n{"prompt": "last"}\n'
    assert line_numbers(log, {1, 2, 5}, most=10) == (1, 3, 6)


def test_a_log_that_breaks_off_is_said_to(tmp_path: Path) -> None:
    path = tmp_path / "log.txt.gz"
    path.write_bytes(gzip.compress(b"Hello there, what is this?\n" * 9000)[:-30])
    with pytest.raises(ConfigError, match="breaks off or is damaged"):
        audit([path])


def test_a_folder_without_room_is_named(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("Hello?\n")
    with pytest.raises(ConfigError, match=r"cannot be copied to .*Name a folder with room for it in TMPDIR"):
        copy_lines(log, tmp_path / "none" / "copy", prompts=True, most=10)
