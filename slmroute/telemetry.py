"""Spans and metrics for OpenTelemetry, under the semantic conventions for generative AI.

A hook does it all: ``hooks=[OpenTelemetry()]``. No prompt, answer or key is in what it sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from slmroute.errors import MissingExtra
from slmroute.failures import failure_of, is_answer
from slmroute.record import AttemptRecord, RouteRecord

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["OpenTelemetry", "dashboard"]

Attributes = dict[str, str | bool | int | float | list[str]]

SCHEMA: Final = "https://opentelemetry.io/schemas/1.37.0"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}
"""The frameworks' names of providers, as the conventions call them; others are given as they are."""

DURATIONS_S: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""The bounds of histograms that the conventions prescribe."""


class OpenTelemetry:
    """A hook that sends a span for every call, with one below it for every attempt, and counts metrics.

    The spans lie where the call's own trace was when it ran. Metrics: ``gen_ai.client.token.usage`` and
    ``gen_ai.client.operation.duration`` (and ``.time_to_first_chunk``) for every model call, and, by tier,
    ``slmroute.requests``, ``slmroute.request.duration``, ``slmroute.cost``, ``slmroute.saved``,
    ``slmroute.projected``, ``slmroute.escalations``, ``slmroute.answers`` and ``slmroute.failed_answers``. What is
    saved falls with each call that loses money, and so is no counter: over a time it is what ``slmroute.baseline`` rose
    by, less what ``slmroute.compared_cost`` did.

    Args:
        tracer_provider: Where spans go; the program's global provider by default.
        meter_provider: Where metrics go; the program's global provider by default.
        keys: Whether spans tell the call's key, which may name a person.

    Raises:
        MissingExtra: The extra ``otel`` is not installed.

    Example:
        >>> RoutingChatModel(tiers=[...], hooks=[OpenTelemetry()])  # doctest: +SKIP
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        keys: bool = False,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            raise MissingExtra("otel", "The OpenTelemetry hook") from None
        from importlib.metadata import version

        self._keys = keys
        self._tracer = trace.get_tracer("slmroute", version("slmroute"), tracer_provider, SCHEMA)
        self._metrics = _Metrics(metrics.get_meter("slmroute", version("slmroute"), meter_provider, SCHEMA))

    def __reduce__(self) -> tuple[object, tuple[bool]]:
        return (_restored, (self._keys,))  # in another process: that one's providers

    def __call__(self, record: RouteRecord) -> None:
        """Send what is to be told of a call."""
        self._metrics.count(record)
        from opentelemetry import trace

        start = _nanoseconds(record.started_at)
        span = self._tracer.start_span("slmroute.route", attributes=self._call_attributes(record), start_time=start)
        below = trace.set_span_in_context(span)
        for attempt in record.attempts:
            began = start + round(attempt.started_ms * 1e6)
            is_model = attempt.model is not None and not attempt.dry_run
            child = self._tracer.start_span(
                f"chat {attempt.model}" if is_model else f"slmroute.{attempt.role}",
                below,
                trace.SpanKind.CLIENT if is_model else trace.SpanKind.INTERNAL,
                _attempt_attributes(attempt),
                start_time=began,
            )
            _end(child, attempt.error, began + round(attempt.total_ms * 1e6))
        _end(span, record.error, start + round(record.total_ms * 1e6))

    def _call_attributes(self, record: RouteRecord) -> Attributes:
        return _known(
            {
                "slmroute.call_id": record.call_id,
                "slmroute.status": record.status,
                "slmroute.tier": record.tier,
                "slmroute.model": record.model,
                "slmroute.reason": record.reason,
                "slmroute.score": record.score,
                "slmroute.confidence": record.confidence,
                "slmroute.escalated": record.escalated,
                "slmroute.degraded": record.degraded,
                "slmroute.classifier_version": record.classifier_version,
                "slmroute.price_version": record.price_version,
                "slmroute.cost": record.cost,
                "slmroute.baseline": record.baseline,
                "slmroute.saved": record.saved,
                "slmroute.projected": record.projected,
                "slmroute.events": list(record.events) or None,
                "slmroute.tags": list(record.tags) or None,
                "slmroute.key": record.key if self._keys else None,
            }
        )


