"""Spans and metrics, as a real SDK exports them."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry, generate_latest

from slmroute.drive import drive, drive_stream
from slmroute.engine import Engine
from slmroute.errors import NoTierAnswered
from slmroute.policy import Confidence, Policy
from slmroute.record import RouteRecord
from slmroute.request import RouteRequest
from slmroute.run import Run
from slmroute.telemetry import OpenTelemetry, dashboard
from slmroute.testing import FakeClock, FakePerformer, Reply
from slmroute.tier import Tier

CANARY = "canary-3f1c"

COMPARED = ("slmroute.baseline", "slmroute.compared_cost")

DRY = [
    Tier("small", "ollama:a", local=True, input_price=0, output_price=0),
    Tier("frontier", "dry-run:openai:gpt-4.1"),
]


@dataclass
class Observed:
    """A router that is watched, and what the watchers saw."""

    engine: Engine
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer: trace.Tracer

    def ask(self, script: Any, *, stream: bool = False) -> RouteRecord:
        request = RouteRequest(text=CANARY, tokens=10, key=f"{CANARY}-key", tags=("billing",))
        run = Run(self.engine, request)
        if stream:
            list(drive_stream(run, FakePerformer(script, self.engine.clock)))  # pyright: ignore[reportArgumentType]
        else:
            drive(run, FakePerformer(script, self.engine.clock))  # pyright: ignore[reportArgumentType]
        assert run.record is not None
        return run.record

    def spans(self) -> list[ReadableSpan]:
        assert self.engine.hooks.flush()
        return sorted(
            self.exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.name != "slmroute.route")
        )

    def metrics(self) -> list[Any]:
        assert self.engine.hooks.flush()
        data = self.reader.get_metrics_data()
        assert data is not None
        return [
            metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        ]

    def points(self) -> dict[str, list[Any]]:
        return {metric.name: list(metric.data.data_points) for metric in self.metrics()}


@pytest.fixture
def observed() -> Observed:
    return watched()


def watched(**settings: Any) -> Observed:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetry(tracers, MeterProvider([reader]), **settings)
    tiers = [
        Tier("small", "ollama:phi3:mini", local=True, input_price="0.1", output_price="0.2"),
        Tier("frontier", "mistralai:large", input_price="1", output_price="2"),
    ]
    judge = Confidence(0.85, judge=lambda _request, answer: 0.9 if "good" in answer.text else 0.3)
    policy = Policy.build(tiers, classify=True, escalation=judge)
    engine = Engine(policy, lambda _request: 0.1, hooks=[hook], clock=FakeClock())
    return Observed(engine, exporter, reader, tracers.get_tracer("app"))


ESCALATED = {
    "small": Reply(f"bad {CANARY}", input_tokens=10, output_tokens=5, first_delay_s=1.0),
    "frontier": Reply(f"good {CANARY}", input_tokens=30, output_tokens=7, cached_tokens=4, first_delay_s=2.0),
}


def test_a_call_is_a_span_with_its_attempts_below_in_the_callers_trace(observed: Observed) -> None:
    with observed.tracer.start_as_current_span("the caller's") as caller:
        record = observed.ask(ESCALATED)
    spans = [span for span in observed.spans() if span.name != "the caller's"]
    assert [span.name for span in spans] == [
        "slmroute.route",
        "slmroute.classifier",
        "chat phi3:mini",
        "slmroute.judge",
        "chat large",
    ]
    route, classifier, draft, _, final = spans
    assert route.parent is not None
    assert route.parent.span_id == caller.get_span_context().span_id
    assert all(span.parent is not None and span.parent.span_id == route.context.span_id for span in spans[1:])
    assert len({span.context.trace_id for span in spans}) == 1
    assert (draft.kind, classifier.kind, route.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.INTERNAL)
    begin = round(record.started_at.timestamp() * 1e9)
    assert (route.start_time, route.end_time) == (begin, begin + 3 * 10**9)
    assert (final.start_time, final.end_time) == (begin + 10**9, begin + 3 * 10**9)


def test_spans_say_what_the_conventions_and_the_record_say(observed: Observed) -> None:
    record = observed.ask(ESCALATED)
    route, _, draft, _, final = observed.spans()
    attributes = dict(route.attributes or {})
    assert attributes["slmroute.call_id"] == record.call_id
    assert (attributes["slmroute.tier"], attributes["slmroute.escalated"]) == ("frontier", True)
    assert attributes["slmroute.cost"] == pytest.approx(float(record.cost or 0))
    assert attributes["slmroute.saved"] == pytest.approx(float(record.saved or 0))
    assert attributes["slmroute.tags"] == ("billing",)
    assert dict(draft.attributes or {})["slmroute.fault"] == "low_confidence"
    attributes = dict(final.attributes or {})
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "mistral_ai"
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (30, 7)
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 4


def test_names_are_those_of_the_conventions(observed: Observed) -> None:
    observed.ask({"small": Reply("good", input_tokens=5, output_tokens=2, first_delay_s=0.5)}, stream=True)
    known = {value for name, value in vars(gen_ai_attributes).items() if name.isupper() and isinstance(value, str)}
    used = {name for span in observed.spans() for name in span.attributes or {}}
    used |= {name for points in observed.points().values() for point in points for name in point.attributes}
    assert {name for name in used if name.startswith("gen_ai.")} <= known
    metrics = {
        value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI") and isinstance(value, str)
    }
    assert {name for name in observed.points() if name.startswith("gen_ai.")} <= metrics
    assert error_attributes.ERROR_TYPE == "error.type"


def test_metrics_count_calls_tokens_money_and_failures(observed: Observed) -> None:
    record = observed.ask(ESCALATED)
    observed.ask({"small": Reply("good", input_tokens=10, output_tokens=5)})
    points = observed.points()

    def total(name: str, **labels: Any) -> float:
        wanted = {f"slmroute.{label}": value for label, value in labels.items()}
        return sum(
            getattr(point, "value", None) or getattr(point, "sum", 0)
            for point in points[name]
            if wanted.items() <= dict(point.attributes).items()
        )

    assert total("slmroute.requests") == 2
    assert total("slmroute.requests", tier="frontier", status="ok", reason="classified") == 1
    assert total("slmroute.escalations", tier="frontier") == 1
    assert total("slmroute.cost", tier="frontier", role="final") == pytest.approx(float(record.attempts[-1].cost or 0))
    assert total("slmroute.answers", tier="small") == 2
    assert total("slmroute.failed_answers", tier="small", failure="judged") == 1
    assert total("gen_ai.client.token.usage", tier="frontier") == 37
    assert total("gen_ai.client.operation.duration", tier="small") == 1.0
    assert record.saved is not None
    assert record.saved < 0
    assert total("slmroute.saved", tier="frontier") == pytest.approx(float(record.saved))
    compared = {name: total(name, tier="frontier", projected=False) for name in COMPARED}
    assert compared["slmroute.baseline"] - compared["slmroute.compared_cost"] == pytest.approx(float(record.saved))
    assert all(metric.data.is_monotonic for metric in observed.metrics() if metric.name in COMPARED)


def test_errors_are_marked(observed: Observed) -> None:
    with pytest.raises(NoTierAnswered):
        observed.ask({"small": ConnectionError(CANARY), "frontier": TimeoutError(CANARY)})
    route, _, small, frontier = observed.spans()
    assert [span.status.status_code for span in (route, small, frontier)] == [StatusCode.ERROR] * 3
    assert dict(route.attributes or {})["error.type"] == "NoTierAnswered"
    (point,) = observed.points()["slmroute.requests"]
    assert dict(point.attributes)["slmroute.status"] == "error"


def test_nothing_of_what_was_said_is_sent_and_keys_only_when_asked_for(observed: Observed) -> None:
    observed.ask(ESCALATED)
    sent = " ".join(span.to_json() for span in observed.spans()) + str(observed.points())
    assert CANARY not in sent
    telling = watched(keys=True)
    telling.ask(ESCALATED)
    sent = " ".join(span.to_json() for span in telling.spans())
    assert sent.count(CANARY) == 1
    assert CANARY not in str(telling.points())


def test_a_dry_run_is_no_model_call() -> None:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hook = OpenTelemetry(tracers, MeterProvider([reader]))
    engine = Engine(Policy.build(DRY), lambda _request: 0.9, hooks=[hook], clock=FakeClock())
    observed = Observed(engine, exporter, reader, tracers.get_tracer("app"))
    assert observed.ask({"frontier": Reply("nothing", usage=False)}).projected is not None
    assert {span.name for span in observed.spans()} == {"slmroute.route", "slmroute.classifier", "slmroute.final"}
    points = observed.points()
    assert "gen_ai.client.token.usage" not in points
    assert "slmroute.answers" not in points
    assert points["slmroute.projected"]
    assert [dict(point.attributes)["slmroute.projected"] for name in COMPARED for point in points[name]] == [True, True]


def test_it_pickles_and_takes_the_other_process_s_providers() -> None:
    other = pickle.loads(pickle.dumps(OpenTelemetry(keys=True)))  # noqa: S301
    assert isinstance(other, OpenTelemetry)
    assert other._keys


@pytest.fixture
def exposed() -> Iterator[str]:
    """What Prometheus scrapes after calls of every kind."""
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)])
    observed = watched()
    observed.engine.hooks._hooks = (OpenTelemetry(meter_provider=provider),)
    observed.ask(ESCALATED)
    observed.ask({"small": Reply("", usage=False), "frontier": Reply("good")}, stream=True)
    with pytest.raises(NoTierAnswered):
        observed.ask({"small": ConnectionError(), "frontier": TimeoutError()})
    other = Engine(Policy.build(DRY), lambda _request: 0.1, hooks=observed.engine.hooks._hooks)
    drive(Run(other, RouteRequest.from_text("hello")), FakePerformer({"small": Reply("good")}))
    unknown = [Tier("small", "ollama:a", local=True), Tier("frontier", "ollama:b")]
    third = Engine(Policy.build(unknown), lambda _request: 0.1, hooks=observed.engine.hooks._hooks)
    drive(Run(third, RouteRequest.from_text("hello")), FakePerformer({"small": Reply("good")}))
    assert all(engine.hooks.flush() for engine in (observed.engine, other, third))
    yield generate_latest(registry).decode()
    provider.shutdown()


def test_the_dashboard_asks_for_metrics_and_labels_that_are_there(exposed: str) -> None:
    board = json.loads(dashboard())
    lines = [line for line in exposed.splitlines() if not line.startswith("#")]
    labels: dict[str, set[str]] = {}
    for line in lines:
        name, _, rest = line.partition("{")
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', rest))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) >= 14
    for query in queries:
        names = set(re.findall(r"\b(?:slmroute|gen_ai)_\w+?(?=[\[{])", query))
        assert names
        assert names <= labels.keys(), query
        asked = set(re.findall(r"(\w+)!?=\"", query))
        for group in re.findall(r"by \(([^)]*)\)", query):
            asked |= {label.strip() for label in group.split(",")}
        for label, value in re.findall(r'(\w+)="(\w+)"', query):
            assert any(f'{label}="{value}"' in line for line in lines), query
        for name in names:
            assert asked <= labels[name] | {"error_type"}, (query, asked - labels[name])
    assert "error_type" in labels["gen_ai_client_operation_duration_seconds_count"]


def test_a_number_is_shown_where_nothing_was_counted_yet() -> None:
    for panel in json.loads(dashboard())["panels"]:
        if panel["type"] == "stat":
            assert all("or vector(0)" in target["expr"] for target in panel["targets"]), panel["title"]


def test_panels_do_not_overlap_and_each_says_what_it_shows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard())["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert place["x"] + place["w"] <= 24
