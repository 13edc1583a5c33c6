"""``slmroute doctor``: every fault with its fix, and never a key."""

from __future__ import annotations

import re
import sys
import threading
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from slmroute.ollama import ModelEntry
from slmroute.testing import FakeServer, Fault, Reply

CANARY = "sk-canary-0123456789"


def by_name(shown) -> dict[str, dict[str, str | None]]:
    return {finding["what"]: finding for finding in shown.json["findings"]}


@pytest.fixture
def few_shot(config, server: FakeServer):
    """The same configuration with a classifier on the server."""
    server.script("judge", Reply("simple", logprobs=[{"simple": -0.1, "complex": -3.0}]))
    text = f'[classifier]\nkind = "few-shot"\nmodel = "judge"\nhost = "{server.url}"\n'
    config.write_text(config.read_text().replace("[[tiers]]", f"{text}\n[[tiers]]", 1))
    return config


def test_all_is_well(run, config, server) -> None:
    shown = run("doctor")
    assert shown.code == 0
    assert shown.out.rstrip().endswith("All is well.")
    assert "ollama:phi3:mini answered" in shown.out
    assert "openai:gpt-4.1 answered" in shown.out
    assert "TEST_KEY is set" in shown.out
    assert sorted(r.model for r in server.requests if r.path.endswith(("chat", "completions"))) == [
        "gpt-4.1",
        "phi3:mini",
    ]


def test_as_json(run, config) -> None:
    shown = run("doctor", "--json")
    assert shown.json["ok"] is True
    assert {finding["state"] for finding in shown.json["findings"]} == {"ok", "skipped"}
    assert set(shown.json["findings"][0]) == {"what", "state", "detail", "fix"}


def test_offline_asks_no_tier(run, config, server) -> None:
    shown = run("doctor", "--offline", "--json")
    assert shown.code == 0
    assert by_name(shown)["tier small"]["state"] == "skipped"
    assert not [request for request in server.requests if request.path.endswith(("chat", "completions"))]


def test_somebody_else_holds_ollamas_port(run, config, server) -> None:
    other = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{other.server_address[1]}"
        config.write_text(config.read_text().replace(f'"{server.url}"', f'"{url}"'))
        found = by_name(run("doctor", "--json"))[f"Ollama at {url}"]
    finally:
        other.shutdown()
        thread.join()
        other.server_close()
    assert (found["state"], "does not speak Ollama's protocol" in found["detail"]) == ("problem", True)
    assert found["fix"].startswith("stop what listens there")


def test_ollama_is_not_running(run, config, server) -> None:
    config.write_text(config.read_text().replace(f'"{server.url}"', '"http://127.0.0.1:9"'))
    shown = run("doctor", "--json")
    found = by_name(shown)
    assert shown.code == 1
    assert found["Ollama at http://127.0.0.1:9"]["state"] == "problem"
    assert "ollama serve" in found["Ollama at http://127.0.0.1:9"]["fix"]
    assert "slmroute serve" in found["Ollama at http://127.0.0.1:9"]["fix"]
    assert found["model phi3:mini"]["state"] == "skipped"
    assert found["tier small"]["state"] == "skipped"
    assert found["tier frontier"]["state"] == "ok"


def test_a_model_is_not_pulled(run, config) -> None:
    config.write_text(config.read_text().replace("phi3:mini", "phi4:latest"))
    found = by_name(shown := run("doctor", "--json"))
    assert shown.code == 1
    assert found["model phi4:latest"]["fix"] == "ollama pull phi4:latest"
    assert found["tier small"]["detail"] == "not asked, see model phi4:latest"


def test_the_stand_in_for_ollama_pulls_nothing_but_says_what_it_serves(run, few_shot, monkeypatch) -> None:
    monkeypatch.setattr("slmroute.testing.ollama_wire.VERSION", "0.13.0-slmroute")
    few_shot.write_text(few_shot.read_text().replace("phi3:mini", "llama3.1:8b").replace('"judge"', '"nobody"'))
    with FakeServer({"smollm2:135m": Reply("ready")}) as alone:
        monkeypatch.setattr("slmroute.ollama.OllamaServer.models", lambda _: [ModelEntry("smollm2:135m")])
        few_shot.write_text(re.sub(r"http://127[^/\"]*\"", f'{alone.url}"', few_shot.read_text()))
        found = by_name(run("doctor", "--json", "--offline"))
    tier, classifier = found["model llama3.1:8b"], found["model nobody"]
    assert 'tier small: model = "ollama:smollm2:135m"' in tier["fix"]
    assert 'the classifier: model = "smollm2:135m"' in classifier["fix"]
    assert "start Ollama in its place and ollama pull llama3.1:8b" in tier["fix"]
    assert "ollama pull" not in tier["detail"]


