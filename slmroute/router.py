"""What a router has whatever its framework: its settings made into a policy and an engine, its presets, feedback."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

from slmroute.classify.protocol import ClassifierLike, check_classifier
from slmroute.engine import Engine, LedgerLike
from slmroute.errors import ConfigError
from slmroute.plain import address_data, read_tiers
from slmroute.policy import Confidence, Policy, Rule
from slmroute.price import Prices
from slmroute.record import Hook
from slmroute.tier import Tier

__all__ = ["LASTING", "RouterBasics", "Settings", "cannot_change", "check_names", "engine_of"]

logger = logging.getLogger("slmroute.router")

_RIGHT: Final = {
    "default_tier": "the name of one of the tiers, or None",
    "failover": "True or False",
    "local_only": "True or False",
    "deadline_s": "a positive number of seconds, or None",
    "temperature": "a number of zero or more, for example 0.2, or None",
    "max_tokens": "a positive number of tokens, for example 800, or None for no limit",
    "timeout": "a positive number of seconds, for example 30, or None",
    "stop": 'a list of strings, for example ["END"], or None',
    "max_retries": "a number of zero or more, for example 2, or None",
    "api_key": "a string or a SecretStr, or None to have it taken from the environment",
    "rules": "a list of callables that take a RouteRequest: rules=[...]",
}
"""What settings must be that no policy checks, in words."""

_LEAST: Final = {"temperature": 0, "max_tokens": 1, "max_retries": 0}

LASTING: Final = ("availability_errors", "budget", "hooks", "ledger", "prices")
"""The settings that a router shares with its copies, and so keeps: what they have seen so far would be lost."""


class Settings(Protocol):
    """The settings that routers of every framework have; ``RoutingChatModel`` says what they mean."""

    tiers: Sequence[Tier]
    classifier: ClassifierLike | None
    threshold: float | None
    thresholds: Sequence[float] | None
    escalation: Confidence | None
    rules: Sequence[Rule]
    default_tier: str | None
    checks: bool | AbstractSet[str]
    failover: bool
    deadline_s: float | None
    budget: Any
    ledger: LedgerLike | str | None
    hooks: Sequence[Hook]
    prices: Prices | None
    availability_errors: Sequence[type[Exception]]


class RouterBasics:
    """The ways of making and changing a router that are the same in every framework, and taking feedback.

    It stands before the framework's own class, a Pydantic model, among a router's bases.
    """

    @property
    @abstractmethod
    def engine(self) -> Engine:
        """What lives across the calls of this router and its copies."""

    if TYPE_CHECKING:  # abstract methods LlamaIndex would trace as calls of a model

        @classmethod
        def _own_settings(cls) -> AbstractSet[str]:
            """The names of the settings that the engine and the tiers' models are made of."""
            ...

        def _prepare(self) -> None:
            """Make the engine and the tiers' models, or take over those of the router that this is a copy of."""

    def __init__(self, **settings: Any) -> None:
        """Set the settings.

        Raises:
            ConfigError: One is wrong; the message names it and what would be right.
        """
        cast("Any", super()).__init__(**{name: self._plain(name, value) for name, value in settings.items()})

    @classmethod
    def _aliases(cls) -> dict[str, str | None]:
        """The names of all settings, each with the other name it goes by."""
        return {name: field.alias for name, field in cast("Any", cls).model_fields.items()}

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a setting; the router decides by it from the next call on.

        Raises:
            ConfigError: The setting is one that routers keep, or its new value is wrong; the router stays as it was.
        """
        name = "checks" if name == "validate" else name  # its other name
        if name not in self._own_settings() or self.__dict__.get("shared") is None:
            super().__setattr__(name, value)
            return
        before = getattr(self, name)
        super().__setattr__(name, self._checked(name, value))
        try:
            self._prepare()
        except Exception:
            super().__setattr__(name, before)
            raise

    def _pickled(self) -> dict[str, Any]:
        """Give the attributes that a router is pickled with: nothing that it shares with copies, and no secrets.

        The keys of tiers given as strings are read from the environment where the router is read back.
        """
        kept: dict[str, Any] = {**self.__dict__, "shared": None, "api_key": None}
        if isinstance(kept.get("ledger"), str) and address_data(kept["ledger"]) is None:
            kept["ledger"] = None
            logger.warning(
                "the router is pickled without its ledger=, whose address holds a password; a Ledger(...) in its place "
                "is pickled with it"
            )
        return kept

    def _changes(self, update: Mapping[str, Any] | None) -> dict[str, Any]:
        """Check what is to be changed in a copy.

        Args:
            update: The new values, by the settings' names or other names.

        Returns:
            The values by the settings' names.

        Raises:
            ConfigError: What is changed is shared, unknown or wrong.
        """
        aliases, ours = self._aliases(), self._own_settings()
        names = {alias: name for name, alias in aliases.items() if alias}
        changes = {names.get(name, name): value for name, value in (update or {}).items()}
        check_names(type(self).__name__, {"tiers", *changes}, aliases)
        return {name: self._checked(name, value) if name in ours else value for name, value in changes.items()}

    @classmethod
    def _plain(cls, name: str, value: Any) -> Any:
        """Check a setting that is plain data, and make it of the type that it is kept in."""
        if name not in _RIGHT:
            return value
        if name == "stop" and isinstance(value, str):  # as frameworks' own classes take it, some of them
            return [value]
        if name in ("failover", "local_only"):  # "no" is not to be taken for yes, nor for no
            right = isinstance(value, bool)
        elif name == "rules":
            right = callable(value) or (hasattr(value, "__iter__") and not isinstance(value, str))
        else:
            value, right = cls._typed(name, value)
        if right:
            return value
        raise ConfigError(f"{name}= is wrong: it must be {_RIGHT[name]}.")

    @classmethod
    def _typed(cls, name: str, value: Any) -> tuple[Any, bool]:
        """Give a value in the type of its setting, and whether it can be that and is in its bounds."""
        from pydantic import TypeAdapter, ValidationError

        try:
            typed = TypeAdapter[Any](cast("Any", cls).model_fields[name].annotation).validate_python(value)
        except ValidationError:
            return value, False
        positive = name != "timeout" or typed is None or typed > 0
        return typed, positive and (typed is None or name not in _LEAST or typed >= _LEAST[name])

    def _checked(self, name: str, value: Any) -> Any:
        """Check the new value of a setting, as at construction."""
        from pydantic import ConfigDict, TypeAdapter, ValidationError

        value = self._plain(name, value)
        kept = getattr(self, name)
        if name in LASTING and value is not kept and value != kept:
            raise cannot_change(type(self).__name__, name)
        if name == "tiers":
            return read_tiers(value)
        annotation = cast("Any", type(self)).model_fields[name].annotation
        if annotation is Any:
            return value
        config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)
        try:
            return TypeAdapter(annotation, config=config).validate_python(value)
        except ValidationError as error:
            # What Pydantic was given may be a key: only what it found is told.
            found = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise ConfigError(f"{name}= is wrong: {found}.") from None

    @classmethod
    def binary(cls, **changes: Any) -> Self:
        """Make the article's binary router: see ``slmroute.presets.binary`` for what can be changed."""
        from slmroute import presets

        return cls._of(presets.binary(**changes))

    @classmethod
    def three_tier(cls, **changes: Any) -> Self:
        """Make the article's router of three tiers: see ``slmroute.presets.three_tier`` for what can be changed."""
        from slmroute import presets

        return cls._of(presets.three_tier(**changes))

    @classmethod
    def cascade(cls, **changes: Any) -> Self:
        """Make the article's confidence-based router: see ``slmroute.presets.cascade`` for what can be changed."""
        from slmroute import presets

        return cls._of(presets.cascade(**changes))

    @classmethod
    def from_config(cls, path: Path | str = "slmroute.toml") -> Self:
        """Make the router that a file describes.

        Args:
            path: A TOML file.

        Raises:
            ConfigError: The file is not there or wrong; the message names the file, the key and what would be right.
        """
        from slmroute.config import router_arguments

        return cls._of(router_arguments(path))

    @classmethod
    def _of(cls, arguments: Mapping[str, Any]) -> Self:
        return cast("Callable[..., Self]", cls)(**arguments)

    def feedback(self, call_id: str, good: bool, *, source: str = "user") -> None:
        """Note in the ledger whether the answer of a call was good, without waiting for anything.

        Args:
            call_id: The call, as its record names it.
            good: Whether the answer was good.
            source: Who says so, for example ``user`` or ``judge``.

        Raises:
            ConfigError: The router has no ledger.
        """
        self.engine.feedback(call_id, good, source=source)


