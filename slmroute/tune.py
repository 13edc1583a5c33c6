"""Tuning a router to one's own prompts: thresholds for traffic shares, a cost or a quality: ``slmroute tune``."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from slmroute.errors import ConfigError
from slmroute.request import estimate_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Thresholds", "TierPrice", "Traffic", "thresholds_for"]

STEPS: Final = 400
"""How finely a cost or a quality is searched for between everything cheap and everything dear."""

FEWEST: Final = 20

TierPrice = tuple[Decimal, Decimal]
"""Dollars for a million input and output tokens."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What thresholds come to on some prompts.

    Attributes:
        shares: The share of prompts at each tier, cheapest first.
        cost_per_thousand: Dollars for a thousand calls, by estimated tokens; None without prices.
        quality: The mean quality of the tiers' answers; None without recorded outcomes.
        of_last: That quality as a share of the last tier's.
    """

    shares: tuple[float, ...]
    cost_per_thousand: float | None
    quality: float | None
    of_last: float | None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds for a router, with what they come to.

    Attributes:
        thresholds: One fewer than tiers, rising.
        prompts: How many prompts they were chosen on.
        seen: What they come to on those.
        unseen: What thresholds chosen in the same way on one half come to on the other half, the mean of both ways.
        met: Whether the target is met on the prompts seen; shares can miss theirs where many scores are equal.
        met_unseen: Whether a cost or a quality is met on prompts that had no part in choosing; for shares as ``met``.
    """

    thresholds: tuple[float, ...]
    prompts: int
    seen: Traffic
    unseen: Traffic
    met: bool
    met_unseen: bool

    def to_json(self) -> dict[str, object]:
        """Give them as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """Prompts as numbers: scores, the cost of each at each tier, the quality of each tier's answer."""

    scores: Floats
    costs: Floats | None
    qualities: Floats | None

    def at(self, places: NDArray[np.int64]) -> Prompts:
        """Give some of them."""
        return Prompts(
            self.scores[places],
            None if self.costs is None else self.costs[places],
            None if self.qualities is None else self.qualities[places],
        )


def thresholds_for(
    texts: Sequence[str],
    scores: Sequence[float],
    *,
    shares: Sequence[float] | None = None,
    cost_per_thousand: float | Decimal | None = None,
    quality: float | None = None,
    prices: Sequence[TierPrice] | None = None,
    qualities: Sequence[Sequence[float]] | None = None,
    output_tokens: int = 250,
) -> Thresholds:
    """Choose thresholds for traffic shares, for a cost or for a quality.

    For a cost or a quality, ``shares`` says what the traffic looks like in between: it is mixed with everything at the
    cheapest tier, or everything at the last, until the dearest mixture within the cost, or the cheapest that gives the
    quality, is found.

    Args:
        texts: Prompts as they come in, each kind as often as it does.
        scores: A classifier's scores of them.
        shares: The traffic at each tier, cheapest first, in any unit: ``(50, 30, 20)``. By default the same at each.
        cost_per_thousand: Dollars that a thousand calls may cost; it needs ``prices``.
        quality: The share of the last tier's mean quality that is wanted, for example 0.95; it needs ``qualities``.
        prices: Of each tier, cheapest first.
        qualities: Of each prompt, the quality of each tier's answer, cheapest first.
        output_tokens: How long answers are taken to be.

    Raises:
        ConfigError: Too few prompts, settings that do not fit together, or a target that no thresholds reach.
    """
    import numpy as np

    tiers = tiers_of(shares, prices, qualities)
    if len(texts) != len(scores) or len(texts) < FEWEST:
        raise ConfigError(
            f"Thresholds are chosen on {FEWEST} or more prompts with a score each; there are {len(texts)} prompts and "
            f"{len(scores)} scores."
        )
    if cost_per_thousand is not None and quality is not None:
        raise ConfigError("Give a cost or a quality to reach, not both.")
    mix = np.ones(tiers) / tiers if shares is None else np.array(shares, dtype=np.float64) / sum(shares)
    prompts = Prompts(
        np.array(scores, dtype=np.float64),
        None if prices is None else np.array([costs_of(text, prices, output_tokens) for text in texts]),
        None if qualities is None else np.array(qualities, dtype=np.float64),
    )
    chosen = chooser(mix, cost_per_thousand, quality, prompts)
    found = chosen(prompts)
    if found is None:
        raise ConfigError(unreachable(prompts, cost_per_thousand, quality))
    sides = np.array([zlib.crc32(text.encode("utf-8", "surrogatepass")) % 2 for text in texts])
    places = [np.flatnonzero(sides == side) for side in (0, 1)]
    unseen: list[tuple[Traffic, int]] = []
    for here, there in (places, places[::-1]):
        guess = chosen(prompts.at(here)) if len(here) and len(there) else None
        unseen.append((traffic(prompts.at(there), found if guess is None else guess), len(there)))
    seen = traffic(prompts, found)
    missed = float(np.abs(np.array(seen.shares) - mix).max()) > max(0.02, 1.5 / len(texts))
    beside, met = mean_of(unseen), cost_per_thousand is not None or quality is not None or not missed
    return Thresholds(
        thresholds=tuple(found.tolist()),
        prompts=len(texts),
        seen=seen,
        unseen=beside,
        met=met,
        met_unseen=reaches(beside, cost_per_thousand, quality, otherwise=met),
    )


