"""The ``slmroute`` command.

To add a command:

1. Write ``slmroute/cli/NAME.py``. It defines ``app``; one command makes ``slmroute NAME``, a callback with commands
   under it makes the group ``slmroute NAME ...`` (a group of one needs the callback, too)::

       app = typer.Typer()

       @app.command()
       def prune(older_than_days: Annotated[int, typer.Option(help="...")] = 90) -> None:
           '''Delete old calls.'''

   The function's docstring is the help text. Whatever is heavy or optional is imported inside the function: the module
   itself is loaded for ``slmroute NAME --help``.
2. Give it one line in ``slmroute.cli.commands.COMMANDS``. That line is what ``slmroute --help`` shows, which loads none
   of the modules.
3. Print through ``slmroute.cli.console``: ``out`` and ``err`` are rich consoles, ``print_json(data)`` for ``--json``.
   Raise errors of ``slmroute.errors`` for what the user can mend: each becomes one line on stderr and exit code 2. For
   a check that was made and found something, ``raise typer.Exit(1)``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from slmroute.errors import MissingExtra, SlmrouteError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: What follows ``slmroute`` on the command line; None for the process's own.

    Raises:
        SystemExit: Always: 0 done; 1 a check found a problem; 2 an error of usage, settings or surroundings, told in
            one line on stderr; 130 interrupted.
    """
    try:
        from slmroute.cli.commands import run
        from slmroute.cli.console import print_error
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.stderr.write(f"{MissingExtra('cli', 'The command line')}\n")
        raise SystemExit(2) from None
    try:
        run(arguments)
    except SlmrouteError as error:
        print_error(error)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
