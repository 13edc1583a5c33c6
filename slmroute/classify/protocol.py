"""What a complexity classifier is: the one protocol that all of them meet."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

from slmroute.errors import ConfigError
from slmroute.request import RouteRequest
from slmroute.steps import Usage

__all__ = ["Classification", "Classifier", "ClassifierLike", "aasked", "asked", "check_classifier"]


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


def check_classifier(given: object, setting: str) -> None:
    """Refuse what cannot be asked.

    Args:
        given: What was given for a classifier.
        setting: What the error calls the setting.

    Raises:
        ConfigError: It is a class, not yet made an object, or has no ``score`` and cannot be called.
    """
    if isinstance(given, type):
        raise ConfigError(f"{setting}={given.__name__} is a class: make one of it, {given.__name__}(...).")
    if not (callable(given) or hasattr(given, "score")):
        raise ConfigError(
            f"{setting}={given!r} must have score(request), or be a callable from a RouteRequest to the complexity "
            "from 0 to 1."
        )


def asked(classifier: ClassifierLike, request: RouteRequest) -> object:
    """Ask a classifier in the fullest way it has."""
    for name in ("classify", "score"):
        method = getattr(classifier, name, None)
        if method is not None:
            return method(request)
    return cast("Callable[[RouteRequest], object]", classifier)(request)


async def aasked(classifier: ClassifierLike, request: RouteRequest) -> object:
    """Do what ``asked`` does without holding up the event loop."""
    for name in ("aclassify", "ascore"):
        method = getattr(classifier, name, None)
        if method is not None:
            return await method(request)
    found = await asyncio.to_thread(asked, classifier, request)
    return await cast("Awaitable[object]", found) if inspect.isawaitable(found) else found
