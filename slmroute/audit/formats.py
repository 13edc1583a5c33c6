"""The formats of logs that are known, each as the places where it keeps what an audit needs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Final, cast

from slmroute.audit.prompts import Prompt, prompt_of
from slmroute.errors import ConfigError

__all__ = ["FORMATS", "Format", "at", "check_things", "every_record", "field_names", "find_format", "mapped"]

Doc = Mapping[str, Any]

ENOUGH: Final = 0.5
"""A format fits when so many of the first records are of it and have a prompt."""

NAMED: Final = 12
NOT_MAPPED: Final = ("name", "list_share", "keep", "serves", "without_prompts", "note", "is_one")
FIELD_NAME: Final = re.compile(r"[\w.$@/:\[\]'\"-]+(?: [\w.()-]+){0,2}")
"""What reads like a field's name; what does not may be a prompt, and is not shown."""
LONGEST_NAME: Final = 50


def every_record(_: Doc) -> bool:
    """Take any record."""
    return True


@dataclass(frozen=True, slots=True)
class Format:
    """Where a kind of log keeps things: for each, the places to look in, in order, written ``outer.inner``.

    Attributes:
        name: What the format is called.
        prompt: The prompt: text, messages, or an object that holds one of them.
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens of the answer.
        cost: What the call cost.
        currency: In which currency.
        model: The model's name.
        provider: Who served it.
        latency_ms: How long it took, in milliseconds.
        latency_s: The same in seconds.
        began: When it began.
        ended: When it ended.
        category: What kind of task it was, where the log says so.
        cached: Whether a cache answered it, so that a cost of nothing is what it cost, and not one that is missing.
        tokens_from_cache: Those tokens of the prompt that the provider had in its cache, which cost less.
        list_share: What calls cost as a share of the list price.
        keep: Which records are model calls: a place and what stands there; None when all are.
        serves: The provider of all calls, where the log does not say.
        without_prompts: What to do where it has none.
        note: What to know of an audit of it.
        is_one: Whether a record is of this format.
    """

    name: str
    prompt: tuple[str, ...]
    input_tokens: tuple[str, ...] = ("input_tokens", "prompt_tokens")
    output_tokens: tuple[str, ...] = ("output_tokens", "completion_tokens")
    cost: tuple[str, ...] = ("cost", "cost_usd", "total_cost")
    currency: tuple[str, ...] = ("currency", "cost_currency", "metadata.currency")
    model: tuple[str, ...] = ("model",)
    provider: tuple[str, ...] = ("provider",)
    latency_ms: tuple[str, ...] = ("latency_ms", "duration_ms", "response_ms", "elapsed_ms")
    latency_s: tuple[str, ...] = ("latency_s", "duration_s")
    began: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    category: tuple[str, ...] = ("category", "metadata.category", "task")
    cached: tuple[str, ...] = ()
    tokens_from_cache: tuple[str, ...] = ()
    list_share: float = 1.0
    keep: tuple[str, str] | None = None
    serves: str | None = None
    without_prompts: str = ""
    note: str = ""
    is_one: Callable[[Doc], bool] = field(default=every_record, repr=False)


def _has(doc: Doc, *places: str) -> bool:
    return any(at(doc, place) is not None for place in places)


def _is_batch(doc: Doc) -> bool:
    return _has(doc, "custom_id") and _has(doc, "body.messages", "body.input", "body.prompt")


OPENAI: Final = Format(
    name="OpenAI requests and responses",
    is_one=lambda doc: _has(doc, "messages", "request.messages", "request.input", "request.prompt", "body.messages",
                            "body.input", "request.body.messages")
    or (_has(doc, "input", "prompt") and _has(doc, "usage", "choices", "response.usage")),
    prompt=("request.messages", "request.input", "request.prompt", "request.body.messages", "body.messages",
            "body.input", "body.prompt", "messages", "input", "prompt"),
    input_tokens=("response.usage.prompt_tokens", "response.usage.input_tokens",
                  "response.body.usage.prompt_tokens", "response.body.usage.input_tokens", "usage.prompt_tokens",
                  "usage.input_tokens"),
    output_tokens=("response.usage.completion_tokens", "response.usage.output_tokens",
                   "response.body.usage.completion_tokens", "response.body.usage.output_tokens",
                   "usage.completion_tokens", "usage.output_tokens"),
    model=("response.model", "request.model", "response.body.model", "request.body.model", "body.model", "model"),
    tokens_from_cache=tuple(
        f"{outer}usage.{name}_details.cached_tokens"
        for outer in ("response.", "response.body.", "")
        for name in ("prompt_tokens", "input_tokens")
    ),
    serves="openai",
)  # fmt: skip

