"""The tree of errors: what they also are, and that they can be copied to other processes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from slmroute import errors
from slmroute.errors import MissingExtra, NoTierAnswered, SlmrouteError, UnknownTier

KINDS = [getattr(errors, name) for name in errors.__all__]
MADE: list[Exception] = [
    UnknownTier("smal", ["small", "frontier"]),
    MissingExtra("langchain", "The adapter"),
    NoTierAnswered("both failed", [ConnectionError("a"), TimeoutError("b")]),
    *(kind("message") for kind in KINDS if kind not in (UnknownTier, MissingExtra, NoTierAnswered)),
]


def test_every_error_is_ours_and_drawn_in_the_tree() -> None:
    for kind in KINDS:
        assert issubclass(kind, SlmrouteError)
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("ConfigError", ValueError),
        ("MissingExtra", ImportError),
        ("ServerUnreachable", ConnectionError),
        ("Misconfigured", PermissionError),
        ("DeadlineExceeded", TimeoutError),
        ("NoTierAnswered", ExceptionGroup),
    ],
)
def test_some_are_also_what_others_catch(name: str, also: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), also)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_errors_pickle_and_copy(error: Any) -> None:
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert type(copied) is type(error)
        assert str(copied) == str(error)


def test_a_group_can_be_split_by_its_causes() -> None:
    group = NoTierAnswered("both failed", [ConnectionError("a"), TimeoutError("b")])
    matched, rest = group.split(ConnectionError)
    assert isinstance(matched, NoTierAnswered)
    assert isinstance(rest, NoTierAnswered)
    caught: list[str] = []
    try:
        raise group
    except* TimeoutError as late:
        caught += [str(error) for error in late.exceptions]
    except* ConnectionError as down:
        caught += [str(error) for error in down.exceptions]
    assert sorted(caught) == ["a", "b"]


def test_an_unknown_tier_is_matched_with_what_it_is_like() -> None:
    assert "Did you mean 'small'?" in str(UnknownTier("smal", ["small", "frontier"]))
    assert "Did you mean" not in str(UnknownTier("x", ["small", "frontier"]))


def test_a_missing_extra_gives_the_command() -> None:
    error = MissingExtra("ledger", "The ledger")
    assert str(error) == 'The ledger needs the extra "ledger": pip install "slmroute[ledger]"'
