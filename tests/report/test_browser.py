"""The page in a real browser: nothing on the console, nothing wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from slmroute.ledger.summary import Machine
from slmroute.report import Period, html_of, read_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr")  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")

MEASURE = """<script>
document.querySelectorAll("details").forEach(each => each.open = true);
const lines = (node, from, to) => {
  const range = document.createRange(); range.setStart(node, from); range.setEnd(node, to);
  return new Set([...range.getClientRects()].map(each => Math.round(each.top))).size;
};
const broken = node => [...node.textContent.matchAll(/[^\\s:-]+/g)].filter(found => found[0].length < 19 &&
  lines(node, found.index, found.index + found[0].length) > 1).map(found => found[0]);
const words = [...document.querySelectorAll("th, td")].flatMap(
  cell => [...cell.childNodes].filter(node => node.nodeType == 3).flatMap(broken));
const scrolled = [...document.querySelectorAll(".scroll")].filter(each => each.scrollWidth > each.clientWidth + 1)
  .map(each => each.getAttribute("aria-label"));
const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg") &&
  e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName);
const seen = [...document.querySelectorAll("figure svg")].filter(e => getComputedStyle(e).display != "none");
parent.document.title = JSON.stringify(
  {words, scrolled, wide, seen: seen.map(e => e.getAttribute("class")), width: innerWidth});
</script></body>"""

PICTURE = Path(__file__).parents[2] / "docs" / "flow.svg"

MEASURE_PICTURE = """<script>
const boxes = [...document.querySelectorAll("rect")].map(each => each.getBoundingClientRect());
document.title = JSON.stringify([...document.querySelectorAll("text")].filter(each => {
  const words = each.getBoundingClientRect(), middle = (words.left + words.right) / 2;
  const around = boxes.filter(box => box.left < middle && middle < box.right && box.top <= words.top &&
    words.bottom <= box.bottom).sort((one, other) => one.width - other.width)[0];
  return !around || words.left < around.left + 4 || words.right > around.right - 4;
}).map(each => each.textContent));
</script>"""


def framed(page: str, width: int) -> str:
    """Put a page into a frame of a phone's width, which a headless window cannot be made."""
    held = html.escape(page.replace("</body>", MEASURE))
    return (
        f'<!doctype html><title></title><iframe style="width:{width}px;height:900px;border:0" srcdoc="{held}"></iframe>'
    )


def browse(page: Path, profile: Path) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--window-size=1400,900", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize(("width", "kind"), [(390, "narrow"), (1100, "wide")])
def test_a_browser_shows_it_whole_and_says_nothing(
    week: Path, period: Period, tmp_path: Path, width: int, kind: str
) -> None:
    page = tmp_path / "report.html"
    page.write_text(framed(html_of(read_report(week, period)), width), encoding="utf-8")
    shown = browse(page, tmp_path / "profile")
    assert "CONSOLE" not in shown.stderr
    title = re.search(r"<title>(.*?)</title>", shown.stdout)
    assert title is not None
    assert '"words":[],"scrolled":[],' in title[1]
    assert f'"wide":[],"seen":["{kind}","{kind}","{kind}","{kind}","{kind}"],"width":{width}' in title[1]


def test_machines_paid_by_the_hour_fit_on_a_phone(week: Path, period: Period, tmp_path: Path) -> None:
    rented = Machine(tier="small", since=period.since, until=period.until, calls=23_456, rent=Decimal("1234.56"),
                     charged=Decimal("12.34"))  # fmt: skip
    page = tmp_path / "report.html"
    report = replace(read_report(week, period), machines=(rented,))
    page.write_text(framed(html_of(report), 390), encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", browse(page, tmp_path / "profile").stdout)
    assert title is not None
    assert '"words":[],"scrolled":[],"wide":[]' in title[1]


@pytest.mark.parametrize("font", ["DejaVu Sans", "Arial, sans-serif"])
def test_every_word_of_the_readmes_picture_fits_into_its_box(font: str, tmp_path: Path) -> None:
    svg = re.sub(r'font-family="[^"]*"', f'font-family="{font}" width="1120"', PICTURE.read_text("utf-8"), count=1)
    page = tmp_path / "flow.html"
    page.write_text(f'<!doctype html><meta charset="utf-8"><title></title>{svg}{MEASURE_PICTURE}', encoding="utf-8")
    title = re.search(r"<title>(.*?)</title>", browse(page, tmp_path / "profile").stdout)
    assert title is not None
    assert json.loads(title[1]) == []