def test_a_key_is_not_set(run, config, monkeypatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    found = by_name(shown := run("doctor", "--json"))
    assert shown.code == 1
    assert found["key of tier frontier"]["detail"] == "TEST_KEY not set"
    assert found["key of tier frontier"]["fix"] == "export TEST_KEY=..."
    assert found["tier frontier"]["state"] == "skipped"
    assert found["tier small"]["state"] == "ok"


def test_a_provider_s_usual_variable_is_known(run, config, monkeypatch) -> None:
    config.write_text(config.read_text().replace('api_key_env = "TEST_KEY"\n', ""))
    assert by_name(run("doctor", "--json"))["key of tier frontier"]["fix"] == "export OPENAI_API_KEY=..."
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert by_name(run("doctor", "--json"))["key of tier frontier"]["detail"] == "OPENAI_API_KEY is set"


@pytest.mark.parametrize("around", ["\n", " ", "\r\n"])
def test_a_key_with_something_around_it(run, config, monkeypatch, around) -> None:
    monkeypatch.setenv("TEST_KEY", CANARY + around)
    found = by_name(run("doctor", "--json"))["key of tier frontier"]
    assert found["state"] == "problem"
    assert "a space or a line break" in found["detail"]


def test_a_key_is_refused(run, config, server) -> None:
    server.script("gpt-4.1", Fault(401, body={"error": {"message": f"Incorrect API key provided: {CANARY}"}}))
    found = by_name(run("doctor", "--json"))["tier frontier"]
    assert found["state"] == "problem"
    assert "HTTP 401" in found["detail"]
    assert "valid key" in found["fix"]


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "Correct model="), (429, "quota"), (400, "model_args="), (500, "network")]
)
def test_a_provider_that_refuses_or_fails(run, config, server, status, advice) -> None:
    server.script("gpt-4.1", Fault(status, body={"error": {"message": f"no: {CANARY}"}}))
    found = by_name(run("doctor", "--json"))["tier frontier"]
    assert found["state"] == "problem"
    assert f"HTTP {status}" in found["detail"]
    assert advice in found["fix"]


def test_a_tier_that_answers_with_nothing(run, config, server) -> None:
    server.script("gpt-4.1", Reply(""))
    assert by_name(run("doctor", "--json"))["tier frontier"]["detail"] == "openai:gpt-4.1 answered with nothing"


def test_a_tier_is_asked_although_another_would_stand_in(run, config, server) -> None:
    server.script("phi3:mini", Fault(500))
    found = by_name(run("doctor", "--json"))
    assert found["tier small"]["state"] == "problem"
    assert found["tier frontier"]["state"] == "ok"


def test_a_dry_run_is_not_asked(run, config) -> None:
    text = config.read_text().replace("openai:gpt-4.1", "dry-run:openai:gpt-4.1")
    config.write_text("\n".join(line for line in text.splitlines() if "/v1" not in line and "TEST_KEY" not in line))
    found = by_name(shown := run("doctor", "--json"))
    assert shown.code == 0
    assert found["tier frontier"]["detail"] == "a dry run: it generates nothing"
    assert "key of tier frontier" not in found


def test_the_configuration_is_wrong(run, config) -> None:
    config.write_text("thresold = 0.5\n" + config.read_text() + f'api_key = "{CANARY}"\n')
    shown = run("doctor", "--json")
    assert shown.code == 1
    (finding,) = shown.json["findings"]
    assert finding["state"] == "problem"
    assert "slmroute.toml, line" in finding["detail"]


def test_without_a_file_the_plain_default_is_examined(run) -> None:
    shown = run("doctor", "--offline", "--json")
    assert "plain default" in by_name(shown)["configuration"]["detail"]
    assert by_name(shown)["key of tier frontier"]["fix"] == "export OPENAI_API_KEY=..."


def test_the_classifier_on_a_server_is_asked(run, few_shot) -> None:
    found = by_name(run("doctor", "--json"))
    assert found["model judge"]["state"] == "ok"
    assert found["classifier"]["state"] == "ok"
    assert found["classifier"]["detail"].startswith("few-shot:judge:")
    assert "not calibrated: slmroute tune few-shot" in found["classifier"]["detail"]


