"""Which errors mean that a tier is not available, as a closed list for each provider's client.

Everything else (a bad request, a callback's error, cancellation, LangGraph's control flow) passes through unchanged.
The clients are never imported here: an error of theirs can only be raised once they are.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Final, cast

from slmroute.advice import explained, is_ollamas
from slmroute.errors import Misconfigured
from slmroute.steps import Failure, FailureKind
from slmroute.tier import Tier

__all__ = [
    "availability_errors",
    "failure_of",
    "is_too_long",
    "lacked_ability",
    "refuses_logprobs",
    "retry_after_s",
    "status_of",
]

_CLIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "aiohttp": ("ClientError",),
    "anthropic": ("APIConnectionError", "APIStatusError"),
    "botocore.exceptions": ("ClientError", "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError"),
    "google.genai.errors": ("APIError",),
    "groq": ("APIConnectionError", "APIStatusError"),
    "httpx": ("HTTPStatusError", "TransportError"),
    "httpx2": ("HTTPStatusError", "TransportError"),
    "huggingface_hub.errors": ("HfHubHTTPError", "InferenceTimeoutError", "TextGenerationError"),
    "langchain_core.exceptions": ("ModelError",),
    "ollama": ("ResponseError",),
    "openai": ("APIConnectionError", "APIStatusError", "APIError"),
    "requests.exceptions": ("ConnectionError", "HTTPError", "Timeout"),
}
"""The errors of each client that can mean so; what status they carry decides."""

_NO_MODEL: Final = "ModelNotFoundError"
_NAMED: Final[Mapping[str, FailureKind | None]] = {
    "ContextOverflowError": "too_long",
    "ModelAPIError": "unavailable",
    "ModelAuthenticationError": "misconfigured",
    "ModelConnectionError": "unavailable",
    _NO_MODEL: "misconfigured",
    "ModelPermissionDeniedError": "misconfigured",
    "ModelRateLimitError": "overloaded",
    "ModelTimeoutError": "unavailable",
    "ModelError": None,
    "OverloadedError": "overloaded",
    "TextGenerationError": "unavailable",
}
"""Classes of errors that come without any status: LangChain's own, and those of Hugging Face's streams."""

_STATUS_OF: Final[Mapping[str, int]] = {
    "authentication_error": 401,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "request_too_large": 413,
}
"""What Anthropic's errors are called where they come in a stream that had begun well, with HTTP status 200."""

_OK: Final = 200
_OVERLOADED: Final = frozenset({429, 503, 529})
_REFUSED: Final = frozenset({400, 422})
_TOO_LONG: Final = (
    "context_length_exceeded",
    "context length",
    "context size",
    "context window",
    "input is too long",
    "input token count",
    "prompt is too long",
)
"""What the providers say in the message of a request that is over the model's window."""
_TOO_LONG_422: Final = ("`inputs` must have less than", "`inputs` tokens + `max_new_tokens` must be")
"""What Hugging Face's servers say of it."""
_LACKING: Final[Mapping[str, re.Pattern[str]]] = {
    "tools": re.compile(r"\bdoes(?: not|n't) support (?:\w+ ){0,2}?(?:tools?|functions?)\b"),
    "images": re.compile(
        r"\bdoes(?: not|n't) support (?:\w+ ){0,2}?(?:vision|images?)\b|image_url is only supported by"
    ),
}
"""What Ollama, and servers that are like OpenAI's, say of a model that cannot do what a request needs."""
_BAD_KEY: Final = "api key not valid"
"""What Google says of a key that it does not know, with HTTP status 400."""


def availability_errors(extra: Sequence[type[Exception]] = ()) -> tuple[type[Exception], ...]:
    """Give the classes to catch round a tier's call.

    Args:
        extra: The user's additions, ``availability_errors=``.
    """
    # A server that talks garbage makes every client's JSON decoder fail.
    found: list[type[Exception]] = [ConnectionError, TimeoutError, JSONDecodeError, Misconfigured, *extra]
    for module_name, names in _CLIENTS.items():
        module = sys.modules.get(module_name)
        found += [getattr(module, name) for name in names if hasattr(module, name)]
    return tuple(found)


