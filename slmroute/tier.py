"""A tier: one model of a router, what it costs and what it can do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Self, cast

from slmroute.errors import ConfigError

__all__ = ["ABILITIES", "DRY_RUN", "MOST_DOLLARS", "Money", "Tier", "meant"]

Money = str | int | float | Decimal
"""An amount of dollars as users write it; a string such as ``"0.05"`` is exact. See ``money`` for other currencies."""

MOST_DOLLARS = Decimal(1_000_000_000)
"""No price, limit or rate is higher; sums of such amounts can be kept exactly."""

FOREIGN = re.compile(r"\s*(?P<amount>\S+)\s+[A-Z]{3}\s*@\s*(?P<rate>\S+)\s*")

ABILITIES = frozenset({"audio", "files", "images", "schema", "tool_choice", "tools", "video"})
"""What a call can need of a tier beside plain text."""

CACHE_PRICES = ("cached_input_price", "cache_write_price")

DRY_RUN = "dry-run:"
"""A model string that begins so names a model whose answers are left out and whose price is estimated."""

PROVIDERS = ("anthropic", "ollama", "openai")
"""The providers that are most often named: for hints only."""


def meant(spec: str) -> str:
    """Write the hint for a model string whose provider looks misspelt; empty where it does not."""
    provider, _, model = spec.partition(":")
    close = get_close_matches(provider, PROVIDERS, n=1, cutoff=0.75)
    return f" Did you mean '{close[0]}:{model}'?" if close and close[0] != provider else ""


def money(value: Money, setting: str) -> Decimal:
    """Read an amount of dollars, or of another currency with its rate: ``"0.60 EUR @ 1.08"`` at 1.08 dollars for one.

    Args:
        value: What the user wrote.
        setting: The setting it was written in, for the error.

    Returns:
        The exact decimal; a float is read as it prints.

    Raises:
        ConfigError: It is not a number, not finite, negative, or more than anything costs.
    """
    foreign = FOREIGN.fullmatch(value) if isinstance(value, str) else None
    try:
        rate = Decimal(1) if foreign is None else Decimal(foreign["rate"])
        amount = rate * (Decimal(str(value)) if foreign is None else Decimal(foreign["amount"]))
        usable = rate > 0
    except ArithmeticError:  # no numbers, or more than can be reckoned with
        raise ConfigError(
            f'{setting}={value!r} is not an amount of dollars: write for example "0.05", or in another currency '
            'with its rate "0.05 EUR @ 1.08".'
        ) from None
    if not usable:
        raise ConfigError(f"{setting}={value!r}: say after @ what one of the currency is in dollars, more than 0.")
    if not amount.is_finite() or amount < 0:
        raise ConfigError(f"{setting}={value!r} must be a finite number of dollars, zero or more.")
    if max(amount, rate) > MOST_DOLLARS:
        raise ConfigError(f"{setting}={value!r} is over {MOST_DOLLARS:,} dollars, more than anything is: correct it.")
    return amount


@dataclass(frozen=True)
class Tier:
    """One model of a router.

    Args:
        name: A short name, unique in the router: it stands in records, reports and ``tier="..."``.
        model: The framework's model object, or ``"provider:model"`` to have it built when first needed.
            ``"dry-run:provider:model"`` generates nothing and is priced by estimated tokens. A note is its answer,
            and is never judged. Where an object or the call of a tool is demanded, which no note can be, a weak one of
            a tier below is given in its place. Without one the note stands for the tool's call, and an object is a
            ``NothingGenerated`` error.
        model_args: Arguments for a model given as a string, for example ``{"base_url": "..."}``. Never in the repr.
            A tier is pickled without those that are keys, headers or the like: the model of one that is read back takes
            its key from the environment. A model object is pickled as its own class does it.
        local: Whether prompts stay in the user's own house. Declared, never guessed: a server on another
            machine can speak Ollama's protocol too.
        input_price: Dollars for a million input tokens. Strings are exact.
        output_price: Dollars for a million output tokens.
        cached_input_price: Dollars for a million of those input tokens that are read from the provider's cache; by
            default they cost as much as others.
        cache_write_price: The same for those that are written to it.
        hour_price: Dollars for an hour of the machine that serves a local tier; where several do under one name, of
            all of them.
        window: The context window in tokens, where the model does not say itself.
        abilities: What the model can do beside text: ``tools``, ``tool_choice``, ``schema``, and what it takes
            of ``images``, ``audio``, ``video`` and ``files`` (documents such as PDFs). None has the adapter find out.

    Raises:
        ConfigError: A name, price, window or ability is not usable; the message names it.
    """

    name: str
    model: object = field(repr=False)
    model_args: Mapping[str, object] | None = field(default=None, kw_only=True, repr=False)
    local: bool = field(default=False, kw_only=True)
    input_price: Money | None = field(default=None, kw_only=True)
    output_price: Money | None = field(default=None, kw_only=True)
    cached_input_price: Money | None = field(default=None, kw_only=True)
    cache_write_price: Money | None = field(default=None, kw_only=True)
    hour_price: Money | None = field(default=None, kw_only=True)
    window: int | None = field(default=None, kw_only=True)
    abilities: Iterable[str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        where = f"Tier({self.name!r})"
        if not isinstance(self.name, str) or not self.name.strip():  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"Tier(name={self.name!r}): a tier needs a name, for example 'small'.")
        self._check_model(where)
        if not isinstance(self.local, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(f"{where}: local={self.local!r} must be True or False.")
        for setting in ("input_price", "output_price", *CACHE_PRICES, "hour_price"):
            value = getattr(self, setting)
            if value is not None:
                object.__setattr__(self, setting, money(value, f"{where}: {setting}"))
        if (self.input_price is None) != (self.output_price is None):
            raise ConfigError(f"{where}: give both input_price= and output_price=, or neither.")
        for setting in CACHE_PRICES:
            if getattr(self, setting) is not None and self.input_price is None:
                raise ConfigError(f"{where}: {setting}= goes with input_price= and output_price=: give these, too.")
        window = cast("object", self.window)
        if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 1):
            raise ConfigError(f"{where}: window={window!r} must be a positive number of tokens, for example 8192.")
        if self.abilities is not None:
            abilities = frozenset([self.abilities] if isinstance(self.abilities, str) else self.abilities)
            if unknown := abilities - ABILITIES:
                raise ConfigError(
                    f"{where}: abilities={sorted(unknown)} unknown; there are {', '.join(sorted(ABILITIES))}."
                )
            object.__setattr__(self, "abilities", abilities)

    def _check_model(self, where: str) -> None:
        if self.model is None or self.model == "":
            raise ConfigError(f"{where}: model= must be a model object or a string such as 'ollama:phi3:mini'.")
        if isinstance(self.model, str) and ":" not in self.model:
            raise ConfigError(
                f"{where}: model={self.model!r} names no provider. Write 'provider:model', for example "
                f"'ollama:{self.model}' or 'openai:{self.model}'."
            )
        if isinstance(self.model, str) and not all(part.strip() for part in self.model.split(":")[:2]):
            raise ConfigError(
                f"{where}: model={self.model!r} lacks the provider's or the model's name. Write 'provider:model', for "
                "example 'ollama:phi3:mini'."
            )
        if self.model_args is not None and not isinstance(self.model, str):
            raise ConfigError(f"{where}: model_args= is for models given as strings; set them on the object itself.")
        if self.model_args is not None and not isinstance(self.model_args, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigError(
                f'{where}: model_args= must be a mapping of arguments, for example {{"base_url": "..."}}.'
            )

    def __getstate__(self) -> dict[str, object]:
        if self.model_args is None:
            return self.__dict__
        from slmroute.plain import without_secrets

        return {**self.__dict__, "model_args": without_secrets(self.model_args)}

    def __copy__(self) -> Self:
        return self  # it does not change, and copies that are made of its state would lack its keys

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        model = repr(self.model) if isinstance(self.model, str) else type(self.model).__name__
        return f"Tier({self.name!r}, {model}{', local=True' if self.local else ''})"

    @property
    def spec(self) -> str | None:
        """The model as ``"provider:model"`` when it was given so, without a dry run's prefix; else None."""
        return self.model.removeprefix(DRY_RUN) if isinstance(self.model, str) else None

    @property
    def dry_run(self) -> bool:
        """Whether this tier generates nothing, so that its costs are projected."""
        return isinstance(self.model, str) and self.model.startswith(DRY_RUN)

    def lacks(self, needs: frozenset[str]) -> frozenset[str]:
        """Tell what of ``needs`` this tier is known to lack; nothing while its abilities are unknown."""
        return needs - frozenset(self.abilities) if self.abilities is not None else frozenset()
