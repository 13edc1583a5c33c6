"""``slmroute demo`` as it is typed, with the small model that really answers."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from slmroute.cli import main
from slmroute.cli.demo_view import progress
from slmroute.demo.requests import load_requests
from slmroute.demo.run import Outcome
from slmroute.record import RouteRecord
from slmroute.report.page import _template

pytestmark = pytest.mark.usefixtures("closed_clients")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["demo", *arguments])
    captured = capsys.readouterr()
    assert stopped.value.code in ({0, None} if code == 0 else {code}), captured.err
    return captured.out, captured.err


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, with no keys and no Ollama."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def test_it_runs_and_says_what_it_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed, told = run(capsys, "--limit", "4", "--model", "built-in")
    assert "4 requests of a support desk and a back office" in told.replace("\n", " ")
    assert "4 of 4 after" in told
    words = " ".join(printed.split())
    for part in ("Per tier", "A person would have sent", "Projected saving", "100,000 calls a month",
                 "Had weak local answers moved up", "stands in for the model of 2 to 8 billion parameters",
                 "slmroute report --ledger slmroute-demo.db", "report.html"):  # fmt: skip
        assert part in words
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!doctype html>")
    assert (tmp_path / "slmroute-demo.db").exists()


def test_json_gives_the_same_as_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed, _ = run(capsys, "--limit", "2", "--model", "built-in", "--json", "--out", "page.html", "--ledger", "a.db")
    found = json.loads(printed)
    assert found["requests"] == 2
    assert found["small"]["stand_in"] is True
    assert (found["ledger"], found["report"]) == ("a.db", "page.html")
    assert (tmp_path / "page.html").exists()


def test_a_wrong_limit_and_a_page_that_cannot_be_written_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "limit=0 must be 1 or more" in run(capsys, "--limit", "0", code=2)[1]
    told = run(capsys, "--limit", "1", "--model", "built-in", "--report", "no/such/folder.html", code=2)[1]
    assert "--report no/such/folder.html cannot be written" in told


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--report", "nodir/x.html", "--report nodir/x.html cannot be written: No such file or directory. To mend it, "
                                     "make its folder first (mkdir -p"),
        ("--report", ".", "--report . cannot be written: Is a directory."),
        ("--ledger", "notes.txt", "--ledger notes.txt cannot be used: The file notes.txt is not a ledger"),
        ("--ledger", "notes.txt/calls.db", "--ledger notes.txt/calls.db cannot be used: "),
        ("--ledger", "mysql://host/calls", "ledger= does not know 'mysql'"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, value: str, said: str
) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary, " * 10)
    told = run(capsys, "--limit", "1", "--model", "built-in", option, value, code=2)[1]
    assert said in told
    assert "requests of a support desk" not in told
    assert not (tmp_path / "report.html").exists()
    assert "Dear diary" in (tmp_path / "notes.txt").read_text()


def test_without_the_extra_for_pages_the_hint_keeps_its_brackets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    last = run(capsys, "--limit", "1", "--model", "built-in")[0].strip().splitlines()[-1]
    assert last == 'No page was written: The report as a page needs the extra "report": pip install "slmroute[report]"'
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_in_a_terminal_and_lines_elsewhere(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    record = RouteRecord(call_id="1", started_at=datetime.now(UTC), status="ok", tier="small")
    outcome = Outcome(request=load_requests(1)[0], record=record, answer="delivery", right=True, start="small")
    with progress(console, 3) as show:
        show(outcome)
        show(replace(outcome, right=False))
        show(replace(outcome, record=replace(record, tier="frontier"), right=None))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "2 small, 1 frontier, 1 of 2 graded right" in shown
    assert ("3 of 3 after" in shown) is not terminal
    assert ("3/3" in shown) is terminal
