"""What a wrong ``slmroute.toml`` is told: the file, the line, the key, and what would be right."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slmroute.config import RouterConfig, read_config, router_arguments
from slmroute.config_faults import keys_of, line_of
from slmroute.errors import ConfigError, UnknownTier

TIERS = """\
[[tiers]]
name = "small"
model = "ollama:phi3:mini"
[[tiers]]
name = "big"
model = "openai:gpt-4.1"
"""

CANARY = "sk-canary-0123456789abcdef"


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "slmroute.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(path: Path) -> tuple[RouterConfig | None, str]:
    """Read a file; gives its settings, or what is wrong with it."""
    try:
        return read_config(path), ""
    except ConfigError as error:
        return None, str(error)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("thresold = 0.5\n" + TIERS, 1, "thresold is not a setting. Did you mean threshold?"),
        ("\n# why\nthresholds = [0.7, 0.3, 0.1]\n" + TIERS, 3, "must have 1 number for 2 tiers"),
        ("threshold = 1.2\n" + TIERS, 1, "threshold=1.2 must be a number from 0 to 1"),
        ("threshold = nan\n" + TIERS, 1, "threshold must be a finite number"),
        ("threshold = 0.5\nthresholds = [0.5]\n" + TIERS, 1, "not both"),
        (TIERS.replace("big", "small"), 1, "names small twice"),
        ('default_tier = "bgi"\n' + TIERS, 1, "Did you mean 'big'?"),
        (TIERS + 'default_tier = "big"\n', 7, "write default_tier above the first [table]"),
        ("window = 5\n" + TIERS, 1, "write window under its [[tiers]]"),
        (TIERS + 'local = "yes"\n', 7, "tiers[1].local must be true or false"),
        (TIERS + "window = 4.5\n", 7, "tiers[1].window must be a whole number"),
        (TIERS + 'input_price = "cheap"\noutput_price = "1"\n', 7, "must be an amount of dollars"),
        (TIERS + "input_price = true\noutput_price = 1\n", 7, "must be an amount of dollars"),
        (TIERS + 'input_price = "1e400"\n', 7, "tiers[1].input_price must be an amount of dollars, from 0 to"),
        (TIERS + 'hour_price = "1 EUR @ 1e400"\n', 7, "tiers[1].hour_price must be an amount of dollars, from 0 to"),
        ('[prices]\nbig = ["1", "1e400"]\n' + TIERS, 2, "prices.big must be an amount of dollars, from 0 to"),
        (TIERS + "input_price = 1\n", 7, "give both input_price= and output_price="),
        (TIERS + 'abilities = ["fly"]\n', 7, "there are audio, files, images, schema, tool_choice, tools, video"),
        (TIERS.replace("openai:gpt-4.1", "gpt-4.1"), 6, "'openai:gpt-4.1'"),
        (TIERS.replace('name = "big"\n', ""), 4, "tiers[1].name is missing"),
        ("tiers = { small = 1 }\n", 1, "begin each with [[tiers]]"),
        ('tiers = ["a", "b"]\n', 1, "tiers[0] must be a table"),
        ('[[tiers]]\nname = "a"\nmodel = "ollama:x"\n', 1, "two or more tiers"),
        ('classifier = "fewshot"\n' + TIERS, 1, "did you mean 'few-shot'?"),
        ("classifier = 3\n" + TIERS, 1, 'a string such as "embedded"'),
        (
            '[classifier]\nkind = "few-shot"\nmodle = "x"\n' + TIERS,
            3,
            "classifier.modle is not a setting. Did you mean",
        ),
        ('[classifier]\nkind = "few-shot"\nnum_ctx = "a"\n' + TIERS, 3, "classifier.num_ctx must be a whole number"),
        ('classifier = "embedded:no.npz"\n' + TIERS, 1, "is not a file"),
        ("escalation = 2\n" + TIERS, 1, "threshold=2.0 must be a number from 0 to 1"),
        ("[escalation]\nfirst_tokens = 0\n" + TIERS, 2, "must be 1 or more"),
        ('[escalation]\nstream = "some"\n' + TIERS, 2, "must be 'first_tokens' or 'whole'"),
        ('[budget]\ndya = "5"\n' + TIERS, 2, "budget.dya is not a setting. Did you mean day?"),
        ('[budget]\nname = "a"\n' + TIERS, 1, "no limit is set"),
        ('[budget]\nday = "much"\n' + TIERS, 2, "budget.day must be an amount of dollars"),
        ("[budget]\nescalations_per_minute = -1\n" + TIERS, 2, "must be a whole number, zero or more"),
        ("[budget]\nper_key.a = { dya = 5 }\n" + TIERS, 2, "budget.per_key.a.dya is not a setting. Did you mean day?"),
        ('[budget]\nday = 5\non_limit = "stop"\n' + TIERS, 3, "budget.on_limit must be 'local' or 'raise'"),
        ('validate = ["emty"]\n' + TIERS, 1, "there are bad_json, empty"),
        ("validate = 3\n" + TIERS, 1, "validate must be true or false or a list."),
        ("deadline_s = -1\n" + TIERS, 1, "must be a positive number of seconds"),
        ("max_tokens = 0\n" + TIERS, 1, "max_tokens must be greater than 0"),
        (TIERS + '[prices]\n"openai:gpt-4.1" = ["2"]\n', 8, "must be two amounts"),
        ('ledger = "a.db"\nledger_env = "A"\n' + TIERS, 1, "give one of them"),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(write, text, line, said) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        router_arguments(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert said in str(caught.value)


def test_tiers_in_the_wrong_order_by_declared_or_list_price(write) -> None:
    declared = (
        TIERS.replace('mini"', 'mini"\ninput_price = "3"\noutput_price = "9"') + "input_price = 2\noutput_price = 8\n"
    )
    listed = TIERS.replace("ollama:phi3:mini", "openai:gpt-4.1").replace(
        'big"\nmodel = "openai:gpt-4.1', 'big"\nmodel = "openai:gpt-4.1-nano'
    )
    for text in (declared, listed):
        with pytest.raises(ConfigError, match=r"slmroute\.toml, line 1: tiers= must be cheapest first, but 'big'"):
            router_arguments(write(text))


def test_an_unknown_tier_is_the_error_it_is_in_code(write) -> None:
    with pytest.raises(UnknownTier):
        router_arguments(write('default_tier = "bgi"\n' + TIERS))


def test_all_that_is_wrong_is_told_at_once(write) -> None:
    with pytest.raises(ConfigError) as caught:
        router_arguments(write('thresold = 1\nmax_tokens = "a"\n' + TIERS + "lokal = true\n"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert sorted(line.partition(", ")[2].partition(":")[0] for line in lines) == ["line 1", "line 2", "line 9"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = \n", r"is not valid TOML: Invalid value \(at line 1"),
        (b"a = 1\na = 2\n", "is not valid TOML: Cannot overwrite a value"),
        (b"a = '\xff'\n", "is not UTF-8"),
        (b"a = " + b"[" * 100_000, "is nested too deeply"),
        (b"a = " + b"9" * 5_000, "holds a number of too many digits"),
        (b"", "tiers is missing"),
    ],
)
def test_what_is_no_toml_is_said_so(tmp_path, content, said) -> None:
    path = tmp_path / "router.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"router\.toml:? {said}"):
        router_arguments(path)


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        router_arguments(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        router_arguments(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f'api_key = "{CANARY}"\n' + TIERS,
        TIERS + f'api_key = "{CANARY}"\n',
        TIERS + f'api_kye = "{CANARY}"\n',
        TIERS + f'api_key_env = "{CANARY}"\n',
        TIERS + f'model_args = {{ api_key = "{CANARY}" }}\n',
        TIERS + f'model_args = {{ default_headers = {{ Authorization = "Bearer {CANARY}" }} }}\n',
        TIERS + f'model_args = {{ extra = [{{ token = "{CANARY}" }}] }}\n',
        TIERS + f'model_args = {{ client_kwargs = {{ headers = {{ x = "Bearer {CANARY}" }} }} }}\n',
        f'[classifier]\nkind = "few-shot"\napi_key = "{CANARY}"\n' + TIERS,
    ],
)
def test_a_key_in_the_file_is_refused_and_not_repeated(write, text) -> None:
    with pytest.raises(ConfigError, match=r"environment variable|api_key_env") as caught:
        router_arguments(write(text))
    assert "canary" not in str(caught.value)


def test_nearest_keys_are_keys() -> None:
    assert {"threshold", "validate", "tiers"} <= set(keys_of({}, ()))
    assert "checks" not in keys_of({}, ())


def test_lines_are_found_in_spite_of_what_strings_and_comments_hold(write) -> None:
    text = 'stop = ["""\nthreshold = 5\n[[tiers]]\n"""]\n# threshold = 6\n"threshold" = "high"\n' + TIERS
    with pytest.raises(ConfigError, match="line 6: threshold must be a number"):
        router_arguments(write(text))


@given(
    before=st.lists(
        st.sampled_from(["", "# threshold = 1", "failover = true", 'stop = ["""', "\"ä\" = '#'"]), max_size=4
    ),
    blank=st.integers(0, 3),
)
def test_the_line_of_a_key_is_its_line(before, blank) -> None:
    body = [line if line != 'stop = ["""' else 'stop = ["""\nthreshold = 0\n"""]' for line in dict.fromkeys(before)]
    lines = "\n".join([*body, *[""] * blank]).split("\n")
    text = "\n".join([*lines, "threshold = 0.5", TIERS]) if any(lines) else f"threshold = 0.5\n{TIERS}"
    wanted = len(lines) + 1 if any(lines) else 1
    assert "threshold" in tomllib.loads(text)
    assert line_of(text, ("threshold",)) == wanted
    assert line_of(text, ("no such key",)) is None


