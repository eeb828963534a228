"""OpenTelemetry spans by its conventions for generative AI. What was asked and answered never enters a span.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ names the attributes; ours begin with `gateway_tuning.`.
"""

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway_tuning.errors import missing_extra
from gateway_tuning.gateway.requests import ChatRequest
from gateway_tuning.gateway.routing import Route
from gateway_tuning.observability.spans import canary_context
from gateway_tuning.observability.traces import span_context
from gateway_tuning.rollout.outcomes import Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_SERVICE = "llm-gateway-tuning"
_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?")
_ASKED = ("max_tokens", "temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")
_PROVIDERS = {"api.openai.com": "openai", "api.mistral.ai": "mistral_ai"}


def passed_on(chat: ChatRequest) -> dict[str, str]:
    """The client's own trace, for the model's endpoint, where the gateway makes no spans."""
    given = chat.traceparent
    return {} if given is None or _TRACEPARENT.fullmatch(given) is None else {"traceparent": given}


class Traces:
    """Spans from one provider of its own: what else in the process is traced stays apart."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("gateway_tuning.gateway")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, chat: ChatRequest, route: Route, answer_id: str) -> "ChatSpan":
        from opentelemetry.trace import Link, SpanKind

        parent = self._propagator.extract({"traceparent": chat.traceparent or ""})
        server = _server(route.endpoint.base_url)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDERS.get(server.get("server.address", ""), "openai_compatible"),
            "gen_ai.request.model": chat.model,
            "gen_ai.output.type": "text",
            "gateway_tuning.model": route.model,
            "gateway_tuning.arm": route.arm,
            "gateway_tuning.version": route.version_id,
            "gateway_tuning.answer_id": answer_id,
            "gateway_tuning.stream": chat.stream,
            **server,
            **_numbers(chat.body),
        }
        links = []
        if route.canary_id is not None:
            attributes["gateway_tuning.canary"] = route.canary_id
            links.append(Link(span_context(canary_context(route.canary_id))))
        span = self._tracer.start_span(
            f"chat {_plain(chat.model)}",
            context=parent,
            kind=SpanKind.CLIENT,
            attributes=_clean(attributes),
            links=links,
        )
        return ChatSpan(span, self._propagator)

    def close(self) -> None:
        """Sends what is still here, for as long as the exporter's own timeout allows."""
        self._provider.shutdown()


class ChatSpan:
    def __init__(self, span: "Span", propagator: Any) -> None:
        from opentelemetry.trace import set_span_in_context

        self._span = span
        self.headers: dict[str, str] = {}  # for the model's endpoint
        propagator.inject(self.headers, context=set_span_in_context(span))

    def fell_back(self, code: str, version: str) -> None:
        self._span.add_event("fallback", {"error.type": code, "gateway_tuning.version": version})

    def end(self, outcome: Outcome, *, response_model: str | None) -> None:
        """`response_model` is the name under which the endpoint serves what answered, None where nothing did."""
        from opentelemetry.trace import StatusCode

        found = {
            "gen_ai.response.model": response_model,
            "gen_ai.usage.input_tokens": outcome.prompt_tokens,
            "gen_ai.usage.output_tokens": outcome.completion_tokens,
            "gateway_tuning.first_token_ms": outcome.first_token_ms,
            "gateway_tuning.answered_by": outcome.answered_by,
            "error.type": outcome.error,
        }
        self._span.set_attributes(_clean({name: value for name, value in found.items() if value is not None}))
        if outcome.error is not None:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def open_traces(exporter: "SpanExporter | None" = None) -> Traces | None:
    """By OpenTelemetry's own variables; None where they name no collector or switch the SDK or its traces off.

    Raises ConfigurationError where a collector is named and the extra is not installed.
    """
    if exporter is None:
        named = any(os.environ.get(name) for name in _ADDRESSES)
        off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        if not named or off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
            return None
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
    provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider)


def _numbers(body: dict[str, Any]) -> dict[str, Any]:
    return {
        f"gen_ai.request.{name}": body[name]
        for name in _ASKED
        if isinstance(body.get(name), int | float)
        and not isinstance(body[name], bool)
        and abs(body[name]) < 1 << 53
    }


def _server(base_url: str) -> dict[str, Any]:
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}


def _clean(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, str) else value for name, value in attributes.items()}


def _plain(text: str) -> str:
    """Protobuf carries no lone surrogates, and one in a client's model name must not spoil a batch."""
    return text.encode("utf-8", "replace").decode()
