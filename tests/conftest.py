"""What all tests share: no network but loopback, a real small model, and real servers started when first asked for."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import hypothesis
import pytest
from pytest_socket import socket_allow_hosts

if TYPE_CHECKING:
    from slmroute.local import LocalServer

# How long an example takes says nothing on a machine that is busy with something else.
hypothesis.settings.register_profile("slmroute", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("slmroute")

PROGRAMS = ("/usr/lib/postgresql/*/bin", "/usr/bin", "/usr/local/bin")


def pytest_collection_finish() -> None:
    # What was imported and collected stays for good: looking through it again at each full collection, which the tests
    # for what is left over ask for by the hundred, would be a tenth of the suite's time.
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    # By host and not altogether, for event loops talk to themselves through sockets.
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def forgotten_peer() -> Iterator[None]:
    """Forget cascadeflow after a test that imports it.

    It leaves modules that load themselves when they are looked at, with a deprecation warning. Hypothesis looks at
    every module, in whichever test comes next.
    """
    yield
    if "cascadeflow" in sys.modules:
        for name in [name for name in sys.modules if name.partition(".")[0] == "cascadeflow"]:
            del sys.modules[name]


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalServer]:
    """SmolLM2-135M behind Ollama's protocol, as ``server.model`` at ``server.url``; it takes a second to start."""
    from slmroute.local import LocalServer

    with LocalServer(keep_alive="1h") as server:
        yield server


@pytest.fixture
async def closed_clients(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[httpx.Client | httpx.AsyncClient]]:
    """Close what the frameworks leave open, so that a socket that is left over is known to be the server's.

    Gives the clients made so far.
    """
    made: list[httpx.Client | httpx.AsyncClient] = []

    def noted(kind: type[httpx.Client | httpx.AsyncClient]) -> None:
        init = kind.__init__

        def note(self: httpx.Client | httpx.AsyncClient, *args: object, **kwargs: object) -> None:
            init(self, *args, **kwargs)  # type: ignore[arg-type]
            # The local server closes its own.
            if threading.current_thread().name != "slmroute-local":
                made.append(self)

        monkeypatch.setattr(kind, "__init__", note)

    noted(httpx.Client)
    noted(httpx.AsyncClient)
    yield made
    for client in made:
        if isinstance(client, httpx.Client):
            client.close()
        else:
            await client.aclose()
    # ChatOpenAI shares clients by address, and a later server may get the port of this one.
    shared = sys.modules.get("langchain_openai.chat_models._client_utils")
    if shared is not None:
        shared._cached_sync_httpx_client.cache_clear()
        shared._cached_async_httpx_client.cache_clear()


def program(name: str) -> str:
    """Find a server's program, or skip the test."""
    found = shutil.which(name)
    folders = [folder for pattern in PROGRAMS for folder in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    candidates = [found] if found else [str(folder / name) for folder in folders if (folder / name).exists()]
    if not candidates:
        pytest.skip(f"{name} is not installed: apt-get install postgresql redis-server")
    return candidates[0]


def as_user(folder: Path) -> list[str]:
    """How to run PostgreSQL's programs, which refuse to run as root."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """A PostgreSQL server; gives the folder of its socket."""
    initdb, postgres = program("initdb"), program("postgres")
    folder = Path(tempfile.mkdtemp(prefix="slmroute-pg-"))
    run = as_user(folder)
    data = folder / "data"
    subprocess.run(
        [*run, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"], check=True, capture_output=True
    )
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    log = (folder / "log").open("wb")
    server = subprocess.Popen([*run, postgres, "-D", data, *settings], stdout=log, stderr=log, cwd="/")
    try:
        wait_for(folder / ".s.PGSQL.5432", server)
        yield folder
    finally:
        server.send_signal(2)
        server.wait()
        log.close()
        shutil.rmtree(folder)


def wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if path.exists() and answers(path):
            return
        assert server.poll() is None, "the server did not start"
        time.sleep(0.05)
    pytest.fail("the server does not listen")


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


schemas = count(1)


@pytest.fixture
def postgres_url(postgres_server: Path) -> str:
    """The URL of an empty schema of a real PostgreSQL."""
    import psycopg

    name = f"test_{next(schemas)}"
    for _ in range(100):
        try:
            with psycopg.connect(
                host=str(postgres_server), user="postgres", dbname="postgres", autocommit=True
            ) as admin:
                admin.execute(f"CREATE SCHEMA {name}")
            break
        except psycopg.OperationalError:  # it listens, but is still starting up
            time.sleep(0.05)
    return f"postgresql://postgres@/postgres?host={postgres_server}&options=-csearch_path%3D{name}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Path]:
    """A Redis server; gives its socket."""
    executable = program("redis-server")
    folder = Path(tempfile.mkdtemp(prefix="slmroute-redis-"))
    listen = folder / "redis.sock"
    settings = ["--port", "0", "--unixsocket", listen, "--save", "", "--appendonly", "no", "--dir", folder]
    server = subprocess.Popen([executable, *settings], stdout=subprocess.DEVNULL)
    try:
        wait_for(listen, server)
        yield listen
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


@pytest.fixture
def redis_url(redis_server: Path) -> str:
    """The URL of an empty database of a real Redis."""
    import redis

    url = f"unix://{redis_server}?db=0"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