class _Metrics:
    """The instruments."""

    def __init__(self, meter: Meter) -> None:
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of a model call", explicit_bucket_boundaries_advisory=TOKENS
        )
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "How long a model call took",
            explicit_bucket_boundaries_advisory=DURATIONS_S,
        )
        self.first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "How long the first token took",
            explicit_bucket_boundaries_advisory=DURATIONS_S,
        )
        self.request_duration = meter.create_histogram(
            "slmroute.request.duration",
            "s",
            "How long a routed call took, all attempts together",
            explicit_bucket_boundaries_advisory=DURATIONS_S,
        )
        self.requests = meter.create_counter("slmroute.requests", "{request}", "Routed calls")
        self.escalations = meter.create_counter(
            "slmroute.escalations", "{request}", "Calls that a weak answer moved up"
        )
        self.cost = meter.create_counter("slmroute.cost", "{USD}", "Dollars for attempts that are priced")
        self.unpriced = meter.create_counter("slmroute.unpriced", "{attempt}", "Attempts whose price is not known")
        self.saved = meter.create_up_down_counter("slmroute.saved", "{USD}", "Dollars less than at the last tier")
        self.projected = meter.create_up_down_counter("slmroute.projected", "{USD}", "The same where it is a dry run")
        self.baseline = meter.create_counter(
            "slmroute.baseline", "{USD}", "Dollars that calls would have cost at the last tier, where both are known"
        )
        self.compared_cost = meter.create_counter("slmroute.compared_cost", "{USD}", "Dollars that those did cost")
        self.answers = meter.create_counter("slmroute.answers", "{answer}", "Answers of tiers, given or not")
        self.failed = meter.create_counter("slmroute.failed_answers", "{answer}", "Those that failed")

    def count(self, record: RouteRecord) -> None:
        """Count a call."""
        by_tier = _known({"slmroute.tier": record.tier})
        self.requests.add(1, by_tier | _known({"slmroute.status": record.status, "slmroute.reason": record.reason}))
        self.request_duration.record(record.total_ms / 1000, by_tier | _known({"error.type": record.error}))
        if record.escalated:
            self.escalations.add(1, by_tier)
        if record.saved is not None:
            self.saved.add(float(record.saved), by_tier)
        if record.projected is not None:
            self.projected.add(float(record.projected), by_tier)
        if record.baseline is not None and record.cost is not None:
            compared = by_tier | {"slmroute.projected": record.saved is None}
            self.baseline.add(float(record.baseline), compared)
            self.compared_cost.add(float(record.cost), compared)
        for attempt in record.attempts:
            self._count_attempt(attempt)

    def _count_attempt(self, attempt: AttemptRecord) -> None:
        ours = _known({"slmroute.tier": attempt.tier, "slmroute.role": attempt.role})
        if attempt.cost is None:
            self.unpriced.add(1, ours)
        elif attempt.cost:
            self.cost.add(float(attempt.cost), ours | {"slmroute.dry_run": attempt.dry_run})
        if is_answer(attempt.role, dry_run=attempt.dry_run, whole=attempt.error is None):
            self.answers.add(1, {"slmroute.tier": attempt.tier})
            kind = failure_of(attempt.role, attempt.fault, attempt.confidence, None)
            if kind is not None:
                self.failed.add(1, {"slmroute.tier": attempt.tier, "slmroute.failure": kind})
        if attempt.model is None or attempt.dry_run:
            return
        shared = ours | _model_attributes(attempt)
        self.duration.record(attempt.total_ms / 1000, shared | _known({"error.type": attempt.error}))
        if attempt.ttft_ms is not None:
            self.first_chunk.record(attempt.ttft_ms / 1000, shared)
        if attempt.usage is not None and attempt.usage.source != "cached":
            self.tokens.record(attempt.usage.input_tokens, shared | {"gen_ai.token.type": "input"})
            self.tokens.record(attempt.usage.output_tokens, shared | {"gen_ai.token.type": "output"})


def dashboard() -> str:
    """Give a dashboard for Grafana over these metrics in Prometheus, as the JSON that Grafana imports."""
    return files("slmroute.grafana").joinpath("dashboard.json").read_text(encoding="utf-8")


def _model_attributes(attempt: AttemptRecord) -> Attributes:
    provider = attempt.provider or "unknown"
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
            "gen_ai.request.model": attempt.model,
            "gen_ai.response.model": attempt.model,
        }
    )


def _attempt_attributes(attempt: AttemptRecord) -> Attributes:
    found = {
        "slmroute.role": attempt.role,
        "slmroute.tier": attempt.tier,
        "slmroute.price_id": attempt.price_id,
        "slmroute.cost": attempt.cost,
        "slmroute.dry_run": attempt.dry_run,
        "slmroute.confidence": attempt.confidence,
        "slmroute.fault": attempt.fault,
    }
    own = _known(found) | (_model_attributes(attempt) if attempt.model is not None and not attempt.dry_run else {})
    usage = attempt.usage
    if usage is None:
        return own
    return own | _known(
        {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
            "gen_ai.response.time_to_first_chunk": None if attempt.ttft_ms is None else attempt.ttft_ms / 1000,
            "slmroute.usage_source": usage.source,
        }
    )


def _known(attributes: Mapping[str, Any]) -> Attributes:
    """Leave out what is not known; money goes out as a float, for attributes know no decimals."""
    plain = (str, bool, int, float, list)
    return {
        name: value if isinstance(value, plain) else float(value)
        for name, value in attributes.items()
        if value is not None
    }


def _end(span: Span, error: str | None, at: int) -> None:
    if error is not None:
        from opentelemetry.trace import StatusCode

        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end(at)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _restored(keys: bool) -> OpenTelemetry:
    return OpenTelemetry(keys=keys)
