"""Choosing the few-shot classifier's examples out of labelled prompts: ``slmroute tune few-shot``."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from slmroute.cases import Case
from slmroute.classify.few_shot import FewShotClassifier
from slmroute.classify.few_shot_prompt import EXAMPLES, Example, bounded
from slmroute.classify.platt import IDENTITY, Platt
from slmroute.errors import ClassifierUnsure, ConfigError
from slmroute.metrics import area, calibration_error
from slmroute.request import RouteRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FewShotFigures", "FewShotTuning", "tune_few_shot"]

FEWEST: Final = 60
FEWEST_EACH: Final = 20
LONGEST_EXAMPLE: Final = 400
"""Characters: examples are read with every request."""

PATIENCE_S: Final = 300.0
NUM_CTX: Final = 4096
"""Examples of one's own can be longer than those that come with it."""


@dataclass(frozen=True, slots=True)
class FewShotFigures:
    """How well a prompt does on labelled prompts that had no part in choosing it.

    Attributes:
        auc: The chance that a complex prompt has the higher score.
        accuracy: The share on the right side of 0.5.
        ece: The expected calibration error.
        unsure: How many prompts the model gave no usable answer to; they count as 0.5.
    """

    auc: float | None
    accuracy: float
    ece: float
    unsure: int


@dataclass(frozen=True, slots=True)
class FewShotTuning:
    """What tuning came to.

    Attributes:
        model: The model.
        before: The examples and the calibration that come with it.
        calibrated: The same examples, calibrated on labelled prompts.
        after: The chosen examples, calibrated.
        examples: The chosen examples; those that come with it where none did better.
        calibrator: Their calibration.
        own: Whether the chosen examples are the user's.
        chosen_on: How many prompts chose the examples.
        reported_on: How many others the figures are of.
        tried: The AUC of each set of examples on the prompts that chose, the first being those that come with it.
    """

    model: str
    before: FewShotFigures
    calibrated: FewShotFigures
    after: FewShotFigures
    examples: tuple[Example, ...] = field(repr=False)
    calibrator: Platt
    own: bool
    chosen_on: int
    reported_on: int
    tried: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Give the figures as plain data, without the examples' texts."""
        found = asdict(self)
        return {**found, "examples": len(self.examples)}

    def to_toml(self, host: str | None = None) -> str:
        """Write the table of ``slmroute.toml`` that makes this classifier, with the examples where they are ``own``."""
        import json

        def quoted(text: str) -> str:
            # A JSON string is a basic string of TOML, but for DEL and half surrogates.
            return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")

        lines = ["[classifier]", 'kind = "few-shot"', f"model = {quoted(self.model)}", f"num_ctx = {NUM_CTX}"]
        lines += [f"host = {quoted(host)}"] if host else []
        lines += ["", "[classifier.calibrator]", f"slope = {self.calibrator.slope!r}"]
        lines += [f"intercept = {self.calibrator.intercept!r}", f"version = {quoted(self.calibrator.version)}"]
        for example in self.examples if self.own else ():
            lines += ["", "[[classifier.examples]]", f"text = {quoted(example.text)}"]
            lines += [f"complex = {str(example.complex).lower()}"]
        return "\n".join(lines) + "\n"


