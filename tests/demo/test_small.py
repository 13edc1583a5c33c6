"""Which model answers locally: a suitable one of a running Ollama, else the one that comes along."""

from __future__ import annotations

import pytest

from slmroute.demo.small import BUILT_IN, SmallModel, small_model, suitable
from slmroute.errors import ModelMissing, ServerUnreachable
from slmroute.ollama import ModelEntry
from slmroute.testing import FakeServer, Reply


def chosen(*models: tuple[str, str | None]) -> str | None:
    found = suitable([ModelEntry(name, parameters=size) for name, size in models])
    return found and found.name


def test_the_smallest_general_model_of_its_size_is_chosen() -> None:
    assert chosen(("llama3.1:8b", "8.0B"), ("gemma2:2b", "2.6B"), ("llama3.1:70b", "70.6B")) == "gemma2:2b"
    assert chosen(("phi3:mini", "3.8B"), ("qwen2.5:7b", "7.6B")) == "phi3:mini"


@pytest.mark.parametrize(
    "name", ["nomic-embed-text:latest", "codellama:7b", "qwen2.5-coder:7b", "deepseek-r1:8b", "llama-guard3:8b",
             "phi4-reasoning:mini", "llama3.2-vision:latest", "qwen3:8b"],
)  # fmt: skip
def test_models_for_other_uses_are_left_alone(name: str) -> None:
    assert chosen((name, "7.0B")) is None


def test_models_too_small_too_large_or_of_no_told_size_are_left_alone() -> None:
    assert chosen(("smollm2:135m", "134.52M"), ("llama3.3:70b", "70.6B"), ("mistral:latest", None)) is None


@pytest.mark.parametrize(
    ("parameters", "size"), [("134.52M", "135M"), ("3.8B", "3.8B"), ("8.0B", "8B"), (None, "size not told")]
)
def test_sizes_are_said_as_people_say_them(parameters: str | None, size: str) -> None:
    assert SmallModel("any", "http://any", "any", parameters, stand_in=False).size == size


def test_a_running_ollama_with_a_suitable_model_is_used() -> None:
    with FakeServer({"llama3.1:8b": Reply("Yes.")}) as server:
        server.script("nomic-embed-text", Reply("no"))
        with small_model(host=server.url) as small:
            assert (small.name, small.url, small.stand_in) == ("llama3.1:8b", server.url, False)
            assert small.server.startswith("Ollama ")


def test_a_model_that_was_named_must_be_there() -> None:
    with (
        FakeServer({"llama3.1:8b": Reply("Yes.")}) as server,
        pytest.raises(ModelMissing, match="ollama pull phi3:mini"),
        small_model("phi3:mini", server.url),
    ):
        pytest.fail("there is no such model")


def test_an_ollama_that_was_asked_for_must_answer() -> None:
    with FakeServer({"any": Reply("")}) as server:
        url = server.url
    with pytest.raises(ServerUnreachable), small_model("phi3:mini", url):
        pytest.fail("there is no server")


def test_without_ollama_the_built_in_model_answers() -> None:
    with FakeServer({"any": Reply("")}) as server:
        url = server.url
    with small_model(host=url) as small:
        assert (small.name, small.size, small.stand_in) == ("smollm2:135m", "135M", True)


def test_the_built_in_model_can_be_asked_for() -> None:
    with FakeServer({"llama3.1:8b": Reply("Yes.")}) as server, small_model(BUILT_IN, server.url) as small:
        assert small.stand_in
