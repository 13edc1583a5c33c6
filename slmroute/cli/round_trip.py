"""Asking every tier one short question, really: the part of ``slmroute doctor`` that costs something."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from slmroute.advice import is_ollamas
from slmroute.cli.findings import PROVIDER_EXTRAS, Finding, client_errors, model_of, provider_of
from slmroute.cli.router import chat_model
from slmroute.errors import ConfigError, Misconfigured, ModelMissing, SlmrouteError

if TYPE_CHECKING:
    from slmroute.config import RouterConfig
    from slmroute.tier import Tier

__all__ = ["check_tiers", "status_of"]

QUESTION: Final = "Answer with the one word: ready"
PATIENCE_S: Final = 120.0
"""A model that is not in memory has to be loaded first."""


def check_tiers(
    settings: RouterConfig, environ: Mapping[str, str], before: list[Finding], *, offline: bool
) -> Iterator[Finding]:
    """Ask each tier whose needs are met.

    Args:
        settings: The router's settings.
        environ: The environment.
        before: What was found so far; a tier that lacks something is not asked.
        offline: Whether no tier is to be asked.
    """
    problems = {finding.what for finding in before if finding.state == "problem"}
    problems |= {finding.what for finding in before if finding.state == "skipped" and finding.what.startswith("model ")}
    ask: Callable[[str], str] | None = None
    for tier in settings.policy.tiers:
        what, provider = f"tier {tier.name}", provider_of(tier)
        needs = {f"key of tier {tier.name}", f"extra {PROVIDER_EXTRAS.get(provider, 'langchain')}"}
        if provider == "ollama":
            needs.add(f"model {model_of(tier)}")
        missing = sorted(needs & problems)
        if tier.dry_run:
            yield Finding(what, "skipped", "a dry run: it generates nothing")
        elif offline:
            yield Finding(what, "skipped", "--offline: it was not asked")
        elif missing:
            yield Finding(what, "skipped", f"not asked, see {' and '.join(missing)}")
        else:
            try:
                ask = ask or asker(settings, environ)
            except SlmrouteError as error:
                yield Finding(what, "problem", str(error), "correct the configuration")
                return
            yield asked(tier, ask)


def asker(settings: RouterConfig, environ: Mapping[str, str]) -> Callable[[str], str]:
    """Build the router on the framework that is installed; what it gives asks one tier and never another."""
    # Tiers without their keys are not asked, but stand in the router all the same.
    whole = {**dict.fromkeys(settings.variables.values(), "missing"), **environ}
    alone = {"failover": False, "validate": False, "escalation": None, "ledger": None, "deadline_s": None}
    arguments: dict[str, Any] = {"timeout": PATIENCE_S, **settings.arguments(whole), **alone}
    if find_spec("langchain_core") is not None or find_spec("llama_index") is None:
        model = chat_model(arguments, "slmroute doctor")
        return lambda name: model.invoke(QUESTION, tier=name).text
    from llama_index_slmroute.llm import RoutingLLM

    llm = RoutingLLM(**arguments)
    return lambda name: llm.complete(QUESTION, tier=name).text


def asked(tier: Tier, ask: Callable[[str], str]) -> Finding:
    """Ask one tier; of what a client says in its errors only the class and the status are shown."""
    what, model = f"tier {tier.name}", tier.spec or type(tier.model).__name__
    started = perf_counter()
    try:
        text = ask(tier.name)
    except Misconfigured as error:
        return Finding(what, "problem", str(error), "give it a valid key, and check what the key may use")
    except ConfigError as error:
        return Finding(what, "problem", str(error), "correct the tier's settings")
    except SlmrouteError as error:
        elsewhere = isinstance(error, ModelMissing) and not is_ollamas(error.__cause__)
        mend = "Correct model=, or what the key may use" if elsewhere else "see what is said of its server above"
        return Finding(what, "problem", str(error), mend)
    except client_errors() as error:
        return Finding(what, "problem", f"{model} did not answer: {status_of(error)}", advice(error))
    seconds = perf_counter() - started
    if not text.strip():
        return Finding(what, "problem", f"{model} answered with nothing", "try the model by itself, or another one")
    return Finding(what, "ok", f"{model} answered in {seconds:.1f} s")


def status_of(error: Exception) -> str:
    """Tell of a client's error what gives nothing away: its class, and the HTTP status where there is one."""
    status = getattr(error, "status_code", None)
    return type(error).__name__ + (f", HTTP {status}" if isinstance(status, int) else "")


def advice(error: Exception) -> str:
    """Say what is probably to be done about a client's error."""
    match getattr(error, "status_code", None):
        case 402 | 429:
            return "wait, or raise the provider's quota"
        case 400 | 422:
            return "correct model_args= and the standard arguments: the provider refuses them"
        case _:
            return "check the network and base_url, then try again"
