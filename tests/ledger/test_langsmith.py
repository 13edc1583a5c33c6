"""Feedback out of LangSmith, fetched by its real client from a server on loopback."""

from __future__ import annotations

import json
import threading
import uuid
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from langsmith import Client

from slmroute.ledger import Ledger, LedgerReader
from slmroute.ledger.langsmith import import_feedback

PROJECT = str(uuid.uuid4())


def run(number: int, trace: int, outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(uuid.UUID(int=number)),
        "trace_id": str(uuid.UUID(int=trace)),
        "start_time": f"2026-03-01T12:00:{number:02d}+00:00",
        "session_id": PROJECT,
        "name": "run",
        "run_type": "chain",
        "inputs": {},
        "outputs": outputs,
        "dotted_order": str(number),
    }


def message(call_id: str) -> dict[str, Any]:
    return {
        "lc": 1,
        "kwargs": {"content": "...", "response_metadata": {"slmroute": {"call_id": call_id, "tier": "small"}}},
    }


RUNS = [
    run(1, 1, {"output": "the parser gives text only"}),
    run(2, 1, {"output": message("first")}),
    run(3, 1, {"generations": [[{"message": message("second")}]]}),
    run(4, 4, {"messages": [message("third"), {"kwargs": {"content": "tool"}}, message("fourth")]}),
    run(5, 5, {"output": "nothing routed here"}),
]
FEEDBACK = [
    (1, "user_score", 0.0),
    (2, "user_score", 1),
    (4, "user_score", 0.4),
    (4, "comment", None),
    (5, "user_score", 0),
]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def reply(self, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        assert urlsplit(self.path).path == "/runs/query"
        self.reply({"runs": RUNS, "cursors": {}})

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/sessions":
            self.reply(
                [
                    {
                        "id": PROJECT,
                        "tenant_id": PROJECT,
                        "name": query["name"][0],
                        "start_time": "2026-03-01T00:00:00Z",
                        "reference_dataset_id": None,
                    }
                ]
            )
        elif path == "/feedback":
            wanted, keys, offset = set(query["run"]), query.get("key"), int(query.get("offset", ["0"])[0])
            found = [
                {
                    "id": str(uuid.UUID(int=100 + place)),
                    "run_id": str(uuid.UUID(int=number)),
                    "trace_id": None,
                    "key": key,
                    "score": score,
                    "created_at": "2026-03-01T13:00:00Z",
                    "modified_at": "2026-03-01T13:00:00Z",
                }
                for place, (number, key, score) in enumerate(FEEDBACK)
                if str(uuid.UUID(int=number)) in wanted and (keys is None or key in keys)
            ]
            self.reply(found[offset:])
        else:
            self.reply({"version": "0"})


@pytest.fixture
def client() -> Iterator[Client]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Client(f"http://127.0.0.1:{server.server_port}", api_key="none", auto_batch_tracing=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("keys", [None, ["user_score"]])
def test_scores_go_to_the_call_whose_answer_the_run_gave(client: Client, tmp_path: Path, make: Any, keys: Any) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        for call_id in ("first", "second", "third", "fourth"):
            ledger.write(make(call_id=call_id))
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # newer clients have another way, which older servers do not know
                runs = list(client.list_runs(project_name="support"))
            feedback = partial(client.list_feedback, feedback_key=keys)
            assert import_feedback(ledger, runs, lambda ids: feedback(run_ids=ids)) == 3  # noqa: B023
    found = {stored.record.call_id: dict(stored.feedback) for stored in LedgerReader(path).calls()}
    assert found == {
        "first": {"langsmith": True},
        "second": {"langsmith": False},
        "third": {},
        "fourth": {"langsmith": False},
    }
