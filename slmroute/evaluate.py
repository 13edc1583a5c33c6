"""Measuring routers on labelled prompts: what ``slmroute evaluate`` prints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from slmroute.cases import Case
from slmroute.errors import ConfigError
from slmroute.evaluate_costs import Costs, cost_of
from slmroute.metrics import (
    Interval,
    QualityCurve,
    ReliabilityBin,
    area,
    bootstrap,
    calibration_error,
    kept_below,
    quality_curve,
    reliability,
)
from slmroute.request import RouteRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Costs", "Evaluation", "OutcomeFigures", "TierFigures", "check_threshold", "evaluate", "request_score"]

SHORT_CHARACTERS = 250
LONG_CHARACTERS = 1200
RECALL = 0.95
FEWEST_IN_CELL = 5


@dataclass(frozen=True, slots=True)
class TierFigures:
    """How well scores tell complex prompts from simple ones.

    Attributes:
        auc: Area under the ROC curve.
        auc_long: The same among prompts of 1,200 characters and more.
        auc_short: The same among prompts of up to 250 characters.
        kept_local: Share of the simple prompts kept local when 95% of the complex ones go up.
        ece: Expected calibration error, ten bins; None for scores that are no probabilities.
        threshold: The threshold that the shares below are taken at.
        accuracy: Share on the right side of the threshold.
        went_up: Share of the complex prompts above it.
        stayed: Share of the simple prompts below it.
        cells: Accuracy and count for each category and length: ``{"code": {"short": (0.9, 40)}}``.
        bins: The reliability diagram.
    """

    auc: Interval | None
    auc_long: Interval | None
    auc_short: Interval | None
    kept_local: Interval | None
    ece: float | None
    threshold: float
    accuracy: float
    went_up: float | None
    stayed: float | None
    cells: dict[str, dict[str, tuple[float, int]]]
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class OutcomeFigures:
    """What routing by the scores would have given, from recorded outcomes.

    Attributes:
        apgr: The mean share of the quality gap that is recovered; random gives 0.5.
        cpt50: The share of strong calls that recovers half of the gap.
        cpt80: The share that recovers 80% of it.
        saved_at_95: The share of calls that can stay weak at 95% of the strong model's quality.
        saved_at_99: The same at 99%.
        weak: The weak model's mean quality.
        strong: The strong model's.
        curve: Quality by share of strong calls, at 21 shares.
        band: The 95% bootstrap interval of the quality at each of those shares.
    """

    apgr: Interval | None
    cpt50: Interval | None
    cpt80: Interval | None
    saved_at_95: Interval | None
    saved_at_99: Interval | None
    weak: float
    strong: float
    curve: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One classifier's figures.

    Attributes:
        name: The classifier.
        tiers: Figures against known tiers, where the data have them.
        outcomes: Figures from recorded outcomes, where the data have them.
        share_up: The share of all calls above the threshold.
        cost_per_thousand: Dollars for a thousand of these calls, routed at the threshold; None without prices.
        weak_cost_per_thousand: The same with every call at the weak model.
        strong_cost_per_thousand: The same with every call at the strong model.
        tokens_estimated: Whether the numbers of tokens behind the cost are estimates.
        median_us: Microseconds for a score, the median; None for scores that came with the data.
    """

    name: str
    tiers: TierFigures | None
    outcomes: OutcomeFigures | None
    share_up: float
    cost_per_thousand: Decimal | None
    weak_cost_per_thousand: Decimal | None
    strong_cost_per_thousand: Decimal | None
    tokens_estimated: bool
    median_us: float | None

    def to_dict(self) -> dict[str, object]:
        """Give the figures as plain data."""
        return asdict(self)


def evaluate(
    cases: Sequence[Case],
    name: str,
    score: Callable[[str], float] | Sequence[float],
    *,
    threshold: float = 0.5,
    probabilities: bool = True,
    costs: Costs | None = None,
    rounds: int = 300,
    seed: int = 0,
) -> Evaluation:
    """Measure one classifier.

    Args:
        cases: The prompts.
        name: What to call it.
        score: From a prompt to P(complex), or the scores themselves, one for each case.
        threshold: Calls above it go to the strong model.
        probabilities: Whether the scores claim to be probabilities, so that their calibration can be judged.
        costs: The two models' prices, for the cost of a thousand calls.
        rounds: How many bootstrap samples to draw for the intervals.
        seed: What they are drawn with.

    Raises:
        ConfigError: The scores are not one for each case, or the threshold is none that such scores can pass.
    """
    import numpy as np

    check_threshold(threshold, f"evaluate(threshold={threshold})", probabilities=probabilities)
    median_us = None
    if callable(score):
        found, taken = timed(score, cases)
        median_us = taken
    else:
        found = np.array(score, dtype=np.float64)
    if len(found) != len(cases):
        raise ConfigError(f"evaluate() has {len(found)} scores for {len(cases)} cases: give one for each.")
    tiered = np.array([case.complex is not None for case in cases])
    judged = np.array([case.weak is not None for case in cases])
    tiers = outcomes = None
    if tiered.any():
        chosen = [case for case in cases if case.complex is not None]
        tiers = tier_figures(chosen, found[tiered], threshold, probabilities, rounds, seed)
    if judged.any():
        outcomes = outcome_figures([case for case in cases if case.weak is not None], found[judged], rounds, seed)
    up = found > threshold
    routed, weak, strong = (None, None, None) if costs is None else cost_of(cases, up, costs)
    return Evaluation(
        name=name,
        tiers=tiers,
        outcomes=outcomes,
        share_up=float(up.mean()),
        cost_per_thousand=routed,
        weak_cost_per_thousand=weak,
        strong_cost_per_thousand=strong,
        tokens_estimated=any(not case.input_tokens for case in cases),
        median_us=median_us,
    )


