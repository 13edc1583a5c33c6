"""Fitting the embedded classifier's weights: what ``slmroute train embedded`` runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from slmroute.classify.embedded import SHIPPED, EmbeddedClassifier
from slmroute.classify.features import feature_names
from slmroute.classify.linear import Everyday, HiddenLayer, LinearWeights
from slmroute.classify.platt import IDENTITY, Platt
from slmroute.classify.training.left_out import Figures, Split, figures_of, left_out_scores, threshold_for
from slmroute.classify.training.logistic import EverydayFit, Fit, fit_models, matrices_of
from slmroute.classify.training.rows import LabelledPrompt, checked_row, filled, own_prompts
from slmroute.errors import ConfigError
from slmroute.jsonl import read_rows
from slmroute.metrics import area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TrainingReport", "train_embedded"]

SPLITS = 3
DIGITS = 6
"""Of a bias and of the threshold. Those behind differ between two runs on one machine, as does the order of sums."""

FEWEST_SHOWN = 20
"""Categories with fewer prompts are left out of the text."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What was fitted, and how it does on families of sources that were left out.

    Attributes:
        version: The weights' name.
        threshold: The threshold they ship with.
        out: The file they were written to.
        bytes: The file's size.
        prompts: How many prompts were fitted on, templates filled.
        complex: How many of them are complex.
        families: How many families of sources they come from.
        judged: How many prompts the figures are taken on: those not written for this project, where there are any,
            and no everyday messages, which are only counted among the categories.
        figures: One entry for each way of leaving families out; empty without ``holdout``.
        categories: Share judged right at that threshold when left out, and the number of prompts, by category.
    """

    version: str
    threshold: float
    out: str
    bytes: int
    prompts: int
    complex: int
    families: int
    judged: int
    figures: tuple[Figures, ...]
    categories: dict[str, tuple[float, int]]

    def to_dict(self) -> dict[str, object]:
        """Give the report as plain data."""
        return {**asdict(self), "mean": self.mean()}

    def mean(self) -> dict[str, float | None]:
        """Give the mean of each figure over the splits."""
        means: dict[str, float | None] = {}
        for field in fields(Figures):
            values: list[float | None] = [getattr(one, field.name) for one in self.figures]
            known = [value for value in values if value is not None]
            means[field.name] = sum(known) / len(known) if known else None
        return means

    def __str__(self) -> str:
        """Give the report as text."""
        lines = [
            f"{self.version}: {self.prompts} prompts ({self.complex} complex) of {self.families} families of sources, "
            f"threshold {self.threshold:.3f}, {self.bytes / 1e6:.2f} MB in {self.out}"
        ]
        if not self.figures:
            return lines[0]
        lines.append(f"On families left out ({self.judged} prompts), {len(self.figures)} splits and their mean:")
        for field in fields(Figures):
            values = [shown(getattr(one, field.name)) for one in self.figures]
            lines.append(f"  {LABELS[field.name]:<50} {'  '.join(values)}   {shown(self.mean()[field.name])}")
        lines.append(f"Right at {self.threshold:.3f} when left out, by category:")
        for category, (right, count) in sorted(self.categories.items()):
            if count < FEWEST_SHOWN:
                continue
            lines.append(f"  {category:<28} {right:5.0%} of {count}")
        return "\n".join(lines)


LABELS = {
    "auc": "AUC",
    "auc_long": "AUC within long prompts (1,200 characters or more)",
    "auc_short": "AUC within short prompts (250 characters or fewer)",
    "kept_local": "simple kept local when 95% of complex go up",
    "went_up": "complex going up at a threshold of other families",
    "kept_at_threshold": "simple kept local at that threshold",
    "ece": "expected calibration error",
}


def shown(value: float | None) -> str:
    """Write a figure with three digits, or a dash."""
    return "    -" if value is None else f"{value:.3f}"


def train_embedded(
    data: Sequence[Path],
    out: Path,
    *,
    grade: str = "light",
    own: bool = False,
    seed: int = 0,
    holdout: bool = True,
    tick: Callable[[], object] | None = None,
) -> TrainingReport:
    """Fit the embedded classifier and write its weights.

    A logistic regression on character n-grams and small networks on the prompt's structure, for the best grade also a
    regression and networks on the instruction's embedding, are averaged and calibrated (Platt) on the scores of prompts
    whose family of sources was left out. Everyday messages (prompts of the category ``everyday``) are told from complex
    prompts by regressions of their own. The same data, seed and ``holdout`` give the same file, bit for bit; for the
    best grade on one kind of machine, for its embeddings differ in their last digits.

    Args:
        data: JSONL files, a row for each prompt: ``prompt``, ``tier`` (``simple`` or ``complex``), ``source`` (as
            ``owner/repository:part``), optionally ``category``.
        out: The weights file to write; ``EmbeddedClassifier(out)`` reads it.
        grade: ``light`` or ``best``.
        own: Whether to fit to the project's own prompts as well, as the weights that ship are.
        seed: How templates are filled and families are dealt into folds.
        holdout: Whether to leave families out in three different ways and report figures. Without it one way is used
            to calibrate and to choose the threshold with, which gives other weights, and nothing is reported.
        tick: Called after each prompt is read, to show how far it is.

    Returns:
        The report; print it, or take ``to_dict()``.

    Raises:
        ConfigError: A row is wrong (the message names file and line), the data are too few to leave any source out,
            what is left out ranks the wrong way round, or there is no such grade.
        MissingExtra: scikit-learn, or what the best grade embeds with, is not installed.
    """
    import numpy as np

    if grade not in SHIPPED:
        raise ConfigError(f"train_embedded(grade={grade!r}) must be one of {', '.join(SHIPPED)}.")
    prompts = [*prompts_of(data, seed), *(own_prompts(seed) if own else [])]
    labels = np.array([prompt.complex for prompt in prompts])
    if labels.all() or not labels.any():
        raise ConfigError("--data holds prompts of one tier only; give prompts of both, simple and complex.")
    matrices = matrices_of([prompt.text for prompt in prompts], grade, tick)
    splits = [left_out_scores(prompts, matrices, labels, seed + one) for one in range(SPLITS if holdout else 1)]
    ours = np.array([prompt.own for prompt in prompts])
    everyday = np.array([prompt.everyday for prompt in prompts])
    counted = ~ours & ~everyday
    if not 0 < labels[counted].sum() < counted.sum():
        counted = np.ones(len(prompts), dtype=bool)
    weights = calibrated(fit_models(matrices, labels, everyday), splits, labels, counted)
    saved = EmbeddedClassifier.of(weights).save(out)
    lengths = np.array([len(prompt.text) for prompt in prompts])
    return TrainingReport(
        version=weights.version,
        threshold=weights.threshold,
        out=str(out),
        bytes=saved.stat().st_size,
        prompts=len(prompts),
        complex=int(labels.sum()),
        families=len({prompt.family for prompt in prompts}),
        judged=int(counted.sum()),
        figures=tuple(figures_of(split, labels, lengths, counted) for split in splits) if holdout else (),
        categories=right_by_category(prompts, splits, labels, counted, weights.threshold) if holdout else {},
    )


def prompts_of(data: Sequence[Path], seed: int) -> list[LabelledPrompt]:
    """Read files that a user wrote, templates filled; what is wrong is told by file and line."""
    prompts: list[LabelledPrompt] = []
    for row in (row for path in data for row in read_rows(path)):
        where = f"--data {row.where}"
        try:
            line = json.dumps(row.fields, ensure_ascii=False)
            line.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{where} holds half of a surrogate pair, which is no text: take it out.") from None
        except RecursionError:
            raise ConfigError(f"{where} is nested too deeply: leave out what training does not read.") from None
        prompts += filled(checked_row(line, where), seed)
    if not prompts:
        raise ConfigError(
            '--data holds no prompt: give JSONL files with rows {"prompt": ..., "tier": "simple" or "complex", '
            '"source": ...}.'
        )
    return prompts


def calibrated(
    fit: Fit, splits: Sequence[Split], labels: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> LinearWeights:
    """Fold Platt's slope and intercept into the weights, and choose the threshold, both on the prompts that count."""
    import numpy as np

    known = counted & ~splits[0].everyday
    logits = np.concatenate([split.logits[known] for split in splits])
    truths = np.tile(labels[known], len(splits))
    platt = Platt.fit(logits.tolist(), truths.tolist())
    if platt.slope <= 0:
        raise ConfigError(
            "--data: with their sources left out the prompts rank the wrong way round (AUC "
            f"{area(logits, truths):.2f}), so nothing was written: what tells these sources apart is not what tells "
            "the tiers apart. Add sources, best such as hold prompts of both tiers, or fit to the project's own "
            "prompts as well (--own)."
        )
    scaled = np.concatenate([split.scaled(platt)[counted] for split in splits])
    cut = threshold_for(scaled, np.tile(labels[counted], len(splits)))
    hidden, aside = fit.hidden, fit.everyday
    return LinearWeights(
        dense=np.zeros(len(feature_names()), dtype=np.float32),
        hashed=(fit.hashed * platt.slope).astype(np.float16),
        bias=round(fit.bias * platt.slope + platt.intercept, DIGITS),
        threshold=round(IDENTITY(cut), DIGITS),
        embedding=None if fit.embedding is None else folded(fit.embedding * platt.slope),
        hidden=HiddenLayer(
            hidden.inputs.astype(np.float32),
            hidden.offsets.astype(np.float32),
            (hidden.outputs * platt.slope).astype(np.float32),
        ),
        everyday=None if aside is None else everyday_weights(aside),
    )


def everyday_weights(fit: EverydayFit) -> Everyday:
    """Give the weights for everyday messages as they are kept."""
    import numpy as np

    embedding = None if fit.embedding is None else fit.embedding.astype(np.float32)
    return Everyday(fit.dense.astype(np.float32), fit.hashed.astype(np.float16), round(fit.bias, DIGITS), embedding)


def folded(embedding: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the embedding's weights in their two rows."""
    import numpy as np

    return embedding.reshape(2, -1).astype(np.float32)


def right_by_category(
    prompts: Sequence[LabelledPrompt],
    splits: Sequence[Split],
    labels: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    threshold: float,
) -> dict[str, tuple[float, int]]:
    """Count how many left-out prompts fall on the right side of the threshold, over all splits."""
    right, seen = Counter[str](), Counter[str]()
    for split in splits:
        odds, _ = split.calibrated(labels, counted)
        for prompt, logit, label in zip(prompts, odds, labels, strict=True):
            seen[prompt.category] += 1
            right[prompt.category] += bool((IDENTITY(float(logit)) > threshold) == label)
    return {category: (right[category] / count, count // len(splits)) for category, count in seen.items()}
