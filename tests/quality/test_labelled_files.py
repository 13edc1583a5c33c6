"""Labelled prompts as people's tools write them: what can be read is, and what cannot is told by file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slmroute.cases import read_cases
from slmroute.errors import ConfigError
from slmroute.jsonl import read_rows

ROW = '{"prompt": "a", "tier": "simple"}'


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "bom.jsonl"
    path.write_text(f"{ROW}\n{ROW}\n", encoding="utf-8-sig")
    assert [case.text for case in read_cases([path])] == ["a", "a"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f'{{"prompt": "a", "tier": "simple", "x": {"[" * 100_000}{"]" * 100_000}}}', "is not JSON"),
        (f'{{"prompt": "a", "weak_score": {"9" * 400}, "strong_score": 1}}', "as numbers"),
        ('{"prompt": "a", "tier": "simple", "input_tokens": -5}', "'input_tokens' must not be negative"),
    ],
)
def test_rows_that_cannot_be_used_are_told_by_line(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{ROW}\n\n{row}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"line 3.*{said}"):
        read_cases([path])


def test_a_number_too_large_for_a_score_is_no_score(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "a", "tier": "simple", "x": 10**400, "y": 2, "z": True}), encoding="utf-8")
    assert read_cases([path])[0].scores == {"y": 2.0}


@pytest.mark.parametrize("value", [10**400, True, None, "1", float("nan")])
def test_what_is_no_number_is_refused_in_a_field_and_in_a_list(tmp_path: Path, value: object) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"one": value, "list": [-0.5, value]}), encoding="utf-8")
    (row,) = read_rows(path)
    with pytest.raises(ConfigError, match="'list' must be a list of numbers"):
        row.numbers("list")
    if value is None:
        assert row.number("one") is None
    else:
        with pytest.raises(ConfigError, match="'one' must be a number"):
            row.number("one")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.jsonl cannot be read"):
        read_cases([tmp_path / "nothing.jsonl"])
