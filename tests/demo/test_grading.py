"""Grading the demo's answers: what counts as right in whatever words a model wraps it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.demo.requests import Match, Request, is_right, load_requests
from slmroute.errors import ConfigError


def asked(match: Match, *answers: str, labels: tuple[str, ...] = ()) -> Request:
    return Request("some-01", "some", "simple", "?", answers, match, labels)


TICKET = asked("label", "returns", labels=("billing", "delivery", "returns"))
YES = asked("label", "yes", labels=("yes", "no"))


@pytest.mark.parametrize(
    "answer", ["returns", "Returns.", "**returns**", "The category is: returns", "returns, not billing"]
)
def test_a_label_is_right_alone_in_a_sentence_or_in_front(answer: str) -> None:
    assert is_right(TICKET, answer) is True


@pytest.mark.parametrize(
    "answer", ["", "billing", "billing, delivery or returns", "It could be billing or returns.", "Returnsville"]
)
def test_a_wrong_label_several_labels_and_none_are_wrong(answer: str) -> None:
    assert is_right(TICKET, answer) is False


def test_yes_in_front_counts_whatever_follows() -> None:
    assert is_right(YES, "Yes, there is no doubt.") is True
    assert is_right(YES, "No, not yes.") is False
    assert is_right(YES, "Nothing was eyes only.") is False


def test_text_may_stand_anywhere_and_be_written_in_any_accepted_way() -> None:
    request = asked("contains", "3 December", "December 3")
    assert is_right(request, "It arrives on\n3  december, we hope.") is True
    assert is_right(request, "On December 3rd.") is True
    assert is_right(request, "On 4 December.") is False


def test_a_set_is_right_when_every_item_is_named() -> None:
    request = asked("set", "Iceland", "Cyprus", "Malta")
    assert is_right(request, "malta, Cyprus and ICELAND") is True
    assert is_right(request, "Malta and Cyprus") is False


@pytest.mark.parametrize(
    ("right", "answer", "verdict"),
    [
        ("64.95", "The total is £64.95.", True),
        ("64.95", "64,95 EUR", True),
        ("1234.5", "1,234.50", True),
        ("1234.5", "1.234,50", True),
        ("12000", "12,000", True),
        ("12000", "12 000 km", True),
        ("60", "You have 60 days, that is about 2 months.", True),
        ("36", "9 tables of 4 chairs make 36", True),
        ("36", "from 30 over 36 to 40", False),
        ("60", "sixty", False),
        ("60", "600", False),
    ],
)
def test_a_number_is_right_when_it_comes_first_or_last(right: str, answer: str, verdict: bool) -> None:
    assert is_right(asked("number", right), answer) is verdict


def test_what_has_no_right_answer_is_not_graded() -> None:
    assert is_right(Request("some-01", "some", "complex", "?"), "anything") is None


@pytest.mark.parametrize("request_", [each for each in load_requests() if each.match], ids=lambda each: each.id)
def test_the_right_answers_themselves_are_right_and_silence_is_not(request_: Request) -> None:
    right = ", ".join(request_.answers) if request_.match == "set" else request_.answers[0]
    assert is_right(request_, right) is True
    assert is_right(request_, "") is False
    wrong = [label for label in request_.labels if label != request_.answers[0]]
    assert not any(is_right(request_, label) for label in wrong)


@given(st.text(max_size=200))
def test_any_text_can_be_graded(text: str) -> None:
    for request in load_requests(12):
        assert is_right(request, text) in (True, False, None)


def test_a_limit_spreads_over_the_kinds_of_work() -> None:
    everything, few = load_requests(), load_requests(short=True)
    assert len(few) == 16
    assert len(load_requests(5)) == 5
    assert len({request.kind for request in few}) >= 10
    assert 3 <= sum(request.tier == "complex" for request in few) <= 6
    assert load_requests(1000) == everything
    assert {request.team for request in everything} == {"back-office", "support-desk"}


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="limit=0"):
        load_requests(0)
