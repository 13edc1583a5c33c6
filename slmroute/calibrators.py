"""Calibrators fitted on labelled outcomes: token log-probabilities become P(the answer is good)."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from slmroute.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slmroute.policy import Confidence

__all__ = ["ALL_FEATURES", "FEATURES", "FEWEST_EACH", "FittedCalibrator", "Method", "token_features"]

Method = Literal["platt", "isotonic"]

FEATURES: Final = ("mean", "window", "least", "first")
"""What a calibrator looks at unless told otherwise: all of it is in the tokens' own log-probabilities."""

ALL_FEATURES: Final = (*FEATURES, "margin")
"""With what is known only where a provider was asked for the next likely tokens."""

WINDOW: Final = 4
LOWEST: Final = -20.0
"""Log-probabilities under it say nothing more."""

CERTAIN: Final = 1e-3
"""Providers report certain tokens a hair above 0."""

FEWEST_EACH: Final = 10
RIDGE: Final = 1.0
ROUNDS: Final = 50
FORMAT: Final = 1


def token_features(logprobs: Sequence[float], margins: Sequence[float] | None = None) -> dict[str, float] | None:
    """Sum an answer's tokens up.

    Args:
        logprobs: The natural log-probability of each token.
        margins: How far each token was ahead of the next likely one, where the alternatives are known.

    Returns:
        ``mean``; ``window``, the lowest mean of four tokens in a row, as a long answer can hide a guess; ``least``, the
        lowest token; ``first``, the first token, which decides a label; and ``margin``, the lowest margin, where it is
        known. None where there are no tokens, or one of them has no log-probability.
    """
    if not logprobs or any(math.isnan(one) or one > CERTAIN for one in logprobs):
        return None
    kept = [max(min(one, 0.0), LOWEST) for one in logprobs]
    width = min(WINDOW, len(kept))
    running = least = math.fsum(kept[:width])
    for place in range(width, len(kept)):
        running += kept[place] - kept[place - width]
        least = min(least, running)
    found = {"mean": math.fsum(kept) / len(kept), "window": least / width, "least": min(kept), "first": kept[0]}
    if margins:
        found["margin"] = max(min(*margins, -LOWEST), LOWEST)
    return found


