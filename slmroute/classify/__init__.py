"""Complexity classifiers: how likely is it that a request needs a large model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slmroute.classify.chain import ChainClassifier as ChainClassifier
    from slmroute.classify.embedded import EmbeddedClassifier as EmbeddedClassifier
    from slmroute.classify.few_shot import FewShotClassifier as FewShotClassifier
    from slmroute.classify.protocol import Classification as Classification
    from slmroute.classify.protocol import Classifier as Classifier

__all__ = ["ChainClassifier", "Classification", "Classifier", "EmbeddedClassifier", "FewShotClassifier"]

_HOMES = {
    "ChainClassifier": "chain",
    "Classification": "protocol",
    "Classifier": "protocol",
    "EmbeddedClassifier": "embedded",
    "FewShotClassifier": "few_shot",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
