"""What the classifier sees: the same numbers whether it is looked for in one go or piece by piece, or not at all."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slmroute.classify.features import (
    CHOICE,
    CHOICE_MARKS,
    HASH_BITS,
    SYMBOLS,
    ngram_buckets,
    prompt_features,
    symbols_in,
)

MARKS = st.text(alphabet="ab1 ,/、(){};=>-!`<:#include.", max_size=60)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_no_ngram_reaches_from_one_region_into_the_next(regions: list[str]) -> None:
    alone = [ngram_buckets([text]) + (place << HASH_BITS) for place, text in enumerate(regions)]
    assert np.array_equal(ngram_buckets(regions), np.concatenate(alone))


@given(MARKS)
def test_what_is_not_looked_for_is_not_there(text: str) -> None:
    assert symbols_in(text) == len(SYMBOLS.findall(text))
    assert CHOICE.search(text) is None or any(mark in text for mark in CHOICE_MARKS)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "329c48317c507e89"),
        ("Is this review positive? 'I loved it, 10 of 10.'", "ea928b9af017c687"),
        ("Prove that f(x) = x^2 is convex; use `numpy` or words.\n\nText: " + "Größe 漢字 " * 300, "eedebc6672361199"),
    ],
)
def test_features_are_those_that_the_weights_were_fitted_to(text: str, digest: str) -> None:
    found = prompt_features(text)
    # Machines may differ in the last digit of a logarithm.
    rounded = [np.rint(1000 * part).astype(np.int64).tobytes() for part in (found.dense, found.values)]
    content = found.buckets.tobytes() + b"".join(rounded)
    assert sha256(content).hexdigest()[:16] == digest
