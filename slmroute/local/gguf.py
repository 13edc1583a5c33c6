"""The head of a GGUF file: what a model says of itself, read without loading it.

The format is described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import cast

from slmroute.errors import ConfigError

__all__ = ["GGUFHead", "read_head"]

MAGIC = b"GGUF"
VERSIONS = frozenset({2, 3})

STRING, ARRAY = 8, 9
SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
U32, U64 = SCALARS[4], SCALARS[10]

LONGEST_ARRAY = 5
"""Longer arrays (the vocabulary) are skipped, as Ollama skips them."""

MOST_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class GGUFHead:
    """What stands in front of a model's weights.

    Attributes:
        metadata: The keys with their values; long arrays are empty.
        parameters: The number of weights in all tensors.
    """

    metadata: Mapping[str, object] = field(repr=False)
    parameters: int


def read_head(path: Path) -> GGUFHead:
    """Read the head of a GGUF file.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, is no GGUF file, or is cut off.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return Reader(data).head()
    except OSError as error:
        raise ConfigError(f"model={str(path)!r} cannot be read: {error.strerror or error}.") from error
    except (ValueError, struct.error, KeyError) as error:
        raise ConfigError(f"model={str(path)!r} is not a complete GGUF file of version 2 or 3.") from error


class Reader:
    """Reads values one after the other.

    Args:
        data: The file's bytes.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def head(self) -> GGUFHead:
        """Read everything before the weights.

        Raises:
            ValueError: The file is not what it should be; also KeyError and struct.error.
        """
        if self._data[:4] != MAGIC:
            raise ValueError("no GGUF file")
        self._at = 4
        if self._scalar(U32) not in VERSIONS:
            raise ValueError("unknown version")
        tensors, keys = self._count(), self._count()
        metadata = {self._string(): self._value(self._count(U32)) for _ in range(keys)}
        return GGUFHead(metadata, sum(self._tensor() for _ in range(tensors)))

    def _tensor(self) -> int:
        self._string()
        dimensions = self._count(U32)
        if dimensions > MOST_DIMENSIONS:
            raise ValueError("too many dimensions")
        size = prod(self._count() for _ in range(dimensions))
        self._skip(U32.size + U64.size)
        return size

    def _value(self, kind: int) -> object:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            return self._array()
        return self._scalar(SCALARS[kind])

    def _array(self) -> list[object]:
        kind, count = self._count(U32), self._count()
        if kind in SCALARS and count > LONGEST_ARRAY:
            self._skip(count * SCALARS[kind].size)
            return []
        if kind == STRING and count > LONGEST_ARRAY:
            for _ in range(count):
                self._skip(self._count())
            return []
        if count > LONGEST_ARRAY:
            raise ValueError("an array of many arrays")
        return [self._value(kind) for _ in range(count)]

    def _string(self) -> str:
        length = self._count()
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8", "replace")

    def _skip(self, length: int) -> None:
        if length > len(self._data) - self._at:
            raise ValueError("cut off")
        self._at += length

    def _count(self, form: struct.Struct = U64) -> int:
        return cast("int", self._scalar(form))

    def _scalar(self, form: struct.Struct) -> object:
        value: object = form.unpack_from(self._data, self._at)[0]
        self._at += form.size
        return value
