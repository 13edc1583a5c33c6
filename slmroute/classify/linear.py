"""The embedded classifier's weights, over dense features, hashed n-grams and the best grade's embedding; their file."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from slmroute.classify.features import BUCKETS, NGRAM_VERSION, Features, feature_names
from slmroute.classify.lexicon import lexicon_digest
from slmroute.classify.sentence import DIMENSIONS
from slmroute.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Everyday", "HiddenLayer", "LinearWeights", "either", "features_digest"]

FORMAT = 4
EMBEDDING = "embedding"
HIDDEN = ("hidden_inputs", "hidden_offsets", "hidden_outputs")
EVERYDAY = ("everyday_dense", "everyday_hashed", "everyday_embedding")
MORE = (EMBEDDING, *HIDDEN, *EVERYDAY)


@cache
def features_digest() -> str:
    """Give a digest of the features' layout; weights fitted for another layout are refused."""
    return sha256(
        "\n".join((*feature_names(), lexicon_digest(), str(NGRAM_VERSION), str(BUCKETS))).encode()
    ).hexdigest()[:12]


@dataclass(frozen=True, slots=True, eq=False)
class HiddenLayer:
    """What only shows in combination: rectified sums of the dense features (and of the embedding, for the best grade).

    Attributes:
        inputs: One row of weights for each hidden unit, float32 of shape ``(units, dense features)``, and for the best
            grade ``(units, dense features + 384)``.
        offsets: What each unit adds, float32 of shape ``(units,)``.
        outputs: What each unit counts, float32 of shape ``(units,)``.
    """

    inputs: NDArray[np.float32]
    offsets: NDArray[np.float32]
    outputs: NDArray[np.float32]

    def log_odds(self, columns: NDArray[np.float32]) -> float:
        """Give the units' part of the log-odds."""
        import numpy as np

        return float(np.maximum(self.inputs @ columns + self.offsets, 0) @ self.outputs)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Give the arrays by the names they have in the file."""
        return {"hidden_inputs": self.inputs, "hidden_offsets": self.offsets, "hidden_outputs": self.outputs}


@dataclass(frozen=True, slots=True, eq=False)
class Everyday:
    """Log-odds of "complex" against everyday messages: greetings, small sums, common knowledge, a shop's questions.

    They are simple, too, but have nothing in common with work on a text, and they look like short hard requests.
    Weights that have to tell both kinds of simple from complex at once do neither well; so these have their own.

    Attributes:
        dense: One weight for each of ``feature_names()``, float32.
        hashed: One weight for each n-gram bucket, float16 of shape ``(BUCKETS,)``.
        bias: The log-odds of a prompt without any feature.
        embedding: One weight for each dimension of the instruction's embedding, float32 of shape ``(384,)``, or None.
    """

    dense: NDArray[np.float32]
    hashed: NDArray[np.float16]
    bias: float
    embedding: NDArray[np.float32] | None = None

    def log_odds(self, features: Features, meant: NDArray[np.float32] | None) -> float:
        """Add up the weights of one prompt's features, and of its instruction's embedding."""
        hashed = self.hashed[features.buckets].astype("float32") @ features.values
        total = float(features.dense @ self.dense) + float(hashed) + self.bias
        return total if self.embedding is None or meant is None else total + float(meant @ self.embedding)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Give the arrays by the names they have in the file."""
        given = (self.dense, self.hashed, self.embedding)
        return {name: array for name, array in zip(EVERYDAY, given, strict=True) if array is not None}


def either(one: float, other: float) -> float:
    """Give the log-odds of "complex" against two kinds of simple, from the log-odds against each: their odds add up."""
    low, high = sorted((one, other))
    return low - math.log1p(math.exp(low - high))


