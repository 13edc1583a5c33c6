"""The OpenTelemetry hook in routers of both frameworks, however they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from slmroute import Confidence
from slmroute.telemetry import OpenTelemetry
from slmroute.testing import FakeServer, Reply
from tests.money.asking import BIG, FRAMEWORKS, SMALL, WAYS, Framework, make_router

pytestmark = pytest.mark.usefixtures("closed_clients")

CANARY = "canary-7d2e"
ASKING = [
    pytest.param(framework, way, id=f"{framework.name}-{way.__name__}")
    for framework in FRAMEWORKS
    for way in WAYS[framework.name][:4]
]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    weak = Reply(f"weak {CANARY}", logprobs=[-0.7] * 2, input_tokens=20, output_tokens=5)
    good = Reply(f"good {CANARY}", input_tokens=100, output_tokens=10)
    with FakeServer({SMALL: weak, BIG: good}) as running:
        yield running


def total(metrics: Any, name: str, **labels: str) -> float:
    """Add up a metric's points that have these labels."""
    wanted = {f"slmroute.{label}": value for label, value in labels.items()}
    points = [
        point
        for resource in metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if wanted.items() <= dict(point.attributes).items()
    ]
    return sum(getattr(point, "value", None) or getattr(point, "sum", 0) for point in points)


@pytest.mark.parametrize(("framework", "ask"), ASKING)
async def test_an_escalated_call_is_traced_and_counted(framework: Framework, ask: Any, server: FakeServer) -> None:
    exporter, reader, tracers, records = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider(), list[Any]()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    hooks = [OpenTelemetry(tracers, MeterProvider([reader])), records.append]
    router = make_router(framework, server, classifier=None, escalation=Confidence(0.85), hooks=hooks)
    with tracers.get_tracer("app").start_as_current_span("the caller's") as caller:
        await ask(router, CANARY)
    assert await asyncio.to_thread(router.engine.hooks.flush)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"the caller's", "slmroute.route", f"chat {SMALL}", f"chat {BIG}"}
    route = spans["slmroute.route"]
    assert route.parent is not None
    assert route.context is not None
    assert route.parent.span_id == caller.get_span_context().span_id
    for name in (f"chat {SMALL}", f"chat {BIG}"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == route.context.span_id
    assert dict(spans[f"chat {BIG}"].attributes or {})["gen_ai.usage.input_tokens"] == 100
    assert CANARY not in "".join(span.to_json() for span in spans.values())

    metrics, (record,) = reader.get_metrics_data(), records
    assert total(metrics, "slmroute.requests", tier="frontier", status="ok") == 1
    assert total(metrics, "slmroute.escalations", tier="frontier") == 1
    assert total(metrics, "slmroute.answers", tier="small") == 1
    assert total(metrics, "slmroute.failed_answers", tier="small") == 1
    assert total(metrics, "gen_ai.client.token.usage", tier="small") == 25
    assert total(metrics, "gen_ai.client.token.usage", tier="frontier") == 110
    assert total(metrics, "slmroute.cost", tier="frontier") == pytest.approx(float(record.cost))
