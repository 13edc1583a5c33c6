"""The pictures, as a notebook gets them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from slmroute.report import Period, Report, cost_by_day, failures, latency, money, read_report, shares
from slmroute.report.canvas import NARROW, WIDE
from slmroute.report.charts import CHARTS
from slmroute.report.svg import inline_svg


@pytest.fixture(scope="module")
def report(week: Path, period: Period) -> Report:
    return read_report(week, period)


def texts(figure: Any) -> list[str]:
    """What is written in a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_chart_is_a_figure_that_can_be_saved(report: Report, name: str, width: int) -> None:
    figure = CHARTS[name](report, width)
    assert figure is not None
    assert figure.get_figwidth() * 72 == pytest.approx(width)
    target = io.BytesIO()
    figure.savefig(target, format="png")
    assert target.getvalue().startswith(b"\x89PNG")


def test_bars_are_as_high_as_the_ledger_says(report: Report) -> None:
    figure = cost_by_day(report)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[:7] == [float(day.baseline) if day else 0 for _, day in report.every_day]
    assert heights[7:] == [float(day.compared_cost) if day else 0 for _, day in report.every_day]


def test_money_is_drawn_from_the_dearest_part_down(report: Report) -> None:
    lengths = [bar.get_width() for bar in money(report).axes[0].patches]
    assert lengths[0] == float(report.total.baseline)
    assert lengths[1:] == sorted(lengths[1:], reverse=True)
    assert sum(lengths[1:]) == pytest.approx(float(report.total.cost))


def test_shares_add_up_to_one(report: Report) -> None:
    widths = [bar.get_width() for bar in shares(report).axes[0].patches]
    assert len(widths) == 4
    assert widths[0] + widths[1] == pytest.approx(1)
    assert widths[2] + widths[3] == pytest.approx(1)


def test_failures_stand_against_the_line(report: Report) -> None:
    figure = failures(report)
    assert figure is not None
    assert "5% line" in texts(figure)
    assert {"small", "frontier", "faq", "escalated"} <= set(texts(figure))


def test_a_tier_that_was_a_dry_run_has_no_time(dry_week: Path, period: Period) -> None:
    figure = latency(read_report(dry_week, period))
    assert figure is not None
    assert "small" in texts(figure)
    assert "frontier" not in texts(figure)


def test_where_nothing_was_measured_nothing_is_drawn(report: Report) -> None:
    nobody = tuple(replace(tier, group=None) for tier in report.tiers)
    silent = replace(report, tiers=nobody, failures=(), failures_by_category=())
    assert latency(silent) is None
    assert failures(silent) is None


def test_a_quarter_fits_on_a_phone(week: Path, period: Period) -> None:
    quarter = read_report(week, Period(period.since - timedelta(days=75), period.until))
    labels = [label for label in cost_by_day(quarter, NARROW).axes[0].get_xticklabels() if label.get_text()]
    assert 3 <= len(labels) <= 6


def test_names_in_any_script_are_drawn_without_a_word(report: Report) -> None:
    named = replace(
        report, tiers=tuple(replace(tier, group="$\u8acb\u6c42$ <x> & \U0001f680") for tier in report.tiers[:1])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = inline_svg(shares(named), "any")
    assert "$\u8acb\u6c42$ &lt;x&gt; &amp; \U0001f680" in svg


def test_the_same_report_draws_the_same_picture(report: Report) -> None:
    draw: Callable[[], str] = lambda: inline_svg(money(report), "money")  # noqa: E731
    assert draw() == draw()


def test_a_notebook_shows_a_picture_by_itself(week: Path, period: Period) -> None:
    shown, size = cast("Any", cost_by_day(read_report(week, period)))._repr_png_()  # what IPython asks a last value for
    assert shown.startswith(b"\x89PNG")
    assert int.from_bytes(shown[16:20]) == 2 * size["width"] == 2 * WIDE