VALUES = [
    *("true", "false", "0", "-1", "3", "0.5", "1e400", "nan", "inf", "[]", "{}", "1979-05-27"),
    *('""', '"embedded"', '"small"', '"A_NAME"', '{ kind = "few-shot" }', f'"{CANARY}"', f'["{CANARY}"]'),
    f'{{ api_key = "{CANARY}" }}',
]
"""Values as TOML writes them, of every type, with a key among them."""


def tables(table: tuple[str | int, ...]) -> st.SearchStrategy[dict[str, str]]:
    keys = [*keys_of({"classifier": {"kind": "few-shot"}}, table), "api_key", "api_kye", "thresold"]
    return st.dictionaries(
        st.sampled_from([key for key in keys if key != "tiers"]), st.sampled_from(VALUES), max_size=4
    )


def as_toml(table: dict[str, str]) -> str:
    return "".join(f"{key} = {value}\n" for key, value in table.items())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(top=tables(()), low=tables(("tiers", 0)), high=tables(("tiers", 1)))
def test_any_settings_are_taken_whole_or_refused_with_the_file_named(write, top, low, high) -> None:
    base = {"name": '"small"', "model": '"ollama:a"'}, {"name": '"big"', "model": '"ollama:b"'}
    text = as_toml(top) + "".join(
        f"[[tiers]]\n{as_toml({**own, **extra})}" for own, extra in zip(base, (low, high), strict=True)
    )
    path = write(text)
    found, complaint = read(path)
    if found is not None:
        assert len(found.policy.tiers) == 2
        # A ledger's address or a stop word may be anything; it is in no repr.
        assert "canary" not in repr(found)
    else:
        assert complaint.startswith(str(path))
        assert "canary" not in complaint


def documents() -> st.SearchStrategy[Any]:
    plain = st.none() | st.text(max_size=20)
    return plain | st.sampled_from(
        [TIERS, TIERS[:-9], TIERS + "[", TIERS.replace('"', "'"), "[tiers]\n", "\x00", "a.b = 1"]
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(documents(), max_size=4))
def test_any_text_is_read_or_refused(write, pieces) -> None:
    path = write("".join(piece or "\n" for piece in pieces).replace("\ud800", ""))
    found, complaint = read(path)
    if found is not None:
        assert found.policy.names == ("small", "big")
    else:
        assert complaint.startswith(str(path))
