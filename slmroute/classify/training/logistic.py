"""The one place that touches scikit-learn: logistic regressions on dense features and on hashed n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from slmroute.classify.features import BUCKETS, feature_names, prompt_features
from slmroute.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Linear", "Matrices", "fit_linear", "matrices_of"]

DENSE_C = 0.003
NGRAM_C = 10.0
LEAST_SPREAD = 0.05
"""Added to the spread that dense features are divided by, so that rare ones are not blown up."""

MOST_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Matrices:
    """Prompts as numbers: dense features, and n-grams as a scipy CSR matrix of rows of unit length."""

    dense: NDArray[np.float32]
    ngrams: Any

    def rows(self, chosen: NDArray[np.bool_]) -> Matrices:
        """Give some of the rows."""
        return Matrices(self.dense[chosen], self.ngrams[chosen])


@dataclass(frozen=True, slots=True)
class Linear:
    """Two logistic regressions whose log-odds are averaged: their weights, halved, and the sum of their intercepts."""

    dense: Vector
    hashed: Vector
    bias: float

    def log_odds(self, matrices: Matrices) -> Vector:
        """Give the averaged log-odds of each row."""
        return cast("Vector", matrices.dense @ self.dense + matrices.ngrams @ self.hashed + self.bias)


def matrices_of(texts: Sequence[str]) -> Matrices:
    """Read prompts into matrices.

    Raises:
        MissingExtra: scipy is not installed.
    """
    import numpy as np

    try:
        from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]  scipy ships no types
    except ImportError as error:
        raise MissingExtra("lab", "slmroute train embedded") from error
    dense = np.zeros((len(texts), len(feature_names())), dtype=np.float32)
    buckets, values, ends = list["NDArray[np.int64]"](), list["NDArray[np.float32]"](), [0]
    for row, text in enumerate(texts):
        found = prompt_features(text)
        dense[row] = found.dense
        buckets.append(found.buckets)
        values.append(found.values)
        ends.append(ends[-1] + len(found.buckets))
    parts = (np.concatenate(values), np.concatenate(buckets), np.array(ends))
    make = cast("Any", sparse).csr_matrix
    return Matrices(dense, make(parts, shape=(len(texts), BUCKETS)))


def fit_linear(matrices: Matrices, labels: NDArray[np.bool_]) -> Linear:
    """Fit both regressions, the classes weighted alike, on one thread so that the same rows give the same bits.

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
    with cast("Any", threadpool_limits)(limits=1):
        fits = [
            regression(C=c, max_iter=MOST_ROUNDS, class_weight="balanced").fit(columns, labels)
            for c, columns in ((DENSE_C, (matrices.dense - middle) / spread), (NGRAM_C, matrices.ngrams))
        ]
    dense, hashed = [cast("Vector", fit.coef_[0]) / len(fits) for fit in fits]
    dense = dense / spread
    bias = sum(float(fit.intercept_[0]) for fit in fits) / len(fits) - float(dense @ middle)
    return Linear(dense, hashed, bias)
