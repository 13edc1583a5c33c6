"""HTTP clients for the SDKs of providers, each with connections of its own.

What an SDK makes by itself is shared, or says goodbye when it is let go in whichever event loop runs then: where its
connections are another's, which may be closed, that is an error that nobody can catch. What is sent on the connections
of a closed one may arrive all the same: the provider answers it, and counts it, while its SDK sees an error and asks
again. A bill then has calls that nobody heard of.

Where a process is forked, its child has the same sockets: what both send is mixed up, and one reads the other's answer.
"""

from __future__ import annotations

import ssl
from copy import copy
from functools import cache
from importlib import import_module
from inspect import isfunction
from typing import Any, Final, cast

__all__ = ["of_its_own", "ollama_with_own_connections", "own_http_client", "parts_of", "with_own_connections"]

_MADE_BY_SDK: Final = ("AsyncHttpxClientWrapper", "SyncHttpxClientWrapper")
"""How the class of an HTTP client is called, or ends, that was made because its user gave none."""
_CARRIERS: Final = {"AsyncClient": "AsyncHTTPTransport", "Client": "HTTPTransport"}
"""Classes of clients of httpx, and of what they send requests out by."""


def own_http_client(sdk: str) -> Any:
    """Make an HTTP client, with connections of its own, for ``openai`` or ``anthropic``."""
    return import_module(sdk).DefaultAsyncHttpxClient(verify=_certificates())


def of_its_own(client: Any) -> Any:
    """Give a copy of a client of OpenAI's or Anthropic's SDK that shares no connection with it.

    Args:
        client: The client. One that was given its HTTP client keeps it, as does one whose methods were replaced, by
            what traces or stands in for them.

    Returns:
        The copy; None where the client is to stay as it is.
    """
    shared = getattr(client, "_client", None)
    if not type(shared).__name__.endswith(_MADE_BY_SDK) or _is_patched(client):
        return None
    own = with_own_connections(shared)
    return None if own is None else client.copy(http_client=own)


def with_own_connections(shared: Any) -> Any:
    """Give a copy of a client of httpx, asynchronous or not, that shares no connection with it.

    All else stays as it is: headers, timeouts, hooks, authentication, proxies, the options of its sockets.

    Args:
        shared: The client; it is not changed.

    Returns:
        The copy; None where requests go out by something that is not httpx's own, a stand-in for one.
    """
    within = parts_of(shared)
    plain: Any = next((kind for kind in type(shared).__mro__ if kind.__name__ in _CARRIERS), None)
    carrier, given = _own_carrier(within.get("_transport")), cast("dict[Any, Any]", within.get("_mounts", {}))
    mounts = {pattern: each and _own_carrier(each) for pattern, each in given.items()}
    if carrier is None or any(each is not None and mounts[pattern] is None for pattern, each in given.items()):
        return None
    own = plain(transport=carrier, trust_env=False)
    kept = {name: part for name, part in within.items() if name != "_state"}  # whether it is closed is another matter
    parts_of(own).update(kept, _transport=carrier, _mounts=mounts)
    return own


def ollama_with_own_connections(client: Any) -> Any:
    """Give a copy of a client of Ollama's that shares no connection with it; None where it is another's, or changed."""
    if type(client).__module__.partition(".")[0] != "ollama" or parts_of(client).keys() != {"_client"}:
        return None
    http = with_own_connections(client._client)  # noqa: SLF001
    if http is None:
        return None
    own = copy(client)
    own._client = http  # noqa: SLF001
    return own


def parts_of(made: Any) -> dict[str, Any]:
    """Give what an object holds, by name; nothing of one that has no dictionary."""
    return cast("dict[str, Any]", getattr(made, "__dict__", {}))


def _own_carrier(carrier: Any) -> Any:
    """Give a copy of a transport of httpx's with an empty pool of connections; None where it is another's."""
    pool = parts_of(carrier).get("_pool")
    if type(carrier).__name__ not in _CARRIERS.values() or parts_of(carrier).keys() != {"_pool"}:
        return None
    if not parts_of(pool).keys() >= {"_connections", "_requests", "_optional_thread_lock"}:
        return None
    empty, own = copy(pool), copy(carrier)
    lock = type(parts_of(pool)["_optional_thread_lock"])()
    parts_of(empty).update(_connections=[], _requests=[], _optional_thread_lock=lock)
    parts_of(own).update(_pool=empty)
    return own


def _is_patched(made: Any) -> bool:
    """Whether a method of an SDK's client, or of a part that it has made of itself, was replaced on the object."""
    kind = type(cast("object", made))
    sdk = kind.__module__.partition(".")[0]
    for name, part in parts_of(made).items():
        if isfunction(getattr(kind, name, None)):
            return True
        is_own = name != "_client" and type(part).__module__.partition(".")[0] == sdk
        if is_own and "_client" in parts_of(part) and _is_patched(part):
            return True
    return False


@cache
def _certificates() -> ssl.SSLContext:
    """The machine's certificates, which take longer to read than a call does."""
    return import_module("httpx").create_ssl_context()
