"""``slmroute.toml``: a router's settings in a file, checked as a whole before anything is made of them.

::

    threshold = 0.5                      # or thresholds = [0.35, 0.7] for three tiers
    default_tier = "frontier"
    ledger = "sqlite:///slmroute.db"     # or ledger_env = "LEDGER_URL"
    max_tokens = 800                     # also temperature, timeout, stop, max_retries

    [classifier]                         # or classifier = "embedded", "embedded:best", "few-shot:phi3:mini", "none";
    kind = "few-shot"                    # kind = "chain" has first = "embedded", second = "few-shot:...", band
    model = "phi3:mini"
    host = "http://127.0.0.1:11434"

    [escalation]                         # or escalation = 0.85
    threshold = 0.85

    [[tiers]]                            # cheapest first
    name = "small"
    model = "ollama:llama3.1:8b"
    model_args = { base_url = "http://127.0.0.1:11434" }
    local = true
    input_price = "0.08"
    output_price = "0.22"

    [[tiers]]
    name = "frontier"
    model = "openai:gpt-4.1"
    api_key_env = "OPENAI_API_KEY"       # the variable's name; a key itself is refused

    [budget]                             # dollars; on_limit = "raise" refuses calls where others stay local
    day = "20"
    per_key."*" = { day = "1" }          # for each route_context(key=...)

    [prices]                             # dollars for a million input and output tokens
    "openai:gpt-4.1" = ["2", "8"]

Rules, hooks and model objects are code, and stay there: add them to the arguments that ``router_arguments`` gives.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from slmroute.classify.protocol import ClassifierLike
from slmroute.config_faults import Place, config_error, refuse_keys, where
from slmroute.config_tables import (
    BudgetTable,
    ChainTable,
    ClassifierTable,
    EmbeddedTable,
    EscalationTable,
    FewShotTable,
    NoClassifierTable,
    RouterTable,
    TierTable,
)
from slmroute.errors import ConfigError
from slmroute.policy import Confidence, Judge, Policy
from slmroute.tier import Tier

__all__ = ["DEFAULT_FILE", "RouterConfig", "read_config", "router_arguments"]

DEFAULT_FILE: Final = "slmroute.toml"

STANDARD: Final = ("temperature", "max_tokens", "timeout", "max_retries", "stop")
"""Arguments that go to the models built from strings."""

DECIDING: Final = ("threshold", "thresholds", "default_tier", "failover", "deadline_s")

SETTING: Final = re.compile(r"([a-z_]+)=")


class Key(str):
    """A key out of the environment: a string whose repr does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """A router's settings, all checked, with nothing secret in them yet.

    Attributes:
        file: The file they come from, as its user named it; None where they come from none.
        policy: What the router decides by.
        classifier: What scores requests, or None where every call starts at the cheapest tier.
        settings: The constructor's further arguments.
        variables: The environment variables that are needed, by what needs them: a tier's name, or ``ledger`` or
            ``api_key`` for the router's own.
    """

    file: str | None
    policy: Policy
    classifier: ClassifierLike | None
    settings: Mapping[str, Any] = field(repr=False)
    variables: Mapping[tuple[str, str], str]

    def arguments(self, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Give the keyword arguments of a router, with keys and addresses out of the environment filled in.

        Args:
            environ: The environment; None for the process's own.

        Raises:
            ConfigError: A variable is not set.
        """
        environ = os.environ if environ is None else environ
        found: dict[tuple[str, str], Key] = {}
        for user, name in self.variables.items():
            if not environ.get(name):
                setting = f"tier {user[1]!r}: api_key_env" if user[0] == "tier" else f"{user[1]}_env"
                raise ConfigError(
                    f"{self.file}: {setting} = {name!r}, and that environment variable is not set: export {name}=..."
                )
            found[user] = Key(environ[name])
        tiers = [with_key(tier, found.get(("tier", tier.name))) for tier in self.policy.tiers]
        own = {name: value for (kind, name), value in found.items() if kind == "router"}
        return {"tiers": tiers, "classifier": self.classifier, **self.settings, **own}


def router_arguments(path: str | os.PathLike[str] = DEFAULT_FILE) -> dict[str, Any]:
    """Read the keyword arguments of ``RoutingChatModel`` or ``RoutingLLM`` from a file.

    Args:
        path: The file.

    Returns:
        The arguments. A key has a repr that hides it.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or a setting is wrong: the message names the file, the line
            and the key, and the nearest key that there is. Or an environment variable that it names is not set.
    """
    return read_config(path).arguments()


def read_config(path: str | os.PathLike[str] = DEFAULT_FILE) -> RouterConfig:
    """Read and check a file without asking for the keys that it names.

    Args:
        path: The file.

    Raises:
        ConfigError: See ``router_arguments``.
    """
    from pydantic import ValidationError

    file = os.fspath(path)
    text = read_text(Path(path))
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None
    except RecursionError:
        raise ConfigError(f"{file} is nested too deeply.") from None
    except ValueError:
        raise ConfigError(f"{file} holds a number of too many digits.") from None
    refuse_keys(file, text, data)
    try:
        table = RouterTable.model_validate(data)
    except ValidationError as error:
        raise config_error(file, text, data, error) from None
    return built(table, file, text)


def read_text(path: Path) -> str:
    """Read the file, with or without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist (in {Path.cwd()}): name another file, or write this one; "
            "slmroute.config shows an example."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None


def built(table: RouterTable, file: str, text: str) -> RouterConfig:
    """Make the objects that a checked table describes."""
    tiers: list[Tier] = []
    for index, row in enumerate(table.tiers):
        with located(file, text, ("tiers", index)):
            tiers.append(Tier(**row.given("api_key_env")))
    with located(file, text, ("classifier",)):
        classifier = classifier_of(table.classifier, Path(file).parent)
    settings = table.given("tiers", "classifier", "escalation", "budget", "checks", "ledger_env", "api_key_env")
    with located(file, text, ("escalation",)):
        if table.escalation is not None:
            settings["escalation"] = escalation_of(table.escalation, Path(file).parent)
    with located(file, text, ("budget",)):
        if table.budget is not None:
            settings["budget"] = budget_of(table.budget)
    if "checks" in table.model_fields_set:
        settings["validate"] = table.checks if isinstance(table.checks, bool) else frozenset(table.checks)
    with located(file, text, ()):
        if table.ledger is not None and table.ledger_env is not None:
            raise ConfigError("ledger= and ledger_env= are both given: give one of them.")
        policy = policy_of(tiers, classifier, settings)
        check_prices(policy, table.prices)
    return RouterConfig(
        file=file, policy=policy, classifier=classifier, settings=settings, variables=variables_of(table)
    )


def classifier_of(table: ClassifierTable | None, folder: Path) -> ClassifierLike | None:
    """Make the classifier; files that it names are looked for beside the configuration."""
    match table:
        case NoClassifierTable():
            return None
        case ChainTable() as chosen:
            from slmroute.classify.chain import ChainClassifier

            first, second = classifier_of(chosen.first, folder), classifier_of(chosen.second, folder)
            assert first is not None  # noqa: S101  the table takes none that is no classifier
            assert second is not None  # noqa: S101
            low, high = chosen.band
            return ChainClassifier(first, second, band=(low, high), **chosen.given("kind", "first", "second", "band"))
        case FewShotTable() as chosen:
            from slmroute.classify.few_shot import Example, FewShotClassifier, Platt

            given = chosen.given("kind")
            if chosen.examples is not None:
                given["examples"] = [Example(one.text, one.complex) for one in chosen.examples]
            if chosen.calibrator is not None:
                given["calibrator"] = Platt(**chosen.calibrator.given())
            return FewShotClassifier(**given)
        case EmbeddedTable(weights=str(weights)):
            from slmroute.classify.embedded import EmbeddedClassifier

            return EmbeddedClassifier(weights if weights == "best" else folder / weights)
        case _:
            from slmroute.classify.embedded import EmbeddedClassifier

            return EmbeddedClassifier()


def escalation_of(table: EscalationTable, folder: Path) -> Confidence:
    """Make the escalation; a calibrator is looked for beside the configuration, and brings a threshold of its own."""
    given = table.given("calibrator", "judge", "judge_host")
    if table.judge is not None:
        given["judge"] = judge_of(table.judge, table.judge_host)
    if table.calibrator is None:
        return Confidence(**given)
    from slmroute.calibrators import FittedCalibrator

    calibrator = FittedCalibrator.load(folder / table.calibrator)
    if "threshold" in given:
        return Confidence(calibrator=calibrator, **given)
    return calibrator.confidence(**given)


def judge_of(named: str, host: str | None) -> Judge:
    """Make the judge that ``"self-check:MODEL"`` or ``"agreement:MODEL"`` names."""
    from slmroute.judges import Agreement, SelfCheck

    kind, _, model = named.partition(":")
    if kind not in ("self-check", "agreement"):
        raise ConfigError(f'judge={named!r} is none that there is: write "self-check:MODEL" or "agreement:MODEL".')
    return SelfCheck(model, host=host) if kind == "self-check" else Agreement(model, host=host)


def budget_of(table: BudgetTable) -> object:
    """Make the budget."""
    from slmroute.budget import Budget

    given = table.given()
    if table.per_key is not None:
        given["per_key"] = {key: limits.given() for key, limits in table.per_key.items()}
    return Budget(**given)


def policy_of(tiers: list[Tier], classifier: ClassifierLike | None, settings: Mapping[str, Any]) -> Policy:
    """Make the policy that a router with these arguments decides by."""
    own = None
    if classifier is not None and not {"threshold", "thresholds"} & set(settings):
        own = cast("float | None", getattr(classifier, "threshold", None))
    return Policy.build(
        tiers,
        classify=classifier is not None,
        classifier_threshold=own,
        escalation=settings.get("escalation"),
        validate=settings.get("validate", True),
        **{name: settings[name] for name in DECIDING if name in settings},
    )


def check_prices(policy: Policy, prices: Mapping[str, Any] | None) -> None:
    """Check that tiers are cheapest first by their list prices, too."""
    from slmroute.price import PriceBook

    PriceBook(policy.tiers, prices)


def variables_of(table: RouterTable) -> dict[tuple[str, str], str]:
    """Collect the environment variables that a file names."""
    rows: list[TierTable] = table.tiers
    found = {("tier", row.name): row.api_key_env for row in rows if row.api_key_env}
    own = {"api_key": table.api_key_env, "ledger": table.ledger_env}
    return found | {("router", name): variable for name, variable in own.items() if variable}


def with_key(tier: Tier, key: Key | None) -> Tier:
    """Give a tier whose model is built with a key."""
    return tier if key is None else dataclasses.replace(tier, model_args={**(tier.model_args or {}), "api_key": key})


@contextmanager
def located(file: str, text: str, place: Place) -> Generator[None]:
    """Put the file, and the line where it can be told, in front of the errors of construction."""
    try:
        yield
    except ConfigError as error:
        named = SETTING.search(str(error))
        inner = (*place, named[1]) if named else place
        error.args = (f"{where(file, text, inner)}: {error}",)
        raise
