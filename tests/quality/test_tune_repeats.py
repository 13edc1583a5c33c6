"""Prompts that stand twice are one prompt to tune by, and what is said to be written is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from slmroute.cases import Case
from slmroute.classify.few_shot_prompt import EXAMPLES
from slmroute.classify.platt import Platt
from slmroute.cli import main
from slmroute.cli.tune import _words
from slmroute.errors import ConfigError
from slmroute.testing import FakeServer, Reply
from slmroute.tune_few_shot import FewShotFigures, FewShotTuning, split, tune_few_shot


def cases(count: int) -> list[Case]:
    return [Case(f"{'zebra' if place % 2 else 'horse'} {place}", bool(place % 2), None, None) for place in range(count)]


def test_no_prompt_is_in_two_of_the_parts() -> None:
    once = cases(80)
    copies = [Case(f" {one.text.replace(' ', '  ')}\n", one.complex, None, None) for one in once]
    parts = split([*once, *copies, *once], None, 0)
    dealt = [" ".join(case.text.split()) for part in parts for case in part]
    assert len(dealt) == len(set(dealt)) == 80
    assert parts == split(once, None, 0)


def test_copies_do_not_make_enough_prompts() -> None:
    with pytest.raises(ConfigError, match="without repeats there are 5 simple and 5 complex"):
        tune_few_shot(cases(10) * 12, "phi3:mini")


def learns(body: Mapping[str, object]) -> Reply:
    """Knows zebras once it has seen one."""
    messages = cast("list[dict[str, str]]", body["messages"])
    taught = any("zebra" in message["content"] for message in messages[:-1])
    chance = 0.7 if taught and "zebra" in messages[-1]["content"] else 0.2
    return Reply("simple", logprobs=[{"complex": math.log(chance), "simple": math.log(0.95 - chance)}])


ALWAYS = Reply("simple", logprobs=[{"simple": math.log(0.6), "complex": math.log(0.3)}])


@pytest.mark.parametrize(
    ("script", "said", "holds"),
    [(learns, "the examples' texts and the calibration in it", True), (ALWAYS, "the calibration and no texts", False)],
)
def test_the_command_says_whether_texts_were_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: Any, said: str, holds: bool
) -> None:
    data, to = tmp_path / "prompts.jsonl", tmp_path / "few-shot.toml"
    rows = [{"prompt": case.text, "tier": "complex" if case.complex else "simple"} for case in cases(80)]
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    with FakeServer({"phi3:mini": script}) as server, pytest.raises(SystemExit) as ended:
        main(["tune", "few-shot", str(data), "--host", server.url, "--sets", "1", "--out", str(to)])
    assert not ended.value.code
    assert said in " ".join(capsys.readouterr().out.split())
    assert ("zebra" in to.read_text(encoding="utf-8")) is holds


@pytest.mark.parametrize(
    ("accuracy", "ece", "said"), [(0.8, 0.1, "Take the"), (0.5, 0.1, "Leave the"), (0.8, 0.4, "Leave the")]
)
def test_a_calibration_is_advised_where_it_helped_only(accuracy: float, ece: float, said: str) -> None:
    before, after = FewShotFigures(0.8, 0.75, 0.2, 0), FewShotFigures(0.8, accuracy, ece, 0)
    found = FewShotTuning("m", before, after, after, EXAMPLES, Platt(), False, 14, 16, (0.8, 0.7))
    words = _words(found, None)
    assert f"{said} calibration" in words
    assert ("Label more than 30 prompts" in words) is (said == "Leave the")
