"""The commands with a real small model, over real HTTP."""

from __future__ import annotations

import pytest

from slmroute.local import LocalServer


@pytest.fixture
def real_config(local_server: LocalServer, empty_folder):
    """A configuration whose classifier and small tier are the real small model."""
    path = empty_folder / "slmroute.toml"
    path.write_text(
        f"""
thresholds = [1.0]

[classifier]
kind = "few-shot"
model = "smollm2:135m"
host = "{local_server.url}"
timeout_s = 60

[[tiers]]
name = "small"
model = "ollama:smollm2:135m"
model_args = {{ base_url = "{local_server.url}", num_predict = 8 }}
local = true
input_price = "0.05"
output_price = "0.08"

[[tiers]]
name = "frontier"
model = "dry-run:openai:gpt-4.1"
""",
        encoding="utf-8",
    )
    return path


def test_doctor_finds_all_well(run, real_config) -> None:
    shown = run("doctor", "--json")
    assert shown.code == 0, shown.out
    states = {finding["what"]: finding["state"] for finding in shown.json["findings"]}
    assert states["model smollm2:135m"] == states["classifier"] == states["tier small"] == "ok"
    assert states["tier frontier"] == "skipped"


def test_the_small_model_scores_and_answers(run, real_config) -> None:
    found = run("route", "Which language is this? Guten Tag, wie geht es?", "--answer", "--json").json
    assert found["answer"].strip()
    assert 0 < found["record"]["score"] < 1
    attempts = {attempt["role"]: attempt for attempt in found["record"]["attempts"]}
    assert attempts["classifier"]["usage"]["source"] == "reported"
    assert attempts["final"]["usage"]["output_tokens"] <= 8
