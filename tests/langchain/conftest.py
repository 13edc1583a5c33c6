from __future__ import annotations

import functools
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from slmroute.testing import FakeServer
from tests.langchain.canonical import same_body
from tests.langchain.stage import Stage


def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    vcr.register_matcher("canonical_body", same_body)


@pytest.fixture(scope="session")
def shared_ssl() -> Iterator[None]:
    """Clients read the list of all certificates when they are made, which takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def _clean(shared_ssl: None, closed_clients: None) -> None:
    """Nothing that a test leaves open may fail the next one."""


@pytest.fixture
def stage() -> Iterator[Stage]:
    with FakeServer() as server:
        yield Stage(server)
