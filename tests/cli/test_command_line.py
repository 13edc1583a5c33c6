"""The command line as a whole: its commands, its help, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import slmroute
from slmroute.cli.commands import COMMANDS
from slmroute.cli.console import print_error, print_json
from slmroute.errors import NoTierAnswered, SlmrouteError
from slmroute.steps import Usage

ROOT = Path(slmroute.__file__).parents[1]

IN_TEXT = re.compile(r"(?<![\w/.-])slmroute ([a-z][a-z-]*)((?: [^`\n|#]*)?)")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def texts() -> list[tuple[str, str]]:
    """All that the project says in backticks, code blocks and messages, file by file."""
    sources = [*ROOT.glob("*.md"), ROOT / "Makefile"]
    for package in ("slmroute", "langchain_slmroute", "llama_index_slmroute"):
        sources += (ROOT / package).rglob("*.py")
    return [(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in sources if path.exists()]


def test_help_lists_every_command_with_its_line(run) -> None:
    shown = run("--help")
    assert shown.code == 0
    for name, line in COMMANDS.items():
        assert re.search(rf"\b{name}\b", shown.out)
        assert line in re.sub(r"\s+│\s*│\s+", " ", shown.out)


def test_help_loads_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom slmroute.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "import json; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    )
    loaded = set(json.loads(python(code).stderr))
    own = {name for name in loaded if name.startswith("slmroute")}
    assert own == {"slmroute", "slmroute.cli", "slmroute.cli.commands", "slmroute.cli.console", "slmroute.errors"}
    heavy = {"numpy", "pydantic", "ollama", "httpx", "langchain_core", "llama_index", "sqlalchemy", "openai"}
    assert not heavy & loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(run, name) -> None:
    assert find_spec(f"slmroute.cli.{name}")
    shown = run(name, "--help")
    assert shown.code == 0
    assert f"Usage: slmroute {name}" in shown.out
    assert "completion" not in shown.out


def test_every_module_that_holds_a_command_is_listed() -> None:
    holds_one = re.compile(r"^app = typer\.Typer\(", re.MULTILINE)
    modules = {
        path.stem for path in (ROOT / "slmroute" / "cli").glob("*.py") if holds_one.search(path.read_text("utf-8"))
    }
    assert modules - {"commands"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_as_one_sentence(name) -> None:
    assert re.fullmatch(r"[A-Z].*\.", COMMANDS[name])


def test_every_command_that_is_spoken_of_exists() -> None:
    spoken_of = {
        (file, found[1]) for file, text in texts() for found in re.finditer(r"`{1,2}slmroute ([a-z][a-z-]*)", text)
    }
    assert spoken_of
    assert not {(file, name) for file, name in spoken_of if name not in COMMANDS}


def test_every_option_that_the_documents_show_exists(run) -> None:
    for file, text in texts():
        if not file.endswith(".md"):
            continue
        for name, rest in IN_TEXT.findall(text):
            if name not in COMMANDS:
                continue
            words = [name, *rest.split()]
            options = [word.partition("=")[0] for word in words if word.startswith("--")]
            if not options:
                continue
            known = run(name, "--help").out
            if len(words) > 1 and not words[1].startswith("-") and re.search(rf"│ {words[1]}\b", known):
                known += run(name, words[1], "--help").out
            assert all(option in known for option in options), f"{file}: slmroute {name} has no {options}"


def test_no_arguments_show_the_help(run) -> None:
    shown = run()
    assert "Usage: slmroute" in shown.out + shown.err


def test_version(run) -> None:
    assert run("--version").out.strip() == f"slmroute {slmroute.__version__}"


def test_a_command_that_there_is_not(run) -> None:
    shown = run("rout")
    assert shown.code == 2
    assert "Did you mean" in shown.err
    assert "'route'" in shown.err


def test_the_module_and_the_script_are_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "slmroute.cli", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == f"slmroute {slmroute.__version__}"


def test_an_error_is_one_line_without_a_traceback(run) -> None:
    shown = run("route", "hello", "--config", "nowhere.toml")
    assert shown.code == 2
    assert shown.out == ""
    assert shown.err.startswith("error: nowhere.toml does not exist")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_command_says_what_to_install(missing) -> None:
    done = python(f"import sys; sys.modules[{missing!r}] = None\nfrom slmroute.cli import main\nmain(['--help'])")
    assert done.returncode == 2
    assert done.stderr == 'The command line needs the extra "cli": pip install "slmroute[cli]"\n'


def test_interrupting_ends_with_130(run, monkeypatch) -> None:
    def interrupt(path: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slmroute.cli.route.router_config", interrupt)
    assert run("route", "hello").code == 130


def test_an_error_of_ours_is_told_whatever_class_it_is_of(run, monkeypatch) -> None:
    def fail(path: object) -> None:
        raise NoTierAnswered("Both tiers failed.\nTry later.", [ValueError("a"), ValueError("b")])

    monkeypatch.setattr("slmroute.cli.route.router_config", fail)
    shown = run("route", "hello")
    assert shown.code == 2
    assert shown.err == "error: Both tiers failed. Try later. (2 sub-exceptions)\n"


def test_markup_in_an_error_is_only_text(capsys) -> None:
    print_error(SlmrouteError("prices[0] and [bold]this[/bold]"))
    assert capsys.readouterr().err == "error: prices[0] and [bold]this[/bold]\n"


def test_names_in_brackets_and_colons_are_only_text_in_every_command(run, empty_folder) -> None:
    from datetime import UTC, datetime

    from slmroute.ledger import Ledger
    from slmroute.record import AttemptRecord, RouteRecord

    with Ledger("[red]here.db") as ledger:
        ledger.write(
            RouteRecord(call_id="[/b]1", started_at=datetime.now(UTC), status="ok", key="[/a]", tier="[bold]small",
                        tags=("category:[/dim]", "a:heart:b"), reason="[x]",
                        attempts=(AttemptRecord(role="final", tier="[bold]small"),))
        )  # fmt: skip
    for command in (("ledger", "stats"), ("report",)):
        for by, name in (("key", "[/a]"), ("tag", "a:heart:b"), ("tag", "category:[/dim]"), ("tier", "[bold]small")):
            shown = run(*command, "--by", by, "--ledger", "[red]here.db")
            assert shown.code == 0, shown.err
            assert name in shown.out
            if command[0] == "ledger":
                assert "[red]here.db" in shown.out
    assert "[/b]1: the answer of [bold]small" in run("feedback", "[/b]1", "--good", "--ledger", "[red]here.db").err
    assert "[bold]out.html" in run("report", "--ledger", "[red]here.db", "--out", "[bold]out.html").err


def test_every_command_prints_through_consoles_that_know_no_markup() -> None:
    for path in (ROOT / "slmroute" / "cli").glob("*.py"):
        assert path.name == "console.py" or not re.search(
            r"(?<!\w)Console\(|from_markup|print\(\"\[", path.read_text("utf-8")
        )


def test_json_of_what_json_has_no_word_for(capsys) -> None:
    from datetime import UTC, datetime
    from decimal import Decimal

    print_json({"money": Decimal("1E-9"), "at": datetime(2026, 1, 2, tzinfo=UTC), "usage": Usage(1, 2), "p": Path("a")})
    data = json.loads(capsys.readouterr().out)
    assert data["money"] == "0.000000001"
    assert data["at"] == "2026-01-02T00:00:00+00:00"
    assert data["usage"]["output_tokens"] == 2
    assert data["p"] == "a"


def test_json_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        print_json(object())
