"""Compares recorded requests with those of today: ids that clients make up, and the port, do not count."""

from __future__ import annotations

import json
import re
from typing import Any


def canonical(body: bytes | str | None) -> str:
    """Write a body so that ids which clients make up compare equal."""
    text = body.decode() if isinstance(body, bytes) else body or ""
    return re.sub(r"call_[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", text)


def same_body(one: Any, other: Any) -> None:
    """Match two requests by their JSON."""
    assert json.loads(canonical(one.body) or "null") == json.loads(canonical(other.body) or "null")


def hide_the_port(request: Any) -> Any:
    """Record a request under one name, whatever port the local server had; what it asks llama.cpp itself is its own."""
    if not request.path.startswith("/api/"):
        return None
    request.uri = re.sub(r"^https?://[^/]+", "http://local-model", request.uri)
    return request
