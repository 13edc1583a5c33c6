"""``slmroute train``: fitting a classifier to prompts of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slmroute.cli.console import err, out, print_json
from slmroute.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.callback()
def train() -> None:
    """Fit a classifier to prompts of your own."""


@app.command()
def embedded(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            "-d",
            help="JSONL, a row a prompt: prompt, tier (simple or complex), source (owner/repository:part), optionally "
            "category. May be given several times.",
            metavar="FILE",
        ),
    ],
    target: Annotated[Path, typer.Option("--out", "-o", help="The weights file to write.", metavar="FILE")] = Path(
        "embedded.npz"
    ),
    seed: Annotated[int, typer.Option(help="How templates are filled and sources dealt into folds.")] = 0,
    holdout: Annotated[
        bool,
        typer.Option(help="Leave whole families of sources out in three ways and report how it does on them."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fit the embedded classifier's weights; the same data and seed give the same file, bit for bit.

    Use the file with EmbeddedClassifier("embedded.npz"). To correct the weights that ship with a few dozen prompts
    instead, see EmbeddedClassifier().fit().
    """
    from slmroute.train import train_embedded

    if missing := [str(path) for path in data if not path.is_file()]:
        raise ConfigError(f"--data {missing[0]} is not a file: give JSONL files with a prompt and its tier a row.")
    with err.status("Reading, fitting and leaving sources out; thousands of prompts take some minutes ..."):
        report = train_embedded(data, target, seed=seed, holdout=holdout)
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(str(report), markup=False, highlight=False)
