"""How a calibration does on sources that it has not seen: reliability, what serving the surest comes to, streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from slmroute.calibrate import confidences, dealt, fit, groups, halves, tested_threshold
from slmroute.calibrators import FEWEST_EACH, Method, token_features
from slmroute.confidence import GeometricMean
from slmroute.outcomes import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slmroute.metrics import ReliabilityBin

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Coverage", "LeftOut", "left_out_figures"]

FOLDS: Final = 5
SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
STREAM_TOKENS: Final = 16
HOPELESS: Final = 0.3
"""The defaults of ``Confidence``: a stream is judged by so many tokens, and broken off below that."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What serving the surest answers comes to.

    Attributes:
        share: The share of answers served.
        answers: How many that are.
        accuracy: The share of them that is right.
        threshold: The confidence of the least sure of them.
    """

    share: float
    answers: int
    accuracy: float
    threshold: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How a calibration does on sources that it has not seen: each outcome judged by a fit without its source.

    Attributes:
        by: Whether whole ``sources`` were left out, or single ``rows`` as there is one source only.
        sources: How many sources there are.
        auc: The chance that a right answer has more confidence than a wrong one.
        auc_plain: The same of the geometric mean of the tokens' probabilities, which is not fitted.
        auc_margin: The same of the lowest margin between the two likeliest tokens, where that is known.
        ece: The expected calibration error.
        ece_plain: The same of the geometric mean.
        bins: The reliability diagram.
        bins_plain: The same of the geometric mean.
        coverage: The accuracy of what is served, by the share that is served.
        served: How many answers of left-out sources were served at thresholds chosen without them.
        failures: How many of those were wrong.
        aborted: The share of answers that a stream would have broken off after 16 tokens as hopeless.
        tokens_saved: The share of all tokens that this saves.
        lost: The share of right answers among those broken off.
    """

    by: str
    sources: int
    auc: float | None
    auc_plain: float | None
    auc_margin: float | None
    ece: float | None
    ece_plain: float | None
    bins: tuple[ReliabilityBin, ...]
    bins_plain: tuple[ReliabilityBin, ...]
    coverage: tuple[Coverage, ...]
    served: int
    failures: int
    aborted: float
    tokens_saved: float
    lost: float | None


def folds(outcomes: Sequence[Outcome], seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Give the places of seen and unseen outcomes, for each fold that leaves enough of either kind to fit on."""
    parts = dealt(outcomes, min(FOLDS, len(set(groups(outcomes)))), seed)
    for part in sorted(set(parts)):
        seen = [place for place, its in enumerate(parts) if its != part]
        right = sum(outcomes[place].correct for place in seen)
        if min(right, len(seen) - right) >= FEWEST_EACH:
            yield seen, [place for place, its in enumerate(parts) if its == part]


def left_out_figures(
    outcomes: Sequence[Outcome],
    target: float,
    confidence: float,
    method: Method,
    features: Sequence[str] | None,
    seed: int,
) -> LeftOut:
    """Judge every outcome by a fit that has not seen its source."""
    import numpy as np

    from slmroute.metrics import area, calibration_error, reliability

    judged: dict[int, float] = {}
    hopeless: set[int] = set()
    served = failures = 0
    for seen, unseen in folds(outcomes, seed):
        rows = [outcomes[place] for place in seen]
        fitted = fit(rows, method, features)
        for place in unseen:
            one = outcomes[place]
            judged[place] = fitted(one.logprobs, one.margins) or 0.0
            start = fitted(one.logprobs[:STREAM_TOKENS], one.margins and one.margins[:STREAM_TOKENS])
            if len(one.logprobs) > STREAM_TOKENS and start is not None and start < HOPELESS:
                hopeless.add(place)
        right = sum(one.correct for one in rows)
        if min(right, len(rows) - right) < 2 * FEWEST_EACH:
            continue
        half, other = halves(rows, seed)
        promised = fit(half, method, features)
        tested = tested_threshold(promised, half, other, target, confidence)
        if tested is not None:
            above = [place for place in unseen if confidences(promised, [outcomes[place]])[0] >= tested.threshold]
            served += len(above)
            failures += sum(not outcomes[place].correct for place in above)
    kept = [outcomes[place] for place in sorted(judged)]
    scores = np.array([judged[place] for place in sorted(judged)])
    truths = np.array([one.correct for one in kept], dtype=bool)
    plain = np.array([GeometricMean()(one.logprobs) or 0.0 for one in kept])
    lows = [(token_features(one.logprobs, one.margins) or {}).get("margin") for one in kept]
    margins = [low for low in lows if low is not None]
    tokens = sum(len(one.logprobs) for one in kept)
    saved = sum(len(outcomes[place].logprobs) - STREAM_TOKENS for place in hopeless)
    return LeftOut(
        by="sources" if len({one.source for one in outcomes}) > 1 else "rows",
        sources=len({one.source for one in outcomes}),
        auc=area(scores, truths),
        auc_plain=area(plain, truths),
        auc_margin=area(np.array(margins), truths) if margins and len(margins) == len(kept) else None,
        ece=calibration_error(scores, truths) if kept else None,
        ece_plain=calibration_error(plain, truths) if kept else None,
        bins=tuple(reliability(scores, truths)),
        bins_plain=tuple(reliability(plain, truths)),
        coverage=coverages(scores, truths),
        served=served,
        failures=failures,
        aborted=len(hopeless) / len(kept) if kept else 0.0,
        tokens_saved=saved / tokens if tokens else 0.0,
        lost=sum(outcomes[place].correct for place in hopeless) / len(hopeless) if hopeless else None,
    )


def coverages(scores: Floats, truths: Flags) -> tuple[Coverage, ...]:
    """Give the accuracy of the surest answers, by the share of them; equal confidences are served together."""
    import numpy as np

    found: list[Coverage] = []
    order = np.sort(scores)[::-1]
    for share in SHARES:
        if not len(order):
            break
        threshold = float(order[max(int(np.ceil(share * len(order))) - 1, 0)])
        served = scores >= threshold
        found.append(Coverage(float(served.mean()), int(served.sum()), float(truths[served].mean()), threshold))
    return tuple(found)
