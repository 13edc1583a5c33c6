"""What all tests share: no network but loopback, and a real small model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_socket import socket_allow_hosts

if TYPE_CHECKING:
    from slmroute.local import LocalServer


def pytest_runtest_setup() -> None:
    # By host and not altogether, for event loops talk to themselves through sockets.
    socket_allow_hosts(["127.0.0.1", "::1"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalServer]:
    """SmolLM2-135M behind Ollama's protocol, as ``server.model`` at ``server.url``; it takes a second to start."""
    from slmroute.local import LocalServer

    with LocalServer(keep_alive="1h") as server:
        yield server
