"""Parts of what clients give, as mappings or as objects of their own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["item"]


def item(holder: Any, name: str) -> Any:
    """Read what a mapping or an object holds under a name, or None."""
    if isinstance(holder, dict | Mapping):  # the exact class first, for it is told at once
        return cast("Mapping[str, Any]", holder).get(name)
    return getattr(holder, name, None)
