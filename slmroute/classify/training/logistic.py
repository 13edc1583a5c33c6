"""The one place that touches scikit-learn: logistic regressions on dense features, hashed n-grams and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from slmroute.classify.features import BUCKETS, feature_names, prompt_features
from slmroute.classify.sentence import DIMENSIONS, sentence_embedding
from slmroute.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Linear", "Matrices", "fit_linear", "matrices_of"]

DENSE_C = 0.003
NGRAM_C = 10.0
EMBEDDING_C = 6.75
LEAST_SPREAD = 0.05
"""Added to the spread that dense features are divided by, so that rare ones are not blown up."""

MOST_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Matrices:
    """Prompts as numbers.

    Attributes:
        dense: Concepts and structure.
        ngrams: The n-grams as a scipy CSR matrix.
        embedding: The instruction's embedding, and again where there is a payload (else zeros), of shape
            ``(rows, 2 * 384)``; None for the light grade.
    """

    dense: NDArray[np.float32]
    ngrams: Any
    embedding: NDArray[np.float32] | None = None

    def rows(self, chosen: NDArray[np.bool_]) -> Matrices:
        """Give some of the rows."""
        embedding = None if self.embedding is None else self.embedding[chosen]
        return Matrices(self.dense[chosen], self.ngrams[chosen], embedding)


@dataclass(frozen=True, slots=True)
class Linear:
    """Logistic regressions whose log-odds are averaged: their weights and intercepts, divided by how many they are."""

    dense: Vector
    hashed: Vector
    bias: float
    embedding: Vector | None = None

    def log_odds(self, matrices: Matrices) -> Vector:
        """Give the averaged log-odds of each row."""
        total = cast("Vector", matrices.dense @ self.dense + matrices.ngrams @ self.hashed + self.bias)
        if self.embedding is not None and matrices.embedding is not None:
            total = total + matrices.embedding @ self.embedding
        return total


def matrices_of(texts: Sequence[str], grade: str = "light", tick: Callable[[], object] | None = None) -> Matrices:
    """Read prompts into matrices.

    Args:
        texts: The prompts.
        grade: ``best`` embeds their instructions, too.
        tick: Called after each prompt.

    Raises:
        MissingExtra: scipy, or what the best grade embeds with, is not installed.
    """
    import numpy as np

    try:
        from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]  scipy ships no types
    except ImportError as error:
        raise MissingExtra("lab", "slmroute train embedded") from error
    dense = np.zeros((len(texts), len(feature_names())), dtype=np.float32)
    meant = np.zeros((len(texts), 2 * DIMENSIONS), dtype=np.float32) if grade == "best" else None
    buckets, values, ends = list["NDArray[np.int64]"](), list["NDArray[np.float32]"](), [0]
    for row, text in enumerate(texts):
        found = prompt_features(text)
        dense[row] = found.dense
        buckets.append(found.buckets)
        values.append(found.values)
        ends.append(ends[-1] + len(found.buckets))
        if meant is not None:
            meant[row, :DIMENSIONS] = sentence_embedding(found.instruction)
            meant[row, DIMENSIONS:] = meant[row, :DIMENSIONS] * found.payload
        if tick is not None:
            tick()
    parts = (np.concatenate(values), np.concatenate(buckets), np.array(ends))
    make = cast("Any", sparse).csr_matrix
    return Matrices(dense, make(parts, shape=(len(texts), BUCKETS)), meant)


def fit_linear(matrices: Matrices, labels: NDArray[np.bool_]) -> Linear:
    """Fit the regressions, the classes weighted alike, on one thread so that the same rows give the same bits.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]
        from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("lab", "slmroute train embedded") from error
    import numpy as np

    regression = cast("Any", LogisticRegression)
    middle = matrices.dense.mean(axis=0, dtype=np.float64)
    spread = matrices.dense.std(axis=0, dtype=np.float64) + LEAST_SPREAD
    columns: list[tuple[float, Any]] = [(DENSE_C, (matrices.dense - middle) / spread), (NGRAM_C, matrices.ngrams)]
    if matrices.embedding is not None:
        columns.append((EMBEDDING_C, matrices.embedding))
    with cast("Any", threadpool_limits)(limits=1):
        fits = [regression(C=c, max_iter=MOST_ROUNDS, class_weight="balanced").fit(part, labels) for c, part in columns]
    weights = [cast("Vector", fit.coef_[0]) / len(fits) for fit in fits]
    dense = weights[0] / spread
    bias = sum(float(fit.intercept_[0]) for fit in fits) / len(fits) - float(dense @ middle)
    return Linear(dense, weights[1], bias, weights[2] if len(weights) > 2 else None)
