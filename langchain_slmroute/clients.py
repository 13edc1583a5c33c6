"""The clients that a router and its copies call their tiers with."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_slmroute.models import TierModels
from slmroute.tier import Tier

__all__ = ["Clients"]

MOST: Final = 8
"""How many kinds of copies keep theirs: copies are made with every call where fields are configurable."""


class Clients:
    """Gives the models of a router's tiers; copies that would make the same ones share them.

    Safe to use from many threads.
    """

    def __init__(self) -> None:
        self._known: list[tuple[tuple[Tier, ...], Mapping[str, Any], TierModels]] = []
        self._lock = threading.Lock()

    def of(self, tiers: Sequence[Tier], standard: Mapping[str, Any]) -> TierModels:
        """Give the models of tiers.

        Args:
            tiers: The tiers of a router, or of a copy of it.
            standard: The standard arguments for models built from strings.

        Raises:
            ConfigError: A tier's model is no chat model.
        """
        with self._lock:
            for place, (known_tiers, known_standard, models) in enumerate(self._known):
                if known_standard == standard and _same(known_tiers, tiers):
                    self._known.append(self._known.pop(place))
                    return models
            models = TierModels(tiers, standard)
            self._known = [*self._known, (tuple(tiers), standard, models)][-MOST:]
            return models


def _same(ones: Sequence[Tier], others: Sequence[Tier]) -> bool:
    """Whether tiers are the same; models that only look alike are not."""
    return len(ones) == len(others) and all(
        one is other or (one.spec is not None and one == other) for one, other in zip(ones, others, strict=True)
    )