@dataclass(frozen=True)
class FittedCalibrator:
    """Confidence learnt from outcomes of one model on one's own kind of tasks.

    A logistic regression on features of the tokens (Platt scaling with several inputs); with the method ``isotonic`` a
    rising step function is fitted on top of it (Zadrozny and Elkan, KDD 2002), which takes some hundred outcomes.
    What it learnt of one model says nothing of another.

    Attributes:
        method: ``platt`` or ``isotonic``.
        weights: The weight of each feature.
        intercept: The log-odds where all features are 0.
        knots: Log-odds and probabilities between which ``isotonic`` interpolates.
        labels: How many outcomes it was fitted on.
        threshold: The confidence from which answers may be served, where ``slmroute calibrate`` found one.
        model: Whose outcomes they were.
        abort_below: The confidence of a stream's first 16 tokens under which it may be broken off as hopeless, where
            ``slmroute calibrate`` tested that.

    Example:
        >>> calibrator = FittedCalibrator.load("calibrator.json")  # doctest: +SKIP
        >>> escalation = Confidence(0.85, calibrator=calibrator)  # doctest: +SKIP
    """

    method: Method
    weights: Mapping[str, float]
    intercept: float
    knots: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    labels: int = 0
    threshold: float | None = None
    model: str = ""
    abort_below: float | None = None

    @property
    def version(self) -> str:
        """What the ledger notes: it changes with any number that the confidence depends on."""
        numbers = (sorted(self.weights.items()), self.intercept, self.knots)
        return f"{self.method}-{self.labels}-{sha256(repr(numbers).encode()).hexdigest()[:8]}"

    @property
    def needs_margins(self) -> bool:
        """Whether it was fitted on margins, so that a router asks for two tokens of each place."""
        return "margin" in self.weights

    def __call__(self, logprobs: Sequence[float], margins: Sequence[float] | None = None) -> float | None:
        """Give P(the answer is good); None where the tokens do not tell what it was fitted on.

        Args:
            logprobs: The natural log-probability of each token.
            margins: See ``token_features``; needed where it was fitted on margins.
        """
        found = token_features(logprobs, margins)
        if found is None or not self.weights.keys() <= found.keys():
            return None
        return self._of(math.fsum(weight * found[name] for name, weight in self.weights.items()) + self.intercept)

    def confidence(self, **settings: Any) -> Confidence:
        """Give the escalation that serves answers from the threshold on.

        What the threshold promises was tested on whole answers, so a stream is shown once it is whole. A hopeless one
        is broken off after 16 tokens where ``slmroute calibrate`` tested that (``abort_below``), or at the
        ``abort_below=`` given. With ``stream="first_tokens"`` it is shown sooner, by the same calibrator on its first
        tokens, and nothing is promised of what comes after them.

        Args:
            **settings: Further settings of ``Confidence``.

        Raises:
            ConfigError: No threshold was found; or a setting would come to nothing.
        """
        from slmroute.policy import FIRST_TOKENS, Confidence

        if self.threshold is None:
            raise ConfigError(
                "This calibrator has no threshold, as `slmroute calibrate` found none that keeps its promise: label "
                "more outcomes, or choose one yourself with Confidence(threshold, calibrator=...)."
            )
        if settings.get("judge") is not None:
            raise ConfigError(
                "FittedCalibrator.confidence(judge=) would have the judge asked and the calibrator not, whose "
                "threshold says nothing of a judge's confidence: write Confidence(threshold, judge=...)."
            )
        settings.setdefault("stream", "whole")
        if settings["stream"] == "whole" and settings.get("abort_below") is None:
            if settings.get("first_tokens", FIRST_TOKENS) != FIRST_TOKENS:
                raise ConfigError(
                    f"FittedCalibrator.confidence(first_tokens={settings['first_tokens']}) comes to nothing: a stream "
                    "is shown whole, and breaking it off was tested at 16 tokens only, if at all. Give abort_below=, "
                    'or stream="first_tokens".'
                )
            settings["abort_below"] = self.abort_below
        return Confidence(self.threshold, calibrator=self, **settings)

    @classmethod
    def fit(
        cls,
        logprobs: Sequence[Sequence[float]],
        correct: Sequence[bool],
        *,
        margins: Sequence[Sequence[float] | None] | None = None,
        features: Sequence[str] = FEATURES,
        method: Method = "platt",
        model: str = "",
    ) -> Self:
        """Fit a calibrator.

        Targets are smoothed as in Platt (1999), so that few labels give no certainty; a ridge keeps features that say
        the same from playing against each other.

        Args:
            logprobs: Of each answer, the log-probability of each token.
            correct: Whether each answer was right; at least ten of either kind.
            margins: Of each answer, see ``token_features``; needed for the feature ``margin``.
            features: What to look at, names out of ``token_features``.
            method: ``platt`` or ``isotonic``.
            model: Whose answers they are.

        Raises:
            ConfigError: There are too few outcomes, with how many are missing; or one without log-probabilities.
        """
        import numpy as np

        check_labels(len(logprobs), correct)
        each = margins if margins is not None else [None] * len(logprobs)
        rows = [token_features(one, margin) for one, margin in zip(logprobs, each, strict=True)]
        table: list[list[float]] = []
        for place, row in enumerate(rows):
            if row is None or not set(features) <= row.keys():
                raise ConfigError(f"FittedCalibrator.fit: outcome {place} has not what {', '.join(features)} takes.")
            table.append([row[name] for name in features])
        columns, truths = np.array(table, dtype=np.float64), np.array(correct, dtype=bool)
        weights, intercept = logistic(columns, truths)
        fitted = cls(
            method,
            dict(zip(features, weights.tolist(), strict=True)),
            intercept,
            labels=len(truths),
            model=model,
        )
        if method == "isotonic":
            fitted = replace(fitted, knots=isotonic(columns @ weights + intercept, truths))
        return fitted

    def save(self, path: Path | str) -> Path:
        """Write it to a JSON file that ``load`` reads.

        Raises:
            ConfigError: It cannot be written.
        """
        target = Path(path)
        content = {
            "format": FORMAT,
            "version": self.version,
            "method": self.method,
            "weights": dict(self.weights),
            "intercept": self.intercept,
            "knots": [list(knot) for knot in self.knots],
            "labels": self.labels,
            "threshold": self.threshold,
            "abort_below": self.abort_below,
            "model": self.model,
        }
        try:
            target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{target} cannot be written: {error.strerror}.") from None
        return target

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file that ``save`` wrote.

        Raises:
            ConfigError: It cannot be read, or is no such file.
        """
        wrong = ConfigError(f"{path} is no calibrator: make one with `slmroute calibrate OUTCOMES.jsonl --out {path}`.")
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise wrong from None
        try:
            return cls._of_json(content)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise wrong from None

    @classmethod
    def _of_json(cls, content: dict[str, Any]) -> Self:
        if content["format"] != FORMAT or content["method"] not in ("platt", "isotonic"):
            raise ValueError(content["format"])
        weights = {str(name): float(weight) for name, weight in content["weights"].items()}
        knots = tuple((float(logit), float(chance)) for logit, chance in content["knots"])
        threshold = None if content["threshold"] is None else float(content["threshold"])
        abort_below = None if content.get("abort_below") is None else float(content["abort_below"])
        numbers = [*weights.values(), float(content["intercept"]), *(number for knot in knots for number in knot)]
        sorted_knots = list(knots) == sorted(knots) and all(0 <= chance <= 1 for _, chance in knots)
        if not all(map(math.isfinite, numbers)) or not sorted_knots or not (threshold is None or 0 <= threshold <= 1):
            raise ValueError(content["version"])
        if abort_below is not None and (threshold is None or not 0 <= abort_below <= threshold):
            raise ValueError(content["version"])
        if not weights.keys() <= set(ALL_FEATURES) or (content["method"] == "isotonic") != bool(knots):
            raise ValueError(content["version"])
        made = cls(
            content["method"],
            weights,
            float(content["intercept"]),
            knots,
            int(content["labels"]),
            threshold,
            str(content["model"]),
            abort_below,
        )
        if made.version != content["version"]:
            raise ValueError(content["version"])
        return made

    def _of(self, logit: float) -> float:
        if not self.knots:
            return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
        place = bisect_right(self.knots, (logit, 2.0))
        if place == 0:
            return self.knots[0][1]
        if place == len(self.knots):
            return self.knots[-1][1]
        (low, under), (high, over) = self.knots[place - 1], self.knots[place]
        return under + (over - under) * (logit - low) / (high - low)


def check_labels(rows: int, correct: Sequence[bool]) -> None:
    """Make sure that there is enough to learn from."""
    if rows != len(correct):
        raise ConfigError(f"FittedCalibrator.fit has {rows} answers for {len(correct)} labels: give one for each.")
    right = sum(map(bool, correct))
    missing = [
        f"{FEWEST_EACH - count} more {kind}"
        for kind, count in (("right", right), ("wrong", rows - right))
        if count < FEWEST_EACH
    ]
    if missing:
        raise ConfigError(
            f"A calibrator needs at least {FEWEST_EACH} right and {FEWEST_EACH} wrong answers to learn from; there are "
            f"{right} right and {rows - right} wrong. Label {' and '.join(missing)}."
        )


def logistic(columns: NDArray[np.float64], truths: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression by Newton's method on standardised columns, and give it back for the plain ones."""
    import numpy as np

    means, scales = columns.mean(axis=0), columns.std(axis=0)
    scales = np.where(scales > 1e-9, scales, 1.0)
    table = np.column_stack([(columns - means) / scales, np.ones(len(truths))])
    positive = int(truths.sum())
    negative = len(truths) - positive
    targets = np.where(truths, (positive + 1) / (positive + 2), 1 / (negative + 2))
    ridge = np.diag([RIDGE] * columns.shape[1] + [0.0])
    weights = np.zeros(table.shape[1])
    weights[-1] = math.log((positive + 1) / (negative + 1))
    for _ in range(ROUNDS):
        chances = 1 / (1 + np.exp(-np.clip(table @ weights, -40, 40)))
        curve = np.maximum(chances * (1 - chances), 1e-9)
        step = np.linalg.solve(
            table.T @ (table * curve[:, None]) + ridge, table.T @ (targets - chances) - ridge @ weights
        )
        # Never farther than a few at a time: Newton's steps overshoot where classes part cleanly.
        step *= min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        weights = weights + step
        if float(np.abs(step).max()) < 1e-9:
            break
    plain = weights[:-1] / scales
    return plain, float(weights[-1] - means @ plain)