def check_names(router: str, given: AbstractSet[str], aliases: Mapping[str, str | None]) -> None:
    """Make sure that a router is given settings it has.

    Args:
        router: The router's class, for the error.
        given: The names of the settings given.
        aliases: The names there are, each with the other name it goes by.

    Raises:
        ConfigError: There is no such setting, with the nearest that there is; or ``tiers`` is missing.
    """
    accepted = aliases.keys() | {alias for alias in aliases.values() if alias}
    for name in sorted(given - accepted):
        close = get_close_matches(name, accepted, n=1)
        hint = f" Did you mean {close[0]}=?" if close else ""
        raise ConfigError(f"{router} has no setting {name}=.{hint}")
    if "tiers" not in given:
        raise ConfigError(f"{router} needs tiers=: two or more Tier objects, cheapest first.")


def cannot_change(router: str, name: str) -> ConfigError:
    """Make the error for a change of one of the ``LASTING`` settings; ``router`` is the router's class."""
    return ConfigError(
        f"{name}= cannot be changed once a router is made, because it shares {name} with its copies. Make a new "
        f"{router}(..., {name}=...)."
    )


def engine_of(settings: Settings, named: Mapping[str, str], before: Engine | None) -> Engine:
    """Make a router's engine, or adapt the one of the router that this is a copy of.

    Args:
        settings: The router's settings.
        named: The ``"provider:model"`` of tiers whose model is an object, see ``PriceBook``.
        before: The engine of the router that this is a copy of, or None.

    Raises:
        ConfigError: A setting is wrong; the message names it.
    """
    classifier = settings.classifier
    if classifier is not None:
        check_classifier(classifier, "classifier")
    chosen = settings.threshold is not None or settings.thresholds is not None
    own: float | None = None if chosen or classifier is None else getattr(classifier, "threshold", None)
    policy = Policy.build(
        settings.tiers,
        threshold=settings.threshold,
        thresholds=settings.thresholds,
        classifier_threshold=own,
        default_tier=settings.default_tier,
        escalation=settings.escalation,
        rules=settings.rules,
        classify=classifier is not None,
        validate=settings.checks,
        failover=settings.failover,
        deadline_s=settings.deadline_s,
    )
    if before is not None:
        return before.adapted(policy, classifier, settings.prices, named)
    return Engine(
        policy,
        classifier,
        ledger=settings.ledger,
        hooks=settings.hooks,
        prices=settings.prices,
        named=named,
        extra_errors=settings.availability_errors,
        budget=settings.budget,
    )