def reaches(
    found: Traffic, cost_per_thousand: float | Decimal | None, quality: float | None, *, otherwise: bool
) -> bool:
    """Whether traffic keeps to a cost or reaches a quality, where either was asked for."""
    if cost_per_thousand is not None and found.cost_per_thousand is not None:
        return found.cost_per_thousand <= cost_per_thousand
    if quality is not None and found.of_last is not None:
        return found.of_last >= quality
    return otherwise


def tiers_of(
    shares: Sequence[float] | None, prices: Sequence[TierPrice] | None, qualities: Sequence[Sequence[float]] | None
) -> int:
    """Count the tiers, which all settings must agree on."""
    counts = {len(given) for given in (shares, prices, qualities[0] if qualities else None) if given is not None}
    if len(counts) > 1 or (qualities and len({len(row) for row in qualities}) > 1):
        raise ConfigError(
            "shares, prices and qualities must be of the same number of tiers; they have "
            f"{' and '.join(str(count) for count in sorted(counts))}."
        )
    tiers = counts.pop() if counts else 2
    if tiers < 2:
        raise ConfigError("Thresholds part two tiers or more: give as many shares or prices as there are tiers.")
    if shares is not None and not (all(0 <= share < math.inf for share in shares) and sum(shares) > 0):
        raise ConfigError("shares must be zero or more each, for example 50,30,20.")
    if not all(one.is_finite() and one >= 0 for price in prices or () for one in price):
        raise ConfigError("prices must be zero or more each: dollars for a million tokens, for example 0.05/0.08.")
    return tiers


def costs_of(text: str, prices: Sequence[TierPrice], output_tokens: int) -> list[float]:
    """Give the dollars that one prompt costs at each tier."""
    read = estimate_tokens(text)
    return [float(read * first + output_tokens * second) / 1e6 for first, second in prices]


