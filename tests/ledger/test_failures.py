"""What counts as a failed answer, and how sure one may be of the rate."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest  # pyright: ignore[reportUnknownVariableType]

from slmroute.failures import FailureRate, failure_of, wilson
from slmroute.ledger import Ledger, LedgerReader


@pytest.mark.parametrize(
    ("role", "fault", "confidence", "said", "kind"),
    [
        ("final", None, None, None, None),
        ("final", None, 0.9, False, "said"),
        ("final", "empty", 0.1, True, None),
        ("draft", "bad_json", None, None, "invalid"),
        ("draft", "bad_json", None, True, "invalid"),  # the word is about the answer that was given
        ("draft", "low_confidence", 0.7, None, None),
        ("draft", "low_confidence", 0.4, None, "judged"),
        ("draft", "low_confidence", None, None, None),
        ("draft", "aborted", None, None, "judged"),
        ("final", None, 0.4, None, "judged"),
    ],
)
def test_an_answer_has_failed_when(
    role: Any, fault: str | None, confidence: float | None, said: bool | None, kind: str | None
) -> None:
    assert failure_of(role, fault, confidence, said) == kind


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_interval_is_wilsons(failures: int, good: int) -> None:
    answers = failures + good
    low, high = wilson(failures, answers)
    if answers == 0:
        assert (low, high) == (0, 1)
        return
    expected = binomtest(failures, answers).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= failures / answers <= high


@pytest.mark.parametrize(
    ("failures", "answers", "verdict"),
    [
        (0, 0, "open"),
        (0, 70, "open"),
        (0, 75, "under"),
        (1, 10, "open"),
        (5, 20, "over"),
        (2, 100, "open"),
        (4, 220, "under"),
    ],
)
def test_a_verdict_is_given_once_the_interval_has_left_the_line(failures: int, answers: int, verdict: str) -> None:
    rate = FailureRate("small", None, answers, {"invalid": failures})
    assert rate.verdict == verdict
    assert rate.rate == (failures / answers if answers else None)


def test_the_ledger_gives_rates_by_tier_and_category(
    ledger: Ledger, reader: LedgerReader, make: Any, attempt: Any
) -> None:
    tagged = {"tags": ("category:faq",)}
    bad = make(attempt(), **tagged)
    overruled = make(attempt(), **tagged)
    for record in (
        bad,
        overruled,
        make(attempt(role="draft", fault="empty"), attempt(tier="frontier"), **tagged),
        make(attempt(role="draft", fault="low_confidence", confidence=0.3), attempt(tier="frontier")),
        make(attempt(role="draft", fault="low_confidence", confidence=0.8), attempt(tier="frontier", dry_run=True)),
        make(attempt(role="failed", error="TimeoutError"), attempt(role="classifier", tier="c"), minutes=90),
    ):
        ledger.write(record)
    ledger.feedback(bad.call_id, good=False, source="judge")
    ledger.feedback(overruled.call_id, good=True)
    ledger.feedback(overruled.call_id, good=False, source="judge")
    ledger.feedback("of no call", good=False)
    assert ledger.flush()
    assert reader.failures() == [
        FailureRate("frontier", None, 2, {}),
        FailureRate("small", None, 5, {"said": 1, "invalid": 1, "judged": 1}),
    ]
    assert reader.failures(by_category=True) == [
        FailureRate("frontier", None, 1, {}),
        FailureRate("frontier", "faq", 1, {}),
        FailureRate("small", None, 2, {"judged": 1}),
        FailureRate("small", "faq", 3, {"said": 1, "invalid": 1}),
    ]
    assert reader.failures(since=bad.started_at + timedelta(hours=1)) == []