def failure_of(tier: Tier, error: Exception, extra: Sequence[type[Exception]] = ()) -> Failure | None:
    """Tell what an error of a tier's client means.

    Args:
        tier: The tier that raised it.
        error: One of ``availability_errors``.
        extra: The user's additions.

    Returns:
        The failure, with the error that the caller will see if no tier answers: the client's own, but where ours says
        what to do (no server, no such model, refused credentials). None when it is the user's own error after all.
    """
    kind = _kind(error, extra)
    if kind is None:
        return None
    return Failure(kind, explained(tier, error, kind, 404 if _name_of(error) == _NO_MODEL else _status(error)))


def _kind(error: Exception, extra: Sequence[type[Exception]]) -> FailureKind | None:
    if isinstance(error, tuple(extra)):
        return "unavailable"
    if isinstance(error, Misconfigured):  # a tier that cannot be built without a key
        return "misconfigured"
    named = _name_of(error)
    if named == "ContextOverflowError":
        return "too_long"
    status = _status(error)
    said = str(error).lower() if status in (None, 400, 422) else ""
    if _BAD_KEY in said:
        return "misconfigured"
    if any(sign in said for sign in (_TOO_LONG if status == 400 else _TOO_LONG_422)):
        return "too_long"
    if lacked_ability(error) is not None:
        return "unable"
    if status is None and named is not None:
        return _NAMED[named]
    if status is None:
        # A stream that broke off in the middle carries no status, nor does a connection that never stood.
        return "unavailable"
    if status in (401, 403) or (status == 404 and _has_no_model(error)):
        return "misconfigured"
    if status in _OVERLOADED:
        return "overloaded"
    if status == 413:
        return "too_long"
    if status >= 500 or status in (-1, 408, 409, 425) or (status == 404 and is_ollamas(error)):
        return "unavailable"
    return None


def _has_no_model(error: Exception) -> bool:
    """Whether it is the model that was not found, and not what the request refers to: an earlier response, a file."""
    return not is_ollamas(error) and getattr(error, "param", None) in (None, "model")


def _name_of(error: Exception) -> str | None:
    """Give the name in ``_NAMED`` that tells what an error is."""
    return next((base.__name__ for base in type(error).__mro__ if base.__name__ in _NAMED), None)


def is_too_long(error: Exception) -> bool:
    """Tell whether an error of a tier's client means that the prompt is over its model's window."""
    return _kind(error, ()) == "too_long"


def _status(error: Exception) -> int | None:
    """Give the HTTP status that tells what an error means, where it came in an answer that had begun well, too."""
    status = status_of(error)
    return _STATUS_OF.get(str(getattr(error, "type", "")), 500) if status == _OK else status


def status_of(error: BaseException) -> int | None:
    """Read the HTTP status that a client's error, or the response that it holds, carries; None where there is none."""
    response: object = getattr(error, "response", None)
    for holder in (error, response):
        for name in ("status_code", "code", "status"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    if isinstance(response, Mapping):  # as botocore has it
        metadata: object = cast("Mapping[str, object]", response).get("ResponseMetadata")
        value = cast("Mapping[str, object]", metadata).get("HTTPStatusCode") if isinstance(metadata, Mapping) else None
        return value if isinstance(value, int) else None
    return None


def lacked_ability(error: Exception) -> str | None:
    """Read what a server says that its model cannot do.

    Args:
        error: The client's error.

    Returns:
        ``tools`` or ``images`` where the request was refused because the model has none of them, else None.
    """
    if _status(error) not in _REFUSED:
        return None
    said = str(error).lower()
    return next((ability for ability, pattern in _LACKING.items() if pattern.search(said)), None)


def refuses_logprobs(error: Exception) -> bool:
    """Tell whether a server refused a request because log-probabilities were asked for."""
    return _status(error) in _REFUSED and "logprobs" in f"{error} {getattr(error, 'param', '')}".lower()


def retry_after_s(error: Exception, now: datetime) -> float | None:
    """Read how long a server asks to be left alone, from its ``Retry-After`` header.

    Args:
        error: The client's error.
        now: The time of day, in UTC, which an HTTP date is held against.

    Returns:
        Seconds, zero or more, from a number or an HTTP date; None when there is none or it cannot be read.
    """
    headers: object = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    value: object = cast("Mapping[str, object]", headers).get("retry-after")
    if not isinstance(value, str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
