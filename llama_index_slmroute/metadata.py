"""What a router says of itself to the parts of LlamaIndex that pack prompts and choose agents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms import LLM

from llama_index_slmroute.models import TierModels
from slmroute.errors import ConfigError
from slmroute.tier import Tier

__all__ = ["MODEL_NAME", "WindowPolicy", "checked_policy", "metadata_of"]

MODEL_NAME: Final = "slmroute"
"""A name that no table of models knows: LlamaIndex then takes the router for none of its tiers."""

UNKNOWN: Final = -1
"""How LlamaIndex writes a number that is not known."""

WindowPolicy = Literal["smallest", "largest"] | int
"""The window to pack prompts for: the smallest of the tiers', so that each can answer; the largest, so that as much
goes into one prompt as before, and long ones go to the tiers that can take them; or a number of tokens."""


def metadata_of(tiers: Sequence[Tier], models: TierModels, policy: WindowPolicy) -> tuple[LLMMetadata, bool]:
    """Describe a router.

    Args:
        tiers: Those of its tiers that may answer.
        models: Their LLMs.
        policy: Which window to state.

    Returns:
        The metadata, and whether every tier could be asked for its own; a server that was down may be up later.
    """
    windows: list[int] = []
    outputs: list[int] = []
    # A server is asked only for what is not stated, and never while an event loop would have to stand still for it.
    stated, in_loop = isinstance(policy, int), _in_loop()
    asks, takes_tools, complete = not stated and not in_loop, False, stated or not in_loop
    for tier in tiers:
        if asks:
            complete &= models.prepare(tier)
        described = models.described(tier)
        outputs.append(_num_output(models.model(tier), is_ollama=models.dialect(tier).is_ollama))
        takes_tools |= not described.lacks(frozenset({"tools"}))
        windows.append(described.window or DEFAULT_CONTEXT_WINDOW)
    known = [output for output in outputs if output > 0]
    metadata = LLMMetadata(
        context_window=_window(windows, policy),
        num_output=min(known) if known else UNKNOWN,
        is_chat_model=True,
        is_function_calling_model=takes_tools,
        model_name=MODEL_NAME,
    )
    return metadata, complete


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _window(windows: Sequence[int], policy: WindowPolicy) -> int:
    if isinstance(policy, int):
        return policy
    return min(windows) if policy == "smallest" else max(windows)


def checked_policy(policy: object) -> WindowPolicy:
    """Check ``context_window=``.

    Raises:
        ConfigError: It is none of the policies.
    """
    if policy in ("smallest", "largest") or (isinstance(policy, int) and not isinstance(policy, bool) and policy > 0):
        return policy  # pyright: ignore[reportReturnType]
    raise ConfigError(f"context_window={policy!r} must be 'smallest', 'largest', or a positive number of tokens.")


def _num_output(llm: LLM, *, is_ollama: bool) -> int:
    if is_ollama:  # asking it may ask its server
        return DEFAULT_NUM_OUTPUTS
    try:
        return llm.metadata.num_output
    except ValueError:  # LlamaIndex's OpenAI does not know the model
        return UNKNOWN
