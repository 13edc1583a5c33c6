"""The tables of ``slmroute.toml``: what can be written in each, and of which kind it must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from slmroute.errors import ConfigError
from slmroute.tier import MOST_DOLLARS, money

__all__ = [
    "BudgetTable",
    "ChainTable",
    "ClassifierTable",
    "EmbeddedTable",
    "EscalationTable",
    "ExampleTable",
    "FewShotTable",
    "LimitsTable",
    "NoClassifierTable",
    "PlattTable",
    "RouterTable",
    "TierTable",
    "is_a_key",
    "names_a_key",
]

KEY_NAME = re.compile(r"api_?key|access_?key|auth_?token|access_?token|bearer|secret|passw(or)?d|authorization", re.I)
KEY_VALUE = re.compile(r"(bearer\s+)?((sk|pk|rk|gsk|xai|hf|nvapi|r8)[-_][\w-]{12,}|AIza[\w-]{12,})|bearer\s+\S+", re.I)
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")

CLASSIFIERS: Final = ("embedded", "few-shot", "chain", "none")

KEY_IN_FILE: Final = (
    'holds a key, and a file is no place for one: put it into an environment variable and write api_key_env = "NAME"'
)


def names_a_key(name: str) -> bool:
    """Tell whether a setting of that name would hold a key or password."""
    return bool(KEY_NAME.search(name.replace("-", "_"))) and not name.endswith("_env")


def is_a_key(value: str) -> bool:
    """Tell whether a value has the form of a provider's key."""
    return KEY_VALUE.fullmatch(value.strip()) is not None


def amount(value: Any) -> Any:
    """Check an amount of dollars."""
    try:
        money(value, "")
    except ConfigError:
        most = f"{MOST_DOLLARS:,}"
        raise ValueError(f'must be an amount of dollars, from 0 to {most}, for example "0.05"') from None
    if isinstance(value, bool):
        raise ValueError('must be an amount of dollars, for example "0.05"')  # noqa: TRY004  pydantic takes no TypeError
    return value


def pair(value: Any) -> Any:
    """Check the prices of one model."""
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        value = [named.get(name) for name in ("input", "output")]
        value += [named.get(name, value[0]) for name in ("cached", "cache_write")] if len(named) > 2 else []
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if not 2 <= len(items) <= 4:
        raise ValueError('must be two amounts, dollars for a million input and output tokens, for example ["2", "8"]')
    return tuple(amount(item) for item in items)


def without_keys(arguments: dict[str, Any]) -> dict[str, Any]:
    """Check that arguments for a model hold no key, at any depth."""
    for name, value in arguments.items():
        if names_a_key(name):
            raise ValueError(f"{KEY_IN_FILE} (at {name!r})")
        for inner in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                without_keys(cast("dict[str, Any]", inner))
    return arguments


def variable(value: str) -> str:
    """Check the name of an environment variable; what is none may be a key, and is not repeated."""
    if not VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable, in capitals, for example OPENAI_API_KEY")
    return value


def classifier_table(value: Any) -> Any:
    """Read the short forms ``"embedded:best"``, ``"few-shot:phi3:mini"`` and ``"none"`` as tables."""
    if isinstance(value, str):
        kind, _, rest = value.partition(":")
        value = {"kind": kind, **({"weights" if kind == "embedded" else "model": rest} if rest else {})}
    if not isinstance(value, dict):
        raise ValueError('must be a string such as "embedded" or "few-shot:phi3:mini", or a table')  # noqa: TRY004
    kind = cast("Mapping[str, Any]", value).get("kind")
    if kind not in CLASSIFIERS:
        close = get_close_matches(str(kind), CLASSIFIERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"must be of a kind out of {', '.join(CLASSIFIERS)} (kind = ...){hint}")
    return cast("object", value)


