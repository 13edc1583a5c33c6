"""What kind of task a prompt is taken for in reports."""

from __future__ import annotations

import pytest

from slmroute.audit.categories import category_of


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Write a Python class for an LRU cache with tests", "code"),
        ("Which class does this belong to: sports or politics?\n\nThe match ended 2 to 1.", "classification"),
        ("Label each function below as pure or impure", "classification"),
        ("Classe ce message : facturation, livraison ou autre\n\nMon colis n'est pas là", "classification"),
        ("Classify this ticket: billing, delivery or account\n\nMy parcel is late", "classification"),
    ],
)
def test_a_class_in_code_is_no_class_to_sort_into(text: str, category: str) -> None:
    assert category_of(text) == category