FORMATS: Final[tuple[Format, ...]] = (
    Format(
        name="LangSmith runs",
        is_one=lambda doc: _has(doc, "inputs") and _has(doc, "run_type", "dotted_order", "trace_id", "session_id"),
        prompt=("inputs.messages", "inputs.prompts", "inputs.input", "inputs.prompt", "inputs.question", "inputs"),
        input_tokens=("prompt_tokens", "usage_metadata.input_tokens", "outputs.usage_metadata.input_tokens",
                      "outputs.llm_output.token_usage.prompt_tokens", "extra.metadata.usage_metadata.input_tokens"),
        output_tokens=("completion_tokens", "usage_metadata.output_tokens", "outputs.usage_metadata.output_tokens",
                       "outputs.llm_output.token_usage.completion_tokens",
                       "extra.metadata.usage_metadata.output_tokens"),
        cost=("total_cost",),
        model=("extra.metadata.ls_model_name", "extra.invocation_params.model", "extra.invocation_params.model_name"),
        provider=("extra.metadata.ls_provider",),
        latency_s=("latency",),
        began=("start_time",),
        ended=("end_time",),
        category=("extra.metadata.category", "category"),
        keep=("run_type", "llm"),
    ),
    Format(
        name="Langfuse observations",
        is_one=lambda doc: _has(doc, "input") and _has(doc, "traceId", "trace_id", "usageDetails", "usage_details",
                                                       "calculatedTotalCost", "promptTokens", "completionStartTime"),
        prompt=("input.messages", "input.prompt", "input"),
        input_tokens=("usageDetails.input", "usage_details.input", "usage.input", "usage.promptTokens", "promptTokens",
                      "prompt_tokens", "inputUsage"),
        output_tokens=("usageDetails.output", "usage_details.output", "usage.output", "usage.completionTokens",
                       "completionTokens", "completion_tokens", "outputUsage"),
        cost=("calculatedTotalCost", "totalCost", "costDetails.total", "cost_details.total", "calculated_total_cost",
              "total_cost"),
        model=("model", "providedModelName"),
        latency_s=("latency",),
        began=("startTime", "start_time"),
        ended=("endTime", "end_time"),
        category=("metadata.category", "category"),
        keep=("type", "GENERATION"),
    ),
    Format(
        name="Langfuse traces",
        is_one=lambda doc: _has(doc, "input") and not _has(doc, "traceId", "trace_id", "usageDetails", "run_type") and (
            _has(doc, "htmlPath", "observations", "bookmarked", "observationCount", "observation_count")
            or (_has(doc, "timestamp") and _has(doc, "totalCost", "total_cost"))
        ),
        prompt=("input.messages", "input.prompt", "input"),
        input_tokens=("usageDetails.input", "usage.input", "usage.promptTokens", "inputTokens", "promptTokens"),
        output_tokens=("usageDetails.output", "usage.output", "usage.completionTokens", "outputTokens",
                       "completionTokens"),
        cost=("totalCost", "total_cost", "calculatedTotalCost", "costDetails.total", "cost"),
        latency_s=("latency",),
        note="A trace of Langfuse is taken for one call; its export of observations has the calls one by one.",
    ),
    Format(
        name="LiteLLM logs",
        is_one=lambda doc: _has(doc, "call_type", "custom_llm_provider", "response_cost", "spend"),
        prompt=("messages", "proxy_server_request.messages", "request.messages", "input", "prompt"),
        input_tokens=("prompt_tokens", "usage.prompt_tokens", "response.usage.prompt_tokens"),
        output_tokens=("completion_tokens", "usage.completion_tokens", "response.usage.completion_tokens"),
        cost=("response_cost", "spend"),
        without_prompts="LiteLLM keeps prompts only with store_prompts_in_spend_logs: true in its general_settings.",
        provider=("custom_llm_provider",),
        cached=("cache_hit",),
        latency_s=("response_time",),
        began=("startTime", "start_time"),
        ended=("endTime", "end_time"),
        category=("metadata.category", "category"),
    ),
    replace(
        OPENAI,
        is_one=_is_batch,
        list_share=0.5,
        note="OpenAI takes half the list price for the calls of a batch, and so they are reckoned here.",
    ),
    OPENAI,
    Format(
        name="plain prompts",
        prompt=("prompt", "text", "input", "question", "query", "instruction", "content", "message", "request"),
    ),
)  # fmt: skip
"""The formats, those with the most tell-tale fields first."""


def at(doc: Doc, place: str) -> Any:
    """Give what stands in a place of a record; None where there is nothing.

    Args:
        doc: The record.
        place: ``outer.inner``. A field whose own name has points in it is found as well, and JSON written into a text
            is read where the place goes on inside it.
    """
    if place in doc:
        return doc[place]
    here: Any = doc
    for step in place.split("."):
        if isinstance(here, str) and here[:1] in "{[":
            here = _read(here)
        if isinstance(here, Mapping):
            here = cast("Doc", here).get(step)
        elif isinstance(here, Sequence) and not isinstance(here, str) and step.isdecimal():
            items = cast("Sequence[Any]", here)
            here = items[int(step)] if int(step) < len(items) else None
        else:
            return None
        if here is None:
            return None
    return here


