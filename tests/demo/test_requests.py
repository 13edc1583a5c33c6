"""Checks the demo's requests: well formed, gradeable, about an invented company, and no tier told by its length."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations, permutations
from pathlib import Path
from statistics import median
from typing import NotRequired, TypedDict, cast

import pytest

import slmroute

REQUESTS = Path(slmroute.__file__).parent / "demo" / "requests.jsonl"

SIMPLE_KINDS = {
    "classification": 8,
    "sentiment": 3,
    "urgency": 3,
    "extraction": 7,
    "long-email": 6,
    "faq": 7,
    "language": 6,
    "validation": 3,
    "moderation": 2,
    "summary": 2,
}
COMPLEX_KINDS = {
    "planning",
    "debugging",
    "root-cause",
    "contract",
    "writing",
    "creative",
    "strategy",
    "ambiguous",
    "word-problem",
    "reasoning",
    "sql",
    "proof",
    "long-document",
}
FROM_THE_TEXT = {"extraction", "long-email", "faq"}
"""The kinds whose answer a reader finds written in the prompt."""


class Request(TypedDict):
    id: str
    kind: str
    tier: str
    prompt: str
    answer: str | list[str] | None
    match: str | None
    labels: NotRequired[list[str]]
    accept: NotRequired[list[str]]


def read_requests() -> list[Request]:
    lines = REQUESTS.read_text(encoding="utf-8").splitlines()
    return [cast("Request", json.loads(line)) for line in lines]


ALL = read_requests()
GRADED = [request for request in ALL if request["match"] is not None]
LABELLED = [request for request in ALL if request["match"] == "label"]


def by_id(request: Request) -> str:
    return request["id"]


def of_tier(tier: str) -> list[Request]:
    return [request for request in ALL if request["tier"] == tier]


def words(request: Request) -> int:
    return len(request["prompt"].split())


def characters(request: Request) -> int:
    return len(request["prompt"])


def folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def stands_in(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


def items(request: Request) -> list[str]:
    answer = request["answer"]
    assert answer is not None
    return answer if isinstance(answer, list) else [answer]


def labels_of(request: Request) -> list[str]:
    return request.get("labels", [])


def answer_of(request_id: str) -> str | list[str] | None:
    return next(request["answer"] for request in ALL if request["id"] == request_id)


def test_every_line_holds_the_documented_fields_and_no_other() -> None:
    needed = {"id", "kind", "tier", "prompt", "answer", "match"}
    for request in ALL:
        assert needed <= request.keys() <= needed | {"labels", "accept"}, request["id"]
        assert request["tier"] in {"simple", "complex"}
        assert request["match"] in {"label", "contains", "number", "set", None}
        assert request["prompt"] == request["prompt"].strip() != ""


def test_ids_are_unique_and_so_are_prompts() -> None:
    assert len({request["id"] for request in ALL}) == len(ALL)
    assert len({folded(request["prompt"]) for request in ALL}) == len(ALL)


def test_there_are_enough_requests_and_enough_right_answers() -> None:
    assert len(ALL) >= 64
    assert len(GRADED) >= 44
    assert 46 <= len(of_tier("simple")) <= 50
    assert 16 <= len(of_tier("complex")) <= 22


def test_every_kind_of_simple_work_is_there_often_enough() -> None:
    counts = Counter(request["kind"] for request in of_tier("simple"))
    assert counts.keys() == SIMPLE_KINDS.keys()
    assert {kind: n for kind, n in counts.items() if n < SIMPLE_KINDS[kind]} == {}


def test_every_kind_of_complex_work_is_there() -> None:
    assert {request["kind"] for request in of_tier("complex")} == COMPLEX_KINDS


def test_a_kind_belongs_to_one_tier() -> None:
    assert SIMPLE_KINDS.keys().isdisjoint(COMPLEX_KINDS)
    assert all((request["kind"] in COMPLEX_KINDS) == (request["tier"] == "complex") for request in ALL)


def test_long_emails_have_at_least_400_words() -> None:
    short = {
        request["id"]: words(request) for request in ALL if request["kind"] == "long-email" and words(request) < 400
    }
    assert short == {}


@pytest.mark.parametrize("request_", LABELLED, ids=by_id)
def test_labels_are_named_in_the_prompt_and_hold_the_answer(request_: Request) -> None:
    labels = labels_of(request_)
    assert len(set(labels)) == len(labels) >= 2
    assert request_["answer"] in labels
    assert [label for label in labels if not stands_in(label, request_["prompt"])] == []


@pytest.mark.parametrize("request_", LABELLED, ids=by_id)
def test_no_label_stands_inside_another(request_: Request) -> None:
    pairs = combinations(labels_of(request_), 2)
    assert [(a, b) for a, b in pairs if stands_in(a, b) or stands_in(b, a)] == []


def test_yes_and_no_are_both_right_answers_often() -> None:
    answers = Counter(request["answer"] for request in LABELLED if labels_of(request) == ["yes", "no"])
    assert min(answers["yes"], answers["no"]) >= 3


def test_naming_always_the_first_label_is_mostly_wrong() -> None:
    first = sum(request["answer"] == labels_of(request)[0] for request in LABELLED)
    assert first < len(LABELLED) / 2


@pytest.mark.parametrize("request_", [request for request in GRADED if request["kind"] in FROM_THE_TEXT], ids=by_id)
def test_what_is_to_be_found_stands_in_the_text(request_: Request) -> None:
    text = folded(request_["prompt"])
    if request_["match"] != "label":
        assert [item for item in items(request_) if folded(item) not in text] == []


def test_numbers_are_plain() -> None:
    numbers = [request for request in ALL if request["match"] == "number"]
    assert len(numbers) >= 6
    assert [request["id"] for request in numbers if not re.fullmatch(r"\d+(\.\d+)?", items(request)[0])] == []


def test_sets_have_several_different_items() -> None:
    sets = [request for request in ALL if request["match"] == "set"]
    assert len(sets) >= 3
    for request in sets:
        assert isinstance(request["answer"], list)
        assert len(set(request["answer"])) == len(request["answer"]) >= 2


def test_optional_fields_stand_only_where_they_are_used() -> None:
    assert all(("labels" in request) == (request["match"] == "label") for request in ALL)
    assert all(request["match"] == "contains" for request in ALL if "accept" in request)
    assert all((request["answer"] is None) == (request["match"] is None) for request in ALL)


def test_no_domain_but_invented_ones() -> None:
    text = "\n".join(request["prompt"] for request in ALL)
    hosts = re.findall(r"(?:[\w.+-]@|https?://|www\.)([\w.-]*\w)", text)
    assert len(hosts) >= 20
    assert [host for host in hosts if not host.endswith(".example")] == []
    assert re.findall(r"\b[\w-]+\.(?:com|net|org|info|io|eu|uk|de|fr|es|it|nl|pt|pl|jp|ch|at|be)\b", text) == []


@pytest.mark.parametrize(
    "phrase", ["Können Sie", "Bonjour", "Responde", "Qual è", "Alvast", "Obrigado", "Dzień", "登山靴"]
)
def test_customers_write_in_many_languages(phrase: str) -> None:
    assert any(phrase in request["prompt"] for request in ALL)


def test_half_of_the_simple_requests_are_longer_than_half_of_the_complex_ones() -> None:
    assert median(map(words, of_tier("simple"))) > median(map(words, of_tier("complex")))
    assert median(map(characters, of_tier("simple"))) > median(map(characters, of_tier("complex")))


def test_no_cut_by_length_tells_the_tiers_apart() -> None:
    simple, hard = ([characters(request) for request in of_tier(tier)] for tier in ("simple", "complex"))

    def balanced_accuracy(cut: int) -> float:
        longer_is_simple = (sum(n > cut for n in simple) / len(simple) + sum(n <= cut for n in hard) / len(hard)) / 2
        return max(longer_is_simple, 1 - longer_is_simple)

    assert max(map(balanced_accuracy, simple + hard)) < 0.7


def test_short_and_long_requests_stand_in_both_tiers() -> None:
    assert sum(words(request) >= 400 for request in of_tier("simple")) >= 6
    assert sum(words(request) < 48 for request in of_tier("simple")) >= 10
    assert sum(words(request) < 60 for request in of_tier("complex")) >= 10
    assert sum(words(request) >= 190 for request in of_tier("complex")) >= 3


def test_all_prompts_together_stay_small() -> None:
    # Three bytes a token is on the safe side of SmolLM2's vocabulary, in every language used here.
    assert sum(len(request["prompt"].encode()) for request in ALL) / 3 < 22_000


def test_the_backlog_is_cleared_on_the_day_given() -> None:
    waiting, day = 400, 0
    while waiting:
        day += 1
        if (day - 1) % 7 < 5:
            waiting = max(0, waiting + 60 - (110 if day < 4 else 150))
    assert answer_of("logistics-01") == str(day)


def test_the_refund_is_the_difference_of_the_two_orders() -> None:
    def total(helmets: int) -> float:
        lines = helmets * 20 * (0.85 if helmets >= 20 else 0.95) + 5 * 60 * 0.95
        return (lines + 35) * 1.2

    assert answer_of("logistics-02") == f"{total(20) - total(16):.2f}"


def test_only_one_name_can_have_thursday() -> None:
    thursdays: set[str] = set()
    for week in permutations(("Ines", "Kofi", "Tobias", "Wanda")):
        ines, kofi, tobias, wanda = (week.index(name) for name in ("Ines", "Kofi", "Tobias", "Wanda"))
        if wanda < kofi and abs(tobias - wanda) > 1 and abs(ines - kofi) == 1 and ines in {1, 2}:
            thursdays.add(week[3])
    assert list(thursdays) == [answer_of("rota-01")]


def test_the_snippet_prints_the_number_given(capsys: pytest.CaptureFixture[str]) -> None:
    prompt = next(request["prompt"] for request in ALL if request["id"] == "debug-02")
    exec(prompt[prompt.index("steps =") :], {})  # noqa: S102 (the snippet is our own file's)
    assert capsys.readouterr().out.strip() == answer_of("debug-02")
