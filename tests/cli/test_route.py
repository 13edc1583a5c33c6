"""``slmroute route``."""

from __future__ import annotations

import io
import re
import sys
from decimal import Decimal

import pytest

from slmroute.report.wording import alike
from slmroute.testing import FakeServer, Fault

SIMPLE = "Is this review positive or negative? 'I loved it.'"
HARD = "Prove that there are infinitely many primes, then design a distributed database and weigh its trade-offs."


def test_a_simple_text_stays_and_a_hard_one_goes_up(run, config) -> None:
    simple, hard = run("route", SIMPLE, "--json").json, run("route", HARD, "--json").json
    assert (simple["tier"], hard["tier"]) == ("small", "frontier")
    assert simple["score"] < 0.5 < hard["score"]
    assert simple["reason"] == "classified"
    assert simple["why"] == "the score is not over the threshold 0.50"
    assert hard["why"] == "the score is over the threshold 0.50"
    assert simple["config"] == "slmroute.toml"


def test_deciding_calls_nothing(run, config, server) -> None:
    run("route", HARD)
    assert server.requests == []


def test_for_people_it_prints_lines(run, config) -> None:
    shown = run("route", SIMPLE)
    assert shown.code == 0
    lines = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert lines["tier"] == "small (ollama:phi3:mini)"
    assert lines["why"] == "the score is not over the threshold 0.50"
    assert SIMPLE not in shown.out


def test_without_a_file_it_uses_the_plain_default(run) -> None:
    decision = run("route", SIMPLE, "--json").json
    assert (decision["tier"], decision["model"]) == ("small", "ollama:llama3.1:8b")
    assert decision["config"] is None
    assert decision["classifier"].startswith("embedded-")


def test_another_file_can_be_named(run, config, empty_folder) -> None:
    (empty_folder / "other.toml").write_text('classifier = "none"\n' + config.read_text())
    decision = run("route", HARD, "--json", "--config", "other.toml").json
    assert (decision["tier"], decision["reason"], decision["score"]) == ("small", "cheapest", None)
    assert "no classifier" in decision["why"]


def test_the_text_can_come_from_standard_input(run, config, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(HARD))
    assert run("route", "-", "--json").json["tier"] == "frontier"


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_an_error(run, config, text) -> None:
    shown = run("route", text)
    assert shown.code == 2
    assert "The text is empty" in shown.err


def test_local_only_stays_local(run, config) -> None:
    assert run("route", HARD, "--local-only", "--json").json["tier"] == "small"


def test_three_tiers_tell_between_which_thresholds_the_score_is(run, config) -> None:
    text = config.read_text().replace("threshold = 0.5", "thresholds = [0.0, 0.999999]")
    middle = '[[tiers]]\nname = "mid"\nmodel = "ollama:llama3.1:8b"\ninput_price = "0.1"\noutput_price = "0.2"\n'
    before, frontier, after = text.partition('[[tiers]]\nname = "frontier"')
    config.write_text(f"{before}{middle}{frontier}{after}")
    decision = run("route", HARD, "--json").json
    assert decision["tier"] == "mid"
    assert decision["why"] == "the score is over the threshold 0.00 and not over 1.00"


def test_a_text_too_long_for_its_tier_goes_to_one_that_takes_it(run, config) -> None:
    config.write_text(config.read_text().replace("local = true", "local = true\nwindow = 50"))
    text = "Is this text about the weather? " + "It rained the whole day and the river rose. " * 30
    decision = run("route", text, "--json").json
    assert (decision["tier"], decision["reason"]) == ("frontier", "classified" if decision["score"] else "only")


def test_a_classifier_that_cannot_be_asked_is_said_so(run, config) -> None:
    text = '[classifier]\nkind = "few-shot"\nhost = "http://127.0.0.1:9"\ntimeout_s = 0.5\n'
    config.write_text(config.read_text().replace("[[tiers]]", f"{text}\n[[tiers]]", 1))
    decision = run("route", SIMPLE, "--json").json
    assert (decision["tier"], decision["reason"]) == ("frontier", "default")
    assert "slmroute doctor" in decision["why"]
    assert "classifier_unavailable" in decision["events"]


