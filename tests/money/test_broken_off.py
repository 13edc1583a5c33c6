"""Answers that break off, or do not come in time: what they may have taken is counted, and they are none to judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from langchain_slmroute import RoutingChatModel
from slmroute import Judgement, Ledger, LedgerReader, Tier
from slmroute.overheard import ModelCall
from slmroute.steps import Usage
from slmroute.testing import FakeServer, Fault, Reply

pytestmark = pytest.mark.usefixtures("closed_clients")


def test_answers_that_broke_off_are_none_that_can_have_failed(tmp_path: Path) -> None:
    with FakeServer() as server, Ledger(tmp_path / "calls.db") as ledger:
        server.script("phi3:mini", Fault(error_line_after_chunks=2, reply=Reply("a b c d e")), Reply("whole"))
        tiers = [
            Tier("small", "ollama:phi3:mini", local=True, model_args={"base_url": server.url}),
            Tier("big", "dry-run:openai:gpt-4.1"),
        ]
        model = RoutingChatModel(tiers=tiers, classifier=None, ledger=ledger)
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever the client makes of it
            list(model.stream("hi"))
        assert "".join(chunk.text for chunk in model.stream("hi")) == "whole"
        ledger.flush()
        (rate,) = [each for each in LedgerReader(tmp_path / "calls.db").failures() if each.tier == "small"]
        assert (rate.answers, rate.failures) == (1, 0)


def test_tokens_of_which_more_are_cached_than_there_are_are_not_believed_of_a_judge() -> None:
    told = Judgement(0.9, usage=Usage(5, 3, cached_tokens=9)).usage
    assert ModelCall.told(told, "gpt-4.1", "openai") is None
    assert ModelCall.told(Usage(5, 3, cached_tokens=5), "gpt-4.1", "openai") is not None