def check_threshold(threshold: float, setting: str, *, probabilities: bool) -> None:
    """Refuse a threshold that no score can pass; other routers' scores, which are no probabilities, may be of any size.

    Args:
        threshold: The threshold.
        setting: What the error calls it.
        probabilities: Whether the scores are.

    Raises:
        ConfigError: It is none.
    """
    if not math.isfinite(threshold) or (probabilities and not 0 <= threshold <= 1):
        wanted = "from 0 to 1, as scores are" if probabilities else "a number"
        raise ConfigError(f"{setting} must be {wanted}, for example 0.5.")


def timed(score: Callable[[str], float], cases: Sequence[Case]) -> tuple[Vector, float]:
    """Score every case, and give the median time in microseconds."""
    import numpy as np

    found, taken = np.zeros(len(cases)), np.zeros(len(cases))
    for place, case in enumerate(cases):
        start = time.perf_counter()
        found[place] = score(case.text)
        taken[place] = time.perf_counter() - start
    return found, float(np.median(taken)) * 1e6


def request_score(classifier: object) -> Callable[[str], float]:
    """Make a function of a text out of a classifier, which scores requests."""
    judge = cast("Callable[[RouteRequest], float]", getattr(classifier, "score", classifier))
    return lambda text: float(judge(RouteRequest.from_text(text)))


def tier_figures(
    cases: Sequence[Case], scores: Vector, threshold: float, probabilities: bool, rounds: int, seed: int
) -> TierFigures:
    """Take the figures against known tiers."""
    import numpy as np

    labels = np.array([bool(case.complex) for case in cases])
    lengths = np.array([len(case.text) for case in cases])
    up = scores > threshold

    def drawn(statistic: Callable[[Vector, Flags], float | None], among: Flags) -> Interval | None:
        chosen, truths = scores[among], labels[among]
        return (
            bootstrap(lambda rows: statistic(chosen[rows], truths[rows]), len(chosen), rounds=rounds, seed=seed)
            if len(chosen)
            else None
        )

    everything = np.ones(len(labels), dtype=bool)
    return TierFigures(
        auc=drawn(area, everything),
        auc_long=drawn(area, lengths >= LONG_CHARACTERS),
        auc_short=drawn(area, lengths <= SHORT_CHARACTERS),
        kept_local=drawn(lambda some, truths: kept_below(some, truths, RECALL), everything),
        ece=calibration_error(scores, labels) if probabilities else None,
        threshold=threshold,
        accuracy=float((up == labels).mean()),
        went_up=float(up[labels].mean()) if labels.any() else None,
        stayed=float((~up[~labels]).mean()) if not labels.all() else None,
        cells=cells_of(cases, up == labels, lengths),
        bins=tuple(reliability(scores, labels)) if probabilities else (),
    )


def cells_of(
    cases: Sequence[Case], right: Flags, lengths: NDArray[np.int64]
) -> dict[str, dict[str, tuple[float, int]]]:
    """Give the accuracy and the count in each cell of category and length."""
    import numpy as np

    sizes = {
        "short": lengths <= SHORT_CHARACTERS,
        "medium": (lengths > SHORT_CHARACTERS) & (lengths < LONG_CHARACTERS),
        "long": lengths >= LONG_CHARACTERS,
        "all": np.ones(len(lengths), dtype=bool),
    }
    names = [case.category for case in cases]
    categories = np.array(names)
    cells: dict[str, dict[str, tuple[float, int]]] = {}
    for category in sorted(set(names)):
        for size, among in sizes.items():
            here = (categories == category) & among
            if here.sum() >= FEWEST_IN_CELL:
                cells.setdefault(category, {})[size] = (float(right[here].mean()), int(here.sum()))
    return cells


def outcome_figures(cases: Sequence[Case], scores: Vector, rounds: int, seed: int) -> OutcomeFigures:
    """Take the figures from recorded outcomes."""
    import numpy as np

    weak = np.array([case.weak for case in cases], dtype=np.float64)
    strong = np.array([case.strong for case in cases], dtype=np.float64)
    whole = quality_curve(scores, weak, strong)

    def drawn(statistic: Callable[[QualityCurve], float | None]) -> Interval | None:
        return bootstrap(
            lambda rows: statistic(quality_curve(scores[rows], weak[rows], strong[rows])),
            len(cases),
            rounds=rounds,
            seed=seed,
        )

    shares = [step / 20 for step in range(21)]
    return OutcomeFigures(
        apgr=drawn(lambda curve: curve.apgr),
        cpt50=drawn(lambda curve: curve.cpt(0.5)),
        cpt80=drawn(lambda curve: curve.cpt(0.8)),
        saved_at_95=drawn(lambda curve: curve.saved_at(0.95)),
        saved_at_99=drawn(lambda curve: curve.saved_at(0.99)),
        weak=whole.weak,
        strong=whole.strong,
        curve=tuple((share, whole.at(share)) for share in shares),
        band=band_of(scores, weak, strong, shares, rounds, seed),
    )


def band_of(
    scores: Vector, weak: Vector, strong: Vector, shares: Sequence[float], rounds: int, seed: int
) -> tuple[tuple[float, float], ...]:
    """Give the interval that the quality lies in at each share of strong calls."""
    import numpy as np

    dice = np.random.default_rng(seed)
    drawn: list[list[float]] = []
    for _ in range(rounds):
        rows = dice.integers(0, len(scores), len(scores))
        curve = quality_curve(scores[rows], weak[rows], strong[rows])
        drawn.append([curve.at(share) for share in shares])
    low, high = np.quantile(np.array(drawn), [0.025, 0.975], axis=0)
    return tuple(zip(low.tolist(), high.tolist(), strict=True))
