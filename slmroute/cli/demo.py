"""``slmroute demo``: a support desk's requests, routed for real."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slmroute.demo.requests import Request
    from slmroute.demo.summary import DemoSummary

app = typer.Typer()


@app.command()
def demo(
    *,
    short: Annotated[bool, typer.Option("--short", help="Sixteen requests only; for a quick check.")] = False,
    limit: Annotated[int | None, typer.Option(help="At most so many requests.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Ollama's model to answer locally; `built-in` for SmolLM2-135M. Default: what there is."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Call no frontier model even if a key is set.")] = False,
    report: Annotated[Path, typer.Option("--report", "--out", help="The page to write.")] = Path("report.html"),
    ledger: Annotated[str, typer.Option(help="The ledger to write to: a file or a database URL.")] = "slmroute-demo.db",
    as_json: Annotated[bool, typer.Option("--json", help="Give the results as JSON.")] = False,
) -> None:
    """Route a support desk's requests between a small model and a frontier tier, and see what it saves.

    The small model really answers: a suitable one of a running Ollama, else SmolLM2-135M, which comes along. The
    frontier is called for real where OPENAI_API_KEY or ANTHROPIC_API_KEY is set; without a key it is a dry run that
    generates nothing and is priced by estimated tokens.
    """
    from slmroute.cli.console import err, out, print_json
    from slmroute.cli.target import check_ledger_target, check_target
    from slmroute.demo.requests import load_requests

    check_target(report, "--report")
    check_ledger_target(ledger, "--ledger")
    began = datetime.now(UTC)
    found = _run(load_requests(limit, short=short), model, ledger, dry_run=dry_run)
    page, missing = _write_page(found, ledger, began, report)
    if as_json:
        if missing is not None:
            err.print(missing, soft_wrap=True)
        print_json({**found.to_json(), "ledger": ledger, "report": page})
        return
    from slmroute.cli.demo_view import results
    from slmroute.cli.tables import show

    err.print()
    show(results(found))
    out.print(f"\nEvery call and what it cost: {ledger} (slmroute report --ledger {ledger})", soft_wrap=True)
    out.print(missing or f"The same with pictures: {page}", soft_wrap=True)


def _run(requests: list[Request], model: str | None, ledger: str, *, dry_run: bool) -> DemoSummary:
    import time

    from slmroute.cli.console import err
    from slmroute.cli.demo_view import opening, progress
    from slmroute.demo.run import frontier_tier, run_requests, small_tier
    from slmroute.demo.small import small_model
    from slmroute.demo.summary import summarise
    from slmroute.ledger import Ledger

    frontier = frontier_tier(dry_run=dry_run)
    with Ledger(ledger) as book, small_model(model) as small:
        tiers = (small_tier(small), frontier)
        spec = (frontier.spec or "").partition(":")[2]
        local = f"{small.name} ({small.size}, {small.server})"
        err.print(opening(len(requests), local, spec, dry_run=frontier.dry_run))
        began = time.monotonic()
        with progress(err, len(requests)) as show:
            outcomes = run_requests(requests, *tiers, ledger=book, done=show)
        return summarise(outcomes, small=small, tiers=tiers, seconds=time.monotonic() - began)


def _write_page(found: DemoSummary, ledger: str, began: datetime, path: Path) -> tuple[Path | None, str | None]:
    """Write the page from what the ledger has; without it, say why, where the extra for it is not installed."""
    from slmroute.cli.target import write_target
    from slmroute.demo.page import demo_page
    from slmroute.errors import MissingExtra
    from slmroute.report.facts import read_report
    from slmroute.report.period import Period

    try:
        page = demo_page(found, read_report(ledger, Period(began, datetime.now(UTC))))
    except MissingExtra as error:
        return None, f"No page was written: {error}"
    write_target(path, page, "--report")
    return path, None
