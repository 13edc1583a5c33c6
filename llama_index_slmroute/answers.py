"""What LlamaIndex's models answer, as the core reads it, whichever provider's reply stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Final, cast

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, ToolCallBlock

from llama_index_slmroute.messages import extras, tool_calls_of
from slmroute.gate import Chunk, Growth
from slmroute.item import item
from slmroute.steps import Answer, ToolCall, Usage, greatest
from slmroute.token_probabilities import TokenProbability, deciding, logprobs_of, margins_of, read_tokens

__all__ = ["answer_of", "chunk_of", "has_ended", "usage_of"]

Response = ChatResponse | CompletionResponse

_INPUT: Final = ("prompt_tokens", "input_tokens", "prompt_token_count", "prompt_eval_count")
_OUTPUT: Final = ("completion_tokens", "output_tokens", "candidates_token_count", "eval_count")
_CACHED: Final = ("cached_tokens", "cache_read_input_tokens", "cached_content_token_count")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_SERVICE_TIERS: Final = ("flex", "priority")
"""OpenAI's classes of service that have prices of their own."""
_WITH_SERVICE_TIERS: Final = (None, "openai", "azure", "azure_openai")
"""Who has them; one that is not known may."""
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details", "candidates_tokens_details")


def answer_of(responses: Sequence[Response], provider: str | None) -> Answer:
    """Read a tier's reply as a neutral answer.

    Args:
        responses: The reply, or all chunks of it; one at least. Chunks hold all text and tool calls so far.
        provider: Who serves the tier.
    """
    last = responses[-1]
    raws = [response.raw for response in responses]
    calls: tuple[ToolCall, ...] = ()
    if isinstance(last, ChatResponse):
        calls = tuple(ToolCall(name, arguments) for name, arguments in tool_calls_of(last.message))
    tokens = deciding([token for response in responses for token in _tokens(response)], calls)
    return Answer(
        text=_text(last),
        tool_calls=calls,
        usage=_in_service(usage_of(responses), provider),
        logprobs=logprobs_of(tokens) or None,
        margins=margins_of(tokens) or None,
        finish=next((found for raw in reversed(raws) if (found := _finish(raw)) is not None), None),
        model=next((name for raw in raws if isinstance(name := item(raw, "model"), str)), None),
        provider=provider,
        native=last,
    )


def chunk_of(response: Response, written: Growth) -> Chunk:
    """Read what the gate must know of a chunk.

    Args:
        response: The chunk; it holds all tool calls so far.
        written: How much of them the stream's chunks before have held.
    """
    blocks = response.message.blocks if isinstance(response, ChatResponse) else ()
    calls = [f"{block.tool_name}{block.tool_kwargs}" for block in blocks if isinstance(block, ToolCallBlock)]
    unseen = f"{extras(response).get('thinking_delta') or ''}{written.of(''.join(calls))}"
    tokens, told, ended = _tokens(response), _usage(response), has_ended(response)
    return Chunk(
        response,
        response.delta or "",
        logprobs_of(tokens),
        tool_call=bool(calls),
        unseen=unseen,
        usage=told,
        so_far=True,
        finished=ended,
        margins=margins_of(tokens),
    )


def has_ended(response: Response) -> bool:
    """Whether a chunk says that the answer has ended."""
    of_event = item(item(response.raw, "response"), "status")  # OpenAI's Responses in streams
    return bool(_finish(response.raw)) or of_event in ("completed", "incomplete")


def _in_service(usage: Usage | None, provider: str | None) -> Usage | None:
    """Leave out the class of service of others than OpenAI, whose prices it does not change."""
    if usage is None or usage.service_tier is None or provider in _WITH_SERVICE_TIERS:
        return usage
    return replace(usage, service_tier=None)


def usage_of(responses: Sequence[Response]) -> Usage | None:
    """Read the tokens that the chunks of one reply report, or None when they do not.

    Providers report them once, or part by part, or again and again with what has been used so far: of each count the
    greatest holds.
    """
    found = [usage for response in responses if (usage := _usage(response)) is not None]
    return reduce(greatest, found) if found else None


def _usage(response: Response) -> Usage | None:
    raw, extra = cast("Any", response.raw), extras(response)
    of_event = item(item(raw, "response"), "usage")  # OpenAI's Responses in streams
    for holder in (item(raw, "usage"), item(raw, "usage_metadata"), of_event, raw, item(extra, "usage"), extra):
        inputs, outputs = _count(holder, *_INPUT), _count(holder, *_OUTPUT)
        # Gemini counts what it thought beside the answer's tokens, and what its tools read beside the prompt's.
        thought = _count(holder, "thoughts_token_count")
        if inputs or outputs or thought:
            # Anthropic counts what its cache served beside the prompt's other tokens.
            beside = _count(holder, "cache_read_input_tokens") + _count(holder, "tool_use_prompt_token_count")
            written = _count(holder, "cache_creation_input_tokens")
            service = item(raw, "service_tier") or item(item(raw, "response"), "service_tier")
            return Usage(
                input_tokens=inputs + beside + written,
                output_tokens=outputs + thought,
                cached_tokens=_detail(holder, _INPUT_DETAILS, *_CACHED) or _count(holder, *_CACHED),
                cache_write_tokens=written,
                reasoning_tokens=_detail(holder, _OUTPUT_DETAILS, "reasoning_tokens") or thought,
                source="estimated" if item(raw, "usage_source") == "estimated" else "reported",
                cache_write_1h_tokens=_count(item(holder, "cache_creation"), "ephemeral_1h_input_tokens"),
                audio_input_tokens=_sound(holder, _INPUT_DETAILS),
                audio_output_tokens=_sound(holder, _OUTPUT_DETAILS),
                service_tier=service if service in _SERVICE_TIERS else None,
            )
    return None


def _detail(holder: Any, parts: Sequence[str], *names: str) -> int:
    return next((count for part in parts if (count := _count(item(holder, part), *names))), 0)


def _sound(holder: Any, parts: Sequence[str]) -> int:
    """Read how many tokens are sound: Gemini lists its details by what they are of."""
    listed = [item(holder, part) for part in parts]
    each = [entry for found in listed if isinstance(found, list) for entry in cast("list[Any]", found)]
    of_list = sum(_count(entry, "token_count") for entry in each if item(entry, "modality") == "AUDIO")
    return of_list or _detail(holder, parts, "audio_tokens")


def _count(holder: Any, *names: str) -> int:
    for name in names:
        value = item(holder, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return 0


def _text(response: Response) -> str:
    return response.text if isinstance(response, CompletionResponse) else response.message.content or ""


def _finish(raw: Any) -> str | None:
    choice = _first(item(raw, "choices"))
    for found in (item(choice, "finish_reason"), item(raw, "done_reason"), item(raw, "stop_reason")):
        if isinstance(found, str):
            return found
    return None


def _tokens(response: Response) -> tuple[TokenProbability, ...]:
    """Read the tokens of a reply or chunk, in the shapes that providers give them."""
    raw = cast("Any", response.raw)
    return read_tokens(item(raw, "logprobs") or item(item(_first(item(raw, "choices")), "logprobs"), "content"))


def _first(values: Any) -> Any:
    return cast("Sequence[Any]", values)[0] if isinstance(values, Sequence) and values else None
