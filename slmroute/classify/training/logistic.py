"""The one place that touches scikit-learn: the models whose log-odds the embedded classifier averages."""

from __future__ import annotations

import warnings
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

__all__ = ["EverydayFit", "Fit", "Matrices", "fit_models", "matrices_of"]

NGRAM_C = 10.0
EMBEDDING_C = 6.75
MOST_ROUNDS = 1000
LEAST_SPREAD = 0.05
"""Added to the spread that dense features are divided by, so that rare ones are not blown up."""

UNITS = 32
NETWORKS = 4
EPOCHS = 12
RIDGE = 1.0
BATCH = 256
EVERYDAY_C = {"hashed": 3.0, "dense": 0.3, "embedding": 3.0}
EVERYDAY_SLOPE = 3.0
EVERYDAY_MARGIN = 6.25
"""How much surer than even the models must be that a message is an everyday one. Measured with sources left out: a half
less costs a tenth of a point of AUC, and keeps four in a hundred everyday messages of unseen kinds more simple."""

FEWEST_EVERYDAY = 40
EMBEDDING_SCALE = 6.0
"""What the embedding's dimensions, of which none is above 0.2, are multiplied by beside the dense features."""


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
class Hidden:
    """Networks of one hidden layer side by side, their outputs divided so that they add up to the mean.

    Attributes:
        inputs: One row for each unit.
        offsets: What each unit adds.
        outputs: What each unit counts.
        bias: What is added in the end.
    """

    inputs: Vector
    offsets: Vector
    outputs: Vector
    bias: float

    def log_odds(self, columns: NDArray[Any]) -> Vector:
        """Give the mean log-odds of each row."""
        import numpy as np

        return np.maximum(columns @ self.inputs.T + self.offsets, 0) @ self.outputs + self.bias


@dataclass(frozen=True, slots=True)
class EverydayFit:
    """Logistic regressions on n-grams, on dense features and on the embedding, averaged, scaled and moved.

    Attributes:
        hashed: The weights of the n-grams.
        dense: Those of the dense features.
        embedding: Those of the embedding; None for the light grade.
        bias: What is added in the end.
    """

    hashed: Vector
    dense: Vector
    embedding: Vector | None
    bias: float

    def log_odds(self, matrices: Matrices) -> Vector:
        """Give each row's log-odds of "complex" against everyday messages."""
        total = cast("Vector", matrices.ngrams @ self.hashed) + matrices.dense @ self.dense + self.bias
        if self.embedding is not None and matrices.embedding is not None:
            total = total + matrices.embedding[:, :DIMENSIONS] @ self.embedding
        return total


@dataclass(frozen=True, slots=True)
class Fit:
    """Models whose log-odds are averaged: their weights, divided by how many models there are.

    Attributes:
        hashed: The logistic regression on n-grams.
        hidden: The networks on dense features, for the best grade on the embedding, too.
        embedding: The logistic regression on the embedding; None for the light grade.
        bias: The sum of all intercepts, divided alike.
        everyday: What tells complex prompts from everyday messages; None where there are hardly any to fit on.
    """

    hashed: Vector
    hidden: Hidden
    embedding: Vector | None
    bias: float
    everyday: EverydayFit | None

    def log_odds(self, matrices: Matrices) -> Vector:
        """Give the averaged log-odds of each row, everyday messages left aside."""
        columns = beside(matrices.dense, matrices.embedding)
        total = cast("Vector", matrices.ngrams @ self.hashed) + self.hidden.log_odds(columns) + self.bias
        if self.embedding is not None and matrices.embedding is not None:
            total = total + matrices.embedding @ self.embedding
        return total


