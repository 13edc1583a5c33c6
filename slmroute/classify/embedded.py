"""The complexity classifier that runs in process: no server, no download, about a millisecond."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Self

from slmroute.errors import ConfigError
from slmroute.request import RouteRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slmroute.classify.linear import LinearWeights

__all__ = ["EmbeddedClassifier"]

AT_ONCE_CHARACTERS = 1500
"""Prompts up to this length are scored on the event loop itself: handing them to a thread would take longer."""

SHIPPED = "embedded.npz"


class EmbeddedClassifier:
    """Judges in process how likely a task is to need a large model.

    It tells the instruction from the text it is about, looks at what is asked (task verbs in a dozen languages, code,
    mathematics, output constraints, question forms) and at the instruction's character n-grams, and adds up fitted
    weights: an average of logistic regressions, calibrated by Platt scaling on sources that the fit had not seen. The
    length of a text does not count, and what a text says about its own difficulty or about models is ignored. numpy is
    all it needs. Of a long text the first 6,000 and the last 3,000 characters are read.

    The weights are loaded with the first score. It can be used from any number of threads and event loops at once,
    copied and pickled.

    Args:
        weights: A file made by ``save`` or by ``slmroute train embedded``; None for the weights that ship.

    Raises:
        ConfigError: ``weights`` names no file. Whether the file fits is seen when it is loaded.

    Example:
        >>> classifier = EmbeddedClassifier()
        >>> classifier.score(RouteRequest.from_text("Is this review positive? 'I loved it.'")) < classifier.threshold
        True
    """

    def __init__(self, weights: Path | str | None = None) -> None:
        if weights is not None and not Path(weights).is_file():
            raise ConfigError(
                f"EmbeddedClassifier(weights={os.fspath(weights)!r}) is not a file: leave weights= out for the "
                "weights that ship, or fit your own with: slmroute train embedded --data PROMPTS.jsonl --out PATH"
            )
        self._path = None if weights is None else Path(weights)
        self._weights: LinearWeights | None = None
        self._in_memory = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Say which weights these are, without loading them."""
        if self._in_memory and self._weights is not None:
            return f"<EmbeddedClassifier of weights in memory, {self._weights.version}>"
        return f"EmbeddedClassifier({'' if self._path is None else repr(str(self._path))})"

    def __getstate__(self) -> dict[str, object]:
        """Give what a copy needs: weights that are in no file themselves, of others only the file's name."""
        return {
            "_path": self._path,
            "_weights": self._weights if self._in_memory else None,
            "_in_memory": self._in_memory,
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    @property
    def threshold(self) -> float:
        """The score above which a task goes up: about 95% of complex tasks from unseen sources do, with a margin."""
        return self._loaded().threshold

    @property
    def version(self) -> str:
        """The weights' name, noted in the ledger; it changes with any of them."""
        return self._loaded().version

    def score(self, request: RouteRequest) -> float:
        """Judge a request.

        Args:
            request: The request; only its text is read.

        Returns:
            P(the task is complex) in [0, 1].

        Raises:
            ConfigError: The weights file does not fit this version.
        """
        return self._score(request.text)

    async def ascore(self, request: RouteRequest) -> float:
        """Judge a request without holding up the event loop: longer texts are read in a thread.

        Args:
            request: The request; only its text is read.

        Returns:
            P(the task is complex) in [0, 1].

        Raises:
            ConfigError: The weights file does not fit this version.
        """
        if self._weights is not None and len(request.text) <= AT_ONCE_CHARACTERS:
            return self._score(request.text)
        return await asyncio.to_thread(self._score, request.text)

    def score_many(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Judge many texts.

        Args:
            texts: The prompts.

        Returns:
            P(the task is complex) of each, of shape ``(len(texts),)``.

        Raises:
            ConfigError: The weights file does not fit this version.
        """
        import numpy as np

        return np.array([self._score(text) for text in texts], dtype=np.float64)

    def fit(self, texts: Sequence[str], labels: Sequence[float]) -> EmbeddedClassifier:
        """Refit a copy on labelled prompts of your own.

        Your prompts correct the weights at hand instead of replacing them: a logistic regression whose prior is these
        weights, so that a few dozen prompts nudge it and a few thousand overrule it. How far is settled by
        cross-validation. numpy suffices.

        Args:
            texts: At least 40 prompts.
            labels: True for complex, False for simple, or a number from 0 to 1; at least 10 of either kind.

        Returns:
            The refitted copy; this classifier stays as it is. ``save`` keeps it. Its threshold is one of its own when
            at least 60 prompts are complex.

        Raises:
            ConfigError: There are too few prompts, with how many are missing, or labels that are no probabilities.
        """
        from slmroute.classify.refit import refit

        return EmbeddedClassifier.of(refit(self._loaded(), texts, labels))

    def save(self, path: Path | str) -> Path:
        """Write the weights to a file that ``EmbeddedClassifier(path)`` reads.

        Args:
            path: The file; its folder must be there. An older file is replaced in one step.

        Returns:
            The file's path.

        Raises:
            ConfigError: It cannot be written.
        """
        target = Path(path)
        draft = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            draft.write_bytes(self._loaded().to_bytes())
            draft.replace(target)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ConfigError(f"EmbeddedClassifier.save(path={str(target)!r}) cannot write there: {error}") from error
        return target

    @classmethod
    def of(cls, weights: LinearWeights) -> Self:
        """Make a classifier of weights in memory.

        Args:
            weights: The weights.

        Returns:
            A classifier that carries them along when it is copied or pickled.
        """
        made = cls()
        made._weights, made._in_memory = weights, True
        return made

    def _score(self, text: str) -> float:
        from slmroute.classify.features import prompt_features

        logit = self._loaded().log_odds(prompt_features(text))
        return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

    def _loaded(self) -> LinearWeights:
        weights = self._weights
        if weights is None:
            with self._lock:
                weights = self._weights
                if weights is None:
                    weights = self._weights = self._read()
        return weights

    def _read(self) -> LinearWeights:
        from slmroute.classify.linear import LinearWeights

        if self._path is not None:
            return LinearWeights.from_file(self._path)
        with as_file(files("slmroute.classify").joinpath("weights", SHIPPED)) as shipped:
            return LinearWeights.from_file(shipped)
