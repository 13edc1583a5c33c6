"""``slmroute doctor``: is everything there that a router needs, and how to mend what is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slmroute.cli.console import out, print_json
from slmroute.cli.findings import (
    Finding,
    check_classifier,
    check_extras,
    check_keys,
    check_ledger,
    check_ollama,
)
from slmroute.cli.round_trip import check_tiers
from slmroute.cli.router import ConfigOption, router_config
from slmroute.errors import ConfigError

if TYPE_CHECKING:
    from slmroute.config import RouterConfig

__all__ = ["app"]

app = typer.Typer()

STYLES: Final = {"ok": "green", "problem": "bold red", "skipped": "dim"}


@app.command()
def doctor(
    config: ConfigOption = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no tier and no classifier on a server.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the tiers, the classifier, keys and extras, and tell how to mend what is wrong.

    Each tier is asked one short question, which costs next to nothing; --offline leaves that out. Keys are never shown.
    Exits with 1 if there is a problem.
    """
    findings: list[Finding] = []
    for finding in examine(config, findings, offline=offline):
        findings.append(finding)
        if not as_json:
            show(finding)
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        print_json({"ok": not problems, "findings": findings})
    else:
        out.print(f"\n{problems} problem{'s' * (problems != 1)}." if problems else "\nAll is well.", highlight=False)
    if problems:
        raise typer.Exit(1)


def examine(config: Path | None, found: list[Finding], *, offline: bool) -> Iterator[Finding]:
    """Look at everything in turn.

    Args:
        config: The file that was asked for, or None.
        found: What was found before, as the caller collects it.
        offline: Whether models are left alone.
    """
    try:
        settings: RouterConfig = router_config(config)
    except ConfigError as error:
        yield Finding("configuration", "problem", str(error), "correct the file, then run slmroute doctor again")
        return
    names = ", ".join(settings.policy.names)
    yield Finding("configuration", "ok", f"{settings.file or 'the plain default (no slmroute.toml here)'}: {names}")
    environ = dict(os.environ)
    yield from check_extras(settings)
    yield from check_keys(settings, environ)
    yield from check_ledger(settings, environ)
    yield from check_ollama(settings)
    yield from check_classifier(settings, offline=offline)
    yield from check_tiers(settings, environ, found, offline=offline)


def show(finding: Finding) -> None:
    """Print a finding for people."""
    from rich.text import Text

    mark = (f"{finding.state:<8}", STYLES[finding.state])
    out.print(Text.assemble(mark, f" {finding.what}: {finding.detail}"), soft_wrap=True)
    if finding.fix:
        out.print(Text.assemble(" " * 9, ("fix: ", "bold"), finding.fix), soft_wrap=True)