def test_the_classifier_s_model_is_not_pulled(run, few_shot) -> None:
    few_shot.write_text(few_shot.read_text().replace('"judge"', '"nobody"'))
    found = by_name(shown := run("doctor", "--json"))
    assert shown.code == 1
    assert found["model nobody"]["fix"] == "ollama pull nobody"
    assert found["classifier"]["state"] == "problem"


def test_the_classifier_on_a_server_is_left_alone_offline(run, few_shot) -> None:
    assert by_name(run("doctor", "--json", "--offline"))["classifier"]["state"] == "skipped"


def test_a_tier_and_the_classifier_take_turns_in_reloading_one_model(run, few_shot, server) -> None:
    text = few_shot.read_text().replace('"judge"', '"phi3:mini"')
    few_shot.write_text(text)
    found = by_name(shown := run("doctor", "--json", "--offline"))
    assert shown.code == 1
    assert "2048 tokens and tier small for the default" in found["context of phi3:mini"]["detail"]
    few_shot.write_text(text.replace("local = true", "local = true\nwindow = 2048"))
    assert "context of phi3:mini" not in by_name(run("doctor", "--json", "--offline"))
    few_shot.write_text(text.replace("model_args = { ", "model_args = { num_ctx = 2048, ", 1))
    assert "context of phi3:mini" not in by_name(run("doctor", "--json", "--offline"))


def test_no_classifier_is_no_problem(run, config) -> None:
    config.write_text('classifier = "none"\n' + config.read_text())
    assert by_name(run("doctor", "--json"))["classifier"]["detail"].startswith("none")


def test_a_ledger_that_is_not_there_yet(run, config, empty_folder) -> None:
    config.write_text('ledger = "data/calls.db"\n' + config.read_text())
    assert by_name(run("doctor", "--json"))["ledger"]["detail"] == "data/calls.db is not there yet and can be made"
    assert not (empty_folder / "data").exists()


def test_a_ledger_that_is_there(run, config) -> None:
    from slmroute.ledger import Ledger

    Ledger("calls.db").close()
    config.write_text('ledger = "sqlite:///calls.db"\n' + config.read_text())
    assert by_name(run("doctor", "--json"))["ledger"]["detail"] == "calls.db can be written"


def test_a_ledger_that_is_something_else(run, config, empty_folder) -> None:
    (empty_folder / "calls.db").write_text("Dear diary, " * 100)
    config.write_text('ledger = "calls.db"\n' + config.read_text())
    found = by_name(shown := run("doctor", "--json"))["ledger"]
    assert shown.code == 1
    assert found["state"] == "problem"
    assert (empty_folder / "calls.db").read_text().startswith("Dear diary")


def test_a_ledger_s_server_is_not_there_and_its_password_not_shown(run, config, monkeypatch) -> None:
    monkeypatch.setenv("LEDGER_URL", "postgresql://user:canary@127.0.0.1:9/calls")
    config.write_text('ledger_env = "LEDGER_URL"\n' + config.read_text())
    found = by_name(shown := run("doctor", "--json"))
    assert shown.code == 1
    assert found["address of the ledger"]["detail"] == "LEDGER_URL is set"
    assert found["ledger"]["state"] == "problem"


def test_an_extra_that_is_needed_is_not_installed(run, config, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_anthropic", None)
    text = config.read_text().replace("openai:gpt-4.1", "anthropic:claude-haiku-4-5")
    config.write_text(text)
    found = by_name(shown := run("doctor", "--json"))
    assert shown.code == 1
    assert found["extra anthropic"]["fix"] == 'pip install "slmroute[anthropic]"'
    assert found["tier frontier"]["detail"] == "not asked, see extra anthropic"


def test_no_framework_is_installed(run, config, monkeypatch) -> None:
    monkeypatch.setattr("slmroute.cli.findings.installed", lambda module: False)
    found = by_name(run("doctor", "--json", "--offline"))
    assert found["extra langchain"]["fix"] == 'pip install "slmroute[langchain]"'
    assert found["extras"]["detail"] == "installed: none"


def test_every_extra_of_the_package_is_known() -> None:
    import tomllib
    from pathlib import Path

    import slmroute
    from slmroute.cli.findings import EXTRAS

    project = tomllib.loads((Path(slmroute.__file__).parents[1] / "pyproject.toml").read_text())
    assert set(EXTRAS) == set(project["project"]["optional-dependencies"]) - {"all", "cli"}
