"""Spans of chats: by OpenTelemetry's conventions, joined to the client's trace, without a word of what was said."""

import gzip
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import openai
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway_tuning.gateway.telemetry.traces import open_traces
from gateway_tuning.observability.spans import canary_context
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy

QUESTION = "the words of a user"
MESSAGES = [{"role": "user", "content": QUESTION}]
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER",
)  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def spans(start_gateway, exporter):
    """A gateway that traces, and what it has exported once it has stopped."""
    gateway = start_gateway(traces=open_traces(exporter))

    def stopped():
        gateway.stop()
        return exporter.get_finished_spans()

    return gateway, stopped


def ask(gateway, **options):
    return gateway.client().chat.completions.create(
        **{"model": "assistant", "messages": MESSAGES, "temperature": 0.5, "user": "anna", **options}
    )


def test_a_chat_is_a_span_that_says_what_was_asked_of_whom_and_not_what_was_said(spans, upstream):
    gateway, stopped = spans
    ask(gateway)
    (span,) = stopped()

    assert (span.name, span.kind, span.status.status_code) == (
        "chat assistant",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    port = int(upstream.base_url.rpartition(":")[2].removesuffix("/v1"))
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "assistant",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "served-v1",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
        "server.port": port,
        "gateway_tuning.arm": "stable",
        "gateway_tuning.version": "v1",
    }
    assert expected.items() <= dict(span.attributes).items()
    told = span.to_json()
    assert not any(word in told for word in (QUESTION, "anna", "answer of"))
    assert span.resource.attributes["service.name"] == "llm-gateway-tuning"


def test_a_chat_of_a_canary_is_linked_to_the_span_of_the_canary(registry, start_gateway, exporter):
    registry.serve("v2", "served-v2")
    CanaryStore(registry.engine).start(
        "canary-0a1b", tenant="default", model="assistant", candidate="v2", control="v1",
        policy=CanaryPolicy(stages=(0.5,), approve_before=()), now=datetime.now(UTC),
    )  # fmt: skip
    gateway = start_gateway(traces=open_traces(exporter))
    ask(gateway)
    gateway.stop()
    (span,) = exporter.get_finished_spans()
    (link,) = span.links

    expected = canary_context("canary-0a1b")
    assert (link.context.trace_id, link.context.span_id) == (expected.trace_id, expected.span_id)


def test_the_clients_trace_goes_on_through_the_gateway_to_the_model(spans, upstream):
    gateway, stopped = spans
    ask(gateway, extra_headers={"traceparent": TRACEPARENT})
    (span,) = stopped()

    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert upstream.requests[0]["headers"]["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"


@pytest.mark.parametrize(("given", "passed"), [(TRACEPARENT, TRACEPARENT), ("a, b", None), (None, None)])
def test_a_gateway_that_does_not_trace_passes_the_clients_trace_on(gateway, upstream, given, passed):
    ask(gateway, extra_headers={"traceparent": given} if given else {})

    assert upstream.requests[0]["headers"].get("traceparent") == passed


def test_a_failure_is_an_error_with_its_code(spans, registry, until):
    gateway, stopped = spans
    registry.serve("v1", "served-500")

    def fails():
        try:
            ask(gateway)
        except openai.InternalServerError:
            return True
        return False

    until(fails)
    span = stopped()[-1]

    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "status_500")
    assert "gen_ai.response.model" not in span.attributes


def test_a_streamed_answer_says_when_it_began(spans):
    gateway, stopped = spans
    list(ask(gateway, stream=True))
    (span,) = stopped()

    assert span.attributes["gateway_tuning.stream"] is True
    assert span.attributes["gateway_tuning.first_token_ms"] > 0
    assert span.attributes["gen_ai.usage.output_tokens"] == 3


def test_without_a_collector_nothing_is_traced(monkeypatch):
    assert open_traces() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    for name, value in (("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert open_traces() is None


class Collector(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans = []
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        found = ExportTraceServiceRequest.FromString(body)
        self.server.spans += [
            (self.path, span) for resource in found.resource_spans for scope in resource.scope_spans
            for span in scope.spans
        ]  # fmt: skip
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        return


def test_a_collector_that_the_standard_variable_names_gets_the_spans(start_gateway, monkeypatch):
    collector = Collector()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        gateway = start_gateway(traces=open_traces())
        body = {"model": "assistant", "messages": MESSAGES}
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body).headers["x-gateway-answer-id"]
        gateway.stop()
    finally:
        collector.close()

    ((path, span),) = collector.spans
    attributes = {one.key: one.value for one in span.attributes}
    assert (path, span.name) == ("/v1/traces", "chat assistant")
    assert attributes["gateway_tuning.answer_id"].string_value == answer
    assert attributes["gen_ai.usage.output_tokens"].int_value == 3
