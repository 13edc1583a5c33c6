"""LlamaIndex's OpenAI for any model's name, because its own tables refuse those that came after them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

# Its client imports this when first called, and two threads that do so at once can be told that they deadlock.
import openai.resources.chat  # noqa: F401  # pyright: ignore[reportUnusedImport]
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai.utils import ALL_AVAILABLE_MODELS
from openai import OpenAIError

from slmroute.keys import asks_for_key, key_missing
from slmroute.tier import Tier

__all__ = ["OpenAIModel"]


class OpenAIModel(OpenAI):
    """LlamaIndex's OpenAI, which also takes names that it does not know: of newer models, or of other servers'.

    A client that finds no key raises ``Misconfigured``, which names the tier and the variable to set.

    Args:
        window: The context window in tokens; by default what LlamaIndex knows of the model, or assumes of any.
    """

    window: int | None = None
    _tier: Tier | None = PrivateAttr(default=None)

    @property
    def tier(self) -> Tier | None:
        """The tier that it was built for, for errors to name."""
        return self._tier

    @tier.setter
    def tier(self, tier: Tier) -> None:
        self._tier = tier

    def _get_client(self) -> Any:
        with self._naming_keys():
            return super()._get_client()

    def _get_aclient(self) -> Any:
        with self._naming_keys():
            return super()._get_aclient()

    @contextmanager
    def _naming_keys(self) -> Generator[None]:
        """Say where a key is to be set, when the client finds none: it is made when first needed."""
        try:
            yield
        except OpenAIError as error:
            if self._tier is None or not asks_for_key(str(error)):
                raise
            raise key_missing(self._tier, "openai") from error

    @property
    def is_known(self) -> bool:
        """Whether LlamaIndex knows the model."""
        return self._get_model_name() in ALL_AVAILABLE_MODELS

    @property
    def metadata(self) -> LLMMetadata:
        """See ``LLM``."""
        if self.is_known:
            known = super().metadata
            return known.model_copy(update={"context_window": self.window}) if self.window else known
        return LLMMetadata(
            context_window=self.window or DEFAULT_CONTEXT_WINDOW,
            num_output=self.max_tokens or -1,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self.model,
        )
