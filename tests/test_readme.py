"""The README does what it says: its code runs as written, its commands exist, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmroute import EmbeddedClassifier, RouteRequest
from slmroute.cli.commands import COMMANDS
from slmroute.demo.requests import load_requests
from slmroute.local import LocalServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PRINTED = {
    number: printed
    for number, printed in enumerate(
        re.findall(r"^```python\n.*?^```\n(?:\n```\n(.*?)^```)?", README, re.MULTILINE | re.DOTALL)
    )
    if printed
}
"""What the README shows that its blocks print, by their numbers."""
BY_HAND = {"simple": "small", "complex": "frontier"}
"""The tier that a person would choose for each kind of the demo's requests."""


@pytest.fixture(scope="module")
def brief_server() -> Iterator[LocalServer]:
    """A local server whose small window ends an answer in which so small a model would go on and on."""
    with LocalServer(keep_alive="1h", num_ctx=512) as server:
        yield server


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code_runs_as_written(number: int, brief_server: LocalServer, tmp_path: Path) -> None:
    # The machine's own small model stands in for the one that the README names.
    code = BLOCKS[number].replace("llama3.1:8b", brief_server.model).replace("gemma2:2b", brief_server.model)
    environment = {**os.environ, "OLLAMA_HOST": brief_server.url, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", code]
    for document in ("CONTRIBUTING.md", "LICENSE"):  # as in the repository, which readers stand in
        (tmp_path / document).symlink_to(ROOT / document)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    if "print(" in code:
        assert done.stdout.strip()
    assert done.stdout == PRINTED.get(number, done.stdout)


def test_commands_exist() -> None:
    named = set(re.findall(r"`slmroute ([a-z]+)", README))
    assert named
    assert named <= set(COMMANDS)


def test_links_to_files_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if not target.startswith("https:")]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_row_of_what_it_works_with_names_a_test() -> None:
    section = README.partition("## Works with")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    heads = [row for row in rows if row.startswith("| **") or "shown by" in row]
    named = [re.search(r"\[([\w ]+)\]\((tests/\S+\.py)\) \|$", row) for row in rows if row not in heads]
    assert len(named) > 20
    assert all(named), [row for row, found in zip(rows, named, strict=False) if found is None]
    for found in filter(None, named):
        words, path = found.groups()
        names = f"(def test_{words.replace(' ', '_')}|class {words})"
        assert re.search(rf"^(async )?{names}\b", (ROOT / path).read_text(), re.MULTILINE), (words, path)


def test_the_demos_output_routes_as_the_classifier_that_ships() -> None:
    shown = README.partition("$ make demo\n")[2].partition("\n```")[0]
    requests, classifier = load_requests(), EmbeddedClassifier()
    scores = [classifier.score(RouteRequest.from_text(request.prompt)) for request in requests]
    tiers = ["frontier" if score > classifier.threshold else "small" for score in scores]
    right = [request for request, tier in zip(requests, tiers, strict=True) if BY_HAND[request.tier] == tier]
    for tier in ("small", "frontier"):
        sent = tiers.count(tier)
        agrees = sum(BY_HAND[request.tier] == tier for request in right)
        assert re.search(rf"^{tier} +{sent} ", shown, re.MULTILINE), (tier, sent)
        assert f"{agrees} of the {sent} sent to {tier}" in " ".join(shown.split())
    assert f"A person would have sent {len(right) / len(requests):.1%} of them" in shown
