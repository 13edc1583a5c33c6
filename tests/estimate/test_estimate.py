"""The arithmetic of routing: the textbook's figures to the cent, ranges, and laws that hold at any price."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.errors import ConfigError
from slmroute.estimate import Mix, TierShare, bill, break_even, estimate


def test_80_percent_simple_costs_700_a_month_and_0_007_a_call() -> None:
    month = estimate(100_000, simple="0.8", classifier="0.0002", small="0.001", frontier="0.03").month
    assert (month.classifier, month.tiers["small"], month.tiers["frontier"]) == (20, 80, 600)
    assert month.total == 700
    assert month.per_call == Decimal("0.007")
    assert month.baseline == 3000
    assert month.saved == 2300


def test_90_percent_simple_costs_410_a_month() -> None:
    month = estimate(simple="0.9").month
    assert month.total == 410
    assert month.per_call == Decimal("0.0041")


def test_a_year_is_twelve_months_and_a_million_calls_cost_7000() -> None:
    found = estimate()
    assert found.year.total == 8400
    assert found.year.saved == 27_600
    assert found.million.total == 7000


def test_without_a_range_the_mix_is_varied_by_ten_points() -> None:
    found = estimate(simple="0.8")
    assert found.ranges == ("simple 0.7 to 0.9",)
    assert found.least.total == 990
    assert found.most.total == 410


def test_ranges_span_all_their_corners() -> None:
    found = estimate((50_000, 100_000), simple=("0.7", "0.9"), frontier=("0.02", "0.04"))
    assert found.month.calls == 75_000
    assert found.mix.local_share == Decimal("0.8")
    assert found.least.saved == bill(50_000, two_tiers("0.7", frontier="0.02")).saved
    assert found.most.saved == bill(100_000, two_tiers("0.9", frontier="0.04")).saved
    assert found.ranges == ("volume 50,000 to 100,000", "simple 0.7 to 0.9", "frontier 0.02 to 0.04")


def test_answers_asked_again_are_paid_twice() -> None:
    month = estimate(escalated="0.05").month
    assert month.escalations == 120
    assert month.total == 820
    assert month == estimate().failing


def test_three_tiers_cost_what_each_part_costs() -> None:
    tiers = [TierShare(name, Decimal(share), Decimal(price)) for name, share, price in
             (("micro", "0.5", "0.0005"), ("mid", "0.3", "0.004"), ("frontier", "0.2", "0.03"))]  # fmt: skip
    found = estimate(tiers=tiers)
    assert found.month.total == 20 + 25 + 120 + 600
    assert found.ranges == ("local 0.7 to 0.9",)
    assert sum(found.least.tiers.values()) == Decimal("21.875") + 105 + 900


def test_at_the_break_even_share_nothing_is_saved() -> None:
    share = break_even(two_tiers("0.8"))
    assert share is not None
    assert abs(bill(100_000, two_tiers("0.8").with_local_share(share)).saved) < Decimal("1e-15")


def test_where_small_answers_are_dearer_routing_never_pays() -> None:
    found = estimate(small="0.03", frontier="0.03")
    assert found.break_even is None
    assert found.month.saved == -20


def test_no_calls_and_no_prices_are_no_error() -> None:
    assert estimate(0).month.per_call is None
    assert estimate(frontier="0", small="0", classifier="0").month.saved_share is None


def test_json_holds_money_as_exact_strings() -> None:
    found = json.loads(json.dumps(estimate().to_json()))
    assert found["month"]["per_call"] == "0.007"
    assert found["month"]["tiers"] == {"small": "80", "frontier": "600"}
    assert found["month"]["saved_share"] == pytest.approx(0.766667)
    assert [mix["local_share"] for mix in found["mixes"]][:2] == ["0.5", "0.6"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"simple": "1.2"}, "simple=1.2"),
        ({"simple": "most"}, "simple='most'"),
        ({"volume": "12.5"}, "volume=12.5"),
        ({"volume": "-1"}, "volume=-1"),
        ({"volume": "a lot"}, "volume=a lot"),
        ({"small": "-0.001"}, "small="),
        ({"simple": ("0.9", "0.7")}, "from 0.9 down to 0.7"),
        ({"tiers": [TierShare("small", Decimal("0.8"), Decimal(0)), TierShare("big", Decimal("0.1"), Decimal(1))]},
         "add up to 0.9"),
        ({"tiers": [TierShare("one", Decimal("0.5"), Decimal(0)), TierShare("one", Decimal("0.5"), Decimal(1))]},
         "Two tiers are called 'one'"),
        ({"tiers": [TierShare("only", Decimal(1), Decimal(1))]}, "two or more"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        estimate(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("volume", ["1,000,000", "1_000_000", "1e6"])
def test_volumes_can_be_written_as_people_write_them(volume: str) -> None:
    assert estimate(volume).month.calls == 1_000_000


shares = st.decimals("0", "1", places=3)
prices = st.decimals("0", "5", places=6)


@given(volume=st.integers(0, 10**9), simple=shares, escalated=shares, classifier=prices, small=prices, frontier=prices)
def test_saved_is_always_baseline_minus_all_that_is_paid(
    *, volume: int, simple: Decimal, escalated: Decimal, classifier: Decimal, small: Decimal, frontier: Decimal
) -> None:
    found = estimate(volume, simple=simple, escalated=escalated, classifier=classifier, small=small, frontier=frontier)
    month = found.month
    assert month.saved == month.baseline - month.classifier - sum(month.tiers.values()) - month.escalations
    assert found.least.saved <= month.saved <= found.most.saved
    assert found.year.total == 12 * month.total


@given(shares, shares)
def test_a_mix_moved_to_another_share_still_adds_up(share: Decimal, other: Decimal) -> None:
    moved = two_tiers(share).with_local_share(other)
    assert moved.local_share == other
    assert sum(tier.share for tier in moved.tiers) == 1


def two_tiers(share: str | Decimal, *, frontier: str = "0.03") -> Mix:
    simple = Decimal(share)
    tiers = (TierShare("small", simple, Decimal("0.001")), TierShare("frontier", 1 - simple, Decimal(frontier)))
    return Mix(tiers=tiers, classifier=Decimal("0.0002"))


@pytest.mark.parametrize("value", ["abc", "-0.1", "120%", "1.5", "nan", "inf", "%", "0.8 EUR @ 2", ""])
def test_what_is_no_share_is_told_as_such(value: str) -> None:
    with pytest.raises(ConfigError, match=r"simple=.* must be a share from 0 to 1 \(or a percentage: 80%\)"):
        estimate(1000, simple=value)
