"""What a complexity classifier is: the one protocol that all of them meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from slmroute.request import RouteRequest
from slmroute.steps import Usage

__all__ = ["Classification", "Classifier", "ClassifierLike"]


@dataclass(frozen=True, slots=True)
class Classification:
    """What a classifier found, and what finding it took.

    Attributes:
        score: P(the task is complex) in [0, 1].
        usage: The tokens it took, or None when no model was called.
        model: The model's name, where one was called.
        provider: Who served it.
    """

    score: float
    usage: Usage | None = None
    model: str | None = None
    provider: str | None = None


@runtime_checkable
class Classifier(Protocol):
    """Scores the complexity of a request.

    An implementation may also have ``ascore(request)`` (without it, asynchronous calls run ``score`` in a thread),
    ``classify(request)`` and ``aclassify(request)`` (a ``Classification``, when tokens are spent), ``threshold`` (the
    one it ships with), ``version`` (noted in the ledger) and ``input_price``/``output_price`` (dollars for a million
    tokens).
    """

    def score(self, request: RouteRequest, /) -> float:
        """Give P(the task is complex) in [0, 1].

        Raises:
            ClassifierUnavailable: It cannot be asked, or what it said cannot be trusted. The call then goes to the
                default tier; any other error does the same.
        """
        ...


ClassifierLike = Classifier | Callable[[RouteRequest], float]
"""A classifier, or a plain callable from a request to its score."""
