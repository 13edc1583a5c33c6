"""The page in a real browser: nothing on the console, nothing wider than a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from slmroute.report import Period, html_of, read_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr")  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)")

MEASURE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest(".scroll, svg") &&
  e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName);
const seen = [...document.querySelectorAll("figure svg")].filter(e => getComputedStyle(e).display != "none");
parent.document.title = JSON.stringify({wide, seen: seen.map(e => e.getAttribute("class")), width: innerWidth});
</script></body>"""


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
    assert f'"wide":[],"seen":["{kind}","{kind}","{kind}","{kind}","{kind}"],"width":{width}' in title[1]
