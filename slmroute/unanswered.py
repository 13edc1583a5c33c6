"""Requests that got no whole answer: how many of them their provider may count all the same.

What a provider has worked on it counts, whether its answer arrives or not. So a request counts whose answer did not
come in time, or began well, with HTTP status 200, and broke off. None does that never left, that found nobody, whose
connection broke before any answer, or that was answered with an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from json import JSONDecodeError
from traceback import walk_tb
from types import FrameType
from typing import Final, cast

from slmroute.availability import status_of

__all__ = ["given_up", "handled", "may_count"]


def _functions(of: Mapping[str, tuple[str, ...]]) -> frozenset[tuple[str, str]]:
    return frozenset((package, function) for package, functions in of.items() for function in functions)


_WAITING: Final = _functions(
    {
        "aiohttp": ("connect",),
        "anthropic": ("to_thread",),  # to learn what machine it is on, which it tells in its requests
        "httpcore": ("_connect", "wait_for_connection"),
        "httpcore2": ("_connect", "wait_for_connection"),
        "openai": ("to_thread",),
    }
)
"""Where clients wait for a connection, or for something else, before they send anything."""
_SENDING: Final = "handle_async_request"
"""Where httpcore sends a request and waits for the head of its answer; for locks it waits there before it sends."""
_LOCKS: Final = "_synchronization"
"""The module of these locks."""
_LIMITER: Final = "aacquire"
"""Where LangChain's models wait for a rate limiter, whosever it is."""

_READING: Final = _functions(
    {
        "aiohttp": ("read",),
        "httpx": ("iter_raw", "aiter_raw", "iter_bytes", "aiter_bytes"),
        "httpx2": ("iter_raw", "aiter_raw", "iter_bytes", "aiter_bytes"),
        "requests": ("generate",),
    }
)
"""Where clients read the body of an answer; ``self`` is the answer there."""
_STREAMING: Final = {
    ("anthropic", "__stream__"): "response",
    ("google", "request_streamed"): "session_response",
    ("google", "async_generator"): "response",
    ("groq", "__stream__"): "response",
    ("ollama", "inner"): "r",
    ("openai", "__stream__"): "response",
}
"""Where clients take a stream apart, and raise the errors that come in it; what they call the answer there."""
_BEGUN: Final = _functions(
    {
        "huggingface_hub": (
            "_stream_chat_completion_response",
            "_async_stream_chat_completion_response",
            "_stream_text_generation_response",
            "_async_stream_text_generation_response",
        )
    }
)
"""Where one does so that has looked at the answer's status before."""
_NOTHING_CAME: Final = frozenset(
    {
        "No data received from Ollama stream.",
        "No generation chunks were returned",
        "No generations found in stream.",
    }
)
"""What LangChain's models say, in plain ``ValueError``s, of a stream that began well and ended with nothing in it."""
_OK: Final = 200

_READ_TIMEOUTS: Final = frozenset({"ReadTimeout", "ReadTimeoutError", "SocketTimeoutError", "StreamChunkTimeoutError"})
"""What clients, or those beneath them, raise when an answer does not come or go on in time."""
_SENT_AGAIN: Final = "x-stainless-retry-count"


def handled() -> int:
    """Tell which error is being handled as a call begins, as its identity: it is no cause of what befalls the call.

    Python makes it the context of each error that is raised meanwhile, and a program that asks a model again, or
    another one, in an ``except`` block does so in the midst of handling one.
    """
    return id(sys.exception())


def may_count(error: BaseException | None, before: int | None = None, *, outside: int = 0) -> int:
    """Tell how many requests of a call that ended in an error its provider may count.

    OpenAI's and Anthropic's clients send a request again of their own accord, and note in it how often they have done
    so. Others note it nowhere: their requests count once. Rounds that a framework adds raise an error each, of which
    this is the last.

    Args:
        error: A client's error, or what interrupted the call: a cancellation, or None where its reader left.
        before: How many requests of earlier rounds count, where that is known.
        outside: What ``handled`` told as the call began.
    """
    if not isinstance(error, Exception):
        return given_up(error, before)
    causes = _causes(error, outside)
    # Clients may fail to read an error's body, too.
    refused = any((status_of(each) or 0) > _OK for each in causes)
    unread = not refused and any(isinstance(each, JSONDecodeError) for each in causes)
    counts = unread or any(_is_late(each) or _broke_off(each) for each in causes)
    requests = max(1 + _times_again(vars(each).get("request")) for each in causes)
    return (before or 0) + (requests if counts else 0)


