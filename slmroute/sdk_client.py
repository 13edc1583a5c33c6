"""HTTP clients for the SDKs of OpenAI and Anthropic, each with connections of its own.

What an SDK makes by itself is shared, or says goodbye when it is let go in whichever event loop runs then: where its
connections are another's, which may be closed, that is an error that nobody can catch. What is sent on the connections
of a closed one may arrive all the same: the provider answers it, and counts it, while its SDK sees an error and asks
again. A bill then has calls that nobody heard of.
"""

from __future__ import annotations

import ssl
from functools import cache
from importlib import import_module
from typing import Any

__all__ = ["certificates", "own_http_client"]


def own_http_client(sdk: str) -> Any:
    """Make an HTTP client, with connections of its own, for ``openai`` or ``anthropic``."""
    return import_module(sdk).DefaultAsyncHttpxClient(verify=certificates())


@cache
def certificates() -> ssl.SSLContext:
    """Give the machine's certificates, which take longer to read than a call does."""
    return import_module("httpx").create_ssl_context()
