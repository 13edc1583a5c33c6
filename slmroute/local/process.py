"""The runner seen from the server: started, asked and stopped."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from slmroute.local.completion import Ask, Piece, Refused
from slmroute.local.llama_wire import pieces, refusal, streamed, whole

if TYPE_CHECKING:
    import httpx

__all__ = ["RunnerProcess", "RunnerSettings"]

RUNNER = Path(__file__).with_name("runner.py")

PATIENCE_S = 2.0
"""Seconds that the runner gets to end by itself."""

LINES_KEPT = 20

MOST_THREADS = 8
"""More wait for memory rather than compute."""

ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}
"""Threads sleep while they wait for each other. Where they spin and something else wants a core, each of the hundreds
of waits for a token takes a time slice: ten times slower with one other busy process on two cores."""

STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details"
)


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """How a model is loaded.

    Attributes:
        path: The model's file.
        num_ctx: The window of each request, in tokens.
        parallel: How many requests are answered at a time.
        threads: The threads to generate with; None for one less than there are cores, and 8 at most.
        template: A chat template to use instead of the file's own.
        cache_mib: How many MiB of memory may hold the evaluated prompts of earlier requests.
    """

    path: Path
    num_ctx: int
    parallel: int
    threads: int | None = None
    template: str | None = field(default=None, repr=False)
    cache_mib: int = 512

    def line(self, key: str) -> bytes:
        """Write them for the runner."""
        settings = {
            "model": str(self.path),
            "num_ctx": self.num_ctx,
            "parallel": self.parallel,
            "threads": self.threads or max(1, min(cores() - 1, MOST_THREADS)),
            "prompt_threads": self.threads or min(cores(), MOST_THREADS),
            "template": self.template,
            "cache_mib": self.cache_mib,
            "key": key,
        }
        return json.dumps(settings).encode() + b"\n"


def cores() -> int:
    """Give the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class RunnerProcess:
    """A process that has the model in memory; ``start`` makes one."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx.AsyncClient) -> None:
        self._process = process
        self._client = client

    @classmethod
    async def start(cls, settings: RunnerSettings) -> RunnerProcess:
        """Start the process and wait until the model is loaded.

        Args:
            settings: How to load it.

        Raises:
            Refused: It cannot be loaded.
        """
        key = secrets.token_urlsafe(24)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(RUNNER),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # An interrupt in the terminal is for the server, which ends the runner.
                start_new_session=True,
                env=ENVIRONMENT | os.environ,
            )
        except OSError as error:
            raise Refused(500, f"llama runner cannot be started: {error.strerror}") from error
        try:
            url = await loaded(process, settings.line(key))
        except BaseException:
            await end(process, patience_s=0)
            raise
        return cls(process, client(url, key))

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def generate(self, ask: Ask) -> AsyncGenerator[Piece]:
        """Generate; closing the generator makes the runner stop.

        Yields:
            The pieces of the answer.

        Raises:
            Refused: The runner refuses, or dies.
        """
        import httpx

        body = {**ask.body, "stream": streamed(ask)}
        try:
            content = json.dumps(body).encode()
        except RecursionError:
            raise Refused(400, "exceeded max depth") from None
        try:
            async with self._client.stream("POST", ask.path, content=content) as response:
                if response.status_code != 200:
                    raise refusal(response.status_code, await response.aread())
                if not body["stream"]:
                    yield whole(ask, await response.aread())
                    return
                async for piece in pieces(ask, lines(response.aiter_bytes())):
                    yield piece
        except httpx.TransportError as error:
            # Its connections break before it is known that it has died: the next request must not find it alive.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), PATIENCE_S)
            raise Refused(500, STOPPED) from error

    async def slots(self) -> list[Mapping[str, object]]:
        """Tell what each of the places for a request does now."""
        return (await self._client.get("/slots")).json()

    async def close(self) -> None:
        """End the process; the memory is free afterwards."""
        await self._client.aclose()
        await end(self._process, PATIENCE_S)


def client(url: str, key: str) -> httpx.AsyncClient:
    """Make the client that talks to a runner."""
    import httpx

    return httpx.AsyncClient(
        base_url=url,
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        timeout=None,  # noqa: S113 - a prompt may take its time, and who waits for it may hang up
        # A connection for each request: kept ones each hold one of the runner's few threads, and may just be closing.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
    )


async def lines(content: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Read the lines of a stream of events; what Unicode beside calls the end of a line may stand in a model's text."""
    rest = b""
    async for part in content:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


async def loaded(process: asyncio.subprocess.Process, settings: bytes) -> str:
    """Give the runner its settings, and wait for its address."""
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    log = deque[bytes](maxlen=LINES_KEPT)
    reading = asyncio.create_task(keep(process.stderr, log))
    try:
        with suppress(ConnectionError):
            process.stdin.write(settings)
            await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            await process.wait()
            await reading
            raise Refused(500, f"llama runner process has terminated: {reason(log)}")
        url: str = json.loads(line)["url"]
        # The runner closes its own end when the model is loaded.
        await reading
    finally:
        reading.cancel()
    return url


async def keep(stream: asyncio.StreamReader, log: deque[bytes]) -> None:
    """Keep the last lines of a log."""
    async for line in stream:
        log.append(line)


def reason(log: deque[bytes]) -> str:
    """Find in a log why loading failed."""
    lines = [line.decode("utf-8", "replace").strip() for line in log]
    telling = [line for line in lines if "error" in line.lower()]
    return (telling or lines or ["no reason given"])[-1]


async def end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """End a process by closing its standard input, or else by force."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), patience_s)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    # The transport is closed when both pipes have been read to their ends.
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            await stream.read()
