"""The embedded classifier's weights: one linear model over dense features and hashed n-grams, and its file."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from slmroute.classify.features import BUCKETS, NGRAM_VERSION, Features, feature_names
from slmroute.classify.lexicon import lexicon_digest
from slmroute.classify.sentence import DIMENSIONS
from slmroute.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LinearWeights", "features_digest"]

FORMAT = 2


@cache
def features_digest() -> str:
    """Give a digest of the features' layout; weights fitted for another layout are refused."""
    return sha256(
        "\n".join((*feature_names(), lexicon_digest(), str(NGRAM_VERSION), str(BUCKETS))).encode()
    ).hexdigest()[:12]


@dataclass(frozen=True, slots=True, eq=False)
class LinearWeights:
    """Log-odds of "complex" as a sum of weights.

    Attributes:
        dense: One weight for each of ``feature_names()``, float32.
        hashed: One weight for each n-gram bucket, float16 of shape ``(BUCKETS,)``.
        bias: The log-odds of a prompt without any feature.
        threshold: The score above which a task is taken for complex.
        refitted: On how many prompts of the user's own they were refitted; 0 for those that ship.
        embedding: Two weights for each dimension of the instruction's embedding (best grade), float32 of shape
            ``(2, 384)``: the second ones count where there is a payload. None for the light grade.
    """

    dense: NDArray[np.float32]
    hashed: NDArray[np.float16]
    bias: float
    threshold: float
    refitted: int = 0
    embedding: NDArray[np.float32] | None = None

    @property
    def version(self) -> str:
        """A name that changes with any weight."""
        digest = sha256(self.dense.tobytes() + self.hashed.tobytes())
        digest.update(f"{self.bias!r} {self.threshold!r} {features_digest()}".encode())
        if self.embedding is not None:
            digest.update(self.embedding.tobytes())
        grade = "embedded" if self.embedding is None else "embedded-best"
        kind = f"{grade}-refit{self.refitted}" if self.refitted else grade
        return f"{kind}-{digest.hexdigest()[:10]}"

    def log_odds(self, features: Features) -> float:
        """Add up the weights of one prompt's features.

        Raises:
            MissingExtra: These are weights of the best grade, and what it embeds with is not installed.
        """
        hashed = self.hashed[features.buckets].astype("float32") @ features.values
        total = float(features.dense @ self.dense) + float(hashed) + self.bias
        if self.embedding is not None:
            from slmroute.classify.sentence import sentence_embedding

            meant = sentence_embedding(features.instruction)
            total += float(meant @ self.embedding[0]) + (float(meant @ self.embedding[1]) if features.payload else 0.0)
        return total

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
        }
        header = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
        out = io.BytesIO()
        arrays = {"meta": header, "dense": self.dense, "hashed": self.hashed}
        if self.embedding is not None:
            arrays["embedding"] = self.embedding
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
                embedding = np.asarray(arrays["embedding"], dtype=np.float32) if "embedding" in arrays else None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"EmbeddedClassifier(weights={str(path)!r}) is not a weights file ({error}); {remedy}"
            ) from error
        meta = cast("dict[str, object]", header) if isinstance(header, dict) else {}
        fits = meta.get("format") == FORMAT and meta.get("features") == features_digest()
        fits = fits and (embedding is None or embedding.shape == (2, DIMENSIONS))
        if not fits or dense.shape != (len(feature_names()),) or hashed.shape != (BUCKETS,):
            raise ConfigError(
                f"EmbeddedClassifier(weights={str(path)!r}) was fitted for another version of slmroute and does "
                f"not fit this one; {remedy}"
            )
        bias, threshold, refitted = (number(meta, key) for key in ("bias", "threshold", "refitted"))
        return cls(dense, hashed, bias, threshold, int(refitted), embedding)


def number(meta: dict[str, object], key: str) -> float:
    """Read a number of the header."""
    value = meta.get(key)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(
            f"The weights file's header has no number {key!r}; fit the weights anew with: slmroute train embedded"
        )
    return float(value)
