"""Calibrating confidence on outcomes, and choosing the threshold that keeps a promise: ``slmroute calibrate``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Final

from slmroute.calibrate_threshold import MOST_STARTS, confidences, tested_abort, tested_threshold
from slmroute.calibrators import ALL_FEATURES, FEATURES, FEWEST_EACH, FittedCalibrator, Method
from slmroute.errors import ConfigError
from slmroute.outcomes import Outcome, distinct
from slmroute.risk import Tested, answers_needed

if TYPE_CHECKING:
    from slmroute.calibrate_left_out import LeftOut

__all__ = ["Calibration", "calibrate", "checked_features", "dealt", "fit", "groups", "halves"]

FEWEST: Final = 4 * FEWEST_EACH
"""Half of the outcomes are fitted on, and each half needs ten of either kind, about."""

MOST_SPLITS: Final = 100
CHOICES: Final[tuple[tuple[str, ...], ...]] = (("mean",), ("mean", "first"), FEATURES)
CHOICES_OF_MARGINS: Final[tuple[tuple[str, ...], ...]] = (("margin",), ("mean", "margin"), ALL_FEATURES)
WORTHWHILE: Final = 0.99
CHOOSING_PARTS: Final = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """What came out.

    Attributes:
        calibrator: The fitted calibrator, with the threshold where one was found.
        outcomes: How many outcomes there were, repeats not counted.
        repeated: How many rows were left out as repeats of others.
        accuracy: The share of right ones.
        target: What the failure rate of served answers must be under.
        confidence: How sure one wanted to be of that.
        tested: The threshold with its test, or None where none keeps the promise.
        tested_on: How many outcomes the threshold was tested on; the fit had not seen them.
        missing: How many more labelled outcomes it would take, about; None where the number does not help.
        advice: What to do now, in words.
        left_out: How it does on left-out sources.
    """

    calibrator: FittedCalibrator = field(repr=False)
    outcomes: int
    repeated: int
    accuracy: float
    target: float
    confidence: float
    tested: Tested | None
    tested_on: int
    missing: int | None
    advice: str
    left_out: LeftOut

    def to_json(self) -> dict[str, object]:
        """Give it as plain data."""
        return {
            "version": self.calibrator.version,
            "model": self.calibrator.model,
            "features": sorted(self.calibrator.weights),
            "threshold": self.calibrator.threshold,
            "abort_below": self.calibrator.abort_below,
            "outcomes": self.outcomes,
            "repeated": self.repeated,
            "accuracy": self.accuracy,
            "target": self.target,
            "confidence": self.confidence,
            "tested": None if self.tested is None else asdict(self.tested),
            "tested_on": self.tested_on,
            "missing": self.missing,
            "advice": self.advice,
            "left_out": asdict(self.left_out),
        }


def calibrate(
    outcomes: Sequence[Outcome],
    *,
    target: float = 0.05,
    confidence: float = 0.95,
    method: Method = "platt",
    features: Sequence[str] | None = None,
    seed: int = 0,
) -> Calibration:
    """Fit a calibrator on outcomes, and choose the threshold from which answers may be served.

    Half of the outcomes, dealt out at random, are fitted on; on the other half thresholds are tested
    (``risk.safe_threshold``). So the promise is for answers drawn as the outcomes were, in their own mixture of tasks,
    and for no other: a kind of task that is rare among them may fail more often, and so may one that is not there.
    How it fares on sources that neither half has seen is in ``left_out``, with those that do worse than promised by
    name. Rows that repeat others are left out first (``outcomes.distinct``): copies on both sides of the split would
    let the fit see what it is tested on, and the test count one answer many times.

    A stream may break hopeless drafts off, so that fewer answers are served. Where enough answers are long enough, the
    threshold is tested with that, too, and the calibrator then has ``abort_below``.

    Args:
        outcomes: Of one model, each with an id of its own.
        target: What the failure rate of served answers must stay under.
        confidence: How sure one wants to be of that.
        method: ``platt`` or ``isotonic``; see ``FittedCalibrator``.
        features: What to look at, names out of ``calibrators.token_features``; None for what does best on sources that
            are left out: the mean alone, the mean and the first token, all of the tokens' own; or, where each outcome
            has margins and they better it, the lowest margin alone, with the mean, or with all.
        seed: Of the halves and folds.

    Raises:
        ConfigError: A setting is out of its range; or there are too few outcomes, or all of one kind, with how many are
            missing.
    """
    from slmroute.calibrate_left_out import left_out_figures

    for setting, value in (("target", target), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ConfigError(f"calibrate({setting}={value}) must be above 0 and below 1, for example 0.05 or 0.95.")
    if features is not None:
        features = checked_features(features, outcomes, "calibrate(features=)")
    rows, outcomes = len(outcomes), distinct(outcomes)
    repeated = rows - len(outcomes)
    check(outcomes, repeated, target, confidence)
    fit_half, test_half = halves(outcomes, seed)
    fitted = fit(fit_half, method, features)
    tested = tested_threshold(fitted, fit_half, test_half, target, confidence)
    missing, advice = what_is_missing(fitted, test_half, tested, target, confidence)
    if tested is not None:
        abort_below = tested_abort(fitted, fit_half, test_half, tested, target, confidence)
        fitted = replace(fitted, threshold=tested.threshold, abort_below=abort_below)
    return Calibration(
        calibrator=fitted,
        outcomes=len(outcomes),
        repeated=repeated,
        accuracy=sum(one.correct for one in outcomes) / len(outcomes),
        target=target,
        confidence=confidence,
        tested=tested,
        tested_on=len(test_half),
        missing=missing,
        advice=advice,
        left_out=left_out_figures(outcomes, target, confidence, method, features, seed),
    )


def check(outcomes: Sequence[Outcome], repeated: int, target: float, confidence: float) -> None:
    """Refuse what nothing can be learnt from, and say how many labels it takes."""
    right = sum(one.correct for one in outcomes)
    wrong = len(outcomes) - right
    least = answers_needed(target, confidence)
    if least is None:
        raise ConfigError(
            f"calibrate(target={target:g}, confidence={confidence:g}) would take millions of labelled answers: choose "
            "a larger target, for example 0.05, or less confidence."
        )
    if len(outcomes) >= FEWEST and min(right, wrong) >= 2 * FEWEST_EACH:
        models = Counter(one.model for one in outcomes)
        if len(models) > 1:
            raise ConfigError(f"The outcomes are of {len(models)} models: calibrate each model by itself.")
        return
    needs = [f"{max(0, FEWEST - len(outcomes))} more in all"] if len(outcomes) < FEWEST else []
    needs += [
        f"{2 * FEWEST_EACH - count} more that are {kind}"
        for kind, count in (("right", right), ("wrong", wrong))
        if count < 2 * FEWEST_EACH
    ]
    without = f" without {repeated} that repeat others" if repeated else ""
    raise ConfigError(
        f"{len(outcomes)} outcomes{without} ({right} right, {wrong} wrong) are too few to calibrate on: label "
        f"{', '.join(needs)}. To promise a failure rate under {target:g} with confidence {confidence:g}, at least "
        f"{least} served answers without a failure must be among those tested, so {2 * least} outcomes or more."
        + (" Where rows are of different prompts, give each an id of its own." if repeated else "")
    )


def checked_features(features: Sequence[str], outcomes: Sequence[Outcome], setting: str) -> tuple[str, ...]:
    """Make sure that features are some that there are, and that the outcomes have what they take.

    Args:
        features: Their names.
        outcomes: The outcomes.
        setting: What named them, for the error.

    Raises:
        ConfigError: One is unknown, or there are none; or margins are not known of each outcome.
    """
    unknown = [name for name in features if name not in ALL_FEATURES]
    if unknown or not features:
        named = f"names {unknown[0]!r}, which is none of the" if unknown else "names none of the"
        raise ConfigError(f"{setting} {named} features that there are: {', '.join(ALL_FEATURES)}.")
    without = sum(not one.margins for one in outcomes)
    if "margin" in features and without:
        raise ConfigError(
            f"{setting} names margin, and {without} of {len(outcomes)} outcomes have no 'margins': record how far each "
            "token was ahead of the next likely one, or leave margin out."
        )
    return tuple(dict.fromkeys(features))


def fit(outcomes: Sequence[Outcome], method: Method, features: Sequence[str] | None) -> FittedCalibrator:
    """Fit a calibrator on some outcomes; without features it takes those that do best on sources left out."""
    if features is None:
        features = chosen_features(outcomes, method)
    return FittedCalibrator.fit(
        [one.logprobs for one in outcomes],
        [one.correct for one in outcomes],
        margins=[one.margins for one in outcomes],
        features=features,
        method=method,
        model=outcomes[0].model,
    )


def chosen_features(outcomes: Sequence[Outcome], method: Method) -> tuple[str, ...]:
    """Choose what does best on sources left out; margins, which a provider must be asked for, only for a gain."""
    losses = [(left_out_loss(outcomes, method, choice), choice) for choice in CHOICES]
    if all(one.margins for one in outcomes):
        losses += [(left_out_loss(outcomes, method, choice) / WORTHWHILE, choice) for choice in CHOICES_OF_MARGINS]
    return min(losses, key=lambda pair: pair[0])[1]


def left_out_loss(outcomes: Sequence[Outcome], method: Method, features: Sequence[str]) -> float:
    """Give the mean squared distance of confidence from truth (Brier, 1950), each outcome judged without its source."""
    parts, loss = dealt(outcomes, CHOOSING_PARTS, 0), 0.0
    for part in range(CHOOSING_PARTS):
        seen = [one for one, its in zip(outcomes, parts, strict=True) if its != part]
        unseen = [one for one, its in zip(outcomes, parts, strict=True) if its == part]
        right = sum(one.correct for one in seen)
        if min(right, len(seen) - right) < FEWEST_EACH:
            continue
        judged = confidences(fit(seen, method, features), unseen)
        loss += sum((score - one.correct) ** 2 for score, one in zip(judged, unseen, strict=True))
    return loss


def groups(outcomes: Sequence[Outcome]) -> list[str]:
    """Name what belongs together: the sources, or single rows where there are fewer than two."""
    sources = [one.source for one in outcomes]
    return sources if len(set(sources)) > 1 else [str(place) for place in range(len(outcomes))]


def dealt(outcomes: Sequence[Outcome], parts: int, seed: int) -> list[int]:
    """Deal groups out into parts of about the same size; the same outcomes and seed, the same parts."""
    import random

    names = groups(outcomes)
    sizes = Counter(names)
    order = sorted(sizes)
    random.Random(seed).shuffle(order)  # noqa: S311  no secret
    order.sort(key=lambda name: -sizes[name])
    filled = [0] * parts
    part_of: dict[str, int] = {}
    for name in order:
        part_of[name] = filled.index(min(filled))
        filled[part_of[name]] += sizes[name]
    return [part_of[name] for name in names]


def halves(outcomes: Sequence[Outcome], seed: int) -> tuple[list[Outcome], list[Outcome]]:
    """Split outcomes at random into those to fit on and those to test on, each with enough of either kind.

    Rows are dealt, not sources: only so is what the threshold is tested on a sample of the mixture that the fit has
    seen, and of what is promised for. Rows of one id are of one prompt, and stay together.
    """
    import random

    dice = random.Random(seed)  # noqa: S311  no secret
    prompts: defaultdict[str, list[Outcome]] = defaultdict(list)
    for place, one in enumerate(outcomes):
        prompts[f"id {one.id}" if one.id else f"row {place}"].append(one)
    # Fewer ids than it takes prompts name no prompts, but places within sources, or kinds.
    dealt_out = list(prompts.values()) if len(prompts) >= FEWEST else [[one] for one in outcomes]
    for _ in range(MOST_SPLITS):
        dice.shuffle(dealt_out)
        split: tuple[list[Outcome], list[Outcome]] = ([], [])
        for rows in dealt_out:
            min(split, key=len).extend(rows)
        if all(FEWEST_EACH <= sum(one.correct for one in half) <= len(half) - FEWEST_EACH for half in split):
            return split
    # So few are right, or wrong, that chance does not give ten of them to each half: each kind is dealt out by itself.
    rows = list(outcomes)
    dice.shuffle(rows)
    rows.sort(key=lambda one: one.correct)
    return rows[::2], rows[1::2]


def what_is_missing(
    fitted: FittedCalibrator, test_half: Sequence[Outcome], tested: Tested | None, target: float, confidence: float
) -> tuple[int | None, str]:
    """Say how many outcomes it would take where no threshold keeps the promise, and what to do."""
    if tested is not None:
        share = tested.served / len(test_half)
        return 0, f"Serve answers from {tested.threshold:.3f} on: {share:.0%} of them were served in the test."
    order = sorted(
        zip(confidences(fitted, test_half), [one.correct for one in test_half], strict=True), key=lambda pair: -pair[0]
    )
    best: tuple[float, int, float] | None = None
    failures = 0
    for served, (_, correct) in enumerate(order, 1):
        failures += not correct
        # Fewer than ten say nothing of a rate; half a failure is added, for none seen is not none.
        rate = (failures + 0.5) / (served + 1)
        # As strict as a test with several starts is.
        strict = 1 - (1 - confidence) / MOST_STARTS
        needed = answers_needed(target, strict, rate) if served >= FEWEST_EACH else None
        if needed is not None:
            rows = round(2 * needed * len(order) / served)
            if best is None or rows < best[1]:
                best = (served / len(order), rows, rate)
    if best is not None:
        share, rows, rate = best
        missing = max(rows - 2 * len(test_half), FEWEST)
        return missing, (
            f"No threshold can be promised yet: the surest {share:.0%} fail at about {rate:.1%}; label about "
            f"{missing} more outcomes to show it."
        )
    clean = next((place for place, (_, correct) in enumerate(order) if not correct), len(order))
    needed = answers_needed(target, 1 - (1 - confidence) / MOST_STARTS)
    if clean >= FEWEST_EACH and needed is not None:
        missing = max(round(2 * needed * len(order) / clean) - 2 * len(test_half), FEWEST)
        return missing, (
            f"No threshold can be promised yet: none of the surest {clean} answers is wrong, which are too few to show "
            f"a rate under {target:g}; label about {missing} more outcomes, or raise --target."
        )
    count = max(FEWEST_EACH, len(order) // 10)
    rate = sum(not correct for _, correct in order[:count]) / count
    return None, (
        f"No threshold keeps the failure rate under {target:g}: even of the surest {count} answers {rate:.0%} are "
        "wrong. More labels will not help: use a better model, serve easier tasks only, or raise --target."
    )
