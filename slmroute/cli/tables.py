"""Tables for terminals: in a narrow one cells go on in the next line, and no number is cut or broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slmroute.cli.console import out

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Column, Table

__all__ = ["fitted", "show"]

LEAST_NAME = 11
"""What a column of names keeps; longer ones are folded."""


def show(*parts: RenderableType, console: Console = out) -> None:
    """Print what a command found, with its tables whole.

    A table that does not fit into the terminal goes past its edge, where the terminal breaks the line.

    Args:
        parts: Tables, groups of them, and text.
        console: Where to.
    """
    from rich.console import Group
    from rich.table import Table

    for part in parts:
        for one in part.renderables if isinstance(part, Group) else (part,):
            console.print(fitted(one, console) if isinstance(one, Table) else one, highlight=False, crop=False)


def fitted(table: Table, console: Console) -> Table:
    """Give a table's columns widths that fit the console, as far as whole words do."""
    from rich.measure import Measurement

    wanted = [max(map(cells_of, lines_of(column)), default=1) for column in table.columns]
    least = [least_width(column, place) for place, column in enumerate(table.columns)]
    # What stands between the columns is what the table takes beyond their contents.
    between = Measurement.get(console, console.options.update(width=10_000), table).maximum - sum(wanted)
    while between + sum(wanted) > console.width:
        spare = [now - fewest for now, fewest in zip(wanted, least, strict=True)]
        if max(spare) <= 0:
            break
        widest = max((place for place, some in enumerate(spare) if some > 0), key=wanted.__getitem__)
        wanted[widest] -= 1
    for column, width in zip(table.columns, wanted, strict=True):
        column.width = width
        column.overflow = "fold"
    table.width = between + sum(wanted)
    return table


def least_width(column: Column, place: int) -> int:
    """Give the width that a column must keep: of numbers their longest word, of names what can be read."""
    lines = lines_of(column)
    parts = lines if column.no_wrap else [word for line in lines for word in line.split()]
    longest = max(map(cells_of, parts), default=1)
    names = place == 0 and column.justify == "left" and not column.no_wrap
    return min(longest, LEAST_NAME) if names else longest


def lines_of(column: Column) -> list[str]:
    """Give the texts of a column, its heading the first."""
    return [str(cell) for cell in (column.header, *column.cells)]


def cells_of(text: str) -> int:
    """Give the columns that a text takes on the screen."""
    from rich.cells import cell_len

    return cell_len(text)
