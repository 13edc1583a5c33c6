"""``slmroute train``: fitting a classifier to prompts of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slmroute.cli.console import err, out, print_json
from slmroute.cli.target import check_target
from slmroute.errors import ConfigError
from slmroute.report.wording import counted

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
    grade: Annotated[
        str, typer.Option(help="light, or best: with a sentence embedding (extra embed), which takes a while.")
    ] = "light",
    own: Annotated[bool, typer.Option("--own", help="Fit to the project's own prompts as well.")] = False,
    seed: Annotated[int, typer.Option(help="How templates are filled and sources dealt into folds.")] = 0,
    holdout: Annotated[
        bool,
        typer.Option(
            help="Leave families of sources out in three ways, to calibrate and to report; without it in one way."
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Fit the embedded classifier's weights; the same data and seed give the same file, bit for bit.

    Use the file with EmbeddedClassifier("embedded.npz"). To correct the weights that ship with a few dozen prompts
    instead, see EmbeddedClassifier().fit().
    """
    from slmroute.classify.embedded import SHIPPED
    from slmroute.train import train_embedded

    if grade not in SHIPPED:
        raise ConfigError(f"--grade {grade} must be one of {', '.join(SHIPPED)}.")
    check_target(target, "--out")
    if missing := [str(path) for path in data if not path.is_file()]:
        raise ConfigError(f"--data {missing[0]} is not a file: give JSONL files with a prompt and its tier a row.")
    with err.status("Reading, fitting and leaving sources out; thousands of prompts take some minutes ..."):
        report = train_embedded(data, target, grade=grade, own=own, seed=seed, holdout=holdout)
    if as_json:
        print_json(report.to_dict())
    else:
        out.print(str(report), markup=False, highlight=False)


@app.command()
def sources(
    mirror: Annotated[
        Path, typer.Option(help="A folder of clones named owner+repository.", metavar="FOLDER", show_default=False)
    ],
    target: Annotated[Path, typer.Option("--out", "-o", help="The file for the prompts.", metavar="FILE")] = Path(
        "prompts.jsonl"
    ),
    seed: Annotated[int, typer.Option(help="How texts and instructions are put together.")] = 0,
) -> None:
    """Turn clones of public repositories into labelled prompts for `slmroute train embedded`.

    slmroute/classify/training/SOURCES.md names the repositories, their commits and their licences.
    """
    from slmroute.classify.training.harvest import harvest, written

    check_target(target, "--out")
    if not mirror.is_dir():
        raise ConfigError(f"--mirror {mirror} is not a folder: clone the repositories into one as SOURCES.md says.")
    missing: dict[str, None] = {}
    found = harvest(mirror, seed=seed, missing=lambda name: missing.update({name: None}))
    if not found.rows:
        raise ConfigError(f"--mirror {mirror} holds none of the repositories: clone them as SOURCES.md says.")
    for name in missing:
        err.print(f"no clone of {name}", highlight=False)
    target.write_text("".join(written(found.rows)), encoding="utf-8")
    for source, count in sorted(found.counts.items()):
        out.print(f"{count:6d} {source}", highlight=False, soft_wrap=True)
    err.print(f"{counted(len(found.rows), 'prompt')} in {target}", highlight=False, soft_wrap=True)