@pytest.mark.parametrize(
    ("text", "answer", "model"), [(SIMPLE, "Paris.", "phi3:mini"), (HARD, "It is Paris.", "gpt-4.1")]
)
def test_the_tier_answers_really(run, config, server, text, answer, model) -> None:
    shown = run("route", text, "--answer")
    assert shown.out == f"{answer}\n"
    assert "threshold 0.50" in shown.err
    assert f"({model})" in shown.err
    assert [request.model for request in server.requests if request.path.endswith(("chat", "completions"))] == [model]


def test_a_saving_against_a_dry_run_is_told_as_projected(run, config) -> None:
    text = config.read_text().replace("openai:gpt-4.1", "dry-run:openai:gpt-4.1")
    config.write_text("\n".join(line for line in text.splitlines() if "/v1" not in line and "TEST_KEY" not in line))
    record = run("route", SIMPLE, "--answer", "--json").json["record"]
    assert record["saved"] is None
    cost, projected = alike(Decimal(record["cost"]), Decimal(record["projected"]))
    shown = run("route", SIMPLE, "--answer").err
    assert f"cost      {cost}, projected saving {projected} (the last tier is a dry run)" in shown


def test_what_was_saved_is_told_and_what_is_not_known_is_not_guessed(run, config) -> None:
    assert re.search(r"cost +\$0\.\d+, saved \$0\.\d+\n", run("route", SIMPLE, "--answer").err)
    text = config.read_text()
    config.write_text(text.replace("gpt-4.1", "some-model"))
    assert "saving not known: the last tier has no price" in run("route", SIMPLE, "--answer").err
    config.write_text(text.replace('input_price = "0.05"\noutput_price = "0.08"\n', ""))
    assert "cost      not known: a tier or the classifier has no price" in run("route", SIMPLE, "--answer").err


def test_a_weaker_answer_than_wanted_is_told_and_called_no_saving(run, config, server: FakeServer) -> None:
    server.script("gpt-4.1", Fault(503))
    shown = run("route", HARD, "--answer").err
    assert "degraded  yes, a better tier failed" in shown
    assert "that is no saving" in shown


def test_the_answer_as_json_has_its_record(run, config) -> None:
    found = run("route", SIMPLE, "--answer", "--json").json
    assert found["answer"] == "Paris."
    assert found["record"]["tier"] == "small"
    assert [attempt["role"] for attempt in found["record"]["attempts"]] == ["classifier", "final"]


def test_the_answer_is_written_to_the_ledger(run, config) -> None:
    from slmroute.ledger import LedgerReader

    config.write_text('ledger = "calls.db"\n' + config.read_text())
    run("route", SIMPLE)
    call_id = run("route", SIMPLE, "--answer", "--json").json["record"]["call_id"]
    assert [call.record.call_id for call in LedgerReader("calls.db").calls()] == [call_id]


def test_answering_without_the_key_names_the_variable(run, config, monkeypatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    shown = run("route", SIMPLE, "--answer")
    assert shown.code == 2
    assert "TEST_KEY" in shown.err
    assert run("route", SIMPLE).code == 0


def test_tiers_that_fail_are_one_line(run, config, server: FakeServer) -> None:
    server.script("phi3:mini", Fault(500))
    server.script("gpt-4.1", Fault(500))
    shown = run("route", SIMPLE, "--answer")
    assert shown.code == 2
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1


def test_a_client_that_cannot_be_built_is_one_line(run, config) -> None:
    text = config.read_text().replace('api_key_env = "TEST_KEY"\n', "").replace("threshold = 0.5", "threshold = 0.0")
    config.write_text(text)
    shown = run("route", HARD, "--answer")
    assert shown.code == 2
    assert "slmroute doctor" in shown.err or "api_key" in shown.err
    assert shown.err.count("\n") == 1
