"""What a right ``slmroute.toml`` becomes."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path

import pytest

import slmroute.config
from slmroute.budget import Budget, Limits
from slmroute.classify import EmbeddedClassifier, FewShotClassifier
from slmroute.config import DECIDING, STANDARD, Key, read_config, router_arguments
from slmroute.config_faults import keys_of
from slmroute.errors import ConfigError
from slmroute.policy import Confidence
from slmroute.tier import Tier

TIERS = """
[[tiers]]
name = "small"
model = "ollama:phi3:mini"

[[tiers]]
name = "big"
model = "openai:gpt-4.1"
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "slmroute.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def the_example() -> str:
    """The example that the module's documentation shows."""
    documentation = inspect.getdoc(slmroute.config) or ""
    return textwrap.dedent(documentation.partition("::\n")[2].partition("Rules, hooks")[0])


def examples() -> str:
    rows = [
        '[[classifier.examples]]\ntext = "Is it blue?"\ncomplex = false\n',
        '[[classifier.examples]]\ntext = "Prove it."\ncomplex = true\n',
    ]
    return "".join(rows * 3)


def test_the_example_in_the_documentation_is_right(write, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    arguments = router_arguments(write(the_example()))
    assert [tier.name for tier in arguments["tiers"]] == ["small", "frontier"]
    assert arguments["threshold"] == 0.5
    assert isinstance(arguments["classifier"], FewShotClassifier)
    assert arguments["escalation"] == Confidence(0.85)
    assert arguments["prices"] == {"openai:gpt-4.1": ("2", "8")}


def test_tiers_alone_are_enough(write) -> None:
    arguments = router_arguments(write(TIERS))
    assert set(arguments) == {"tiers", "classifier"}
    assert isinstance(arguments["classifier"], EmbeddedClassifier)


def test_a_tier_takes_all_that_a_tier_has(write) -> None:
    text = """
        [[tiers]]
        name = "small"
        model = "ollama:phi3:mini"
        model_args = { base_url = "http://127.0.0.1:1", num_gpu = 0 }
        local = true
        input_price = 0.05
        output_price = "0.08"
        hour_price = 1
        window = 4096
        abilities = ["tools"]

        [[tiers]]
        name = "big"
        model = "dry-run:openai:gpt-4.1"
    """
    small, big = router_arguments(write(text))["tiers"]
    assert small == Tier(
        "small",
        "ollama:phi3:mini",
        model_args={"base_url": "http://127.0.0.1:1", "num_gpu": 0},
        local=True,
        input_price="0.05",
        output_price="0.08",
        hour_price=1,
        window=4096,
        abilities=["tools"],
    )
    assert big.dry_run


def test_a_table_of_tiers_has_every_field_of_a_tier() -> None:
    fields = set(inspect.signature(Tier).parameters)
    assert set(keys_of({}, ("tiers", 0))) == fields | {"api_key_env"}


def test_a_table_of_the_few_shot_classifier_has_every_argument_of_it() -> None:
    arguments = set(inspect.signature(FewShotClassifier).parameters)
    assert set(keys_of({"classifier": {"kind": "few-shot"}}, ("classifier",))) == arguments | {"kind"}


def test_a_table_of_the_budget_has_every_argument_of_it() -> None:
    assert set(keys_of({}, ("budget",))) == set(inspect.signature(Budget).parameters)
    assert set(keys_of({}, ("budget", "per_key", "a"))) == set(inspect.signature(Limits).parameters)


def test_a_budget_has_limits_for_all_and_for_keys(write) -> None:
    text = (
        '[budget]\nday = "20"\nescalations_per_minute = 30\non_limit = "raise"\n'
        '[budget.per_key]\nteam-a = { day = 5 }\n"*" = { month = "1.5" }\n'
    )
    budget = router_arguments(write(text + TIERS))["budget"]
    assert budget.limits == Limits(day="20", escalations_per_minute=30)
    assert budget.per_key == {"team-a": Limits(day=5), "*": Limits(month="1.5")}
    assert budget.on_limit == "raise"


def test_a_table_of_escalation_has_every_setting() -> None:
    assert set(keys_of({}, ("escalation",))) - {"judge_host"} == set(inspect.signature(Confidence).parameters)


def test_the_router_takes_every_setting_of_the_file() -> None:
    from langchain_slmroute import RoutingChatModel

    known = {field.alias or name for name, field in RoutingChatModel.model_fields.items()}
    assert {name.removesuffix("_env") for name in keys_of({}, ())} <= known
    assert {*STANDARD, *DECIDING} <= known


@pytest.mark.parametrize(
    ("written", "kind", "shown"),
    [
        ('classifier = "embedded"', EmbeddedClassifier, "EmbeddedClassifier()"),
        ('[classifier]\nkind = "embedded"', EmbeddedClassifier, "EmbeddedClassifier()"),
        ('classifier = "none"', type(None), "None"),
    ],
)
def test_short_forms_of_the_classifier(write, written, kind, shown) -> None:
    classifier = router_arguments(write(f"{written}\n{TIERS}"))["classifier"]
    assert isinstance(classifier, kind)
    assert repr(classifier) == shown


def test_the_few_shot_classifier_takes_its_settings(write) -> None:
    text = (
        '[classifier]\nkind = "few-shot"\nmodel = "gemma2:2b"\nhost = "http://127.0.0.1:1"\nnum_ctx = 4096\n'
        'input_price = "0.1"\noutput_price = "0.1"\n[classifier.calibrator]\nslope = 2\nintercept = -1.5\n'
    )
    classifier = router_arguments(write(text + examples() + TIERS))["classifier"]
    assert isinstance(classifier, FewShotClassifier)
    assert (classifier.model, classifier.host) == ("gemma2:2b", "http://127.0.0.1:1")
    assert (classifier.calibrator.slope, classifier.calibrator.intercept) == (2, -1.5)


def test_weights_are_looked_for_beside_the_file(write, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "own.npz").write_bytes(b"not read before it is needed")
    text = f'threshold = 0.5\nclassifier = "embedded:own.npz"\n{TIERS}'
    assert repr(router_arguments(write(text))["classifier"]) == f"EmbeddedClassifier({str(tmp_path / 'own.npz')!r})"


@pytest.mark.parametrize("written", ["escalation = 0.9", "[escalation]\nthreshold = 0.9"])
def test_escalation_is_a_number_or_a_table(write, written) -> None:
    assert router_arguments(write(f"{written}\n{TIERS}"))["escalation"] == Confidence(0.9)


def test_a_judge_is_named_with_its_model(write) -> None:
    text = '[escalation]\njudge = "{}:gemma2:2b"\njudge_host = "http://gpu:1"\n'
    judges = [
        router_arguments(write(text.format(kind) + TIERS))["escalation"].judge for kind in ("self-check", "agreement")
    ]
    assert repr(judges[0]) == "SelfCheck('gemma2:2b', host='http://gpu:1')"
    assert repr(judges[1]) == "Agreement('gemma2:2b', host='http://gpu:1', samples=3)"
    for wrong, said in (("self-chek:m", 'write "self-check:MODEL" or "agreement:MODEL"'), ("agreement", "model=")):
        with pytest.raises(ConfigError, match=said):
            router_arguments(write(f'[escalation]\njudge = "{wrong}"\n{TIERS}'))


@pytest.mark.parametrize("prices", ['["2", "8"]', '{ input = "2", output = "8" }', "[2, 8]"])
def test_prices_are_a_pair_or_named(write, prices) -> None:
    found = router_arguments(write(f'{TIERS}[prices]\n"openai:gpt-4.1" = {prices}'))["prices"]["openai:gpt-4.1"]
    assert [str(amount) for amount in found] == ["2", "8"]


def test_validate_is_all_none_or_some(write) -> None:
    assert router_arguments(write(f"validate = false\n{TIERS}"))["validate"] is False
    assert router_arguments(write(f'validate = ["empty"]\n{TIERS}'))["validate"] == {"empty"}


def test_standard_arguments_are_passed_on(write) -> None:
    text = f'temperature = 0\nmax_tokens = 10\ntimeout = 5\nmax_retries = 0\nstop = ["\\n"]\n{TIERS}'
    arguments = router_arguments(write(text))
    assert {name: arguments[name] for name in STANDARD} == {
        "temperature": 0,
        "max_tokens": 10,
        "timeout": 5,
        "max_retries": 0,
        "stop": ["\n"],
    }


def test_a_byte_order_mark_and_windows_lines_are_no_trouble(tmp_path) -> None:
    path = tmp_path / "slmroute.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TIERS.replace("\n", "\r\n").encode())
    assert len(router_arguments(path)["tiers"]) == 2


def test_keys_come_out_of_the_environment_and_show_nowhere(write, monkeypatch) -> None:
    monkeypatch.setenv("BIG_KEY", "sk-canary-tier")
    monkeypatch.setenv("ALL_KEY", "sk-canary-all")
    monkeypatch.setenv("LEDGER_URL", "postgresql://user:canary@host/db")
    text = f'api_key_env = "ALL_KEY"\nledger_env = "LEDGER_URL"\n{TIERS}api_key_env = "BIG_KEY"\n'
    arguments = router_arguments(write(text))
    assert arguments["tiers"][1].model_args == {"api_key": "sk-canary-tier"}
    assert arguments["api_key"] == "sk-canary-all"
    assert arguments["ledger"] == "postgresql://user:canary@host/db"
    assert "canary" not in repr(arguments)
    assert "canary" not in repr(arguments["tiers"][1].model_args)


def test_reading_asks_for_no_key(write) -> None:
    settings = read_config(write(f'{TIERS}api_key_env = "SLMROUTE_TEST_NOT_SET"\n'))
    assert settings.variables == {("tier", "big"): "SLMROUTE_TEST_NOT_SET"}
    assert settings.policy.names == ("small", "big")


def test_a_variable_that_is_not_set_is_named(write) -> None:
    path = write(f'{TIERS}api_key_env = "SLMROUTE_TEST_NOT_SET"\n')
    with pytest.raises(ConfigError, match=r"tier 'big'.*SLMROUTE_TEST_NOT_SET.*is not set: export"):
        router_arguments(path)


def test_the_policy_is_the_one_a_router_would_make(write) -> None:
    settings = read_config(write(f'default_tier = "small"\nfailover = false\ndeadline_s = 3\n{TIERS}'))
    assert settings.policy.thresholds == pytest.approx((EmbeddedClassifier().threshold,), abs=1e-4)
    assert settings.policy.default_tier == "small"
    assert (settings.policy.failover, settings.policy.deadline_s) == (False, 3)


def test_a_key_is_a_string_that_does_not_show() -> None:
    key = Key("sk-canary")
    assert key == "sk-canary"
    assert "canary" not in repr(key)
    assert "canary" not in repr({"api_key": key})


def test_langchain_clients_get_the_key(write, monkeypatch, closed_clients) -> None:
    from langchain_slmroute import RoutingChatModel
    from slmroute.testing import FakeServer, Reply

    monkeypatch.setenv("BIG_KEY", "sk-canary")
    with FakeServer({"gpt-4.1": Reply("Yes.")}) as server:
        text = f'{TIERS}api_key_env = "BIG_KEY"\nmodel_args = {{ base_url = "{server.openai_url}" }}\n'
        model = RoutingChatModel.from_config(write(text))
        assert model.invoke("Is it so?", tier="big").text == "Yes."
        assert server.requests[0].authorized
        assert "canary" not in repr(model)


def test_a_file_that_changes_does_not_change_the_router_read_from_it(write) -> None:
    from langchain_slmroute import RoutingChatModel

    text = TIERS.replace("ollama:", "dry-run:openai:").replace("openai:gpt-4.1", "dry-run:openai:gpt-4.1")
    model = RoutingChatModel.from_config(write("threshold = 0.0\n" + text))
    write("threshold = 1.0\n" + text)
    assert model.invoke("Hello").response_metadata["slmroute"]["tier"] == "big"
