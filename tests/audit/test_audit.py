"""Audits of real files: every format and ending, bad lines, samples against full reads, and what is never shown."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from slmroute.audit import Assumptions, AuditResult, audit, scoring
from slmroute.audit.scoring import ONE_THREAD, keep_to_one_thread
from slmroute.classify.embedded import EmbeddedClassifier
from slmroute.demo.requests import load_requests
from slmroute.errors import ConfigError, MissingExtra

Row = Mapping[str, Any]
Rows = Callable[..., list[Row]]
Write = Callable[[str, Iterable[Row]], Path]
FORMATS = ("OpenAI requests and responses", "LangSmith runs", "Langfuse observations", "LiteLLM logs", "plain prompts")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "csv", "parquet"])
def test_every_format_is_read_from_every_ending(write: Write, name: str, ending: str, rows: Rows) -> None:
    found = audit([write(f"log.{ending}", rows(name))])
    assert found.files[0].form == name
    assert (found.calls, found.looked_at, found.without_prompt) == (68, 68, 0)
    assert found.files[0].bad == 0
    assert not found.sampled
    assert 0.4 < found.simple < 0.9


def test_endings_do_not_change_what_is_found(write: Write, rows: Rows) -> None:
    log = rows("Langfuse observations")
    results = [audit([write(f"log.{ending}", log)]) for ending in ("jsonl", "csv", "parquet")]
    assert len({(found.simple, round(found.today, 9), found.patterns) for found in results}) == 1


def test_plain_lines_of_text_are_prompts(write: Write, rows: Rows) -> None:
    found = audit([write("prompts.txt", rows("plain prompts"))])
    assert (found.files[0].form, found.calls) == ("plain prompts", 68)


def test_logged_costs_and_times_are_taken_as_they_are(write: Write, rows: Rows) -> None:
    found = audit([write("log.jsonl", rows("LiteLLM logs"))])
    assert found.today == pytest.approx(sum(0.001 * (number + 1) for number in range(68)))
    assert found.cost_sources == {"logged": 68}
    assert (found.median_ms, found.slowest_ms) == (1500, 1500)
    assert found.tokens_estimated == 0


def test_what_a_cache_answered_cost_nothing_and_other_costs_of_nothing_are_missing(write: Write, rows: Rows) -> None:
    row = {**rows("LiteLLM logs")[0], "response_cost": 0.0}
    found = audit([write("log.jsonl", [{**row, "cache_hit": "True"}, {**row, "cache_hit": "False"}])])
    assert found.cost_sources == {"logged": 1, "listed": 1}
    assert found.today == pytest.approx((100 * 2 + 10 * 8) / 1e6)
    assert "1 of 2 calls have no cost, or one of 0" in found.assumed[0]


def test_missing_costs_are_the_list_price_of_the_logs_model(write: Write, rows: Rows) -> None:
    found = audit([write("log.jsonl", rows("OpenAI requests and responses"))])
    assert found.today == pytest.approx(sum((100 + n) * 2 + (10 + n) * 8 for n in range(68)) / 1e6)
    assert found.cost_sources == {"listed": 68}


def test_tokens_that_the_provider_had_in_its_cache_cost_less(write: Write, rows: Rows) -> None:
    row = rows("OpenAI requests and responses")[0]
    usage = {**row["response"]["usage"], "prompt_tokens_details": {"cached_tokens": 60}}
    found = audit([write("log.jsonl", [{**row, "response": {**row["response"], "usage": usage}}])])
    assert found.today == pytest.approx((40 * 2 + 60 * 0.5 + 10 * 8) / 1e6)  # gpt-4.1's list prices


def test_a_batch_costs_half_the_list_price(write: Write, rows: Rows) -> None:
    requests = rows("batch")[:3]
    whole, half = (audit([write(f"{name}.jsonl", log)]) for name, log in
                   (("whole", [row["body"] for row in requests]), ("half", requests)))  # fmt: skip
    assert half.today == pytest.approx(whole.today / 2)
    assert "half the list price for the calls of a batch" in half.assumed[0]


def test_without_tokens_model_and_cost_everything_is_said_to_be_assumed(write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("plain prompts"))
    found = audit([path], assumed=Assumptions(prices=(Decimal(10), Decimal(30)), answer_tokens=100))
    tokens = sum(len(request.prompt) // 4 for request in load_requests())
    assert found.today == pytest.approx((tokens * 10 + 68 * 100 * 30) / 1e6)
    assert found.cost_sources == {"assumed": 68}
    assert any("68 of 68 calls have neither a cost" in line for line in found.assumed)
    assert found.median_ms is None


def test_the_saving_is_the_arithmetic_of_its_calls(write: Write, rows: Rows) -> None:
    found = audit([write("log.jsonl", rows("LiteLLM logs"))])
    embedded = found.patterns[0]
    assert embedded.name == "embedded"
    assert embedded.stays == pytest.approx(found.simple)
    assert embedded.low <= embedded.cost_share <= embedded.high
    binary = found.patterns[1]
    assert binary.cost_share * found.today == pytest.approx(embedded.cost_share * found.today + 68 * 1050 * 0.19e-6)


def test_bad_lines_are_counted_and_named_and_never_fatal(write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("OpenAI requests and responses"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:10], '{"cut": ', *lines[10:20], "[1, 2]", "plain words", *lines[20:]]) + "\n")
    found = audit([path])
    assert found.looked_at == 68
    assert (found.files[0].bad, found.files[0].bad_lines) == (3, (11, 22, 23))


def test_bad_rows_of_a_csv_file_are_counted(write: Write, rows: Rows) -> None:
    path = write("log.csv", rows("plain prompts"))
    path.write_text(path.read_text() + 'a,b,c,d\n"short"\n')
    found = audit([path])
    assert found.looked_at == 68
    assert found.files[0].bad == 2


@pytest.mark.parametrize("damage", ['"never closed, b\n', '"never closed, b\nx,y\n', 'a "quoted" b,"c" d\n'])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_damaged_row_makes_no_csv_file_unreadable(tmp_path: Path, damage: str, delimiter: str) -> None:
    path = tmp_path / "log.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["question", "it's"])
        writer.writerows([f"Which language is this, please? Ola {number}", "x"] for number in range(50))
        file.write(damage.replace(",", delimiter))
    found = audit([path])
    assert (found.looked_at, found.files[0].bad > 0) == (50, True)


def quoted_prompts(path: Path, *, broken: str = "", after: int = 200, end: str = "\r\n") -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator=end)
        writer.writerow(["prompt", "note, if any"])
        for number in range(200):
            writer.writerow([f'Classify, please: it\'s good, number {number},\nand "really"', "a"])
            file.write(broken if number + 1 == after else "")


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("after", [100, 200])
@pytest.mark.parametrize("broken", ['"one" two,"c" d\n', '"never closed, b\nx,y\n'])
def test_a_damaged_row_does_not_have_the_others_read_in_another_dialect(
    tmp_path: Path, broken: str, after: int, end: str
) -> None:
    quoted_prompts(tmp_path / "log.csv", broken=broken, after=after, end=end)
    found = audit([tmp_path / "log.csv"])
    # With a quotation mark too many one row may be taken for a part of another.
    assert found.looked_at in (199, 200, 201)
    assert found.files[0].bad <= 3


def test_a_csv_file_that_is_cut_off_loses_its_last_row(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    quoted_prompts(path)
    path.write_bytes(path.read_bytes()[:-30])
    found = audit([path])
    assert (found.looked_at, found.files[0].bad) == (199, 1)


def test_a_csv_file_that_escapes_with_backslashes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("prompt,note\n" + "".join(f'"say \\"hi\\", {number}",x\n' for number in range(50)))
    found = audit([path], show=1)
    assert (found.looked_at, found.files[0].bad) == (50, 0)


def test_chains_and_tools_of_a_trace_are_left_out(write: Write, rows: Rows) -> None:
    chains = [{**row, "run_type": "chain"} for row in rows("LangSmith runs")[:30]]
    found = audit([write("log.jsonl", [*rows("LangSmith runs"), *chains])])
    assert (found.calls, found.files[0].other) == (68, 30)


def test_calls_without_a_prompt_are_counted(write: Write, rows: Rows) -> None:
    silent = {"messages": [{"role": "system", "content": "Be brief."}], "model": "gpt-4.1"}
    found = audit([write("log.jsonl", [*rows("OpenAI requests and responses"), silent])])
    assert (found.calls, found.looked_at, found.without_prompt) == (69, 68, 1)


def test_the_logs_own_categories_are_used_where_it_has_some(write: Write, rows: Rows) -> None:
    own = audit([write("own.jsonl", rows("plain prompts"))])
    assert {line.category for line in own.categories} == {request.kind for request in load_requests()}
    told = audit([write("told.jsonl", rows("LiteLLM logs"))])
    assert {"classification", "sentiment", "extraction", "language detection"} <= {
        line.category for line in told.categories
    }
    assert sum(line.calls for line in told.categories) == 68
    assert sum(line.cost_share for line in told.categories) == pytest.approx(1)


def test_a_sample_is_the_same_every_time_and_agrees_with_the_full_read(write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("OpenAI requests and responses", 4000))
    whole, drawn, again = audit([path], everything=True), audit([path], sample=1000), audit([path], sample=1000)
    assert (drawn.simple, drawn.today, drawn.patterns) == (again.simple, again.today, again.patterns)
    assert (drawn.calls, drawn.looked_at, drawn.sampled) == (4000, 1000, True)
    assert (whole.looked_at, whole.sampled) == (4000, False)
    assert drawn.simple_interval[0] <= whole.simple <= drawn.simple_interval[1]
    assert drawn.simple_interval[1] - drawn.simple_interval[0] < 0.07
    assert drawn.today_interval[0] <= whole.today <= drawn.today_interval[1]
    for part, full in zip(drawn.patterns, whole.patterns, strict=True):
        assert part.low <= full.cost_share <= part.high


def test_several_files_are_drawn_from_by_their_size(write: Write, rows: Rows) -> None:
    large = write("large.jsonl", rows("LiteLLM logs", 900))
    small = write("small.json", rows("Langfuse observations", 100))
    found = audit([large, small], sample=200)
    assert (found.calls, found.looked_at) == (1000, 200)
    assert [line.records for line in found.files] == [900, 100]


def test_several_processes_find_the_same(write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("LiteLLM logs", 3200))
    one, two = audit([path], everything=True), audit([path], everything=True, processes=2)
    assert (one.simple, one.categories, one.patterns) == (two.simple, two.categories, two.patterns)


def test_prompts_are_shown_only_when_asked_for(write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("plain prompts"))
    prompts = [request.prompt for request in load_requests()]

    def holds(found: AuditResult) -> bool:
        text = json.dumps(found.to_json(), ensure_ascii=False) + repr(found)
        return any(json.dumps(prompt, ensure_ascii=False)[1:60] in text for prompt in prompts)

    assert not holds(audit([path]))
    assert holds(audit([path], show=1))
    assert all(len(line.examples) == 1 for line in audit([path], show=1).categories)


def test_unsure_calls_are_named_by_file_and_number(write: Write, rows: Rows) -> None:
    path = write("log.jsonl", rows("plain prompts", 2000))
    found = audit([path], everything=True)
    assert found.simple_range[0] <= found.simple <= found.simple_range[1]
    assert all(abs(call.score - found.threshold) < 0.1 for call in found.unsure_calls)
    lines = path.read_text().splitlines()
    assert all(json.loads(lines[call.place - 1])["category"] == call.category for call in found.unsure_calls)


def test_progress_is_told_to_the_end(write: Write, rows: Rows) -> None:
    told: list[tuple[int, int]] = []
    audit([write("log.jsonl", rows("plain prompts"))], progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (68, 68)


def test_other_currencies_need_a_rate(write: Write, rows: Rows) -> None:
    log = [{**row, "currency": "EUR" if number % 2 else "USD"} for number, row in enumerate(rows("LiteLLM logs"))]
    path = write("log.jsonl", log)
    with pytest.raises(ConfigError, match=r"34 calls in EUR, 34 calls in USD.*--rate EUR=1\.08"):
        audit([path])
    found = audit([path], assumed=Assumptions(rates={"EUR": Decimal(2)}))
    assert found.today == pytest.approx(sum(0.001 * (n + 1) * (2 if n % 2 else 1) for n in range(68)))


ASK = "Is this review positive or negative? I loved it."


@pytest.mark.parametrize(
    "row",
    [
        {"cost": "$0.01", "currency": "EUR"},
        {"cost": 0.01, "currency": "", "cost_currency": "EUR"},
        {"cost": 0.01, "currency": "  ", "cost_currency": "€"},
        {"cost": "", "total_cost": 0.01, "currency": "EUR"},
        {"cost": 0.01, "currency": " eur"},
        {"cost": 0.01, "metadata": {"currency": "EUR"}},
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_currency_is_found_wherever_its_cost_is(write: Write, row: Row, ending: str) -> None:
    path = write(f"log.{ending}", [{"prompt": ASK, **row}] * 3)
    with pytest.raises(ConfigError, match=r"3 calls in EUR\).*--rate EUR=1\.08$"):
        audit([path])
    for name in ("EUR", " eur", "€"):
        assert audit([path], assumed=Assumptions(rates={name: Decimal(2)})).today == pytest.approx(0.06)


def test_dollars_are_dollars_however_they_are_written(write: Write) -> None:
    signs = ("$", "US$", "usd ", " Dollars", "", None)
    found = audit([write("log.jsonl", [{"prompt": ASK, "cost": 0.5, "currency": sign} for sign in signs])])
    assert found.today == pytest.approx(3)


def test_every_foreign_currency_of_all_files_is_in_the_hint(write: Write) -> None:
    one = write("one.jsonl", [{"prompt": ASK, "cost": 1, "currency": name} for name in ("GBP", "CHF", "USD")])
    two = write("two.jsonl", [{"prompt": ASK, "cost": 1, "currency": "EUR"}] * 2)
    words = (
        r"\(1 call in CHF, 2 calls in EUR, 1 call in GBP, 1 call in USD\).* --rate CHF=1.08 --rate EUR=.* --rate GBP="
    )
    for everything in (False, True):
        with pytest.raises(ConfigError, match=words):
            audit([one, two], everything=everything)


def test_a_currency_without_a_rate_is_told_from_other_processes_too(write: Write) -> None:
    rows = [{"prompt": ASK, "cost": 1, "currency": "EUR" if number > 2998 else "USD"} for number in range(3000)]
    with pytest.raises(ConfigError, match=r"1 call in EUR, 2,999 calls in USD"):
        audit([write("log.jsonl", rows)], everything=True, processes=2)


def test_what_reads_like_no_currency_is_not_shown(write: Write) -> None:
    path = write("log.jsonl", [{"prompt": ASK, "cost": 1}])
    with pytest.raises(ConfigError, match=r"--map currency=FIELD") as caught:
        audit([path], places={"currency": "prompt"})
    assert "loved" not in str(caught.value).lower()


@pytest.mark.parametrize("rates", [{"EUR": 0}, {"$": 2}, {"eur": 1, "EUR": 2}, {" ": 1}, {"EUR": "1e400"}])
def test_rates_of_no_use_are_told(rates: dict[str, int | str]) -> None:
    with pytest.raises(ConfigError, match="--rate"):
        Assumptions(rates={name: Decimal(rate) for name, rate in rates.items()})


def test_calls_without_a_prompt_cost_nothing_that_is_counted(write: Write) -> None:
    log = [{"prompt": ASK if n % 2 else "", "cost": 0.01 if n % 2 else 1.0} for n in range(40)]
    found = audit([write("log.jsonl", log)])
    assert (found.today, found.sampled) == (pytest.approx(0.2), False)
    assert found.today_interval == (pytest.approx(0.2), pytest.approx(0.2))
    assert all(each.saved_interval == (each.saved_share, each.saved_share) for each in found.patterns)
    drawn = audit([write("more.jsonl", log * 25)], sample=400)
    assert drawn.today_interval[0] < 5 < drawn.today_interval[1]
    assert drawn.today == pytest.approx(1000 * 0.01 * drawn.looked_at / 400)


@pytest.mark.parametrize("name", ["noise.bin", "noise.txt", "noise.csv"])
def test_bytes_that_are_no_text_are_no_log(tmp_path: Path, name: str) -> None:
    noise = random.Random(1).randbytes(3000)  # noqa: S311  not a secret
    with pytest.raises(ConfigError, match="no log: it holds bytes that are no text"):
        audit([broken(tmp_path, name, noise)])
    with pytest.raises(ConfigError, match="packed with zstd: unpack it first"):
        audit([broken(tmp_path, "log.jsonl.zst", b"\x28\xb5\x2f\xfd" + noise)])


def test_an_unknown_frontier_needs_a_price(write: Write, rows: Rows) -> None:
    with pytest.raises(ConfigError, match="--frontier openai:no-such-model: no price is known"):
        audit([write("log.jsonl", rows("plain prompts"))], assumed=Assumptions(frontier="openai:no-such-model"))


def broken(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n\n  \n", "is empty"),
        ("broken.parquet", b"PAR1 this is no parquet file PAR1", "cannot be read as parquet"),
        ("text.parquet", b"hello", "cannot be read as parquet"),
        ("cut.jsonl.gz", b"\x1f\x8b\x08\x00\x00", "no whole gzip file"),
        ("broken.json", b'[{"prompt": "a"}, {"prompt"', "cannot be read as json"),
        ("words.jsonl", b"these are\nonly words\n", "holds no records"),
        (
            "numbers.csv",
            b"a,b\n1,2\n3,4\n",
            "no prompts in a place that is known. Its records have the fields a, b",
        ),
        ("other.jsonl", b'{"trace": 1}\n', "fields trace"),
    ],
)
def test_what_cannot_be_audited_says_what_was_found(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        audit([broken(tmp_path, name, content)])


def test_files_that_are_not_there_and_no_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        audit([tmp_path / "missing.jsonl"])
    with pytest.raises(ConfigError, match=r"is a folder: name the files in it"):
        audit([tmp_path])
    with pytest.raises(ConfigError, match="name one or more files"):
        audit([])
    with pytest.raises(ConfigError, match="--sample 0"):
        audit([tmp_path], sample=0)


def test_without_duckdb_the_extra_is_named(write: Write, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    path = write("log.jsonl", rows("plain prompts"))
    with pytest.raises(MissingExtra, match=r'needs the extra "lab"'):
        audit([path])


def test_names_of_files_and_fields_cannot_break_out_of_a_query(write: Write) -> None:
    path = write('o\'clock; -- "x".jsonl', [{'it\'s "so"': "Is it?", "c'": 2} for _ in range(4)])
    found = audit([path], places={"prompt": 'it\'s "so"', "cost": "c'"})
    assert found.calls == 4
    assert found.today == pytest.approx(8)


def test_a_mapped_log_is_read(write: Write) -> None:
    log: list[dict[str, Any]] = [
        {"ask": {"text": request.prompt}, "use": {"in": 50, "out": 5}, "usd": 0.5, "took": 2.0}
        for request in load_requests()
    ]
    places = {"prompt": "ask.text", "input_tokens": "use.in", "output_tokens": "use.out", "cost": "usd",
              "latency_s": "took"}  # fmt: skip
    found = audit([write("log.jsonl", log)], places=places)
    assert found.files[0].form == "as mapped"
    assert found.today == pytest.approx(34)
    assert (found.median_ms, found.tokens_estimated) == (2000, 0)


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "log.csv", "log.txt"])
def test_a_byte_order_mark_hides_no_record(tmp_path: Path, name: str) -> None:
    texts = [request.prompt.replace('"', "").split("\n")[0] for request in load_requests()]
    lines = {
        "log.csv": ["prompt", *(f'"{text}"' for text in texts)],
        "log.txt": texts,
    }.get(name, [json.dumps({"prompt": text}) for text in texts])
    content = b"\xef\xbb\xbf" + "\n".join(lines).encode()
    found = audit([broken(tmp_path, name, gzip.compress(content) if name.endswith(".gz") else content)])
    assert (found.calls, found.files[0].bad) == (len(texts), 0)


@pytest.mark.parametrize(
    "page",
    [
        {"data": [], "meta": {"page": 1, "totalPages": 1}},
        {"object": "list", "data": [], "has_more": False},
        {"runs": [], "cursors": {"next": None}},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_pages_of_an_api_are_read_as_the_records_in_them(
    tmp_path: Path, rows: Rows, page: dict[str, Any], indent: int | None
) -> None:
    inner = next(name for name, value in page.items() if value == [])
    form = "LangSmith runs" if inner == "runs" else "Langfuse observations"
    records = rows(form)
    path = tmp_path / "page.json"
    path.write_text(json.dumps({**page, inner: records}, indent=indent))
    found = audit([path])
    assert (found.files[0].form, found.calls, found.files[0].bad) == (form, len(records), 0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("utf16.csv", "\ufeffprompt\nhello\n".encode("utf-16-le"), r"utf16\.csv is in UTF-16.*iconv -f UTF-16"),
        ("latin.jsonl", '{"prompt": "caf\xe9"}\n'.encode("latin-1"), "not in UTF-8.*iconv -f WINDOWS-1252"),
        ("latin.csv", "prompt,x\ncaf\xe9,1\n".encode("latin-1"), "not in UTF-8.*iconv -f WINDOWS-1252"),
        ("latin.txt", "caf\xe9\n".encode("latin-1"), "not in UTF-8.*iconv -f WINDOWS-1252"),
        ("mark.json", b'\xef\xbb\xbf[{"prompt": "a"}]', r"byte order mark.*tail -c \+4"),
    ],
)
def test_other_encodings_are_named_with_the_way_to_convert_them(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        audit([broken(tmp_path, name, content)])


def test_a_log_without_its_prompts_says_what_it_looks_like(write: Write, rows: Rows) -> None:
    spent = [{**row, "messages": {}} for row in rows("LiteLLM logs")]
    with pytest.raises(ConfigError, match=r"look like LiteLLM logs without the prompts.*store_prompts_in_spend_logs"):
        audit([write("spend.jsonl", spent)])
    with pytest.raises(ConfigError, match="What stands in prompt is no text"):
        audit([write("empty.jsonl", [{"prompt": "", "cost": 1}])])


def test_a_thing_that_cannot_be_mapped_is_told_before_the_log_is_read(write: Write) -> None:
    with pytest.raises(ConfigError, match="there is no 'prmpt' to map; there are prompt,"):
        audit([write("own.jsonl", [{"ask": "Is it?"}])], places={"prmpt": "ask"})


def test_what_the_interval_is_of_is_said(write: Write, rows: Rows) -> None:
    said = " ".join(audit([write("log.jsonl", rows("plain prompts"))]).assumed)
    assert "unsure of goes up and if every one stays" in said
    assert "one that has to be asked again of the frontier saves nothing" in said


def test_processes_of_many_keep_numpy_to_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, slmroute.audit.scoring; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # what sets it must come before numpy
    for name in ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    keep_to_one_thread()
    assert {os.environ[name] for name in ONE_THREAD} == {"1"}
    for name in ONE_THREAD:
        monkeypatch.delenv(name)


def test_a_prompt_is_judged_once_however_often_it_stands_in_a_log(
    write: Write, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []
    split = scoring.split_task
    monkeypatch.setattr(scoring, "split_task", lambda text: judged.append(text) or split(text))
    found = audit([write("log.jsonl", rows("plain prompts", 1500))], everything=True)
    assert found.looked_at == 1500
    assert len(judged) == len(set(judged)) <= 68


def test_no_more_scores_are_remembered_than_memory_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "REMEMBERED", 2)
    scores, classifier = scoring.Scores(None), EmbeddedClassifier()
    texts = ["Prove it.", "Is this positive? I loved it.", "Hello", "Prove it."]
    assert [scores.of(text)[0] for text in texts] == classifier.score_many(texts).tolist()
    assert len(scores._known) == 2  # pyright: ignore[reportPrivateUsage]