def find_format(docs: Sequence[Doc], file: str) -> Format:
    """Tell a log's format from its first records.

    Args:
        docs: The records, one or more.
        file: The log's name, for the error.

    Raises:
        ConfigError: None fits; the message names the fields there are and how to say which is the prompt.
    """
    fits = [[each.is_one(doc) and first_prompt(doc, each) is not None for doc in docs] for each in FORMATS]
    # A record counts for the first format that it fits: those behind it ask for less, and take it as well.
    own = Counter(column.index(True) for column in zip(*fits, strict=True) if any(column))
    enough = max(1.0, ENOUGH * sum(_is_call(doc) for doc in docs))
    ranked = sorted(range(len(FORMATS)), key=lambda each: -own[each])
    best = next((each for each in ranked if sum(fits[each]) >= enough), None)
    if best is None:
        names = _names(docs)
        if not names and any(docs):
            raise ConfigError(
                f"{file} has no prompts in a place that is known, and what stands where its fields should be named "
                "reads like no names: give it a first line that names them, for example prompt."
            )
        raise ConfigError(
            f"{file} has no prompts in a place that is known. Its records have the fields "
            f"{', '.join(names[:NAMED]) or '(none)'}: say which holds the prompt with --map prompt=FIELD (inner "
            f"fields as outer.inner).{_looks_like(docs)}"
        )
    return FORMATS[best]


def _looks_like(docs: Sequence[Doc]) -> str:
    """Say which format the records are of though no prompt is in them."""
    for each in FORMATS[:-1]:
        if 2 * sum(each.is_one(doc) for doc in docs) > len(docs):
            return f" They look like {each.name} without the prompts. {each.without_prompts}".rstrip()
    if 2 * sum(_has(doc, "custom_id") and _has(doc, "response") for doc in docs) > len(docs):
        return " They look like the answers of a batch of OpenAI's: audit the file of its requests."
    if 2 * sum(_has(doc, "choices") or doc.get("object") == "response" for doc in docs) > len(docs):
        return " They look like answers of OpenAI's: a record needs its request's messages (or input) beside them."
    empty = [place for place in FORMATS[-1].prompt if any(place in doc for doc in docs)]
    return f" What stands in {', '.join(empty)} is no text." if empty else ""


def mapped(given: Format, places: Mapping[str, str], docs: Sequence[Doc]) -> Format:
    """Give a format in which some things stand elsewhere.

    Args:
        given: The format.
        places: The place of each thing that ``--map`` named.
        docs: The first records, which must have these places.

    Raises:
        ConfigError: There is no such thing to map, or none of the records has the place; close ones are named.
    """
    check_things(places)
    for thing, place in places.items():
        if not any(at(doc, place) is not None for doc in docs):
            names = _names(docs)
            near = get_close_matches(place, names, n=3, cutoff=0.5) or names[:NAMED]
            raise ConfigError(
                f"--map {thing}={place}: no record has that field; there are for example {', '.join(near) or '(none)'}."
            )
    return replace(given, **{thing: (place,) for thing, place in places.items()})


def check_things(places: Mapping[str, str]) -> None:
    """Check what ``--map`` names.

    Raises:
        ConfigError: There is no such thing to map.
    """
    settable = [name for name in Format.__slots__ if name not in NOT_MAPPED]
    for thing, place in places.items():
        if thing not in settable:
            raise ConfigError(f"--map {thing}={place}: there is no {thing!r} to map; there are {', '.join(settable)}.")


def first_prompt(doc: Doc, given: Format) -> Prompt | None:
    """Give the prompt of a record, out of the first place that has one."""
    for place in given.prompt:
        found = prompt_of(at(doc, place))
        if found is not None:
            return found
    return None


def field_names(doc: Doc, outer: str = "", depth: int = 2) -> Iterator[str]:
    """Give the names of a record's fields, inner ones as ``outer.inner``."""
    for name, value in doc.items():
        yield f"{outer}{name}"
        if isinstance(value, Mapping) and depth > 1:
            yield from field_names(cast("Doc", value), f"{outer}{name}.", depth - 1)


def _names(docs: Sequence[Doc]) -> list[str]:
    """Give the names of the fields there are, without what may be a prompt in the place of one."""
    names = dict.fromkeys(name for doc in docs for name in field_names(doc))
    return [name for name in names if len(name) <= LONGEST_NAME and FIELD_NAME.fullmatch(name)]


def _is_call(doc: Doc) -> bool:
    """Whether a record is a model call, as far as exports of traces say so."""
    kind = doc.get("run_type") or doc.get("type")
    return kind in ("llm", "GENERATION") or kind is None or ("inputs" not in doc and "traceId" not in doc)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