def isotonic(logits: NDArray[np.float64], truths: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    """Fit a rising function by pooling adjacent violators (Ayer and others, 1955), smoothed a little at its ends."""
    import numpy as np

    values, places = np.unique(np.round(logits, 9), return_inverse=True)
    counts = np.bincount(places).astype(float)
    sums = np.bincount(places, weights=truths.astype(float))
    blocks: list[tuple[float, float, float]] = []
    for value, count, total in zip(values.tolist(), counts.tolist(), sums.tolist(), strict=True):
        blocks.append((value * count, count, total))
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][1] >= blocks[-1][2] / blocks[-1][1]:
            one, other = blocks.pop(), blocks.pop()
            blocks.append((one[0] + other[0], one[1] + other[1], one[2] + other[2]))
    return tuple((place / count, (total + 0.5) / (count + 1)) for place, count, total in rising(blocks))


def rising(blocks: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Pool blocks again that smoothing has put out of order."""
    kept: list[tuple[float, float, float]] = []
    for block in blocks:
        kept.append(block)
        while len(kept) > 1 and (kept[-2][2] + 0.5) / (kept[-2][1] + 1) >= (kept[-1][2] + 0.5) / (kept[-1][1] + 1):
            one, other = kept.pop(), kept.pop()
            kept.append((one[0] + other[0], one[1] + other[1], one[2] + other[2]))
    return kept
