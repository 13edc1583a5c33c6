"""What llama.cpp's server streams, read into pieces."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from slmroute.local.completion import Ask, End, Json, Piece, Refused

__all__ = ["CHAT", "COMPLETION", "TooLong", "members", "objects", "pieces", "refusal", "streamed", "text", "whole"]

CHAT = "/v1/chat/completions"
COMPLETION = "/completion"

TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


class TooLong(Refused):
    """The prompt does not fit in the window.

    Args:
        tokens: The prompt's tokens.
        window: The window's tokens.
    """

    def __init__(self, tokens: int, window: int) -> None:
        super().__init__(400, TOO_LONG)
        self.tokens = tokens
        self.window = window


def refusal(status: int, content: bytes) -> Refused:
    """Read an error body."""
    try:
        body: object = json.loads(content)
    except ValueError:
        body = None
    error = members(body).get("error")
    details = members(error)
    if details.get("type") == "exceed_context_size_error":
        return TooLong(number(details.get("n_prompt_tokens")), number(details.get("n_ctx")))
    message = details.get("message") if details else error
    return Refused(status, message if isinstance(message, str) else "unexpected error")


async def pieces(ask: Ask, lines: AsyncIterator[str]) -> AsyncIterator[Piece]:
    """Read a stream of server-sent events.

    Args:
        ask: What was asked.
        lines: The stream's lines.

    Yields:
        The pieces; the last one has an ``end``.

    Raises:
        Refused: The server reports an error in the middle, or stops without an end.
    """
    calls: dict[int, dict[str, str]] = {}
    async for line in lines:
        name, _, data = line.partition(":")
        if name not in ("data", "error") or data.strip() in ("", "[DONE]"):
            continue
        event = read(data)
        if name == "error" or "error" in members(event):
            raise refusal(500, data.encode() if name == "data" else json.dumps({"error": event}).encode())
        piece = chat_piece(ask, members(event), calls) if ask.path == CHAT else completion_piece(ask, members(event))
        if piece is None:
            continue
        yield piece
        if piece.end is not None:
            return
    raise Refused(500, "an error was encountered while running the model: unexpected EOF")


def streamed(ask: Ask) -> bool:
    """Whether llama.cpp can stream what is asked: tool calls with log-probabilities come in one only."""
    return not (ask.path == CHAT and ask.body.get("tools") and ask.body.get("logprobs"))


def whole(ask: Ask, content: bytes) -> Piece:
    """Read the answer of a chat that came in one.

    Raises:
        Refused: It has no end.
    """
    event = members(read(content.decode("utf-8", "replace")))
    choice = first(event.get("choices"))
    message = members(choice.get("message"))
    calls = [{**call, "index": place} for place, call in enumerate(objects(message.get("tool_calls")))]
    piece = chat_piece(ask, {**event, "choices": [{**choice, "delta": {**message, "tool_calls": calls}}]}, {})
    if piece is None or piece.end is None:
        raise Refused(500, "an error was encountered while running the model: unexpected EOF")
    return piece


def read(data: str) -> object:
    """Read an event's data."""
    try:
        return json.loads(data)
    except ValueError:
        raise Refused(500, "error unmarshalling llama-server response") from None


def chat_piece(ask: Ask, event: Json, calls: dict[int, dict[str, str]]) -> Piece | None:
    """Read an event of a chat; None for one that says nothing."""
    choice = first(event.get("choices"))
    if not choice:
        return None
    delta = members(choice.get("delta"))
    for call in objects(delta.get("tool_calls")):
        gather(calls.setdefault(number(call.get("index")), {"id": "", "name": "", "arguments": ""}), call)
    reason = choice.get("finish_reason")
    end = None if reason is None else end_of("length" if reason == "length" else "stop", event)
    piece = Piece(
        text=text(delta.get("content")),
        thinking=text(delta.get("reasoning_content")),
        calls=[called(place, calls[place]) for place in sorted(calls)] if end is not None else (),
        logprobs=logprobs(ask, members(choice.get("logprobs")).get("content")),
        end=end,
    )
    return piece if piece.text or piece.thinking or piece.logprobs or end is not None else None


def completion_piece(ask: Ask, event: Json) -> Piece | None:
    """Read an event of a raw completion; None for one that says nothing."""
    end = None
    if event.get("stop") is True:
        end = end_of("length" if event.get("stop_type") == "limit" else "stop", event)
    # The last event repeats nothing: in a stream its text and its probabilities are those of the last token.
    piece = Piece(
        text=text(event.get("content")), logprobs=logprobs(ask, event.get("completion_probabilities")), end=end
    )
    return piece if piece.text or piece.logprobs or end is not None else None


def end_of(reason: str, event: Json) -> End:
    """Read the timings, which the last event carries."""
    timings = members(event.get("timings"))
    cached = number(timings.get("cache_n"))
    return End(
        reason=reason,
        prompt_tokens=cached + number(timings.get("prompt_n")),
        cached_tokens=cached,
        output_tokens=number(timings.get("predicted_n")),
        prompt_ns=nanoseconds(timings.get("prompt_ms")),
        output_ns=nanoseconds(timings.get("predicted_ms")),
    )


def gather(call: dict[str, str], fragment: Json) -> None:
    """Add a fragment to a tool call."""
    function = members(fragment.get("function"))
    call["id"] += text(fragment.get("id"))
    call["name"] += text(function.get("name"))
    call["arguments"] += text(function.get("arguments"))


def called(place: int, call: Mapping[str, str]) -> Json:
    """Write a tool call as Ollama does."""
    try:
        arguments: object = json.loads(call["arguments"] or "{}")
    except ValueError:
        raise Refused(500, f'llama-server returned invalid tool call arguments for "{call["name"]}"') from None
    return {"id": call["id"], "function": {"index": place, "name": call["name"], "arguments": arguments}}


def logprobs(ask: Ask, found: object) -> list[Json]:
    """Read tokens with their log-probabilities."""
    if ask.body.get("logprobs") is not True and not ask.body.get("n_probs"):
        return []
    entries: list[Json] = []
    for each in objects(found):
        entry = token(each)
        if ask.alternatives:
            alternatives = [token(other) for other in objects(each.get("top_logprobs"))]
            entry = {**entry, "top_logprobs": alternatives[: ask.alternatives]}
        entries.append(entry)
    return entries


def token(entry: Json) -> Json:
    """Write one token with its log-probability as Ollama does."""
    written = entry.get("bytes")
    found = {"token": text(entry.get("token")), "logprob": entry.get("logprob")}
    return {**found, "bytes": written} if written else found


def members(value: object) -> Json:
    """Give an object, empty where it is none."""
    return cast("Json", value) if isinstance(value, dict) else {}


def objects(value: object) -> Sequence[Json]:
    """Give the objects in an array, none where it is none."""
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Json", each) for each in entries if isinstance(each, dict)]


def first(value: object) -> Json:
    """Give the first object in an array, empty where there is none."""
    nothing: Json = {}
    return next(iter(objects(value)), nothing)


def text(value: object) -> str:
    """Give a text, empty where it is none."""
    return value if isinstance(value, str) else ""


def number(value: object) -> int:
    """Give a whole number, 0 where it is none."""
    return int(value) if isinstance(value, int | float) else 0


def nanoseconds(milliseconds: object) -> int:
    """Turn milliseconds into nanoseconds."""
    return round(milliseconds * 1e6) if isinstance(milliseconds, int | float) else 0
