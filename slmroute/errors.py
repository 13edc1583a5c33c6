"""Every error slmroute raises, in one closed tree.

::

    SlmrouteError
    |-- ConfigError             (also ValueError)       a setting is wrong; the message names it
    |   |-- UnknownTier                                 a tier name that the router does not have
    |   `-- NothingGenerated                            an object was wanted of a dry run, which generates nothing
    |-- MissingExtra            (also ImportError)      an optional dependency is not installed
    |-- ServerUnreachable       (also ConnectionError)  no Ollama answers at the address given
    |-- ModelMissing                                    the server answers but lacks the model
    |-- Misconfigured           (also PermissionError)  a provider refused a tier's credentials
    |-- ClassifierUnavailable                           raised by classifiers; a router answers without them
    |   `-- ClassifierUnsure                            ... because what they found cannot be trusted
    |-- NoEligibleTier                                  no tier can do what the call needs
    |   `-- PromptTooLong                               ... because its prompt fits in no tier's window
    |-- BudgetExceeded                                  a limit of the budget is reached, and no local tier can answer
    |-- DeadlineExceeded        (also TimeoutError)     ``deadline_s`` ran out before any tier answered
    |-- NoTierAnswered          (also ExceptionGroup)   several tiers were tried and all failed
    `-- LedgerError                                     the ledger file cannot be used as it is

What a tier raises on its own account (a bad request, a callback's error) passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Self

__all__ = [
    "BudgetExceeded",
    "ClassifierUnavailable",
    "ClassifierUnsure",
    "ConfigError",
    "DeadlineExceeded",
    "LedgerError",
    "Misconfigured",
    "MissingExtra",
    "ModelMissing",
    "NoEligibleTier",
    "NoTierAnswered",
    "NothingGenerated",
    "PromptTooLong",
    "ServerUnreachable",
    "SlmrouteError",
    "UnknownTier",
]


class SlmrouteError(Exception):
    """The base of all errors that slmroute raises."""


class ConfigError(SlmrouteError, ValueError):
    """A setting is wrong; the message names the setting and what would be right."""


class UnknownTier(ConfigError):
    """A tier was named that the router does not have.

    Args:
        name: The name that was asked for.
        known: The names there are, cheapest first.
        setting: The setting or argument that named it.
    """

    def __init__(self, name: object, known: Sequence[str], setting: str = "tier") -> None:
        close = get_close_matches(str(name), known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"{setting}={name!r} is not one of the router's tiers: {', '.join(known)}.{hint}")
        self.args_for_copy = (name, tuple(known), setting)

    def __reduce__(self) -> tuple[type[Self], tuple[object, tuple[str, ...], str]]:
        return (type(self), self.args_for_copy)


class NothingGenerated(ConfigError):
    """An object was wanted of a tier that is a dry run; the message says how to make it real."""


class MissingExtra(SlmrouteError, ImportError):
    """An optional dependency is not installed.

    Args:
        extra: The extra of the ``slmroute`` distribution that brings it, for example ``"langchain"``.
        what: What needs it, as the start of a sentence, for example ``"The ledger"``.
    """

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f'{what} needs the extra "{extra}": pip install "slmroute[{extra}]"')
        self.extra = extra
        self.what = what

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return (type(self), (self.extra, self.what))


class ServerUnreachable(SlmrouteError, ConnectionError):
    """No Ollama server answers at the address given."""


class ModelMissing(SlmrouteError):
    """A model is not there; the message gives the command that fetches it, or names the tier whose model= is wrong."""


class Misconfigured(SlmrouteError, PermissionError):
    """A provider refused a tier's credentials; the message names the tier and never the key."""


class ClassifierUnavailable(SlmrouteError):
    """A classifier could not be asked, or what it said cannot be trusted.

    Attributes:
        spent: What it took all the same, a ``Classification`` whose score means nothing; None where nothing was spent.
    """

    spent: object | None = None


class ClassifierUnsure(ClassifierUnavailable):
    """A classifier is there, but has nothing to be trusted to say of this request; the next may go well."""


class NoEligibleTier(SlmrouteError):
    """No tier of the router can do what the call needs; the message says what each one lacks."""


class PromptTooLong(NoEligibleTier):
    """The prompt fits in the window of no tier that may answer."""


class DeadlineExceeded(SlmrouteError, TimeoutError):
    """``deadline_s`` ran out before any tier answered."""


class BudgetExceeded(SlmrouteError):
    """A limit of the budget is reached; the message names it, and when its window ends."""


class NoTierAnswered(SlmrouteError, ExceptionGroup[Exception]):
    """Several tiers were tried and all failed; ``exceptions`` holds each cause in order."""

    def derive(self, excs: Sequence[Exception], /) -> NoTierAnswered:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make a group of the same kind, as ``split`` and ``except*`` need."""
        return NoTierAnswered(self.message, excs)


class LedgerError(SlmrouteError):
    """The ledger cannot be opened, or its schema is not one this version can use; it is left untouched."""
