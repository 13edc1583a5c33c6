"""No number of any table is cut or broken, however narrow the terminal."""

from __future__ import annotations

import io
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from rich import box
from rich.console import Console, Group
from rich.table import Table

from slmroute.cli import main
from slmroute.cli.evaluate import drawn
from slmroute.cli.tables import show
from slmroute.evaluate_tables import FigureTable

INTERVAL = "0.99 [0.97, 1.00]"
WIDE = FigureTable(
    ("tiers", "AUC", "long", "short", "kept local", "went up", "stayed", "right", "ECE", "µs"),
    (("cascadeflow", INTERVAL, "0.50", "0.42", INTERVAL, "0.79", "0.08", "0.42", "0.11", "3,100,558"),),
)


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\s─]+", text))


def printed(part: Table | Group, width: int) -> str:
    to = io.StringIO()
    show(part, console=Console(file=to, width=width, markup=False, emoji=False))
    return to.getvalue()


@pytest.mark.parametrize("width", [80, 60, 30])
def test_every_figure_of_an_evaluation_is_whole(width: int) -> None:
    shown = printed(drawn(WIDE), width)
    assert words(shown) == words(printed(drawn(WIDE), 400))
    if width == 80:
        assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("no_wrap", [False, True])
@pytest.mark.parametrize("width", [80, 40])
def test_numbers_are_whole_and_names_are_folded(width: int, no_wrap: bool) -> None:
    def table() -> Table:
        made = Table(title="Calls", box=box.SIMPLE_HEAD)
        made.add_column("model")
        for name in ("calls", "cost", "baseline", "saved", "moved up", "median"):
            made.add_column(name, justify="right", no_wrap=no_wrap)
        numbers = ("12,345,678", "$1,234,567.89", "$9,876,543.21", "$8,641,975.32", "1,234", "12,345 ms")
        made.add_row("openai:gpt-4.1-2025-04-14-of-a-long-name", *numbers)
        return made

    shown = printed(Group(table()), width)
    assert {"12,345,678", "$1,234,567.89", "$9,876,543.21", "$8,641,975.32", "1,234", "12,345", "ms"} <= {*words(shown)}
    assert "…" not in shown
    assert "".join(line.split()[0] for line in shown.splitlines() if "gpt" in line or "-" in line).startswith("openai")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path, dice = tmp_path / "prompts.jsonl", random.Random(0)  # noqa: S311  the same each time
    rows = [
        {"prompt": f"Is {place} prime?", "tier": dice.choice(("simple", "complex")), "weak_score": 0.5,
         "strong_score": 1.0} for place in range(60)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, *arguments: str) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert not ended.value.code
    return capsys.readouterr().out


PRICES = ("--price", "0.05/0.08", "--price", "1/2", "--price", "2/4", "--price", "3/9", "--price", "20000/80000")
COMMANDS = {
    "tune": ("tune", "thresholds", "PROMPTS", *PRICES),
    "estimate": ("estimate", "--volume", "123456789", "--frontier", "4.56789"),
    "audit": ("audit", "PROMPTS", "--frontier-price", "20000,80000"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_of_a_command_is_whole_at_80_columns(
    name: str, prompts: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [str(prompts) if one == "PROMPTS" else one for one in COMMANDS[name]]
    narrow, wide = (
        {word for word in words(output(capsys, monkeypatch, width, *arguments)) if re.search(r"\d", word)}
        for width in (80, 300)
    )
    assert len(wide) > 10
    assert narrow == wide