def tune_few_shot(
    cases: Sequence[Case],
    model: str,
    *,
    host: str | None = None,
    examples: int = 8,
    sets: int = 6,
    limit: int | None = 200,
    seed: int = 0,
    asked: Callable[[int, int], object] = lambda _done, _total: None,
) -> FewShotTuning:
    """Choose examples for the few-shot prompt out of labelled prompts, and say what that is worth.

    The prompts are split in three, each kind alike: out of the first part examples are drawn, half of either kind; on
    the second the sets are compared, and one that beats what comes with it by more than a standard error is taken and
    calibrated; the figures are of the third, which had no part in it.

    Args:
        cases: Labelled prompts, 60 or more different ones, at least 20 of either kind.
        model: The model's name on Ollama.
        host: The server's address; None for ``OLLAMA_HOST``.
        examples: How many examples a prompt has: 6, 8 or 10.
        sets: How many sets to try beside those that come with it.
        limit: At most so many prompts are used, half of either kind; None for all.
        seed: Of the split and the sets.
        asked: Called with how many questions have been asked, and of how many.

    Raises:
        ConfigError: There are too few prompts, with how many are missing; or a setting is out of its range.
        ClassifierUnavailable: The model could not be asked.
        ModelMissing: The server does not have the model.
    """
    check_settings(examples, sets, limit)
    pool, choosing, reporting = split(cases, limit, seed)
    candidates = [EXAMPLES, *drawn_sets(pool, examples, sets, seed)]
    total = len(candidates) * len(choosing) + 2 * len(reporting)
    done = 0

    def scores(shown: Sequence[Example], some: Sequence[Case], calibrator: Platt) -> Asked:
        with FewShotClassifier(
            model, host=host, examples=shown, calibrator=calibrator, timeout_s=PATIENCE_S, num_ctx=NUM_CTX
        ) as classifier:
            classifier.warm_up()
            found: list[float | None] = []
            for case in some:
                nonlocal done
                try:
                    found.append(classifier.score(RouteRequest.from_text(case.text)))
                except ClassifierUnsure:
                    found.append(None)
                done += 1
                asked(done, total)
        return Asked(found, [bool(case.complex) for case in some])

    chosen = [scores(shown, choosing, IDENTITY) for shown in candidates]
    tried = [one.auc or 0.0 for one in chosen]
    best = taken(tried, chosen[0].labels)
    shipped = FewShotClassifier(model, host=host).calibrator
    plain = scores(EXAMPLES, reporting, IDENTITY)
    default_fit, best_fit = chosen[0].fitted(), chosen[best].fitted()
    after = plain if best == 0 else scores(candidates[best], reporting, IDENTITY)
    return FewShotTuning(
        model=model,
        before=plain.through(shipped).figures(),
        calibrated=plain.through(default_fit).figures(),
        after=after.through(best_fit).figures(),
        examples=tuple(candidates[best]),
        calibrator=best_fit,
        own=best != 0,
        chosen_on=len(choosing),
        reported_on=len(reporting),
        tried=tuple(tried),
    )


def check_settings(examples: int, sets: int, limit: int | None, form: str = "tune_few_shot({}={})") -> None:
    """Make sure that examples can be drawn, and are.

    Args:
        examples: See ``tune_few_shot``.
        sets: See there.
        limit: See there.
        form: How a setting and its value are written to whoever gave them.
    """
    if examples not in (6, 8, 10):
        raise ConfigError(f"{form.format('examples', examples)} must be 6, 8 or 10: half of them are of either kind.")
    if sets < 1:
        raise ConfigError(f"{form.format('sets', sets)} must be 1 or more.")
    if limit is not None and limit < 2 * FEWEST_EACH:
        raise ConfigError(
            f"{form.format('limit', limit)} must be {2 * FEWEST_EACH} or more, half of them of either kind."
        )


def taken(tried: Sequence[float], labels: Sequence[bool]) -> int:
    """Give the place of the set to take, by each one's AUC; the first is what comes with the classifier."""
    best = max(range(len(tried)), key=lambda place: (tried[place], -place))
    # What few prompts cannot tell from chance is no reason to change anything.
    return 0 if tried[best] < min(tried[0] + standard_error(tried[0], labels), 1.0) else best


