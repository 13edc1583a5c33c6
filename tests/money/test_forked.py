"""A process that has made calls and is forked: parent and child never read each other's answers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_openai import AzureChatOpenAI, ChatOpenAI

from langchain_slmroute.own_client import for_this_process
from slmroute.testing import FakeServer, Reply

FORKED = """
import asyncio, os, sys
from slmroute import Tier
framework, url = sys.argv[1:]
openai, ollama = {"base_url": url + "/v1", "api_key": "k"}, {"base_url": url}
if framework == "langchain":
    from langchain_ollama import ChatOllama as Ollama
    from langchain_openai import ChatOpenAI as OpenAI
    from langchain_slmroute import RoutingChatModel as Router
    call, acall, at = "invoke", "ainvoke", {}
else:
    from llama_index.llms.ollama import Ollama
    from llama_index.llms.openai import OpenAI
    from llama_index_slmroute import RoutingLLM as Router
    call, acall, at = "complete", "acomplete", {"api_base": openai["base_url"]}
models = [OpenAI(model="gpt-4.1", **openai, **at), Ollama(model="gpt-4.1", **ollama)]
for model in models:
    getattr(model, call)("by itself")
tiers = [{"model": "openai:gpt-4.1", "model_args": openai}, {"model": "ollama:gpt-4.1", "model_args": ollama}]
tiers += [{"model": model} for model in models]
routers = [
    Router(tiers=[Tier(name, **tier) for name in ("small", "big")], classifier=None, failover=False) for tier in tiers
]

def ask_all(text):
    with asyncio.Runner() as runner:  # a loop is of one process alone
        for place, router in enumerate(routers):
            answers = [getattr(router, call)(f"{text} {place}"), runner.run(getattr(router, acall)(f"{text} {place}"))]
            assert all(f"{text} {place}" in answer.text for answer in answers), "an answer is another's"

ask_all("before")
child = os.fork()
if child == 0:
    ask_all("of the child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
ask_all("of the parent")
"""


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_a_forked_child_has_connections_of_its_own(framework: str) -> None:
    connections: list[Any] = []  # of each request, in order

    def echo(body: Any) -> Reply:
        connections.append(next(each for each in server._connections if each._busy))
        content = body["messages"][-1]["content"]
        return Reply(content if isinstance(content, str) else content[0]["text"])

    with FakeServer({"gpt-4.1": echo}) as server:
        command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", FORKED, framework, server.url]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    before, of_the_child = connections[:10], connections[10:18]
    assert len(connections) == 26
    assert not set(before) & set(of_the_child)


@pytest.mark.parametrize("kind", [ChatOpenAI, AzureChatOpenAI, ChatAnthropic])
def test_what_a_class_shares_in_a_process_is_not_shared_with_a_child(kind: Any) -> None:
    azure = {"azure_endpoint": "http://127.0.0.1:9", "api_version": "1"} if kind is AzureChatOpenAI else {}
    mine = kind(model="gpt-4.1", api_key="k", **azure)
    own = for_this_process(mine)

    def http(model: Any) -> Any:
        return (model._client if kind is ChatAnthropic else model.root_client)._client

    assert http(own)._transport._pool is not http(mine)._transport._pool
    assert http(own).headers == http(mine).headers
    assert own is not mine
