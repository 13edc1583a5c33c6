"""The time a report is about, as people write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from slmroute.errors import ConfigError
from slmroute.report.period import Period

NOW = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)


def read(since: str | None = None, until: str | None = None) -> Period:
    return Period.read(since, until, now=NOW)


def test_without_dates_it_is_the_week_that_ends_now() -> None:
    assert read() == Period(NOW - timedelta(days=7), NOW)
    assert read().name == "week"


def test_an_end_date_includes_its_day() -> None:
    assert read("2026-11-16", "2026-11-22") == Period(
        datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    )


def test_only_an_end_gives_the_week_before_it() -> None:
    assert read(until="2026-11-22").since == datetime(2026, 11, 16, tzinfo=UTC)


@pytest.mark.parametrize(("text", "ago"), [("12h", timedelta(hours=12)), ("30d", timedelta(30)), ("2w", timedelta(14))])
def test_how_long_ago_is_understood(text: str, ago: timedelta) -> None:
    assert read(text).since == NOW - ago
    assert read(f"{text} ago").since == NOW - ago


def test_other_time_zones_are_turned_into_utc() -> None:
    assert read("2026-11-16T02:00+02:00").since == datetime(2026, 11, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("yesterday", None, "--since yesterday"),
        (None, "soon", "--until soon"),
        ("2026-13-01", None, "--since"),
        ("2026-11-20", "2026-11-18", "not before"),
    ],
)
def test_what_cannot_be_read_says_how_to_write_it(since: str | None, until: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        read(since, until)
    assert "2026-11-23T08:00" in str(caught.value)


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("2026-11-16", "2026-11-22", "16 to 22 November 2026"),
        ("2026-10-26", "2026-11-01", "26 October to 1 November 2026"),
        ("2026-11-16", "2026-11-16", "16 November 2026"),
        ("2026-11-16T08:00", "2026-11-16T09:30", "16 November 2026, 08:00 to 09:30 UTC"),
        ("7d", None, "17 November, 15:30 to 24 November 2026, 15:30 UTC"),
    ],
)
def test_it_is_said_as_people_say_it(since: str, until: str | None, words: str) -> None:
    assert str(read(since, until)) == words


@pytest.mark.parametrize(
    ("since", "until", "name"),
    [("2026-11-16", "2026-11-16", "day"), ("2026-11-01", "2026-11-30", "30 days"), ("36h", None, "36 hours")],
)
def test_its_length_has_a_name(since: str, until: str | None, name: str) -> None:
    assert read(since, until).name == name


def test_the_time_before_is_as_long_and_ends_where_it_begins() -> None:
    period = read("2026-11-16", "2026-11-22")
    assert period.before.until == period.since
    assert period.before.length == period.length
