"""Refitting the embedded classifier on a user's own labelled prompts, starting from the weights that ship."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slmroute.classify.embedded import check_texts
from slmroute.classify.features import BUCKETS, prompt_features
from slmroute.classify.linear import Everyday, LinearWeights
from slmroute.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

__all__ = ["FEWEST_EACH", "FEWEST_PROMPTS", "refit", "refit_beside"]

FEWEST_PROMPTS = 40
FEWEST_EACH = 10
FEWEST_FOR_THRESHOLD = 60
"""With so many complex prompts the lowest 5% are at least three, and a threshold of one's own means something."""

SKETCH = 512
PULLS = (1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5
ROUNDS = 30
RECALL = 0.95


@dataclass(frozen=True, slots=True)
class Examples:
    """The labelled prompts as numbers: features and n-gram sketch side by side, the shipped log-odds, the labels."""

    columns: Matrix
    offsets: Matrix
    labels: Matrix


def refit(weights: LinearWeights, texts: Sequence[str], labels: Sequence[float]) -> LinearWeights:
    """Correct weights by labelled prompts.

    The corrections are the maximum a posteriori estimate of a logistic regression whose prior is normal around the
    weights at hand: without evidence nothing moves, and much evidence overrules them. How strongly the prior pulls is
    chosen by 5-fold cross-validation. Of the hashed n-grams 512 sums with random signs are corrected (the count sketch
    of Charikar, Chen and Farach-Colton, 2002), which bounds the work and folds back into the weights exactly.

    Args:
        weights: Where to start.
        texts: The prompts.
        labels: 1 or True for complex, 0 or False for simple, or a probability in between.

    Returns:
        The corrected weights. The threshold keeps 95% of the complex prompts above it in cross-validation when there
        are 60 or more of them, and stays where it was otherwise.

    Raises:
        ConfigError: Too few prompts, one class only, or labels that are no probabilities.
    """
    return refit_beside(weights, texts, labels, None)[0]


def refit_beside(
    weights: LinearWeights, texts: Sequence[str], labels: Sequence[float], beside: Matrix | None
) -> tuple[LinearWeights, Matrix]:
    """Correct weights by labelled prompts, and fit weights for further features with them.

    Args:
        weights: Where to start; see ``refit``.
        texts: The prompts.
        labels: See ``refit``.
        beside: Further features of each prompt, one a row, or None.

    Returns:
        The corrected weights, and one weight for each of the further features.
    """
    import numpy as np

    truths = checked(texts, labels)
    examples = gathered(weights, texts, truths)
    further = 0 if beside is None else beside.shape[1]
    if beside is not None:
        examples = Examples(np.hstack([beside, examples.columns]), examples.offsets, examples.labels)
    folds = np.arange(len(texts)) % FOLDS
    order = np.argsort(examples.labels, kind="stable")
    folds[order] = np.arange(len(texts)) % FOLDS
    held_out = {pull: out_of_fold(examples, folds, pull) for pull in PULLS}
    pull = min(PULLS, key=lambda one: (cross_entropy(held_out[one], examples.labels), -one))
    own, change = np.split(corrections(examples, pull), [further])
    features = len(weights.dense)
    spread = sketch_signs() * change[features + sketch_slots()]
    threshold = weights.threshold
    complex_scores = held_out[pull][examples.labels >= 0.5]
    if len(complex_scores) >= FEWEST_FOR_THRESHOLD:
        threshold = float(1 / (1 + np.exp(-np.quantile(complex_scores, 1 - RECALL))))

    def moved(part: LinearWeights | Everyday) -> dict[str, Any]:
        return {
            "dense": (part.dense + change[:features]).astype(np.float32),
            "hashed": (part.hashed + spread).astype(np.float16),
            "bias": part.bias + float(change[-1]),
        }

    # What both log-odds move by, their combination moves by.
    everyday = None if weights.everyday is None else replace(weights.everyday, **moved(weights.everyday))
    refitted = replace(weights, **moved(weights), threshold=threshold, refitted=len(texts), everyday=everyday)
    return refitted, own


def checked(texts: Sequence[str], labels: Sequence[float]) -> list[float]:
    """Check that the texts are texts, the labels probabilities, and that there are enough of either kind."""
    check_texts(texts, "fit")
    try:
        truths = [float(label) for label in labels]
    except (TypeError, ValueError):
        truths = [math.nan] * len(labels)
    if len(truths) != len(texts):
        raise ConfigError(
            f"EmbeddedClassifier.fit has {len(texts)} texts for {len(truths)} labels: give one label for each."
        )
    if not all(math.isfinite(truth) and 0 <= truth <= 1 for truth in truths):
        raise ConfigError(
            "EmbeddedClassifier.fit(labels=) must be True (complex) or False (simple), or numbers from 0 to 1."
        )
    hard = sum(truth >= 0.5 for truth in truths)
    easy = len(truths) - hard
    if len(truths) < FEWEST_PROMPTS or min(hard, easy) < FEWEST_EACH:
        raise ConfigError(
            f"EmbeddedClassifier.fit needs at least {FEWEST_PROMPTS} labelled prompts, {FEWEST_EACH} of them simple "
            f"and {FEWEST_EACH} complex; it got {easy} simple and {hard} complex. "
            f"Label {max(0, FEWEST_EACH - easy)} more simple and "
            f"{max(0, FEWEST_EACH - hard)} more complex prompts, {max(0, FEWEST_PROMPTS - len(truths))} more in all."
        )
    return truths


def sketch_slots() -> NDArray[np.int64]:
    """Give the sum that each n-gram bucket goes into."""
    import numpy as np

    return np.arange(BUCKETS) % SKETCH


def sketch_signs() -> Matrix:
    """Give the sign with which each n-gram bucket goes into its sum."""
    import numpy as np

    mixed = (np.arange(BUCKETS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63)
    return mixed.astype(np.float64) * 2 - 1


def gathered(weights: LinearWeights, texts: Sequence[str], labels: list[float]) -> Examples:
    """Read the prompts into one matrix."""
    import numpy as np

    signs = sketch_signs()
    features = len(weights.dense)
    columns = np.zeros((len(texts), features + SKETCH + 1))
    offsets = np.zeros(len(texts))
    for row, text in enumerate(texts):
        found = prompt_features(text)
        offsets[row] = weights.log_odds(found)
        columns[row, :features] = found.dense
        np.add.at(columns[row], features + found.buckets % SKETCH, signs[found.buckets] * found.values)
        columns[row, -1] = 1.0
    return Examples(columns, offsets, np.array(labels))


def corrections(examples: Examples, pull: float) -> Matrix:
    """Find the corrections by Newton's method, in the dual form where there are fewer prompts than features."""
    import numpy as np

    columns, offsets, labels = examples.columns, examples.offsets, examples.labels
    kernel = columns @ columns.T / pull
    shares = np.zeros(len(labels))
    for _ in range(ROUNDS):
        logits = offsets + kernel @ shares
        chance = 1 / (1 + np.exp(-np.clip(logits, -40, 40)))
        curve = np.maximum(chance * (1 - chance), 1e-6)
        step = np.linalg.solve(kernel + np.diag(1 / curve), kernel @ shares + (labels - chance) / curve)
        moved = float(np.abs(step - shares).max())
        shares = shares + (step - shares) * min(1.0, 1.0 / max(moved, 1e-12))
        if moved < 1e-8:
            break
    return columns.T @ shares / pull


def out_of_fold(examples: Examples, folds: NDArray[np.int64], pull: float) -> Matrix:
    """Give the log-odds of every prompt by corrections that have not seen it."""
    import numpy as np

    logits = np.zeros(len(folds))
    for fold in range(FOLDS):
        seen, unseen = folds != fold, folds == fold
        part = Examples(examples.columns[seen], examples.offsets[seen], examples.labels[seen])
        logits[unseen] = examples.offsets[unseen] + examples.columns[unseen] @ corrections(part, pull)
    return logits


def cross_entropy(logits: Matrix, labels: Matrix) -> float:
    """Give the mean cross-entropy of log-odds."""
    import numpy as np

    return float(np.mean(np.logaddexp(0, logits) - labels * logits))
