"""``slmroute report`` as it is typed, and what it hands on."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from slmroute.cli import main

WEEK = ("--since", "2026-11-16", "--until", "2026-11-22")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *arguments])
    captured = capsys.readouterr()
    assert stopped.value.code in ({0, None} if code == 0 else {code}), captured.err
    return captured.err if code else captured.out


def test_it_prints_the_saving_the_money_and_what_to_do(capsys: pytest.CaptureFixture[str], week: Path) -> None:
    printed = run(capsys, "--ledger", str(week), *WEEK)
    for words in ("saved", "16 to 22 November 2026", "Where the money went", "Day by day", "What to do next",
                  "2026-11-16", "drafts thrown away", "How sure this is"):  # fmt: skip
        assert words in printed


@pytest.mark.parametrize(("by", "words"), [("tier", "frontier"), ("key", "back-office"), ("tag", "category:faq")])
def test_calls_are_shown_by_what_was_asked_for(
    capsys: pytest.CaptureFixture[str], week: Path, by: str, words: str
) -> None:
    assert words in run(capsys, "-l", str(week), *WEEK, "--by", by)


def test_json_and_csv_go_to_standard_output(capsys: pytest.CaptureFixture[str], week: Path) -> None:
    assert json.loads(run(capsys, "-l", str(week), *WEEK, "--format", "json"))["total"]["calls"] == 612
    assert json.loads(run(capsys, "-l", str(week), *WEEK, "--json"))["total"]["calls"] == 612
    assert run(capsys, "-l", str(week), *WEEK, "--format", "csv", "--by", "tier").startswith("tier,calls,")
    assert "--json and --format csv" in run(capsys, "-l", str(week), *WEEK, "--json", "--format", "csv", code=2)


def test_no_report_is_written_to_a_file_that_promises_something_else(
    capsys: pytest.CaptureFixture[str], week: Path, tmp_path: Path
) -> None:
    wanted = tmp_path / "report.PDF"
    assert "written as .html, .json, .csv or .txt" in run(capsys, "-l", str(week), *WEEK, "-o", str(wanted), code=2)
    assert not wanted.exists()


def test_a_file_that_cannot_be_written_is_told_before_the_ledger_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told = run(capsys, "-l", str(tmp_path / "none.db"), "--out", str(tmp_path / "nodir" / "r.html"), code=2)
    assert "cannot be written: No such file or directory. To mend it, make its folder first (mkdir -p" in told


def test_the_ending_of_a_file_tells_the_format(capsys: pytest.CaptureFixture[str], week: Path, tmp_path: Path) -> None:
    for name, start in (("r.html", "<!doctype html>"), ("r.json", "{"), ("r.csv", "day,"), ("r.txt", "$")):
        assert run(capsys, "-l", str(week), *WEEK, "--out", str(tmp_path / name)) == ""
        assert (tmp_path / name).read_text("utf-8").startswith(start)


def test_a_command_gets_the_report_and_its_headline(
    capsys: pytest.CaptureFixture[str], week: Path, tmp_path: Path
) -> None:
    script = tmp_path / "take.py"
    script.write_text(
        "import os, sys, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'taken')!r}).write_text(os.environ['SLMROUTE_HEADLINE'] + sys.stdin.read())\n"
    )
    run(capsys, "-l", str(week), *WEEK, "--format", "json", "--command", f"{sys.executable} '{script}'")
    headline, brace, rest = (tmp_path / "taken").read_text().partition("{")
    assert headline.endswith("saved, 16 to 22 November 2026")
    assert json.loads(brace + rest)["total"]["calls"] == 612


def test_a_mail_has_the_headline_for_its_subject_and_text_for_its_body(
    capsys: pytest.CaptureFixture[str], week: Path, tmp_path: Path
) -> None:
    page, script = tmp_path / "report.html", tmp_path / "mail.py"
    script.write_text(
        "import os, sys, pathlib\n"
        f"sent = pathlib.Path({str(tmp_path / 'sent')!r})\n"
        "sent.write_text(chr(10).join([*sys.argv[1:], sys.stdin.read()]))\n"
    )
    command = f"{sys.executable} '{script}' -s \"$SLMROUTE_HEADLINE\" $SLMROUTE_REPORT $5"
    for form in ((), ("--format", "html")):
        run(capsys, "-l", str(week), *WEEK, "--out", str(page), *form, "--command", command)
        _, subject, file, price, first, *_ = (tmp_path / "sent").read_text().splitlines()
        assert subject.endswith("saved, 16 to 22 November 2026")
        assert (file, price) == (str(page), "$5")
        assert first.startswith("<!doctype html>" if form else subject.partition(",")[0])
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("exit 3", "No shell reads it: for pipes and the like, write sh -c"),
        ("no-such-command-anywhere", "cannot be run"),
        ("'unbalanced", "cannot be read"),
        (" ", "is empty"),
        (f"{sys.executable} -c \"import sys; sys.exit('the printer is on fire')\"", "status 1. the printer is on fire"),
    ],
)
def test_a_command_that_fails_is_told(capsys: pytest.CaptureFixture[str], week: Path, command: str, words: str) -> None:
    assert words in run(capsys, "-l", str(week), *WEEK, "--command", command, code=2)


@contextmanager
def receiver(status: int, received: list[bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hooks/s3cret"
        finally:
            server.shutdown()
            thread.join()


def test_a_webhook_gets_a_text_and_the_figures(capsys: pytest.CaptureFixture[str], week: Path) -> None:
    received: list[bytes] = []
    with receiver(200, received) as url:
        run(capsys, "-l", str(week), *WEEK, "--webhook", url)
    message = json.loads(received[0])
    assert "saved, 16 to 22 November 2026. 610 calls would have cost" in message["text"]
    assert message["report"]["total"]["calls"] == 612


def test_a_webhook_that_refuses_is_told_without_its_address(capsys: pytest.CaptureFixture[str], week: Path) -> None:
    with receiver(403, []) as url:
        said = run(capsys, "-l", str(week), *WEEK, "--webhook", url, code=2)
    assert "127.0.0.1 refused with HTTP 403" in said
    assert "s3cret" not in said


def test_a_webhook_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], week: Path) -> None:
    with receiver(200, []) as url:
        pass
    said = run(capsys, "-l", str(week), *WEEK, "--webhook", url, code=2)
    assert "could not be reached" in said
    assert "s3cret" not in said
    assert "web address" in run(capsys, "-l", str(week), *WEEK, "--webhook", "slack", code=2)


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], week: Path, tmp_path: Path) -> None:
    assert "has no calls of" in run(capsys, "-l", str(week), "--since", "2020-01-01", "--until", "2020-01-02", code=2)
    assert "no ledger at" in run(capsys, "-l", str(tmp_path / "none.db"), code=2)
    assert "--since soon" in run(capsys, "-l", str(week), "--since", "soon", code=2)
    assert "cannot be written" in run(capsys, "-l", str(week), *WEEK, "-o", str(tmp_path / "no" / "r.html"), code=2)
