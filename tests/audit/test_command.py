"""``slmroute audit`` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from slmroute.cli import main
from slmroute.demo.requests import load_requests

Row = Mapping[str, Any]
Rows = Callable[..., list[Row]]
Write = Callable[[str, Iterable[Row]], Path]


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["audit", *arguments])
    captured = capsys.readouterr()
    assert stopped.value.code in ({0, None} if code == 0 else {code}), captured.err
    return captured.err if code else captured.out


def test_it_says_what_is_simple_what_it_would_save_and_what_it_is_unsure_of(
    capsys: pytest.CaptureFixture[str], write: Write, rows: Rows
) -> None:
    printed = " ".join(run(capsys, str(write("log.jsonl", rows("LiteLLM logs")))).split())
    for words in ("LiteLLM logs, 68 calls", "All 68 calls were looked at", "of the calls are simple", "By kind of task",
                  "unsure of", "Today these calls cost $2.35 and take 1.5 s", "three_tier", "cascade"):  # fmt: skip
        assert words in printed
    assert not any(" ".join(request.prompt.split())[:40] in printed for request in load_requests())


def test_a_sample_says_how_far_it_may_be_off(capsys: pytest.CaptureFixture[str], write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("LiteLLM logs", 1000))
    printed = " ".join(run(capsys, str(path), "--sample", "200").split())
    assert "200 of 1,000 calls were drawn at random" in printed
    assert "points of the whole log's, 95 times of 100" in printed
    assert "All 1,000 calls" in " ".join(run(capsys, str(path), "--all").split())


def test_json_and_prompts_on_demand(capsys: pytest.CaptureFixture[str], write: Write, rows: Rows) -> None:
    path = str(write("log.jsonl", rows("plain prompts")))
    found = json.loads(run(capsys, path, "--json", "--frontier-price", "10,30", "--answer-tokens", "50"))
    assert found["calls"] == 68
    assert [each["name"] for each in found["patterns"]] == ["embedded", "binary", "three_tier", "cascade"]
    assert "Prompts" in run(capsys, path, "--show-prompts", "1")


def test_options_are_read(capsys: pytest.CaptureFixture[str], write: Write, rows: Rows) -> None:
    log = [{**row, "currency": "EUR"} for row in rows("LiteLLM logs")]
    path = str(write("log.jsonl", log))
    assert "--rate EUR=1.08" in run(capsys, path, code=2)
    found = json.loads(run(capsys, path, "--rate", "EUR=1", "--map", "category=call_type", "--json"))
    assert [line["category"] for line in found["categories"]] == ["acompletion"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--map", "prompt"), "--map prompt: write for example --map prompt=FIELD"),
        (("--map", "prompt=nothing"), "no record has that field"),
        (("--rate", "EUR"), "--rate EUR: write for example --rate EUR=1.08"),
        (("--rate", "EUR=much"), "--rate EUR="),
        (("--frontier-price", "2"), "write two amounts"),
        (("--frontier", "openai:none-such"), "no price is known"),
        (("--sample", "0"), "must be 1 or more"),
        (("--weights", "none.npz"), "is not a file"),
    ],
)
def test_errors_are_one_line_that_names_the_option(
    capsys: pytest.CaptureFixture[str], write: Write, arguments: tuple[str, ...], words: str, rows: Rows
) -> None:
    assert words in run(capsys, str(write("log.jsonl", rows("plain prompts"))), *arguments, code=2)
