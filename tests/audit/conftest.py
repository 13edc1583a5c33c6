"""Logs of every known format, made up of the demo's requests."""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from slmroute.demo.requests import Request, load_requests

Row = Mapping[str, Any]
Write = Callable[[str, Iterable[Row]], Path]

SYSTEM = "You work for Tarnfell."


def openai_row(request: Request, number: int) -> Row:
    usage = {"prompt_tokens": 100 + number, "completion_tokens": 10 + number, "total_tokens": 110 + 2 * number}
    return {
        "request": {
            "model": "gpt-4.1",
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": request.prompt}],
        },
        "response": {"model": "gpt-4.1", "choices": [{"message": {"content": "ok"}}], "usage": usage},
        "latency_ms": 500 + number,
    }


def batch_row(request: Request, number: int) -> Row:
    content = [{"type": "text", "text": request.prompt}]
    return {
        "custom_id": str(number),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4.1", "messages": [{"role": "user", "content": content}]},
    }


def langsmith_row(request: Request, number: int) -> Row:
    human = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
             "kwargs": {"content": request.prompt, "type": "human"}}  # fmt: skip
    system = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "SystemMessage"],
              "kwargs": {"content": SYSTEM, "type": "system"}}  # fmt: skip
    return {
        "id": str(number),
        "trace_id": str(number),
        "run_type": "llm",
        "inputs": {"messages": [[system, human]]},
        "outputs": {"generations": [[{"text": "ok"}]]},
        "prompt_tokens": 100 + number,
        "completion_tokens": 10 + number,
        "total_cost": 0.001 * (number + 1),
        "start_time": "2026-11-16T08:00:00.000000",
        "end_time": "2026-11-16T08:00:01.500000",
        "extra": {"metadata": {"ls_provider": "openai", "ls_model_name": "gpt-4.1"}},
    }


def langfuse_row(request: Request, number: int) -> Row:
    return {
        "id": str(number),
        "traceId": f"t{number}",
        "type": "GENERATION",
        "input": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": request.prompt}],
        "output": {"role": "assistant", "content": "ok"},
        "model": "gpt-4.1",
        "usageDetails": {"input": 100 + number, "output": 10 + number},
        "calculatedTotalCost": 0.001 * (number + 1),
        "latency": 1.5,
    }


def litellm_row(request: Request, number: int) -> Row:
    return {
        "id": str(number),
        "call_type": "acompletion",
        "custom_llm_provider": "openai",
        "model": "gpt-4.1",
        "messages": [{"role": "user", "content": request.prompt}],
        "prompt_tokens": 100 + number,
        "completion_tokens": 10 + number,
        "response_cost": 0.001 * (number + 1),
        "startTime": 1763280000.0,
        "endTime": 1763280001.5,
    }


def plain_row(request: Request, _number: int) -> Row:
    return {"prompt": request.prompt, "category": request.kind}


ROWS: Mapping[str, Callable[[Request, int], Row]] = {
    "OpenAI requests and responses": openai_row,
    "LangSmith runs": langsmith_row,
    "Langfuse observations": langfuse_row,
    "LiteLLM logs": litellm_row,
    "plain prompts": plain_row,
}


def rows_of(name: str, number: int | None = None) -> list[Row]:
    """Give a log of a format; more rows than there are requests repeat them with a mark."""
    requests = load_requests()
    chance = random.Random(5)  # noqa: S311  not a secret
    wanted = number or len(requests)
    chosen = requests if number is None else [chance.choice(requests) for _ in range(wanted)]
    return [ROWS[name](request, place) for place, request in enumerate(chosen)]


@pytest.fixture
def rows() -> Callable[..., list[Row]]:
    """Gives the log of a format, see ``rows_of``; ``batch`` for requests of OpenAI's batches."""

    def found(name: str, number: int | None = None) -> list[Row]:
        if name == "batch":
            return [batch_row(request, place) for place, request in enumerate(load_requests())]
        return rows_of(name, number)

    return found


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows to a file in the format of its ending."""

    def write_rows(name: str, rows: Iterable[Row]) -> Path:
        path, found = tmp_path / name, list(rows)
        lines = "".join(json.dumps(row) + "\n" for row in found)
        match path.suffixes:
            case [".jsonl", ".gz"]:
                path.write_bytes(gzip.compress(lines.encode()))
            case [*_, ".json"]:
                path.write_text(json.dumps(found, indent=1))
            case [*_, ".csv"]:
                with path.open("w", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow(found[0])
                    for row in found:
                        writer.writerow(
                            [json.dumps(value) if isinstance(value, dict | list) else value for value in row.values()]
                        )
            case [*_, ".parquet"]:
                import duckdb

                source = tmp_path / "source.jsonl"
                source.write_text(lines)
                with duckdb.connect() as connection:
                    connection.read_json(str(source)).write_parquet(str(path))
            case [*_, ".txt"]:
                path.write_text("".join(" ".join(row["prompt"].split()) + "\n" for row in found))
            case _:
                path.write_text(lines)
        return path

    return write_rows
