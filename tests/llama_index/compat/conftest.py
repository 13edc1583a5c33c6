"""The classes that the suite runs over, and the table of what each of them passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI

from llama_index_slmroute import RoutingLLM
from slmroute import Confidence, Tier
from slmroute.testing import Entry, FakeServer, Fault, Received, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
KEY = "canary-of-a-key"
UNSURE = Reply("Hm.", logprobs=[-3.0], input_tokens=20, output_tokens=5)

BARE = ("Ollama", "OpenAI")
ROUTERS = ("small", "frontier", "escalating", "failing over")

outcomes: pytest.StashKey[dict[tuple[str, str], str]] = pytest.StashKey()


@dataclass
class Subject:
    """One of the classes, against a scripted server."""

    name: str
    llm: FunctionCallingLLM
    server: FakeServer
    model: str
    others: dict[str, Entry] = field(default_factory=dict[str, Entry])

    @property
    def is_ollama(self) -> bool:
        return self.model == SMALL

    def says(self, *entries: Entry) -> None:
        """Script the model that answers."""
        self.server.script(self.model, *entries)
        for model, entry in self.others.items():
            self.server.script(model, entry)

    def all_say(self, *entries: Entry) -> None:
        """Script every model alike, for calls that are rightly moved to another tier."""
        self.others = {}
        for model in (SMALL, FRONTIER):
            self.server.script(model, *entries)

    @property
    def calls(self) -> list[Received]:
        """The calls of the model that answers."""
        return self.server.calls(self.model)

    @property
    def drafts(self) -> list[Received]:
        """The calls of tiers that were moved on from."""
        return [call for model in self.others for call in self.server.calls(model)]


def ollama(server: FakeServer) -> Ollama:
    return Ollama(model=SMALL, base_url=server.url, context_window=8192)


def openai(server: FakeServer) -> OpenAI:
    return OpenAI(model=FRONTIER, api_base=server.openai_url, api_key=KEY, max_retries=0)


def tiers(server: FakeServer) -> list[Tier]:
    return [Tier("small", ollama(server), local=True), Tier("frontier", openai(server))]


def string_tiers(server: FakeServer) -> list[Tier]:
    return [
        Tier("small", f"ollama:{SMALL}", local=True, model_args={"base_url": server.url}),
        Tier("frontier", f"openai:{FRONTIER}", model_args={"base_url": server.openai_url, "api_key": KEY}),
    ]


def routed_small(server: FakeServer) -> Subject:
    return Subject("small", RoutingLLM(tiers=tiers(server), classifier=lambda request: 0.0), server, SMALL)


def routed_frontier(server: FakeServer) -> Subject:
    return Subject("frontier", RoutingLLM(tiers=tiers(server), classifier=lambda request: 1.0), server, FRONTIER)


def escalating(server: FakeServer) -> Subject:
    llm = RoutingLLM(tiers=tiers(server), classifier=None, escalation=Confidence(0.85, pass_draft=False))
    return Subject("escalating", llm, server, FRONTIER, {SMALL: UNSURE})


def failing_over(server: FakeServer) -> Subject:
    llm = RoutingLLM(tiers=string_tiers(server), classifier=None)
    return Subject("failing over", llm, server, FRONTIER, {SMALL: Fault(503)})


SUBJECTS: dict[str, Callable[[FakeServer], Subject]] = {
    "Ollama": lambda server: Subject("Ollama", ollama(server), server, SMALL),
    "OpenAI": lambda server: Subject("OpenAI", openai(server), server, FRONTIER),
    "small": routed_small,
    "frontier": routed_frontier,
    "escalating": escalating,
    "failing over": failing_over,
}


@pytest.fixture(params=SUBJECTS, ids=str)
def subject(request: pytest.FixtureRequest, server: FakeServer) -> Subject:
    made = SUBJECTS[request.param](server)
    for mark in request.node.iter_markers("bare_class_fails"):
        if made.name in mark.args:
            request.node.add_marker(pytest.mark.xfail(reason=mark.kwargs["reason"], strict=True))
    return made


@pytest.fixture
def passed(request: pytest.FixtureRequest) -> dict[tuple[str, str], str]:
    """What came out for each test and class so far."""
    return results(request.config)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bare_class_fails(*classes, reason): what LlamaIndex's own class does not pass")


def results(config: pytest.Config) -> dict[tuple[str, str], str]:
    return config.stash.setdefault(outcomes, {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    params = getattr(getattr(item, "callspec", None), "params", {})
    if "subject" in params and (report.when == "call" or report.failed):
        name = item.name.partition("[")[0]
        rest = item.name.partition("[")[2].removesuffix("]").replace(params["subject"], "").strip("-")
        test = f"{name}[{rest}]" if rest else name
        passed = "pass" if report.passed else "no" if hasattr(report, "wasxfail") else "FAIL"
        results(item.config)[test, params["subject"]] = passed
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = results(config)
    if not found:
        return
    tests = list(dict.fromkeys(test for test, _ in found))
    width = max(len(test) for test in tests)
    terminalreporter.section("LlamaIndex compatibility: what each class passes")
    terminalreporter.write_line(" " * width + "  " + "  ".join(SUBJECTS))
    for test in tests:
        row = [found.get((test, name), "").ljust(len(name)) for name in SUBJECTS]
        terminalreporter.write_line(f"{test.ljust(width)}  {'  '.join(row)}")
    sums = [sum(found.get((test, name)) == "pass" for test in tests) for name in SUBJECTS]
    row = [str(count).ljust(len(name)) for count, name in zip(sums, SUBJECTS, strict=True)]
    terminalreporter.write_line(f"{f'passed of {len(tests)}'.ljust(width)}  {'  '.join(row)}")
