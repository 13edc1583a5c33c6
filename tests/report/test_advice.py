"""What a report tells to do next, and that it names its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from slmroute.failures import FailureRate
from slmroute.ledger.summary import CallSummary, Machine
from slmroute.report import Period, Report, advice_of, read_report


@pytest.fixture(scope="module")
def calm(week: Path, period: Period) -> Report:
    """A report in which nothing is wrong."""
    report = read_report(week, period)
    return replace(
        report,
        total=replace(report.total, degraded=0, degraded_gain=Decimal(0)),
        failures=(FailureRate("small", None, 1000, {"said": 10}),),
        failures_by_category=(),
        called=tuple(replace(tier, unpriced=0, errors={}) for tier in report.called),
        reasons=(),
        keys=(),
    )


def whole(report: Report) -> str:
    return " ".join(f"{advice.what} {advice.why}" for advice in advice_of(report))


def test_when_nothing_is_wrong_it_says_so(calm: Report) -> None:
    assert whole(calm).startswith("Nothing is pressing.")


def test_a_loss_comes_first(calm: Report) -> None:
    losing = replace(calm, total=replace(calm.total, baseline=calm.total.compared_cost - 1))
    assert "costs more than it saves" in advice_of(losing)[0].what
    assert "$1 more" in advice_of(losing)[0].why


def test_failures_over_the_line_name_the_kinds_of_task(calm: Report) -> None:
    kinds = (FailureRate("small", "faq", 300, {"said": 60}), FailureRate("small", "summary", 700, {"said": 20}))
    over = replace(calm, failures=(FailureRate("small", None, 1000, {"said": 80}),), failures_by_category=kinds)
    assert "faq (20% of 300)" in whole(over)
    assert "summary" not in whole(over)
    assert "80 of 1000 answers of small failed: 8%" in whole(over)


def test_one_answer_is_one_answer(calm: Report) -> None:
    over = replace(calm, failures=(FailureRate("small", None, 1, {"said": 1}),))
    assert "1 of 1 answer of small failed" in whole(over)


def test_many_weaker_answers_than_wanted_ask_why(calm: Report) -> None:
    weak = replace(calm, total=replace(calm.total, degraded=100))
    assert "See why better tiers did not answer" in whole(weak)
    assert "100 calls (16.3%) got a weaker answer than wanted." in whole(weak)


def test_failures_over_the_line_without_kinds_ask_for_tags(calm: Report) -> None:
    over = replace(calm, failures=(FailureRate("small", None, 1000, {"said": 80}),))
    assert "Lower the threshold" in whole(over)
    assert "category:..." in whole(over)


def test_too_few_looked_at_asks_for_feedback(calm: Report) -> None:
    few = replace(calm, failures=(FailureRate("small", None, 20, {}),))
    assert "model.feedback" in whole(few)
    assert "only 20 answers were seen" in whole(few)


def test_missing_prices_and_outages_are_named(calm: Report) -> None:
    called = tuple(
        replace(tier, unpriced=3, errors={"ConnectError": tier.attempts}) if tier.group == "small" else tier
        for tier in calm.called
    )
    said = whole(replace(calm, called=called, reasons=(CallSummary(group="default", calls=50),)))
    assert "Set input_price= and output_price= (or hour_price=) of small" in said
    assert "classifier could not be asked" in said
    assert "most of them ConnectError" in said


def test_a_projection_asks_for_a_real_model(dry_week: Path, period: Period) -> None:
    assert "Put a real model in place of the dry run" in whole(read_report(dry_week, period))


def test_a_machine_that_idles_is_named(calm: Report) -> None:
    machine = Machine(tier="small", since=calm.period.since, until=calm.period.since + timedelta(hours=10), calls=5,
                      rent=Decimal(10), charged=Decimal(1))  # fmt: skip
    assert "stood idle for $9" in whole(replace(calm, machines=(machine,)))


def test_there_are_never_more_than_five(week: Path, period: Period) -> None:
    assert 1 <= len(advice_of(read_report(week, period))) <= 5
