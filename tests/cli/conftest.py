"""How commands are run in these tests: the real command line, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slmroute.cli import main
from slmroute.testing import FakeServer, Reply

CANARY = "sk-canary-0123456789"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in an empty folder, without anyone's keys and servers."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], closed_clients: None) -> Run:
    """Run a command; no key may ever be in what it prints."""

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        assert "canary" not in printed.out + printed.err
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, printed.out, printed.err)

    return run


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server that has a small model and a frontier model."""
    with FakeServer({"phi3:mini": Reply("Paris."), "gpt-4.1": Reply("It is Paris.")}) as server:
        yield server


@pytest.fixture
def config(server: FakeServer, empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A slmroute.toml whose tiers are on that server."""
    monkeypatch.setenv("TEST_KEY", CANARY)
    path = empty_folder / "slmroute.toml"
    path.write_text(
        f"""
threshold = 0.5

[[tiers]]
name = "small"
model = "ollama:phi3:mini"
model_args = {{ base_url = "{server.url}" }}
local = true
input_price = "0.05"
output_price = "0.08"

[[tiers]]
name = "frontier"
model = "openai:gpt-4.1"
model_args = {{ base_url = "{server.openai_url}" }}
api_key_env = "TEST_KEY"
""",
        encoding="utf-8",
    )
    return path