def chooser(
    mix: Floats, cost: float | Decimal | None, quality: float | None, whole: Prompts
) -> Callable[[Prompts], Floats | None]:
    """Give the way thresholds are chosen on some prompts; None stands for a target that is out of reach."""
    import numpy as np

    if cost is not None and whole.costs is None:
        raise ConfigError("A cost to reach needs the tiers' prices, cheapest first: give prices=.")
    if quality is not None and whole.qualities is None:
        raise ConfigError(
            "A quality to reach needs the quality of each tier's answers, cheapest first: give qualities=."
        )
    cheapest, last = np.eye(len(mix))[0], np.eye(len(mix))[-1]

    def mixed(step: float) -> Floats:
        return (1 - step) * cheapest + step * mix if step <= 1 else (2 - step) * mix + (step - 1) * last

    def choose(prompts: Prompts) -> Floats | None:
        if cost is None and quality is None:
            return thresholds_at(prompts.scores, mix)
        best: Floats | None = None
        for step in np.linspace(0, 2, STEPS + 1).tolist():
            found = thresholds_at(prompts.scores, mixed(step))
            come_to = traffic(prompts, found)
            if cost is not None and come_to.cost_per_thousand is not None and come_to.cost_per_thousand <= float(cost):
                best = found
            if quality is not None and come_to.of_last is not None and come_to.of_last >= quality:
                return found
        return best

    return choose


def thresholds_at(scores: Floats, shares: Floats) -> Floats:
    """Give the thresholds that send these shares to each tier, as nearly as equal scores allow."""
    import numpy as np

    order = np.sort(scores)
    found: list[float] = []
    for share in np.cumsum(shares)[:-1].tolist():
        place = round(share * len(order))
        if place == 0:
            threshold = min(0.0, float(order[0])) if order[0] <= 0 else float(order[0]) / 2
        elif place == len(order):
            threshold = (float(order[-1]) + 1) / 2
        else:
            threshold = float(order[place - 1] + order[place]) / 2
        found.append(round(threshold, 6))
    # A router wants them to rise, and to end at 1 at the latest.
    for place in range(1, len(found)):
        found[place] = max(found[place], round(found[place - 1] + 1e-6, 6))
    for place in range(len(found)):
        found[place] = min(found[place], round(1 - 1e-6 * (len(found) - 1 - place), 6))
    return np.array(found)


def traffic(prompts: Prompts, thresholds: Floats) -> Traffic:
    """Work out what thresholds come to."""
    import numpy as np

    count = len(prompts.scores)
    if not count:
        return Traffic(tuple(0.0 for _ in range(len(thresholds) + 1)), None, None, None)
    tier = (prompts.scores[:, None] > thresholds[None, :]).sum(axis=1)
    shares = tuple((np.bincount(tier, minlength=len(thresholds) + 1) / count).tolist())
    rows = np.arange(count)
    cost = None if prompts.costs is None else float(prompts.costs[rows, tier].mean()) * 1000
    if prompts.qualities is None:
        return Traffic(shares, cost, None, None)
    got, best = float(prompts.qualities[rows, tier].mean()), float(prompts.qualities[:, -1].mean())
    return Traffic(shares, cost, got, got / best if best > 0 else None)


def mean_of(parts: Sequence[tuple[Traffic, int]]) -> Traffic:
    """Average over parts by how many prompts they have."""
    rows = sum(count for _, count in parts)

    def mean(values: list[float | None]) -> float | None:
        known = [(value, count) for value, (_, count) in zip(values, parts, strict=True) if value is not None]
        weight = sum(count for _, count in known)
        return sum(value * count for value, count in known) / weight if weight else None

    tiers = len(parts[0][0].shares)
    return Traffic(
        tuple(sum(part.shares[tier] * count for part, count in parts) / rows for tier in range(tiers)),
        mean([part.cost_per_thousand for part, _ in parts]),
        mean([part.quality for part, _ in parts]),
        mean([part.of_last for part, _ in parts]),
    )


def unreachable(prompts: Prompts, cost: float | Decimal | None, quality: float | None) -> str:
    """Say that no thresholds reach a target, and what is the least or most there is."""
    if cost is not None and prompts.costs is not None:
        least = float(prompts.costs[:, 0].mean()) * 1000
        return f"No thresholds keep a thousand calls at ${float(cost):g}: all at the cheapest tier cost ${least:.4g}."
    return (
        f"No thresholds give {quality:g} times the last tier's quality; more than all of its own cannot be asked for: "
        "give a share, for example quality=0.95 (--quality 0.95)."
    )
