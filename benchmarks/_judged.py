"""What the parts of the benchmark of routing share: how a classifier is measured, and how tables are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console

from slmroute.baselines import baselines
from slmroute.cases import Case
from slmroute.cli.evaluate import tables
from slmroute.cli.tables import show
from slmroute.evaluate import Costs, Evaluation, evaluate

ROUNDS = 200


def measured(
    name: str,
    cases: Sequence[Case],
    score: Callable[[str], float] | Sequence[float],
    threshold: float = 0.5,
    *,
    rules: bool = False,
    costs: Costs | None = None,
) -> Evaluation:
    return evaluate(cases, name, score, threshold=threshold, probabilities=not rules, costs=costs, rounds=ROUNDS)


def beside(cases: Sequence[Case]) -> list[Evaluation]:
    """What any classifier has to beat: chance, length, and a peer's rules where they are installed."""
    return [measured(one.name, cases, one.score, one.threshold, rules=True) for one in baselines()]


def shown(console: Console, title: str, found: Sequence[Evaluation]) -> None:
    console.print(f"\n{title}", highlight=False, soft_wrap=True)
    show(*tables(found), console=console)
