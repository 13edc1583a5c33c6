"""The time a report is about, as people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from slmroute.errors import ConfigError

__all__ = ["Period", "end_of", "moment_of"]

WEEK: Final = timedelta(days=7)

_AGO: Final = re.compile(r"(\d+)\s*([hdw])", re.IGNORECASE)
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": WEEK}

HOW: Final = "write a date (2026-11-23), a time (2026-11-23T08:00), or how long ago (7d, 12h, 2w)"


@dataclass(frozen=True, slots=True)
class Period:
    """A time, its end not included. Everything is in UTC.

    Attributes:
        since: Its beginning.
        until: Its end.
        is_open: Whether it had not ended when it was read, so that more may come.
    """

    since: datetime
    until: datetime
    is_open: bool = field(default=False, compare=False)

    @classmethod
    def read(cls, since: str | None = None, until: str | None = None, *, now: datetime | None = None) -> Period:
        """Read a time; by default the week that ends now.

        Args:
            since: Its beginning; None for a week before its end.
            until: Its end; None for now. A date alone includes that day.
            now: The time of day, for ``until`` and for what is given as so long ago.

        Raises:
            ConfigError: One of them cannot be read, or the end is not after the beginning.
        """
        now = (now or datetime.now(UTC)).astimezone(UTC)
        end = now if until is None else end_of(until, "until", now)
        begin = end - WEEK if since is None else moment_of(since, "since", now)
        if begin >= end:
            raise ConfigError(
                f"--since {begin:%Y-%m-%d %H:%M} is not before --until {end:%Y-%m-%d %H:%M} (UTC): {HOW}."
            )
        return cls(begin, end, is_open=end >= now)

    @property
    def before(self) -> Period:
        """The time of the same length just before."""
        return Period(self.since - (self.until - self.since), self.since)

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.until - self.since

    @property
    def name(self) -> str:
        """What a time of its length is called, for example ``week`` or ``12 days``."""
        days = self.length / timedelta(days=1)
        named = {1: "day", 7: "week"}.get(round(days)) if abs(days - round(days)) < 0.02 else None
        if named is not None:
            return named
        return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"

    def __str__(self) -> str:
        last = self.until - timedelta(microseconds=1)
        whole = self.since == _midnight(self.since) and self.until == _midnight(self.until)
        if whole and last.date() == self.since.date():
            return f"{self.since:%-d %B %Y}"
        if whole and (last.year, last.month) == (self.since.year, self.since.month):
            return f"{self.since:%-d} to {last:%-d %B %Y}"
        if whole:
            return f"{self.since:%-d %B} to {last:%-d %B %Y}"
        if self.since.date() == last.date():
            return f"{self.since:%-d %B %Y, %H:%M} to {self.until:%H:%M} UTC"
        return f"{self.since:%-d %B, %H:%M} to {self.until:%-d %B %Y, %H:%M} UTC"


def moment_of(text: str, setting: str, now: datetime) -> datetime:
    """Read a moment.

    Args:
        text: An ISO date or time (UTC unless it says otherwise), or how long ago: ``7d``.
        setting: The option it was given to, for the error.
        now: What it is ago from.

    Raises:
        ConfigError: It cannot be read.
    """
    if ago := _AGO.fullmatch(text.strip().removesuffix("ago").strip()):
        return now - int(ago[1]) * _UNITS[ago[2].lower()]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f"--{setting} {text} cannot be read: {HOW}.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def end_of(text: str, setting: str, now: datetime) -> datetime:
    """Read the end of a time: as ``moment_of`` does, but a date alone includes that day."""
    end = moment_of(text, setting, now)
    return end + timedelta(days=1) if _is_date(text) else end


def _is_date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text.strip()) is not None


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
