"""``slmroute report``: what was routed, spent and saved."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slmroute.cli.ledger import LedgerOption, ledger_address

if TYPE_CHECKING:
    from slmroute.report.facts import Report

app = typer.Typer()


class By(StrEnum):
    """What calls are shown by."""

    DAY = "day"
    TIER = "tier"
    KEY = "key"
    TAG = "tag"


class Format(StrEnum):
    """How a report is written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


SUFFIXES = {".html": Format.HTML, ".htm": Format.HTML, ".json": Format.JSON, ".csv": Format.CSV, ".txt": Format.TEXT}
NOT_TEXT = frozenset({".pdf", ".xlsx", ".xls", ".docx", ".pptx", ".png", ".svg", ".parquet"})
"""Endings of files that would be no such files with a report in them."""


@app.command()
def report(
    *,
    where: LedgerOption = None,
    since: Annotated[str | None, typer.Option(help="From then on: 2026-11-16, or 30d. Default: a week.")] = None,
    until: Annotated[str | None, typer.Option(help="Until then; a date includes its day. Default: now.")] = None,
    by: Annotated[
        By | None,
        typer.Option(help="What to show the calls by. Default: day; JSON has all, and pages have day, key and tag."),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", "-f", help="How to write it. Default: by --out's ending, else text.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    to: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; default: standard output.")] = None,
    command: Annotated[
        str | None,
        typer.Option(
            help="A command that gets the report on its standard input, as text unless --format says otherwise. "
            "$SLMROUTE_HEADLINE in it is the headline, $SLMROUTE_REPORT the --out file. No shell runs it."
        ),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="An address to post the headline and the figures to, as JSON with a `text`.")
    ] = None,
) -> None:
    """Write a report of what was routed, spent and saved: of the last week, unless told otherwise.

    Times are UTC. For a weekly mail, in a crontab:
    0 7 * * 1 slmroute report --out report.html --command 'mail -s "$SLMROUTE_HEADLINE" boss@example.com'
    """
    from slmroute.cli.console import err, out
    from slmroute.cli.target import check_target, write_target
    from slmroute.errors import ConfigError
    from slmroute.report.facts import read_report
    from slmroute.report.period import Period

    if as_json and form not in (None, Format.JSON):
        raise ConfigError(f"--json and --format {form.value}: give one of them.")
    if to is not None:
        if to.suffix.lower() in NOT_TEXT:
            raise ConfigError(f"--out {to}: a report is written as .html, .json, .csv or .txt; browsers print .html.")
        check_target(to, "--out")
    found = read_report(ledger_address(where), Period.read(since, until))
    wanted = (
        Format.JSON
        if as_json
        else form or (SUFFIXES.get(to.suffix.lower(), Format.TEXT) if to is not None else Format.TEXT)
    )
    text = _written(found, by, wanted, width=None if to is None and out.is_terminal else 100)
    if to is not None:
        write_target(to, text, "--out")
        err.print(f"{found.period}: {to}", soft_wrap=True, highlight=False)
    elif command is None and webhook is None:
        typer.echo(text, nl=not text.endswith("\n"))
    if command is not None and form is None and not as_json:
        text = _written(found, by, Format.TEXT, width=100)  # what --out's ending asks for is for that file
    _hand_on(found, text, command, webhook, to)


def _written(found: Report, by: By | None, form: Format, *, width: int | None) -> str:
    import json

    from slmroute.report.export import to_csv, to_json

    match form:
        case Format.HTML:
            from slmroute.report.html import html_of

            return html_of(found)
        case Format.JSON:
            return json.dumps(to_json(found, by.value if by else None), indent=2, ensure_ascii=False) + "\n"
        case Format.CSV:
            return to_csv(found, (by or By.DAY).value)
        case Format.TEXT:
            return _text(found, by or By.DAY, width)


def _text(found: Report, by: By, width: int | None) -> str:
    from slmroute.cli.console import console, out
    from slmroute.cli.report_view import report_view
    from slmroute.cli.tables import show

    shown = console(width=width) if width else out
    with shown.capture() as captured:
        show(report_view(found, by.value), console=shown)
    return captured.get()


def _hand_on(found: Report, text: str, command: str | None, webhook: str | None, to: Path | None) -> None:
    from slmroute.report import sentences
    from slmroute.report.deliver import run_command, send_webhook
    from slmroute.report.export import to_json

    headline = f"{sentences.headline(found)}, {found.period}"
    if command is not None:
        run_command(command, text, {"SLMROUTE_HEADLINE": headline, "SLMROUTE_REPORT": "" if to is None else str(to)})
    if webhook is not None:
        send_webhook(webhook, {"text": f"{headline}. {sentences.summary(found)}", "report": to_json(found)})
