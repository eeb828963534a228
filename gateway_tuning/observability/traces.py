"""Sends spans of the loop to an OpenTelemetry collector. Nothing of OpenTelemetry is loaded where none is named."""

import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway_tuning.errors import missing_extra
from gateway_tuning.observability.spans import Context, LoopSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

_log = logging.getLogger("gateway_tuning.observability")

_ADDRESS = "OTEL_EXPORTER_OTLP_ENDPOINT"
_SERVICE = "llm-gateway-tuning"
_FLUSH_MS = 5_000
_EPOCH = datetime.fromtimestamp(0, UTC)


def name_collector(endpoint: str | None) -> None:
    """The setting as OpenTelemetry's own variable, for this process and its children; its own goes first."""
    if endpoint:
        os.environ.setdefault(_ADDRESS, endpoint)


def is_wanted() -> bool:
    """By OpenTelemetry's own variables: a collector is named, and neither the SDK nor its traces are off."""
    named = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get(_ADDRESS)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return bool(named) and not off and os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"


def open_tracing(exporter: "SpanExporter | None" = None) -> "Tracing | None":
    """None where no collector is named. Raises ConfigurationError where one is and the extra is not installed."""
    if exporter is None and not is_wanted():
        return None
    return Tracing(exporter)


class Tracing:
    """Safe to use from several threads. A collector that is away costs spans, and never fails what is traced."""

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        try:
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter()
        except ImportError as error:
            raise missing_extra(error.name or "opentelemetry", "telemetry") from error
        service = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: _SERVICE}
        # Of a provider for its sampler and resource, both by OpenTelemetry's variables; the spans are made here.
        self._provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(exporter)
        self._provider.add_span_processor(self._processor)

    def send(self, spans: Iterable[LoopSpan]) -> None:
        """Hand them over; they go out in batches."""
        from opentelemetry.sdk.trace.sampling import Decision

        for span in spans:
            # By the trace alone: all processes keep or leave a trace alike.
            sampled = self._provider.sampler.should_sample(None, span.context.trace_id, span.name)
            if sampled.decision is Decision.RECORD_AND_SAMPLE:
                self._processor.on_end(self._readable(span))

    def flush(self) -> None:
        """Before a process ends that will not close this."""
        if not self._processor.force_flush(_FLUSH_MS):
            _log.warning("spans were not taken within %d s", _FLUSH_MS // 1000)

    def close(self) -> None:
        self._provider.shutdown()

    def _readable(self, span: LoopSpan) -> "ReadableSpan":
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, SpanKind, Status, StatusCode

        return ReadableSpan(
            span.name,
            context=span_context(span.context),
            parent=None if span.parent is None else span_context(span.parent),
            resource=self._provider.resource,
            attributes=dict(span.attributes),
            events=[Event(one.name, dict(one.attributes), _nanoseconds(one.at)) for one in span.events],
            links=[Link(span_context(one)) for one in span.links],
            kind=SpanKind.INTERNAL,
            instrumentation_scope=InstrumentationScope("gateway_tuning.loop"),
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=_nanoseconds(span.begun),
            end_time=_nanoseconds(span.ended),
        )


def span_context(context: Context) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        context.trace_id, context.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
