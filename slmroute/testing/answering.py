"""How a scripted reply or fault goes over a connection."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Mapping

from slmroute.http_connection import Exchange
from slmroute.steps import Usage
from slmroute.testing.books import Account
from slmroute.testing.script import Fault, Reply
from slmroute.testing.wire import Wire, encode

__all__ = ["JSON_TYPE", "Holds", "send_error", "send_fault", "send_reply"]

JSON_TYPE = {"content-type": "application/json"}

POLL_S = 0.001


class Holds:
    """The events that answers wait for: each is looked at by one task, however many answers wait for it."""

    def __init__(self) -> None:
        self._tasks: dict[threading.Event, asyncio.Task[None]] = {}

    async def until(self, event: threading.Event) -> None:
        """Wait until the event is set."""
        if event.is_set():
            return
        if event not in self._tasks:
            self._tasks[event] = asyncio.get_running_loop().create_task(self._watch(event))
        await asyncio.shield(self._tasks[event])

    async def _watch(self, event: threading.Event) -> None:
        try:
            while not event.is_set():  # noqa: ASYNC110 - it is set by another thread, which knows nothing of this loop
                await asyncio.sleep(POLL_S)
        finally:
            del self._tasks[event]


async def send_reply(
    exchange: Exchange, wire: Wire, reply: Reply, usage: Usage, account: Account, holds: Holds
) -> None:
    """Send a good answer.

    Args:
        exchange: The request.
        wire: How it wants to be answered.
        reply: The answer.
        usage: Its tokens.
        account: Where they are written down.
        holds: The events it may wait for.
    """
    told = wire.reported(usage) if reply.usage else None
    frames = wire.frames(reply, usage if reply.usage else None) if wire.stream else None
    sent = 0
    try:
        if reply.hold is not None:
            await holds.until(reply.hold)
        if reply.first_delay_s:
            await asyncio.sleep(reply.first_delay_s)
        if frames is not None:
            await exchange.open({"content-type": wire.media_type})
            await exchange.write_chunk(frames.opening)
            for place, chunk in enumerate(frames.chunks):
                if place:
                    await pause(reply.chunk_delay_s)
                await hold_after(reply, place, holds)
                await exchange.write_chunk(chunk)
                sent += 1
            await hold_after(reply, reply.steps, holds)
        else:
            await pause(reply.chunk_delay_s * max(0, reply.steps - 1))
            if reply.hold_after is not None:
                await holds.until(reply.hold_after[1])
    except asyncio.CancelledError:  # the client has hung up
        account.break_off(usage, sent)
        raise
    account.settle(usage, told)
    if frames is not None:
        exchange.finish(frames.closing)
    else:
        exchange.send(200, wire.whole(reply, usage if reply.usage else None), JSON_TYPE)


async def send_fault(exchange: Exchange, wire: Wire, fault: Fault, usage: Usage, account: Account) -> None:
    """Send what goes wrong.

    Args:
        exchange: The request.
        wire: How it wants to be answered.
        fault: What goes wrong.
        usage: The tokens of the answer that is broken off.
        account: Where they are written down.
    """
    if fault.die_before_first or fault.refuse:
        exchange.die(reset=fault.reset)
    elif not fault.breaks_off or (fault.error_line_after_chunks is not None and not wire.stream):
        send_error(exchange, wire, fault)
    else:
        account.break_off(usage, fault.after_chunks if wire.stream else None)
        await break_off(exchange, wire, fault, usage)


async def break_off(exchange: Exchange, wire: Wire, fault: Fault, usage: Usage) -> None:
    """Send an answer that begins with HTTP status 200, and what goes wrong in it."""
    if fault.garbage:
        exchange.send(200, wire.garbage(), {"content-type": wire.media_type} if wire.stream else JSON_TYPE)
    elif wire.stream:
        await break_stream(exchange, wire, fault, usage)
    elif fault.stall_after_chunks is not None:
        await forever()
    elif fault.end_after_chunks is not None:
        body = wire.whole(fault.reply, usage)
        exchange.send(200, body[: len(body) // 2], JSON_TYPE)
    else:
        body = wire.whole(fault.reply, usage)
        await exchange.open(JSON_TYPE, length=len(body))
        await exchange.write(body[: len(body) // 2])
        exchange.die(reset=fault.reset)


def send_error(exchange: Exchange, wire: Wire, fault: Fault) -> None:
    """Send an error with its HTTP status."""
    body = fault.body
    if isinstance(body, Mapping):
        content = encode(body)
    elif isinstance(body, str):
        content = body.encode()
    else:
        content = wire.error_body(fault) if body is None else body
    headers = {"retry-after": "1"} if fault.status == 429 else {}
    headers |= JSON_TYPE | {name.lower(): value for name, value in fault.headers.items()}
    exchange.send(fault.status, content, headers)


async def break_stream(exchange: Exchange, wire: Wire, fault: Fault, usage: Usage) -> None:
    """Send the first chunks of an answer, and then what goes wrong."""
    frames = wire.frames(fault.reply, usage)
    await exchange.open({"content-type": wire.media_type})
    await exchange.write_chunk(frames.opening)
    for chunk in itertools.islice(frames.chunks, fault.after_chunks):
        await exchange.write_chunk(chunk)
    if fault.die_after_chunks is not None:
        exchange.die(reset=fault.reset)
    elif fault.stall_after_chunks is not None:
        await forever()
    else:
        exchange.finish(b"" if fault.end_after_chunks is not None else wire.error_frame(fault))


async def hold_after(reply: Reply, place: int, holds: Holds) -> None:
    """Wait where the script says so."""
    if reply.hold_after is not None and reply.hold_after[0] == place:
        await holds.until(reply.hold_after[1])


async def pause(seconds: float) -> None:
    """Wait as long as the script says."""
    if seconds:
        await asyncio.sleep(seconds)


async def forever() -> None:
    """Wait until the client hangs up, or the server closes."""
    await asyncio.get_running_loop().create_future()
