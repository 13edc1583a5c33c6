"""How a calibration does on sources that it has not seen: reliability, what serving the surest comes to, streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from slmroute.calibrate import dealt, fit, groups, halves
from slmroute.calibrate_threshold import confidences, is_hopeless, tested_threshold
from slmroute.calibrators import FEWEST_EACH, Method, token_features
from slmroute.confidence import GeometricMean
from slmroute.outcomes import Outcome
from slmroute.policy import FIRST_TOKENS
from slmroute.risk import upper_bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from slmroute.metrics import ReliabilityBin

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Coverage", "LeftOut", "Worse", "left_out_figures"]

FOLDS: Final = 5
SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


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
class Worse:
    """A source for which the promise, made without it, does not hold: chance does not explain its failures.

    Attributes:
        source: Its name.
        served: How many of its answers were served at thresholds chosen without it.
        failures: How many of those were wrong.
    """

    source: str
    served: int
    failures: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How a calibration does on sources that it has not seen: each outcome judged by a fit without its source.

    Attributes:
        by: Whether whole ``sources`` were left out, or single ``rows`` as there is one source only.
        sources: How many sources there are.
        judged: How many outcomes were judged. The others are in no figure here: without their sources, too few right or
            wrong ones remain to fit on.
        auc: The chance that a right answer has more confidence than a wrong one.
        auc_plain: The same of the geometric mean of the tokens' probabilities, which is not fitted.
        auc_margin: The same of the lowest margin between the two likeliest tokens, where that is known.
        ece: The expected calibration error.
        ece_plain: The same of the geometric mean.
        bins: The reliability diagram.
        bins_plain: The same of the geometric mean.
        coverage: The accuracy of what is served, by the share that is served.
        offered: How many answers of left-out sources there were for which a threshold could be chosen without them.
        served: How many of those were served at it.
        failures: How many of those were wrong.
        worse: The sources that failed more often than promised.
        aborted: The share of answers that a stream would have broken off after 16 tokens as hopeless.
        tokens_saved: The share of all tokens that this saves.
        lost: The share of right answers among those broken off.
    """

    by: str
    sources: int
    judged: int
    auc: float | None
    auc_plain: float | None
    auc_margin: float | None
    ece: float | None
    ece_plain: float | None
    bins: tuple[ReliabilityBin, ...]
    bins_plain: tuple[ReliabilityBin, ...]
    coverage: tuple[Coverage, ...]
    offered: int
    served: int
    failures: int
    worse: tuple[Worse, ...]
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

    whole_sources = len({one.source for one in outcomes}) > 1
    judged: dict[int, float] = {}
    hopeless: set[int] = set()
    offered = 0
    served: list[Outcome] = []
    for seen, unseen in folds(outcomes, seed):
        rows = [outcomes[place] for place in seen]
        fitted = fit(rows, method, features)
        for place in unseen:
            one = outcomes[place]
            judged[place] = fitted(one.logprobs, one.margins) or 0.0
            if is_hopeless(fitted, one):
                hopeless.add(place)
        right = sum(one.correct for one in rows)
        if min(right, len(rows) - right) < 2 * FEWEST_EACH:
            continue
        half, other = halves(rows, seed)
        promised = fit(half, method, features)
        tested = tested_threshold(promised, half, other, target, confidence)
        if tested is not None:
            rest = [outcomes[place] for place in unseen]
            offered += len(rest)
            scores = confidences(promised, rest)
            served += [one for one, score in zip(rest, scores, strict=True) if score >= tested.threshold]
    kept = [outcomes[place] for place in sorted(judged)]
    scores = np.array([judged[place] for place in sorted(judged)])
    truths = np.array([one.correct for one in kept], dtype=bool)
    plain = np.array([GeometricMean()(one.logprobs) or 0.0 for one in kept])
    lows = [(token_features(one.logprobs, one.margins) or {}).get("margin") for one in kept]
    margins = [low for low in lows if low is not None]
    tokens = sum(len(one.logprobs) for one in kept)
    saved = sum(len(outcomes[place].logprobs) - FIRST_TOKENS for place in hopeless)
    return LeftOut(
        by="sources" if whole_sources else "rows",
        sources=len({one.source for one in outcomes}),
        judged=len(kept),
        auc=area(scores, truths),
        auc_plain=area(plain, truths),
        auc_margin=area(np.array(margins), truths) if margins and len(margins) == len(kept) else None,
        ece=calibration_error(scores, truths) if kept else None,
        ece_plain=calibration_error(plain, truths) if kept else None,
        bins=tuple(reliability(scores, truths)),
        bins_plain=tuple(reliability(plain, truths)),
        coverage=coverages(scores, truths),
        offered=offered,
        served=len(served),
        failures=sum(not one.correct for one in served),
        worse=worse_than(served, target, confidence) if whole_sources else (),
        aborted=len(hopeless) / len(kept) if kept else 0.0,
        tokens_saved=saved / tokens if tokens else 0.0,
        lost=sum(outcomes[place].correct for place in hopeless) / len(hopeless) if hopeless else None,
    )


def worse_than(served: Sequence[Outcome], target: float, confidence: float) -> tuple[Worse, ...]:
    """Name the sources that fail more often than the target, the worst first: by exact bounds, shared out among all."""
    answers = Counter(one.source for one in served)
    failures = Counter(one.source for one in served if not one.correct)
    share = 1 - (1 - confidence) / max(len(answers), 1)
    found = [
        Worse(source, count, failures[source])
        for source, count in answers.items()
        if 1 - upper_bound(count - failures[source], count, share) > target
    ]
    return tuple(sorted(found, key=lambda one: (-one.failures / one.served, one.source)))


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