def beside(dense: NDArray[np.float32], embedding: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Put the embedding beside the dense features."""
    import numpy as np

    return dense if embedding is None else np.hstack([dense, embedding[:, :DIMENSIONS]])


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
        from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]
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


def fit_models(matrices: Matrices, labels: NDArray[np.bool_], everyday: NDArray[np.bool_]) -> Fit:
    """Fit all models, on one thread so that the same rows give the same bits.

    Simple prompts are of two kinds, which are told from complex ones apart: work on a text, and everyday messages.
    Everyday messages count as the other kind where they are too few, or the only simple ones.

    Args:
        matrices: The prompts.
        labels: True where complex.
        everyday: True where an everyday message.

    For the light grade these are a logistic regression on the n-grams and small networks on the dense features; for the
    best grade also a logistic regression on the embedding, and networks on the dense features beside it.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    import numpy as np

    try:
        from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("lab", "slmroute train embedded") from error
    simple = everyday & ~labels
    apart = simple.sum() >= FEWEST_EVERYDAY and bool((~labels & ~simple).any())
    with cast("Any", threadpool_limits)(limits=1):
        aside = everyday_fit(matrices.rows(labels | simple), labels[labels | simple]) if apart else None
        if apart:
            matrices, labels = matrices.rows(~simple), labels[~simple]
        hashed, intercept = regression(matrices.ngrams, labels, NGRAM_C)
        plain = np.ones(matrices.dense.shape[1], dtype=np.float64)
        layers = [networks(matrices.dense, labels, plain)]
        intercepts, meant = [intercept], None
        if matrices.embedding is not None:
            meant, intercept = regression(matrices.embedding, labels, EMBEDDING_C)
            intercepts.append(intercept)
            columns = beside(matrices.dense, matrices.embedding)
            scale = np.concatenate([plain, np.full(DIMENSIONS, EMBEDDING_SCALE)])
            layers.append(networks(columns, labels, scale))
    models = len(intercepts) + len(layers)
    width = layers[-1].inputs.shape[1]
    hidden = Hidden(
        np.vstack([np.pad(layer.inputs, ((0, 0), (0, width - layer.inputs.shape[1]))) for layer in layers]),
        np.concatenate([layer.offsets for layer in layers]),
        np.concatenate([layer.outputs for layer in layers]) / models,
        0.0,
    )
    bias = (sum(intercepts) + sum(layer.bias for layer in layers)) / models
    return Fit(hashed / models, hidden, None if meant is None else meant / models, bias, aside)


def everyday_fit(matrices: Matrices, labels: NDArray[np.bool_]) -> EverydayFit:
    """Fit what tells complex prompts from everyday messages; there are no others among the rows."""
    import numpy as np

    hashed, intercept = regression(matrices.ngrams, labels, EVERYDAY_C["hashed"])
    middle = matrices.dense.mean(axis=0, dtype=np.float64)
    spread = matrices.dense.std(axis=0, dtype=np.float64) + LEAST_SPREAD
    dense, added = regression((matrices.dense - middle) / spread, labels, EVERYDAY_C["dense"])
    dense = dense / spread
    intercepts, meant = [intercept, added - float(dense @ middle)], None
    if matrices.embedding is not None:
        meant, added = regression(matrices.embedding[:, :DIMENSIONS], labels, EVERYDAY_C["embedding"])
        intercepts.append(added)
    share = EVERYDAY_SLOPE / len(intercepts)
    embedding = None if meant is None else meant * share
    return EverydayFit(hashed * share, dense * share, embedding, sum(intercepts) * share + EVERYDAY_MARGIN)


def regression(columns: Any, labels: NDArray[np.bool_], c: float) -> tuple[Vector, float]:
    """Fit a logistic regression, the classes weighted alike, and give its weights and its intercept."""
    try:
        from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("lab", "slmroute train embedded") from error
    fit = cast("Any", LogisticRegression)(C=c, max_iter=MOST_ROUNDS, class_weight="balanced").fit(columns, labels)
    return cast("Vector", fit.coef_[0]), float(fit.intercept_[0])


def networks(columns: NDArray[np.float32], labels: NDArray[np.bool_], scale: Vector) -> Hidden:
    """Fit small networks that differ in their random beginnings only, and put them side by side.

    Args:
        columns: The features, as they are when the classifier is used.
        labels: True where complex.
        scale: What each column is multiplied by after it has been standardised (those of scale 1) or centred.
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning  # pyright: ignore[reportMissingTypeStubs]
    from sklearn.neural_network import MLPClassifier  # pyright: ignore[reportMissingTypeStubs]

    middle = columns.mean(axis=0, dtype=np.float64)
    spread = np.where(scale == 1, columns.std(axis=0, dtype=np.float64) + LEAST_SPREAD, 1 / scale)
    put = ((columns - middle) / spread).astype(np.float32)
    found: list[Hidden] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is what it is stopped by
        for beginning in range(NETWORKS):
            network = cast("Any", MLPClassifier)(
                (UNITS,), alpha=RIDGE, max_iter=EPOCHS, batch_size=min(BATCH, len(labels)), random_state=beginning
            ).fit(put, labels)
            inputs = network.coefs_[0].T.astype(np.float64) / spread
            offsets = network.intercepts_[0] - inputs @ middle
            outputs = network.coefs_[1][:, 0].astype(np.float64) / NETWORKS
            found.append(Hidden(inputs, offsets, outputs, float(network.intercepts_[1][0]) / NETWORKS))
    return Hidden(
        np.vstack([one.inputs for one in found]),
        np.concatenate([one.offsets for one in found]),
        np.concatenate([one.outputs for one in found]),
        sum(one.bias for one in found),
    )
