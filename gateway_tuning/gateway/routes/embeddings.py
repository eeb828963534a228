"""Embeddings pass through to the stable version: no arms, no outcome, nothing to compare."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway_tuning.gateway.relay.upstream import UpstreamError, decode, failures_named, post_chat, read_whole
from gateway_tuning.gateway.replies import RefusedError, error_reply, json_reply
from gateway_tuning.gateway.requests import asked_model, read_body, read_json
from gateway_tuning.gateway.routes.parts import Parts
from gateway_tuning.registry.endpoint import Endpoint

VERSION_HEADER = "x-gateway-model-version"


async def embeddings(request: Request) -> Response:
    """Raises RefusedError for a request that reaches no model."""
    parts: Parts = request.app.state.parts
    visitor = parts.door.visitor(dict(request.headers.raw))
    raw = await read_body(request.receive)
    body = read_json(raw)
    asked = asked_model(body)
    if not body.get("input"):
        raise RefusedError(400, "missing_input", "The request must have an input")
    model = parts.directory.served(asked, parts.router.table.stable)
    parts.door.require_model(visitor, asked, model)
    stable = parts.router.route(model, None, answer_id="")  # without a user nobody is in a canary
    visit = parts.door.admit(visitor, body, len(raw))
    headers = {VERSION_HEADER: stable.version_id}
    try:
        answer = await _answer(parts, stable.endpoint, body)
    except UpstreamError as error:
        response = error_reply(error.status, error.code, error.message, headers)
    else:
        visit.caller.spend(_tokens(answer.get("usage")))
        response = json_reply({**answer, "model": asked}, headers=headers)
    finally:
        visit.leave()
    response.raw_headers += visit.headers()
    return response


async def _answer(parts: Parts, endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any]:
    """Raises UpstreamError."""
    response = await post_chat(parts.session, endpoint, body, path="/embeddings")
    async with failures_named(), response:
        raw = await read_whole(response)
    try:
        answer = decode(raw)
    except (ValueError, RecursionError) as error:
        raise UpstreamError(502, "invalid_json", "The model's answer is no valid JSON") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise UpstreamError(502, "no_data", "The model's answer has no embeddings")
    return answer


def _tokens(usage: Any) -> int:
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and total > 0 else 0
