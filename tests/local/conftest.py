from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slmroute.local import LocalServer, default_model

TOOLS_TEMPLATE = Path(__file__).with_name("tools.jinja").read_text("utf-8")


@pytest.fixture(scope="session")
def model_link(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a file of the user's own, under another name."""
    link = tmp_path_factory.mktemp("models") / "My Own Model.Q4_1.GGUF"
    link.symlink_to(default_model())
    return link


@pytest.fixture(scope="session")
def narrow_server(model_link: Path) -> Iterator[LocalServer]:
    """A server with a small window, one place and one more to wait, and a template that knows tools."""
    with LocalServer(
        model_link, num_ctx=512, parallel=1, queue=1, template=TOOLS_TEMPLATE, keep_alive=-1, preload=False
    ) as server:
        yield server
