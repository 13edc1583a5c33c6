"""Tiers given as strings: what is wrong with one is said, with the setting that mends it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest
from llama_index.core.llms import ChatMessage

from llama_index_slmroute import RoutingLLM
from slmroute import ConfigError, Tier
from slmroute.errors import Misconfigured
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
HELLO = [ChatMessage(content="Hello?")]


def router(spec: str, **model_args: Any) -> RoutingLLM:
    return RoutingLLM(
        tiers=[Tier("small", spec, model_args=model_args), Tier("frontier", "dry-run:openai:gpt-4.1")], classifier=None
    )


@pytest.mark.parametrize(
    ("spec", "wrong", "meant"),
    [("ollama:phi3:mini", "bse_url", "base_url"), ("openai:gpt-4.1", "api_keyy", "api_key")],
)
async def test_an_argument_that_is_none_of_its_class_is_named(spec: str, wrong: str, meant: str) -> None:
    llm = router(spec, **{wrong: "canary"})
    said = rf"'small'.*'{wrong}'.*{spec}.*'{meant}'"
    with pytest.raises(ConfigError, match=said) as raised:
        llm.chat(HELLO)
    assert "canary" not in str(raised.value)
    with pytest.raises(ConfigError, match=said):
        await llm.achat(HELLO)
    with pytest.raises(ConfigError, match=said):
        assert llm.metadata


def test_arguments_of_both_frameworks_are_said_in_its_classes_terms(server: FakeServer) -> None:
    server.script(SMALL, Reply("Well."))
    server.script(FRONTIER, Reply("Well."))
    small = router(f"ollama:{SMALL}", base_url=server.url, num_ctx=512, num_predict=9, top_k=4, reasoning=False)
    small.chat(HELLO)
    assert {"num_ctx": 512, "num_predict": 9, "top_k": 4}.items() <= server.requests[-1].body["options"].items()  # type: ignore[attr-defined]
    frontier = router(f"openai:{FRONTIER}", base_url=server.openai_url, api_key="k", top_p=0.3, max_tokens=9)
    frontier.chat(HELLO)
    assert (server.requests[-1].body["top_p"], server.requests[-1].body["max_tokens"]) == (0.3, 9)


def test_an_organization_is_told_as_openais_own_client_tells_it(
    monkeypatch: pytest.MonkeyPatch, server: FakeServer
) -> None:
    sent: list[httpx.Headers] = []
    send = httpx.Client.send

    def noted(self: httpx.Client, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        sent.append(request.headers)
        return send(self, request, **kwargs)

    monkeypatch.setattr(httpx.Client, "send", noted)
    server.script(FRONTIER, Reply("Well."))
    arguments = {"base_url": server.openai_url, "api_key": "k", "organization": "org-canary", "project": "p-canary"}
    llm = router(f"openai:{FRONTIER}", **arguments)
    llm.chat(HELLO)
    assert (sent[0]["OpenAI-Organization"], sent[0]["OpenAI-Project"]) == ("org-canary", "p-canary")
    assert "canary" not in llm.to_json() + repr(llm) + str(llm.to_payload())


async def test_a_missing_key_names_the_variable_to_set(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    llm = router(f"openai:{FRONTIER}", base_url=server.openai_url)
    with pytest.raises(Misconfigured, match=r"'small' \(openai:gpt-4.1\) has no API key.*OPENAI_API_KEY"):
        llm.chat(HELLO)
    with pytest.raises(Misconfigured, match="OPENAI_API_KEY"):
        await llm.achat(HELLO)
    assert server.requests == []
    server.script(FRONTIER, Reply("Well."))
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert router(f"openai:{FRONTIER}", base_url=server.openai_url).chat(HELLO).message.content == "Well."


def test_without_llama_index_the_extra_is_named() -> None:
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'llama_index': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from slmroute.errors import MissingExtra\n"
        "try:\n"
        "    from llama_index_slmroute import RoutingLLM\n"
        "except MissingExtra as error:\n"
        "    assert error.extra == 'llama-index', error\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert 'pip install "slmroute[llama-index]"' in done.stdout