def escalation_table(value: Any) -> Any:
    """Read a number as the threshold."""
    return {"threshold": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Amount = Annotated[Any, AfterValidator(amount)]
Variable = Annotated[str, AfterValidator(variable)]


class Table(BaseModel):
    """A table that takes the keys it knows, in the types it names, and nothing else."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    def given(self, *but: str) -> dict[str, Any]:
        """Give what was written, without what was left out."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set - {*but}}


class TierTable(Table):
    """``[[tiers]]``: see ``slmroute.Tier``."""

    name: str
    model: str
    model_args: Annotated[dict[str, Any], AfterValidator(without_keys)] | None = None
    api_key_env: Variable | None = None
    local: bool = False
    input_price: Amount = None
    output_price: Amount = None
    cached_input_price: Amount = None
    cache_write_price: Amount = None
    hour_price: Amount = None
    window: int | None = None
    abilities: list[str] | None = None


class NoClassifierTable(Table):
    """No classifier: every call starts at the cheapest tier."""

    kind: Literal["none"]


class EmbeddedTable(Table):
    """``[classifier]`` in process: see ``slmroute.EmbeddedClassifier``."""

    kind: Literal["embedded"]
    weights: str | None = None


class ExampleTable(Table):
    """``[[classifier.examples]]``: see ``slmroute.Example``."""

    text: str
    complex: bool


class PlattTable(Table):
    """``[classifier.calibrator]``: see ``slmroute.Platt``."""

    slope: float = 1.0
    intercept: float = 0.0
    version: str = "identity"


class FewShotTable(Table):
    """``[classifier]`` on Ollama: see ``slmroute.FewShotClassifier``."""

    kind: Literal["few-shot"]
    model: str = "phi3:mini"
    host: str | None = None
    examples: list[ExampleTable] | None = None
    instruction: str | None = None
    calibrator: PlattTable | None = None
    timeout_s: float = 2.0
    warm_up_timeout_s: float = 120.0
    num_ctx: int = 2048
    keep_alive: str | float = "30m"
    max_characters: int = 2000
    input_price: Amount = None
    output_price: Amount = None


class ChainTable(Table):
    """``[classifier]`` of two: see ``slmroute.ChainClassifier``."""

    kind: Literal["chain"]
    first: Annotated[EmbeddedTable | FewShotTable, Field(discriminator="kind"), BeforeValidator(classifier_table)] = (
        EmbeddedTable(kind="embedded")
    )
    second: Annotated[EmbeddedTable | FewShotTable, Field(discriminator="kind"), BeforeValidator(classifier_table)]
    band: Annotated[list[float], Field(min_length=2, max_length=2)] = [0.2, 0.6]
    weight: float = 0.5
    threshold: float | None = None


ClassifierTable = EmbeddedTable | FewShotTable | ChainTable | NoClassifierTable


class EscalationTable(Table):
    """``[escalation]``: see ``slmroute.Confidence``.

    ``calibrator`` is a file that ``slmroute calibrate`` wrote. ``judge`` is ``"self-check:MODEL"`` or
    ``"agreement:MODEL"``, a model on the Ollama at ``judge_host``: see ``slmroute.SelfCheck`` and
    ``slmroute.Agreement``.
    """

    threshold: float = 0.85
    calibrator: str | None = None
    judge: str | None = None
    judge_host: str | None = None
    pass_draft: bool = True
    stream: Literal["first_tokens", "whole"] = "first_tokens"
    first_tokens: int = 16
    abort_below: float | None = None


class LimitsTable(Table):
    """``[budget.per_key.NAME]``: see ``slmroute.budget.Limits``; the name ``"*"`` is every other key."""

    hour: Amount = None
    day: Amount = None
    month: Amount = None
    escalations_per_minute: int | None = None


class BudgetTable(LimitsTable):
    """``[budget]``: see ``slmroute.budget.Budget``."""

    per_key: dict[str, LimitsTable] | None = None
    on_limit: Literal["local", "raise"] = "local"
    store: str | None = None
    name: str = "default"
    answer_tokens: int = 1_000


class RouterTable(Table):
    """The file itself: the arguments of a router, and the standard arguments of its models."""

    tiers: list[TierTable]
    classifier: Annotated[ClassifierTable | None, Field(discriminator="kind"), BeforeValidator(classifier_table)] = None
    threshold: float | None = None
    thresholds: list[float] | None = None
    escalation: Annotated[EscalationTable | None, BeforeValidator(escalation_table)] = None
    default_tier: str | None = None
    checks: bool | list[str] = Field(default=True, alias="validate")
    failover: bool = True
    deadline_s: float | None = None
    budget: BudgetTable | None = None
    ledger: str | None = None
    ledger_env: Variable | None = None
    prices: dict[str, Annotated[Any, AfterValidator(pair)]] | None = None
    temperature: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)
    timeout: float | None = Field(default=None, gt=0)
    max_retries: int | None = Field(default=None, ge=0)
    stop: list[str] | None = None
    api_key_env: Variable | None = None
