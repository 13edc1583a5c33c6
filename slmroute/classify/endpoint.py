"""The embedded classifier with embeddings of the user's own beside its features: a model's behind an endpoint, say."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from slmroute.classify.embedded import ASKS_NOTHING, EmbeddedClassifier, check_texts
from slmroute.errors import ClassifierUnavailable, ConfigError
from slmroute.request import RouteRequest, checked_request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slmroute.classify.features import Features
    from slmroute.classify.linear import LinearWeights

    Matrix = NDArray[np.float64]

__all__ = ["Embed", "EndpointClassifier"]

Embed = Callable[[list[str]], Sequence[Sequence[float]]]
"""Gives the embedding of each text, all of the same length: any LangChain embeddings' ``embed_documents``."""

AT_ONCE: Final = 32
"""How many texts are embedded in one request, which is what the usual servers take."""
LENGTH: Final = 6.0
"""How long the embeddings are made: twice as long as the other features together, for what a model of language makes of
an instruction tells more. How far to go by it all the same is settled by cross-validation."""


class EndpointClassifier(EmbeddedClassifier):
    """What ``EmbeddedClassifier.fit(..., embed=...)`` gives: weights for its features, and for those embeddings.

    The instruction of a prompt is embedded, without the text that it is about. Every score is a request to whatever
    embeds; when that cannot be asked, calls go to the router's default tier, as with any classifier.
    """

    _embed: Embed
    _mean: Matrix
    _own: Matrix

    @classmethod
    def fitted(cls, weights: LinearWeights, texts: Sequence[str], labels: Sequence[float], embed: Embed) -> Self:
        """Fit one.

        Args:
            weights: Where to start.
            texts: The prompts.
            labels: 1 or True for complex, 0 or False for simple, or a probability in between.
            embed: Embeds texts.

        Raises:
            ConfigError: See ``EmbeddedClassifier.fit``; or what ``embed`` gives are no embeddings.
        """
        from slmroute.classify.features import prompt_features
        from slmroute.classify.refit import checked, refit_beside

        checked(texts, labels)
        found = _embedded(embed, [prompt_features(text) for text in texts])
        mean = found.mean(axis=0)
        made = cls()
        made._weights, made._own = refit_beside(weights, texts, labels, _unit(found - mean))
        made._in_memory, made._embed, made._mean = True, embed, mean
        return made

    def __repr__(self) -> str:
        """Say which weights these are."""
        return f"<EndpointClassifier of weights in memory, {self.version}>"

    def __getstate__(self) -> dict[str, object]:
        """Give what a copy needs; pickling it takes an ``embed`` that can be pickled."""
        return {**super().__getstate__(), "_embed": self._embed, "_mean": self._mean, "_own": self._own}

    @property
    def version(self) -> str:
        """The weights' name, noted in the ledger; it changes with any of them."""
        digest = sha256(self._mean.tobytes() + self._own.tobytes())
        return f"{super().version}-endpoint-{digest.hexdigest()[:10]}"

    async def ascore(self, request: RouteRequest) -> float:
        """Judge a request in a thread, for whatever embeds has to be waited for.

        Args:
            request: The request; only its task is read.

        Returns:
            P(the task is complex) in [0, 1].

        Raises:
            ClassifierUnavailable: What was given is no embedding of those that were fitted.
        """
        return await asyncio.to_thread(self._score, checked_request(request, "EmbeddedClassifier.ascore").task)

    def score_many(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Judge many texts with few requests; see ``EmbeddedClassifier.score_many``."""
        import numpy as np

        from slmroute.classify.features import prompt_features

        check_texts(texts, "score_many")
        weights, read = self._loaded(), [prompt_features(text) for text in texts]
        logits = np.array([weights.log_odds(found) for found in read]) + self._log_odds(read)
        scores = 1 / (1 + np.exp(-np.clip(logits, -40, 40)))
        return np.where([bool(text.strip()) for text in texts], scores, ASKS_NOTHING)

    def fit(self, texts: Sequence[str], labels: Sequence[float], *, embed: Embed | None = None) -> EmbeddedClassifier:
        """Fit anew on other prompts; see ``EmbeddedClassifier.fit``. Only the other features' weights are kept."""
        return self.fitted(self._loaded(), texts, labels, embed or self._embed)

    def save(self, path: Path | str) -> Path:
        """Refuse: a file cannot hold whatever embeds.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            f"EmbeddedClassifier.save(path={str(path)!r}): weights fitted with embed= are of no use without it. Pickle "
            "the classifier, or fit it again where it is used; without embed= it can be saved."
        )

    def _score(self, text: str) -> float:
        from slmroute.classify.features import prompt_features

        if not text.strip():
            return ASKS_NOTHING
        read = prompt_features(text)
        logit = self._loaded().log_odds(read) + float(self._log_odds([read])[0])
        return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

    def _log_odds(self, read: Sequence[Features]) -> Matrix:
        try:
            found = _embedded(self._embed, read)
        except ConfigError as error:
            raise ClassifierUnavailable(str(error)) from error
        if found.shape[1:] != self._mean.shape:
            raise ClassifierUnavailable(
                f"embed= gave {found.shape[1]} numbers for a text, and was fitted with {len(self._mean)}: fit again."
            )
        return _unit(found - self._mean) @ self._own


def _embedded(embed: Embed, read: Sequence[Features]) -> Matrix:
    import numpy as np

    # Servers refuse empty texts.
    texts = [features.instruction.strip() or "-" for features in read]
    rows: list[Sequence[float]] = []
    for start in range(0, len(texts), AT_ONCE):
        rows.extend(embed(texts[start : start + AT_ONCE]))
    try:
        found = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"embed= must give a list of numbers for each text, all of one length: {error}") from error
    if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
        raise ConfigError(
            f"embed= must give a list of finite numbers for each text: {len(texts)} texts were given, and what came "
            f"back has the shape {found.shape}."
        )
    return found


def _unit(rows: Matrix) -> Matrix:
    import numpy as np

    return rows * (LENGTH / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
