"""``slmroute audit``: what routing would have done to a log of past calls."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from slmroute.audit import Assumptions

app = typer.Typer()


@app.command()
def audit(
    files: Annotated[list[Path], typer.Argument(help="Logs: JSON lines, JSON, CSV, Parquet, plain text; also .gz.")],
    *,
    places: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="THING=FIELD", help="Where a thing stands: --map prompt=inputs.question; repeat."
        ),
    ] = None,
    sample: Annotated[int, typer.Option(help="How many calls to draw at random.")] = 10_000,
    everything: Annotated[
        bool, typer.Option("--all", help="Look at every call: about 0.5 ms for each wording.")
    ] = False,
    frontier: Annotated[
        str, typer.Option(help="The model whose list price is used where the log has no cost.")
    ] = "openai:gpt-4.1",
    frontier_price: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="Its price: dollars for a million tokens.", show_default=False)
    ] = None,
    answer_tokens: Annotated[int, typer.Option(help="Tokens of an answer where the log does not tell.")] = 200,
    rate: Annotated[
        list[str] | None, typer.Option(metavar="CURRENCY=DOLLARS", help="What one of it is in dollars; repeat.")
    ] = None,
    show_prompts: Annotated[int, typer.Option(help="Show so many prompts of each kind of task.", min=0)] = 0,
    weights: Annotated[Path | None, typer.Option(help="A classifier's weights; default: those that ship.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Give the results as JSON.")] = False,
) -> None:
    """Find what a log of past calls would have cost with routing, before anything is changed.

    Formats are found: OpenAI requests and responses, exports of LangSmith and Langfuse, logs of LiteLLM, plain prompts.
    Nothing leaves this machine and no prompt is shown unless --show-prompts asks for it. Things to --map: prompt,
    input_tokens, output_tokens, tokens_from_cache, cost, currency, model, provider, latency_ms, latency_s, began,
    ended, category, cached.
    """
    import os

    from slmroute.audit import audit as look
    from slmroute.cli.console import print_json

    with _progress() as told:
        found = look(
            files,
            places=dict(_split(text, "--map", "prompt=FIELD") for text in places or ()),
            sample=sample,
            everything=everything,
            assumed=_assumed(frontier, frontier_price, answer_tokens, rate or ()),
            weights=None if weights is None else str(weights),
            show=show_prompts,
            processes=os.cpu_count() or 1,
            progress=told,
        )
    if as_json:
        print_json(found.to_json())
        return
    from slmroute.cli.audit_view import audit_view
    from slmroute.cli.tables import show as show_tables

    show_tables(audit_view(found))


def _assumed(frontier: str, price: str | None, answer_tokens: int, rates: Sequence[str]) -> Assumptions:
    from slmroute.audit import Assumptions
    from slmroute.errors import ConfigError
    from slmroute.tier import money

    prices: tuple[Decimal, Decimal] | None = None
    if price is not None:
        tokens_in, comma, tokens_out = price.partition(",")
        if not comma:
            raise ConfigError(f"--frontier-price {price}: write two amounts, for example --frontier-price 2,8")
        prices = money(tokens_in, "--frontier-price"), money(tokens_out, "--frontier-price")
    pairs = [_split(text, "--rate", "EUR=1.08") for text in rates]
    return Assumptions(
        frontier=frontier,
        prices=prices,
        answer_tokens=answer_tokens,
        rates={name: money(amount, f"--rate {name}") for name, amount in pairs},
    )


def _split(text: str, option: str, example: str) -> tuple[str, str]:
    from slmroute.errors import ConfigError

    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ConfigError(f"{option} {text}: write for example {option} {example}")
    return name.strip(), value.strip()


@contextmanager
def _progress() -> Generator[Callable[[int, int], None]]:
    """Show how far it is, on standard error and only in a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from slmroute.cli.console import err

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, description="judging", completed=done, total=total)

        yield show
