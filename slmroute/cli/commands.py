"""The commands there are, and the group that loads each of them only when it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["COMMANDS", "app", "run"]

COMMANDS = {
    "demo": "Route a support desk's requests between a small model and a frontier tier, and see what it saves.",
    "serve": "Serve a small model over Ollama's protocol on a machine without Ollama.",
    "route": "Tell which tier a text goes to, and why.",
    "doctor": "Check the tiers, the classifier, keys and extras, and tell how to mend what is wrong.",
    "audit": "Find what a log of past calls would have cost with routing.",
    "estimate": "Work out what routing would save at a volume of calls.",
    "report": "Write a report of what was routed, spent and saved.",
    "feedback": "Record whether an answer was good.",
    "ledger": "Look after the ledger: prune, export, stats.",
    "train": "Fit a classifier to prompts of your own.",
    "tune": "Tune a router to prompts of your own: thresholds, few-shot examples.",
    "calibrate": "Calibrate the confidence in a small model's answers on labelled ones.",
    "evaluate": "Measure a router on labelled prompts or recorded outcomes.",
}
"""Every command with the line that ``slmroute --help`` shows. ``slmroute.cli.NAME`` holds it, as ``app``."""


class LazyCommands(TyperGroup):
    """The group of commands, listed from ``COMMANDS`` and loaded one by one when run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, line in COMMANDS.items():
            self.add_command(TyperCommand(name, help=line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is to be run, and load it."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and loaded(listed.name or ""), rest


def loaded(name: str) -> Any:
    """Import a command's module and build the command."""
    module = import_module(f"slmroute.cli.{name}")
    command = typer.main.get_command(module.app)
    command.name = name
    # Of each Typer's own accord there are options here that install completion for the shell.
    command.params = [param for param in command.params if not str(param.name).endswith("_completion")]
    return command


app = typer.Typer(
    name="slmroute",
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from importlib.metadata import version

        from slmroute.cli.console import out

        out.print(f"slmroute {version('slmroute')}", highlight=False)
        raise typer.Exit


@app.callback()
def slmroute(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Route each LLM call to the cheapest model able to answer it."""


def run(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit; errors of ours come out unchanged.

    Args:
        arguments: What follows ``slmroute``; None for the process's own.
    """
    # The command itself, not the Typer object: the latter would print tracebacks in its own way.
    typer.main.get_command(app).main(args=None if arguments is None else list(arguments), prog_name="slmroute")
