"""Where the providers' clients look for keys, and what to say when there is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from slmroute.errors import Misconfigured
from slmroute.tier import Tier

__all__ = ["KEY_VARIABLES", "asks_for_key", "key_missing"]

KEY_VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_OPENAI_API_KEY",),
    "azure_openai": ("AZURE_OPENAI_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "google_genai": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    "groq": ("GROQ_API_KEY",),
    "huggingface": ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN"),
    "mistralai": ("MISTRAL_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "xai": ("XAI_API_KEY",),
}
"""The environment variables that the providers' clients look for, any one of them."""

_NAMED: Final = re.compile(r"\b[A-Z][A-Z0-9_]*_(?:API_KEY|KEY|TOKEN)\b")
_ASKING: Final = re.compile(r"missing credentials|api[ _-]?key (?:is )?required|did not find \w*(?:key|token)", re.I)


def asks_for_key(message: str) -> bool:
    """Whether a client's error says that it was given no key and found none."""
    return _ASKING.search(message) is not None


def key_missing(tier: Tier, provider: str, message: str = "") -> Misconfigured:
    """Make the error of a tier that has no key.

    Args:
        tier: The tier.
        provider: Its provider.
        message: What the client says, which names the variable where we do not know it.
    """
    found: Iterable[str] = KEY_VARIABLES.get(provider) or dict.fromkeys(_NAMED.findall(message))
    variables = list(found) or [f"{provider.upper()}_API_KEY"]
    names = " or ".join(variables)
    return Misconfigured(
        f"Tier {tier.name!r} ({tier.spec}) has no API key: set the environment variable {names}, or give one in the "
        'tier\'s model_args={"api_key": ...}.'
    )
