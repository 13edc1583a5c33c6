"""LangChain's caches beneath a router: no two models may share an entry."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel

__all__ = ["CacheSetting", "cache_setting"]

CacheSetting = BaseCache | bool | None
"""What a chat model's ``cache`` takes: None for the global cache where there is one, True to insist on it."""

_NOT_IN_THE_ANSWER: Final = frozenset({"cache", "callbacks", "custom_get_token_ids", "metadata", "profile", "tags"})


class _OwnEntries(BaseCache):
    """A model's own entries in a cache that others use, too.

    Args:
        cache: The cache.
        owner: Tells the model from all others.
    """

    def __init__(self, cache: BaseCache, owner: str) -> None:
        self._cache = cache
        self._owner = owner

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        return self._cache.lookup(prompt, self._key(llm_string))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        return await self._cache.alookup(prompt, self._key(llm_string))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        self._cache.update(prompt, self._key(llm_string), return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        await self._cache.aupdate(prompt, self._key(llm_string), return_val)

    def clear(self, **kwargs: Any) -> None:
        self._cache.clear(**kwargs)

    def _key(self, llm_string: str) -> str:
        return f"{self._owner} {llm_string}"


def cache_setting(model: BaseChatModel, router_setting: CacheSetting) -> CacheSetting:
    """Give the ``cache`` that a tier's model is to be called with.

    Some classes (ChatOllama among them) say neither model nor settings in the key of their entries, so that one model
    would be answered for by another: they are given entries of their own.

    Args:
        model: The tier's model; a setting of its own stands.
        router_setting: The router's own setting.
    """
    setting: CacheSetting = router_setting if model.cache is None else model.cache
    if setting is False:
        return setting
    cache = setting if isinstance(setting, BaseCache) else get_llm_cache()
    return setting if cache is None or _says_what_it_is(model) else _OwnEntries(cache, _owner(model))


def _says_what_it_is(model: BaseChatModel) -> bool:
    return model.is_lc_serializable() or bool(model._identifying_params)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _owner(model: BaseChatModel) -> str:
    names = sorted(type(model).model_fields.keys() - _NOT_IN_THE_ANSWER)
    told = repr((type(model).__qualname__, [(name, getattr(model, name)) for name in names]))
    # Hashed, for caches are written to disk and settings can hold headers.
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
