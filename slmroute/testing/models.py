"""The models of a fake server: what each has been told to say next, and what it can do."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from slmroute.errors import ConfigError
from slmroute.testing.script import Entry, Fault

__all__ = ["ScriptedModel", "ScriptedModels"]


@dataclass(slots=True)
class ScriptedModel:
    """One model.

    Attributes:
        entries: Its answers in order, the last one again and again.
        window: Its context window in tokens.
        capabilities: What ``/api/show`` says it can do.
        place: Which answer is next.
    """

    entries: Sequence[Entry] = field(repr=False)
    window: int
    capabilities: Sequence[str]
    place: int = 0

    @property
    def next(self) -> Entry:
        """The answer that is next."""
        return self.entries[self.place]


class ScriptedModels:
    """All the models, by name; written and read in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: dict[str, ScriptedModel] = {}

    @property
    def names(self) -> list[str]:
        """The models' names in the order in which they were scripted."""
        with self._lock:
            return list(self._models)

    @property
    def refusing(self) -> bool:
        """Whether any model's next answer is to refuse the connection."""
        with self._lock:
            return any(isinstance(model.next, Fault) and model.next.refuse for model in self._models.values())

    def put(self, name: str, model: ScriptedModel) -> None:
        """Add a model, or give it a new script.

        Raises:
            ConfigError: The script is empty.
        """
        if not model.entries:
            raise ConfigError(f"The script of {name!r} is empty: give it at least one Reply, Fault or callable.")
        with self._lock:
            self._models[name] = model

    def find(self, name: str | None) -> ScriptedModel | None:
        """Find a model; as in Ollama, a name without a tag and the tag ``latest`` are the same."""
        if name is None:
            return None
        with self._lock:
            return self._models.get(name) or self._models.get(
                name.removesuffix(":latest") if name.endswith(":latest") else f"{name}:latest"
            )

    def take(self, model: ScriptedModel) -> Entry:
        """Take a model's next answer."""
        with self._lock:
            entry = model.next
            model.place = min(model.place + 1, len(model.entries) - 1)
            return entry
