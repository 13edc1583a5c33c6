"""``slmroute estimate`` as it is typed."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from slmroute.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["estimate", *arguments])
    assert stopped.value.code in ({0, None} if code == 0 else {code})
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_it_prints_the_month_the_year_and_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run(
        capsys,
        "--volume",
        "100000",
        "--simple",
        "0.8",
        "--classifier",
        "0.0002",
        "--small",
        "0.001",
        "--frontier",
        "0.03",
    )
    for words in ("$0.0070", "$700", "$8,400", "$3,000", "$2,300 (76.7%)", "$410", "saved $2,010 (67.0%) to $2,590"):
        assert words in printed


def test_json_is_the_same_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "--simple", "90%", "--json"))
    assert found["month"]["total"] == "410"


def test_ranges_and_tiers_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "--simple", "0.7..0.9", "--json"))
    assert found["range"]["varied"] == ["simple 0.7 to 0.9"]
    tiers = ("--tier", "micro=50%:0.0005", "--tier", "mid=0.3:0.004", "--tier", "frontier=0.2:0.03")
    assert json.loads(run(capsys, *tiers, "--json"))["month"]["total"] == "765"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--simple", "1.2"), "share from 0 to 1"), (("--tier", "a"), "NAME=SHARE:DOLLARS"), (("--small", "x"), "small=")],
)
def test_errors_are_one_line_that_names_the_setting(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in run(capsys, *arguments, code=2)


def test_every_column_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    tiers = ("--tier", "micro=0.5:0.0005", "--tier", "mid=0.3:0.002", "--tier", "frontier=0.2:0.03")
    lines = run(capsys, *tiers, "--escalated", "0.033").split("The same month")[0].splitlines()
    rows = [
        [Decimal(cell) for cell in re.findall(r"\$([\d.]+)", line.replace(",", ""))] for line in lines if "$" in line
    ]
    assert [len(row) for row in rows] == [4] * 8
    for *parts, total, whole, saved in zip(*rows, strict=True):
        assert (sum(parts), whole - total) == (total, saved)


def test_tiers_that_are_not_cheapest_first_are_told_in_which_order(capsys: pytest.CaptureFixture[str]) -> None:
    tiers = ("--tier", "big=0.2:0.03", "--tier", "micro=0.5:0.0005", "--tier", "mid=0.3:0.002")
    printed = " ".join(run(capsys, *tiers, code=2).split())
    assert "cheapest first, which is here micro, mid, big" in printed
