"""What calls cost when some of them go to the strong model, for ``slmroute evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING

from slmroute.cases import Case
from slmroute.errors import ConfigError
from slmroute.request import estimate_tokens
from slmroute.tier import MOST_DOLLARS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

__all__ = ["Costs", "cost_of"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What the two models cost.

    Attributes:
        weak_input: Dollars for a million input tokens of the weak model.
        weak_output: Dollars for a million output tokens of the weak model.
        strong_input: The same of the strong model.
        strong_output: The same of the strong model.

    Raises:
        ConfigError: A price is no number, or negative.
    """

    weak_input: Decimal
    weak_output: Decimal
    strong_input: Decimal
    strong_output: Decimal

    def __post_init__(self) -> None:
        """Refuse what is no price."""
        for field in fields(self):
            price: Decimal = getattr(self, field.name)
            if not price.is_finite() or price < 0:
                raise ConfigError(f"Costs({field.name}={price}) must be dollars for a million tokens, zero or more.")
            if price > MOST_DOLLARS:
                # Written in short: it may have any number of digits.
                raise ConfigError(f"Costs({field.name}={price:.3g}) is over {MOST_DOLLARS:,} dollars: correct it.")


def cost_of(cases: Sequence[Case], up: Flags, costs: Costs) -> tuple[Decimal, Decimal, Decimal]:
    """Give the dollars for a thousand of these calls: routed, all weak, and all strong."""
    tokens = [(case.input_tokens or estimate_tokens(case.text), case.output_tokens) for case in cases]
    routed = weak = strong = Decimal(0)
    for (read, written), goes_up in zip(tokens, up.tolist(), strict=True):
        dear = read * costs.strong_input + written * costs.strong_output
        cheap = read * costs.weak_input + written * costs.weak_output
        strong += dear
        weak += cheap
        routed += dear if goes_up else cheap
    each = Decimal(1000) / len(cases) / 1_000_000
    return routed * each, weak * each, strong * each
