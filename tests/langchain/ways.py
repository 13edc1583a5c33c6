"""Every way there is of asking a chat model the same thing once. The synchronous ones are called in a running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from tests.langchain.stage import joined

Ask = Callable[..., Awaitable[AIMessage]]


async def invoke(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return model.invoke(prompt, config, **kwargs)


async def ainvoke(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return await model.ainvoke(prompt, config, **kwargs)


async def stream(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return joined(list(model.stream(prompt, config, **kwargs)))


async def astream(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return joined([chunk async for chunk in model.astream(prompt, config, **kwargs)])


async def batch(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return model.batch([prompt], config, **kwargs)[0]


async def abatch(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return (await model.abatch([prompt], config, **kwargs))[0]


def conversation(prompt: Any) -> list[Any]:
    return [HumanMessage(prompt)] if isinstance(prompt, str) else list(prompt)


async def generate(model: Any, prompt: Any, config: Mapping[str, Any] | None = None, /, **kwargs: Any) -> AIMessage:
    return model.generate([conversation(prompt)], **(config or {}), **kwargs).generations[0][0].message


async def agenerate(model: Any, prompt: Any, config: Mapping[str, Any] | None = None, /, **kwargs: Any) -> AIMessage:
    return (await model.agenerate([conversation(prompt)], **(config or {}), **kwargs)).generations[0][0].message


async def stream_events(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    """The model's own third version, which gives the message whole at its end."""
    return await asyncio.to_thread(lambda: model.stream_events(prompt, config, version="v3", **kwargs).output)


async def astream_events(model: Any, prompt: Any, config: Any = None, /, **kwargs: Any) -> AIMessage:
    return await (await model.astream_events(prompt, config, version="v3", **kwargs))


PUBLIC = (invoke, ainvoke, stream, astream, batch, abatch, generate, agenerate)
PRIVATE = (stream_events, astream_events)
"""Those in which the router itself is the only run."""
EVERY = (*PUBLIC, *PRIVATE)
CORE = (invoke, ainvoke, stream, astream)
"""Those that the others of ``PUBLIC`` are made of."""
EACH = (*CORE, *PRIVATE)
STREAMS = (stream, astream, *PRIVATE)


def name_of(way: object) -> str:
    return getattr(way, "__name__", repr(way))
