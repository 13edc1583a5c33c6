"""The three patterns with the models and figures of the article that they come from, each as a router's arguments.

The prices of the local tiers are its figures, made into prices for a million tokens, and not measurements. A call that
reads 7,000 tokens and writes 2,000 costs $0.03 at gpt-4.1's list prices ($2 and $8: 0.014 + 0.016) and $0.001 on the
small model ($0.08 and $0.22: 0.00056 + 0.00044); asking the classifier, which reads about 1,050 tokens with its
examples, costs $0.0002 ($0.19). Where your machine costs something else, give a ``Tier`` with your own ``input_price``
and ``output_price``, or ``hour_price``.
"""

from __future__ import annotations

from typing import Any, Final

from slmroute.classify.few_shot import FewShotClassifier
from slmroute.classify.protocol import ClassifierLike
from slmroute.errors import ConfigError
from slmroute.policy import Confidence
from slmroute.tier import Money, Tier

__all__ = ["binary", "cascade", "three_tier"]

CLASSIFIER: Final = "phi3:mini"
CLASSIFIER_PRICES: Final = ("0.19", "0.19")

MICRO_PRICES: Final = ("0.04", "0.11")
"""Half of the small model's: a quarter of its parameters, on the same machine."""

SMALL_PRICES: Final = ("0.08", "0.22")

FRONTIER: Final = "openai:gpt-4.1"

Model = object
"""A ``Tier``, a model object of your framework, or a string ``"provider:model"``."""


def binary(
    *,
    small: Model = "ollama:llama3.1:8b",
    frontier: Model = FRONTIER,
    classifier: ClassifierLike | str | None = CLASSIFIER,
    host: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Give the arguments of a router with a small and a frontier tier, and a small model as the classifier.

    Args:
        small: The small tier's model. A string ``"ollama:..."`` is declared local and priced as above; any other model
            is neither, for only a ``Tier`` can say what is true of it.
        frontier: The frontier tier's model.
        classifier: A model's name on Ollama for a ``FewShotClassifier``, or a classifier of your own.
        host: The address of the Ollama that serves classifier and local tiers; None for ``OLLAMA_HOST``.
        changes: Further arguments of the router, which replace those given here.

    Returns:
        Keyword arguments of ``RoutingChatModel`` or ``RoutingLLM``.

    Raises:
        ConfigError: ``tiers`` is among the changes, or a tier cannot be made of what was given.
    """
    tiers = [tier("small", small, SMALL_PRICES, host), tier("frontier", frontier)]
    return arguments(tiers, changes, classifier=classifier_of(classifier, host))


def three_tier(
    *,
    micro: Model = "ollama:gemma2:2b",
    mid: Model = "ollama:llama3.1:8b",
    frontier: Model = FRONTIER,
    classifier: ClassifierLike | str | None = CLASSIFIER,
    host: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Give the arguments of a router with three tiers: scores up to 0.35 stay at the first, up to 0.7 at the second.

    Args:
        micro: The cheapest tier's model; see ``binary`` for what is assumed of it.
        mid: The middle tier's model.
        frontier: The frontier tier's model.
        classifier: See ``binary``.
        host: See ``binary``.
        changes: See ``binary``; for example ``thresholds=[0.5, 0.8]``.

    Returns:
        Keyword arguments of ``RoutingChatModel`` or ``RoutingLLM``.

    Raises:
        ConfigError: See ``binary``.
    """
    tiers = [
        tier("micro", micro, MICRO_PRICES, host),
        tier("mid", mid, SMALL_PRICES, host),
        tier("frontier", frontier),
    ]
    return arguments(tiers, changes, classifier=classifier_of(classifier, host), thresholds=[0.35, 0.7])


def cascade(
    *, small: Model = "ollama:llama3.1:8b", frontier: Model = FRONTIER, host: str | None = None, **changes: Any
) -> dict[str, Any]:
    """Give the arguments of a router that asks the small tier first and moves up where its confidence is under 0.85.

    Args:
        small: The small tier's model; see ``binary``.
        frontier: The frontier tier's model.
        host: See ``binary``.
        changes: See ``binary``; for example ``escalation=Confidence(0.7)``.

    Returns:
        Keyword arguments of ``RoutingChatModel`` or ``RoutingLLM``.

    Raises:
        ConfigError: See ``binary``.
    """
    tiers = [tier("small", small, SMALL_PRICES, host), tier("frontier", frontier)]
    return arguments(tiers, changes, classifier=None, escalation=Confidence(0.85))


def tier(name: str, model: Model, prices: tuple[Money, Money] | None = None, host: str | None = None) -> Tier:
    """Make a tier; one that is given as a tier is taken as it is.

    Args:
        name: The tier's name.
        model: What was given for it.
        prices: What it costs if it is a model on Ollama; None for a tier that is not meant to be local.
        host: Where that Ollama is.
    """
    if isinstance(model, Tier):
        return model
    if prices is None or not (isinstance(model, str) and model.startswith("ollama:")):
        return Tier(name, model)
    return Tier(
        name,
        model,
        model_args=None if host is None else {"base_url": host},
        local=True,
        input_price=prices[0],
        output_price=prices[1],
    )


def classifier_of(given: ClassifierLike | str | None, host: str | None) -> ClassifierLike | None:
    """Make the classifier; only a model's name is made into one."""
    if not isinstance(given, str):
        return given
    return FewShotClassifier(given, host=host, input_price=CLASSIFIER_PRICES[0], output_price=CLASSIFIER_PRICES[1])


def arguments(tiers: list[Tier], changes: dict[str, Any], **own: Any) -> dict[str, Any]:
    """Put a preset's own arguments and the user's changes together."""
    if "tiers" in changes:
        raise ConfigError("tiers= is what a preset makes: give its models by name (small=, frontier=), or no preset.")
    if "threshold" in changes:
        own.pop("thresholds", None)
    return {"tiers": tiers, **own, **changes}