@dataclass(frozen=True, slots=True, eq=False)
class LinearWeights:
    """Log-odds of "complex" as a sum: of weights, and of a small hidden layer; and against everyday messages apart.

    Attributes:
        dense: One weight for each of ``feature_names()``, float32.
        hashed: One weight for each n-gram bucket, float16 of shape ``(BUCKETS,)``.
        bias: The log-odds of a prompt without any feature.
        threshold: The score above which a task is taken for complex.
        refitted: On how many prompts of the user's own they were refitted; 0 for those that ship.
        embedding: Two weights for each dimension of the instruction's embedding (best grade), float32 of shape
            ``(2, 384)``: the second ones count where there is a payload. None for the light grade.
        hidden: The hidden layer, or None.
        everyday: What tells complex prompts from everyday messages, or None.
    """

    dense: NDArray[np.float32]
    hashed: NDArray[np.float16]
    bias: float
    threshold: float
    refitted: int = 0
    embedding: NDArray[np.float32] | None = None
    hidden: HiddenLayer | None = None
    everyday: Everyday | None = None

    @property
    def version(self) -> str:
        """A name that changes with any weight."""
        digest = sha256(self.dense.tobytes() + self.hashed.tobytes())
        digest.update(f"{self.bias!r} {self.threshold!r} {features_digest()}".encode())
        digest.update(b"" if self.everyday is None else repr(self.everyday.bias).encode())
        for name, array in sorted(self._more_arrays().items()):
            digest.update(name.encode() + array.tobytes())
        grade = "embedded" if self.embedding is None else "embedded-best"
        kind = f"{grade}-refit{self.refitted}" if self.refitted else grade
        return f"{kind}-{digest.hexdigest()[:10]}"

    def log_odds(self, features: Features) -> float:
        """Add up the weights of one prompt's features.

        Raises:
            MissingExtra: These are weights of the best grade, and what it embeds with is not installed.
        """
        import numpy as np

        hashed = self.hashed[features.buckets].astype("float32") @ features.values
        total = float(features.dense @ self.dense) + float(hashed) + self.bias
        columns, meant = features.dense, None
        if self.embedding is not None:
            from slmroute.classify.sentence import sentence_embedding

            meant = sentence_embedding(features.instruction)
            total += float(meant @ self.embedding[0]) + (float(meant @ self.embedding[1]) if features.payload else 0.0)
            columns = np.concatenate([columns, meant])
        total = total if self.hidden is None else total + self.hidden.log_odds(columns)
        return total if self.everyday is None else either(total, self.everyday.log_odds(features, meant))

    def _more_arrays(self) -> dict[str, NDArray[Any]]:
        more: dict[str, NDArray[Any]] = {} if self.embedding is None else {EMBEDDING: self.embedding}
        for part in (self.hidden, self.everyday):
            more |= {} if part is None else part.arrays()
        return more

    def with_threshold(self, threshold: float) -> Self:
        """Give the same weights with another threshold."""
        return replace(self, threshold=threshold)

    def to_bytes(self) -> bytes:
        """Give the file's content, the same for the same weights."""
        import numpy as np

        meta = {
            "format": FORMAT,
            "features": features_digest(),
            "bias": self.bias,
            "threshold": self.threshold,
            "refitted": self.refitted,
            "everyday_bias": 0.0 if self.everyday is None else self.everyday.bias,
        }
        header = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
        out = io.BytesIO()
        arrays = {"meta": header, "dense": self.dense, "hashed": self.hashed, **self._more_arrays()}
        np.savez_compressed(out, allow_pickle=False, **arrays)
        return out.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a weights file.

        Args:
            path: The file that ``to_bytes`` was written to.

        Raises:
            ConfigError: It is no weights file, or one for other features; the message tells how to make one that fits.
        """
        import zipfile

        import numpy as np

        remedy = "fit one that does with: slmroute train embedded --data PROMPTS.jsonl --out PATH"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                header: object = json.loads(arrays["meta"].tobytes())
                dense = np.asarray(arrays["dense"], dtype=np.float32)
                hashed = np.asarray(arrays["hashed"], dtype=np.float16)
                more = {name: np.asarray(arrays[name], dtype=kind_of(name)) for name in MORE if name in arrays}
        except OSError as error:
            raise ConfigError(
                f"EmbeddedClassifier(weights={str(path)!r}) cannot be read ({error.strerror}); {remedy}"
            ) from error
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            # What numpy says of such a file is of pickles and archives.
            raise ConfigError(f"EmbeddedClassifier(weights={str(path)!r}) is not a weights file; {remedy}") from error
        meta = cast("dict[str, object]", header) if isinstance(header, dict) else {}
        fits = meta.get("format") == FORMAT and meta.get("features") == features_digest()
        if not fits or dense.shape != (len(feature_names()),) or hashed.shape != (BUCKETS,) or not shapes_fit(more):
            raise ConfigError(
                f"EmbeddedClassifier(weights={str(path)!r}) was fitted for another version of slmroute and does "
                f"not fit this one; {remedy}"
            )
        bias, threshold, refitted = (number(meta, key) for key in ("bias", "threshold", "refitted"))
        hidden = HiddenLayer(*(more[name] for name in HIDDEN)) if HIDDEN[0] in more else None
        everyday = None
        if EVERYDAY[0] in more:
            known, spelt, meant = (more.get(name) for name in EVERYDAY)
            everyday = Everyday(cast("Any", known), cast("Any", spelt), number(meta, "everyday_bias"), meant)
        return cls(dense, hashed, bias, threshold, int(refitted), more.get(EMBEDDING), hidden, everyday)


def kind_of(name: str) -> str:
    """Give the kind of number that an array holds."""
    return "float16" if name.endswith("hashed") else "float32"


def shapes_fit(more: dict[str, NDArray[Any]]) -> bool:
    """Whether the arrays that need not be there have, where they are, the shapes they must have."""
    embedding = more.get(EMBEDDING)
    if embedding is not None and embedding.shape != (2, DIMENSIONS):
        return False
    shapes = ((len(feature_names()),), (BUCKETS,), (DIMENSIONS,))
    if any(name in more and more[name].shape != shape for name, shape in zip(EVERYDAY, shapes, strict=True)):
        return False
    if len({name in more for name in EVERYDAY[:2]}) == 2 or (EVERYDAY[2] in more and embedding is None):
        return False
    found = [more[name] for name in HIDDEN if name in more]
    if not found:
        return True
    wide = len(feature_names()) + (0 if embedding is None else DIMENSIONS)
    units = found[0].shape[:1]
    return len(found) == len(HIDDEN) and [one.shape for one in found] == [(*units, wide), units, units]


def number(meta: dict[str, object], key: str) -> float:
    """Read a number of the header."""
    value = meta.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(
            f"The weights file's header has no number {key!r}; fit the weights anew with: slmroute train embedded"
        )
    return float(value)