@dataclass(frozen=True)
class Asked:
    """Scores of labelled prompts; None where the model gave none."""

    scores: list[float | None]
    labels: list[bool]

    @property
    def auc(self) -> float | None:
        """The area under the ROC curve."""
        import numpy as np

        return area(self._numbers(), np.array(self.labels))

    def figures(self) -> FewShotFigures:
        """Work the figures out."""
        import numpy as np

        numbers, labels = self._numbers(), np.array(self.labels)
        return FewShotFigures(
            self.auc,
            float(((numbers > 0.5) == labels).mean()),
            calibration_error(numbers, labels),
            sum(score is None for score in self.scores),
        )

    def fitted(self) -> Platt:
        """Fit a calibration to scores that had none; scores that fall where they should rise are left as they are."""
        pairs = [
            (odds(score), label) for score, label in zip(self.scores, self.labels, strict=True) if score is not None
        ]
        if len({label for _, label in pairs}) < 2:
            raise ConfigError("The model gave hardly any answer that could be used: try another model.")
        platt = Platt.fit([raw for raw, _ in pairs], [label for _, label in pairs])
        return platt if platt.slope > 0 else IDENTITY

    def through(self, calibrator: Platt) -> Asked:
        """Calibrate scores that had no calibration."""
        return Asked([None if score is None else calibrator(odds(score)) for score in self.scores], self.labels)

    def _numbers(self) -> NDArray[np.float64]:
        import numpy as np

        return np.array([0.5 if score is None else score for score in self.scores])


def standard_error(auc: float, labels: Sequence[bool]) -> float:
    """Give the standard error of an area under the ROC curve (Hanley and McNeil, Radiology, 1982)."""
    positive = sum(labels)
    negative = len(labels) - positive
    one, other = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (one - auc * auc) + (negative - 1) * (other - auc * auc)
    return math.sqrt(max(spread, 0.0) / (positive * negative))


def odds(score: float) -> float:
    """Give the log-odds of a score, bounded."""
    kept = min(max(score, 1e-12), 1 - 1e-12)
    return math.log(kept / (1 - kept))


def split(cases: Sequence[Case], limit: int | None, seed: int) -> tuple[list[Case], list[Case], list[Case]]:
    """Deal labelled prompts out: to draw examples from, to choose by, and to report on; equal ones are one prompt."""
    dice = random.Random(seed)  # noqa: S311  no secret
    # Copies in two of the parts would have the figures taken on what was chosen by.
    unlike: dict[str, Case] = {}
    for case in cases:
        unlike.setdefault(" ".join(case.text.split()), case)
    unlike.pop("", None)
    kinds = [[case for case in unlike.values() if case.complex is kind] for kind in (False, True)]
    counts = [len(kind) for kind in kinds]
    if sum(counts) < FEWEST or min(counts) < FEWEST_EACH:
        raise ConfigError(
            f"Tuning needs {FEWEST} or more labelled prompts, at least {FEWEST_EACH} simple and {FEWEST_EACH} complex; "
            f"without repeats there are {counts[0]} simple and {counts[1]} complex. Label more of what is missing."
        )
    parts: tuple[list[Case], list[Case], list[Case]] = ([], [], [])
    for kind in kinds:
        dice.shuffle(kind)
        most = len(kind) if limit is None else min(len(kind), limit // 2)
        kept, spare = kind[:most], kind[most:]
        cut = most // 4
        parts[0].extend([*kept[:cut], *spare])
        middle = cut + (most - cut) // 2
        parts[1].extend(kept[cut:middle])
        parts[2].extend(kept[middle:])
    return parts


def drawn_sets(pool: Sequence[Case], examples: int, sets: int, seed: int) -> list[tuple[Example, ...]]:
    """Draw sets of examples, half of either kind by turns, as many categories as there are, none of them long."""
    dice = random.Random(seed + 1)  # noqa: S311  no secret
    found: list[tuple[Example, ...]] = []
    for _ in range(sets):
        sides = [picked([case for case in pool if case.complex is kind], examples // 2, dice) for kind in (False, True)]
        pairs = zip(*sides, strict=True)
        found.append(
            tuple(Example(bounded(case.text, LONGEST_EXAMPLE), bool(case.complex)) for pair in pairs for case in pair)
        )
    return found


def picked(cases: Sequence[Case], count: int, dice: random.Random) -> list[Case]:
    """Take some at random: short ones first, and of each category one before any has two."""
    order = list(cases)
    dice.shuffle(order)
    seen: dict[str, int] = {}
    ranked: list[tuple[bool, int, int]] = []
    for place, case in enumerate(order):
        ranked.append((len(case.text) > LONGEST_EXAMPLE, seen.get(case.category, 0), place))
        seen[case.category] = seen.get(case.category, 0) + 1
    return [order[place] for _, _, place in sorted(ranked)[:count]]
