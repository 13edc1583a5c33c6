"""Prompts, answers and keys are in no log, repr, error, record or trace line of the core."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from slmroute.classify.embedded import EmbeddedClassifier
from slmroute.classify.few_shot import Example, FewShotClassifier
from slmroute.drive import adrive, drive, drive_stream
from slmroute.engine import Engine
from slmroute.errors import SlmrouteError
from slmroute.gate import Chunk
from slmroute.policy import Confidence, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest, ToolSpec
from slmroute.run import Run
from slmroute.steps import Answer, Call, Classify, Judge, Reject, ToolCall
from slmroute.testing import BreaksOff, FakePerformer, FakeServer, Fault, Reply
from slmroute.testing.performer import Move
from slmroute.tier import Tier

CANARIES = (
    "PROMPT-canary-1f",
    "ANSWER-canary-2e",
    "sk-KEY-canary-3d",
    "TOOL-canary-4c",
    "SCHEMA-canary-5b",
    "SAID-canary-6a",
)
PROMPT, ANSWER, KEY, TOOL, SCHEMA, SAID = CANARIES

REQUEST = RouteRequest(
    text=f"Where is {PROMPT}?",
    tokens=20,
    tools=(ToolSpec("weather", {"type": "object", "description": SCHEMA}),),
)


class Output:
    """All that can be seen from outside."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.seen: list[str] = []
        self._caplog = caplog

    def add(self, *things: object) -> None:
        for thing in things:
            self.seen += [repr(thing), str(thing), f"{thing}"]

    def add_error(self, error: BaseException) -> None:
        """An error as it is printed, with its causes, but without the source lines of this file."""
        chain: BaseException | None = error
        while chain is not None:
            self.add(chain)
            self.seen += traceback.format_exception_only(chain)
            chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)

    def assert_clean(self) -> None:
        lines = [*self.seen, self._caplog.text, *(str(vars(line)) for line in self._caplog.records)]
        for canary in CANARIES:
            assert not [line for line in lines if canary in line]


@pytest.fixture
def output(caplog: pytest.LogCaptureFixture) -> Output:
    caplog.set_level(logging.DEBUG)
    return Output(caplog)


def tiers() -> list[Tier]:
    class Model:
        def __repr__(self) -> str:
            return KEY

    return [
        Tier("small", "ollama:small", model_args={"api_key": KEY, "base_url": f"http://user:{KEY}@gpu-box"}),
        Tier("frontier", Model()),
    ]


def judge(_request: RouteRequest, answer: Answer) -> float:
    if "break" in answer.text:
        raise ValueError(f"cannot judge {answer.text}")
    return 0.1


SCRIPTS: dict[str, dict[str, Move | list[Move]]] = {
    "answered": {"small": Reply(ANSWER), "frontier": Reply(ANSWER)},
    "judge breaks": {"small": Reply(f"break {ANSWER}"), "frontier": Reply(ANSWER)},
    "tool call": {"small": Reply(tool_calls=[("weather", {"city": TOOL})]), "frontier": Reply(ANSWER)},
    "broken tool call": {"small": Reply(tool_calls=[("weather", f"{{{TOOL}")]), "frontier": Reply(ANSWER)},
    "down": {"small": ConnectionRefusedError(), "frontier": TimeoutError()},
    "breaks off": {"small": BreaksOff(Reply(ANSWER), 1, ConnectionResetError()), "frontier": Reply(ANSWER)},
}


def classifier_breaks(request: RouteRequest) -> float:
    raise ValueError(f"cannot judge {request.text}")


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("way", ["drive", "adrive", "stream"])
def test_a_routed_call(script: dict[str, Move | list[Move]], way: str, output: Output) -> None:
    told: list[RouteRecord] = []

    def hook_breaks(record: RouteRecord) -> None:
        told.append(record)
        raise ValueError(f"cannot tell {PROMPT} {ANSWER} {KEY}")

    for default in ("frontier", "small"):
        policy = Policy.build(tiers(), escalation=Confidence(judge=judge), default_tier=default)
        engine = Engine(policy, classifier_breaks, hooks=[hook_breaks])
        performer, run = FakePerformer(script), Run(engine, REQUEST)
        try:
            if way == "drive":
                output.add(drive(run, performer))
            elif way == "adrive":
                output.add(asyncio.run(adrive(run, performer)))
            else:
                list(drive_stream(run, performer))
        except Exception as error:  # noqa: BLE001
            output.add_error(error)
        assert run.record is not None
        output.add(run, run.attempts, run.record, run.decision, engine, policy, performer.calls)
        output.add(json.dumps(run.record.to_json()))
        assert engine.hooks.flush()
    assert len(told) == 2
    output.assert_clean()


def test_the_search_for_canaries_finds_them(output: Output) -> None:
    logging.getLogger("slmroute.hooks").debug("%s", PROMPT)
    with pytest.raises(AssertionError):
        output.assert_clean()


def test_everything_that_carries_a_text_keeps_it_out_of_its_repr(output: Output) -> None:
    answer = Answer(text=ANSWER, tool_calls=(ToolCall("weather", {"city": TOOL}),), native=ANSWER, logprobs=(-0.1,))
    output.add(
        REQUEST,
        answer,
        Call(tiers()[0], draft=ANSWER),
        Classify(REQUEST),
        Judge(REQUEST, tiers()[0], answer),
        Reject(answer, "empty"),
        Chunk(ANSWER, ANSWER),
        Example(PROMPT, complex=True),
        Reply(ANSWER),
        BreaksOff(Reply(ANSWER), 1, ValueError(ANSWER)),
        FewShotClassifier("phi3:mini", host=f"http://user:{KEY}@gpu-box"),
        EmbeddedClassifier(),
        *tiers(),
    )
    output.assert_clean()


ECHOES: dict[str, Fault | Reply | Callable[[Any], Fault | Reply]] = {
    "error": Fault(500, body={"error": f"cannot do {PROMPT} with {KEY}"}),
    "refused": Fault(403, body={"error": f"no {PROMPT} with {KEY}"}),
    "missing": Fault(404, body={"error": f"no model for {PROMPT}"}),
    "garbage": Fault(200, body=f"<html>{PROMPT}{KEY}"),
    "odd json": Fault(200, body={"message": [PROMPT, KEY]}),
    "prose": Reply(f"I think that {PROMPT} is hard, {SAID}", logprobs=None),
    "other tokens": Reply(SAID, logprobs=[{SAID: -0.01}]),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_a_classifier_on_a_server_that_repeats_the_prompt(echo: Any, output: Output, monkeypatch: Any) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    with (
        FakeServer({"phi3:mini": [Reply("simple"), echo]}) as server,
        FewShotClassifier("phi3:mini", host=server.url) as asked,
    ):
        asked.warm_up()
        for _ in range(2):
            with pytest.raises(SlmrouteError) as caught:
                asked.score(REQUEST)
            output.add_error(caught.value)
            with pytest.raises(SlmrouteError) as caught:
                await asked.ascore(REQUEST)
            output.add_error(caught.value)
    output.assert_clean()


def test_the_record_of_a_call_names_errors_by_their_class_only(output: Output) -> None:
    class Mine(Exception):
        pass

    run = Run(Engine(Policy.build(tiers(), classify=False)), REQUEST)
    with pytest.raises(Mine):
        drive(run, FakePerformer({"small": Mine(PROMPT)}))
    assert run.record is not None
    assert run.record.error == "Mine"
    output.add(run.record, json.dumps(run.record.to_json()))
    output.assert_clean()
