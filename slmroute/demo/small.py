"""The small model of the demo: one that a running Ollama has, or the one that comes along as a package."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from slmroute.errors import ServerUnreachable
from slmroute.ollama import ModelEntry, OllamaServer

__all__ = ["BUILT_IN", "SmallModel", "small_model", "suitable"]

BUILT_IN: Final = "built-in"
"""The name that asks for the model that comes along, whatever Ollama has."""

WINDOW: Final = 4096
"""The demo's longest prompt takes about 1,100 tokens."""

_GENERAL: Final = re.compile(
    r"^(?:[\w.-]+/)*(?:gemma\d?|granite[\d.]*|llama[\d.]*|ministral|mistral|olmo-?\d?|phi-?\d|qwen2(?:\.5)?|smollm\d?)\b"
)
_OTHER_USES: Final = re.compile(r"code|embed|guard|math|reason|think|vision|-base|base-|text", re.IGNORECASE)
_SMALLEST_B, _LARGEST_B = 1.0, 9.5
_PARAMETERS: Final = re.compile(r"([\d.]+)\s*([MB])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SmallModel:
    """The model that answers what stays local.

    Attributes:
        name: Its name at the server.
        url: The server's address.
        server: What serves it, in words.
        parameters: Its size, for example ``135M``; None where it is not told.
        stand_in: Whether it stands in for the larger one that one would use.
        window: The context it is used with, in tokens.
    """

    name: str
    url: str
    server: str
    parameters: str | None
    stand_in: bool
    window: int = WINDOW

    @property
    def size(self) -> str:
        """Its number of parameters as people write it, for example ``135M`` or ``3.8B``."""
        billions = _billions(self.parameters)
        if billions is None:
            return "size not told"
        return f"{billions * 1000:.0f}M" if billions < 1 else f"{billions:.3g}B"


@contextmanager
def small_model(wanted: str | None = None, host: str | None = None) -> Generator[SmallModel]:
    """Find the small model, start a server where there is none, load it, and stop the server afterwards.

    Args:
        wanted: A model of a running Ollama; ``built-in`` for the one that comes along; None for the smallest suitable
            one that a running Ollama has, else the one that comes along.
        host: Ollama's address, as in ``OLLAMA_HOST``.

    Yields:
        The model, ready to answer.

    Raises:
        ServerUnreachable: A model was named and no Ollama answers.
        ModelMissing: Ollama has no such model, or the package with the built-in one is not installed.
        MissingExtra: The extra ``local`` is not installed and is needed.
    """
    found = None if wanted == BUILT_IN else _from_ollama(OllamaServer(host, timeout_s=2.0), wanted)
    if found is not None:
        OllamaServer(found.url).warm_up(found.name, found.window)
        yield found
        return
    from slmroute.local import LocalServer

    with LocalServer(num_ctx=WINDOW) as server:
        shown = OllamaServer(server.url).show(server.model)
        yield SmallModel(server.model, server.url, "slmroute serve (llama.cpp)", shown.parameters, stand_in=True)


def suitable(models: Sequence[ModelEntry]) -> ModelEntry | None:
    """Choose the smallest general model of 1 to 9 billion parameters; None where there is none."""
    sized = [(_billions(model.parameters), model) for model in models if _GENERAL.match(model.name)]
    fitting = [
        (size, model.name, model)
        for size, model in sized
        if size is not None and _SMALLEST_B <= size <= _LARGEST_B and not _OTHER_USES.search(model.name)
    ]
    return min(fitting)[2] if fitting else None


def _from_ollama(server: OllamaServer, wanted: str | None) -> SmallModel | None:
    try:
        version = server.health()
        if wanted is not None:
            server.require(wanted)
        models = server.models()
    except ServerUnreachable:
        if wanted is not None:
            raise
        return None
    chosen = ModelEntry(wanted) if wanted is not None else suitable(models)
    if chosen is None:
        return None
    shown = server.show(chosen.name)
    size = _billions(shown.parameters)
    stand_in = size is not None and size < _SMALLEST_B
    return SmallModel(chosen.name, server.url, f"Ollama {version}", shown.parameters, stand_in)


def _billions(parameters: str | None) -> float | None:
    found = _PARAMETERS.match(parameters or "")
    if found is None:
        return None
    return float(found[1]) / (1000 if found[2].upper() == "M" else 1)
