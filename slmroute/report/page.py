"""The page: one self-contained HTML file that opens offline, on a phone and on paper, in light and dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from slmroute.errors import MissingExtra
from slmroute.report.advice import Advice
from slmroute.report.canvas import NARROW, WIDE
from slmroute.report.palette import DARK, LIGHT
from slmroute.report.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Mood", "Page", "Picture", "Section", "Table", "Tile", "picture", "render"]

Mood = Literal["good", "bad", ""]


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers in rows; the first column names each row.

    Attributes:
        caption: What it holds.
        columns: The columns' names.
        rows: The cells, as they are read.
        wide_only: Columns that a phone has no room for; the others say enough.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide_only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, drawn twice: for a screen or paper, and for a phone.

    Attributes:
        text: What it shows, for those who cannot see it.
        wide: The SVG for a screen or paper.
        narrow: The SVG for a phone.
    """

    text: str
    wide: str = field(repr=False)
    narrow: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure that stands out.

    Attributes:
        name: What it is.
        value: The figure.
        note: What to know of it.
        mood: Whether it is good or bad news.
    """

    name: str
    value: str
    note: str
    mood: Mood = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        lines: Paragraphs.
        steps: Things to do, in order.
        points: A list of facts.
        picture: A chart; the tables then stand under it, folded up.
        tables: Numbers.
    """

    title: str
    lines: tuple[str, ...] = ()
    steps: tuple[Advice, ...] = ()
    points: tuple[str, ...] = ()
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All that stands on a page.

    Attributes:
        title: The document's title.
        kicker: A line above the headline: what this is, and of when.
        headline: The one thing to know.
        mood: Whether it is good or bad news.
        lead: The sentence under it.
        asides: What qualifies it.
        warning: What must not be overlooked, or None.
        tiles: The figures that stand out.
        sections: The parts.
        footer: Where it comes from, and what words mean.
    """

    title: str
    kicker: str
    headline: str
    mood: Mood
    lead: str
    asides: tuple[str, ...] = ()
    warning: str | None = None
    tiles: tuple[Tile, ...] = ()
    sections: tuple[Section, ...] = ()
    footer: tuple[str, ...] = ()


def picture(name: str, text: str, draw: Callable[[int], Figure | None]) -> Picture | None:
    """Draw a chart for the page.

    Args:
        name: A name that is unique on the page.
        text: What it shows.
        draw: Draws it at a width in pixels; gives None where there is nothing to draw.
    """
    wide, narrow = draw(WIDE), draw(NARROW)
    if wide is None or narrow is None:
        return None
    return Picture(text, inline_svg(wide, f"{name}-wide", "wide"), inline_svg(narrow, f"{name}-narrow", "narrow"))


def render(page: Page) -> str:
    """Write a page as HTML.

    Args:
        page: The page. Text in it is escaped; only charts are put in as they are.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    css = _template("page.css").render(light=_variables(LIGHT), dark=_variables(DARK))
    # The style sheet is the project's own; everything else that goes in is escaped.
    return _template("page.html.jinja").render(page=page, css=_markup(css))


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())


@cache
def _template(name: str) -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtra("report", "The report as a page") from None
    loader = PackageLoader("slmroute.report")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(name)


def _markup(text: str) -> object:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  our own style sheet