def given_up(error: BaseException | None, before: int | None = None) -> int:
    """Tell how many requests of a call that was given up its provider may count: those that may have left.

    That is seen from where it was interrupted. A request that still waited for a connection does not count, and what
    was sent before it, by a client that tries again, does.

    Args:
        error: What interrupted the call: a cancellation, or what a deadline made of one; None where its reader left.
        before: How many requests of earlier rounds count, where that is known.
    """
    frames = list(_frames_of(error.__cause__ if isinstance(error, TimeoutError) else error))
    if not _waits(frames):
        return (before or 0) + 1
    again = any(_times_again(frame.f_locals.get("request")) for frame in frames)
    return (before or 0) + int(again or (before is None and any(_is_another_round(frame) for frame in frames)))


def _waits(frames: list[FrameType]) -> bool:
    """Whether a request still waits, so that nothing of it has left."""
    around = ""
    for frame in frames:
        function = frame.f_code.co_name
        if function == _LIMITER or (_package_of(frame), function) in _WAITING:
            return True
        if around == _SENDING and _module_of(frame).endswith(_LOCKS):
            return True
        around = function
    return False


def _is_late(error: BaseException) -> bool:
    """Whether an answer was waited for in vain."""
    if type(error).__name__ in _READ_TIMEOUTS:
        return True
    # aiohttp raises the plain class, as for a connection that does not come.
    frames = list(_frames_of(error)) if type(error) is TimeoutError else []
    return any(_package_of(frame) == "aiohttp" for frame in frames) and bool(given_up(error))


def _broke_off(error: BaseException) -> bool:
    """Whether an answer had begun well: its body was being read, an error came in it, or it ended with nothing."""
    if type(error) is ValueError and str(error) in _NOTHING_CAME:
        return True
    for frame in _frames_of(error):
        place = _package_of(frame), frame.f_code.co_name
        name = "self" if place in _READING else _STREAMING.get(place)
        answer = None if name is None else frame.f_locals.get(name)
        if place in _BEGUN or _OK in (getattr(answer, "status_code", None), getattr(answer, "status", None)):
            return True
    return False


def _causes(error: BaseException, outside: int) -> list[BaseException]:
    """Give an error and those that it came of, the last one first, without what was handled as the call began."""
    found: BaseException | None = error
    causes: dict[int, BaseException] = {}  # an error may be its own cause, or two each other's
    while found is not None and id(found) != outside and id(found) not in causes:
        causes[id(found)] = found
        found = found.__cause__ or found.__context__
    return list(causes.values())


def _frames_of(error: BaseException | None) -> Iterator[FrameType]:
    return (frame for frame, _ in walk_tb(None if error is None else error.__traceback__))


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _package_of(frame: FrameType) -> str:
    return _module_of(frame).partition(".")[0]


def _is_another_round(frame: FrameType) -> bool:
    """Whether a frame is of tenacity, or of what uses it, and tries something again."""
    states = (frame.f_locals.get(name) for name in ("retry_state", "attempt"))
    tries = (getattr(getattr(state, "retry_state", state), "attempt_number", None) for state in states)
    return any(isinstance(number, int) and number > 1 for number in tries)


def _times_again(request: object) -> int:
    """Read from a request how often its client has sent it again, where that notes it."""
    headers: object = getattr(request, "headers", None)
    again = str(cast("Mapping[str, object]", headers).get(_SENT_AGAIN)) if isinstance(headers, Mapping) else ""
    return int(again) if again.isdecimal() else 0
