"""What the gateway says of itself: health, what it serves, and its figures."""

import hmac
import ipaddress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway_tuning.gateway.replies import RefusedError, json_reply
from gateway_tuning.gateway.routes.parts import Parts

_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


async def health(request: Request) -> Response:
    """200 as long as the gateway serves; `status` says whether all is well, and to those who may know it, why not."""
    parts: Parts = request.app.state.parts
    router, directory, writer = parts.router, parts.directory, parts.writer
    faults = (router.error, directory.error, writer.error, *parts.observers.errors)
    well = not any(faults) and writer.lost == 0 and not router.table.refused
    status: dict[str, Any] = {"status": "ok" if well else "degraded"}
    if not _may_know(request):
        return json_reply(status)
    return json_reply(
        {
            **status,
            "routes": {
                "models": router.table.models,
                "refused": dict(router.table.refused),
                "loaded_at": router.loaded_at.isoformat() if router.loaded_at is not None else None,
                "error": router.error,
            },
            "keys": {
                "known": len(directory.keys),
                "names": len(directory.names),
                "loaded_at": directory.loaded_at.isoformat() if directory.loaded_at is not None else None,
                "error": directory.error,
            },
            "outcomes": {
                "written": writer.written,
                "pending": writer.pending,
                "lost": writer.lost,
                "error": writer.error,
            },
            **parts.observers.condition(),
        }
    )


async def routes(request: Request) -> Response:
    """Which versions answer at the moment. Raises RefusedError."""
    _require(request)
    router = request.app.state.parts.router
    table = router.table
    return json_reply(
        {
            "models": {
                model: {"stable": table.stable[model], "canary": _canary(table.splits.get(model))}
                for model in table.models
            },
            "loaded_at": router.loaded_at.isoformat() if router.loaded_at is not None else None,
            "error": router.error,
        }
    )


async def metrics(request: Request) -> Response:
    """In Prometheus' text format. Raises RefusedError."""
    _require(request)
    from prometheus_client import CONTENT_TYPE_LATEST

    body = request.app.state.parts.metrics.render()
    return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})


def _canary(split: Any) -> dict[str, Any] | None:
    if split is None:
        return None
    return {"id": split.canary_id, "candidate": split.candidate, "share": split.share}


def _require(request: Request) -> None:
    if not _may_know(request):
        raise RefusedError(
            403,
            "status_key_needed",
            "This is for the gateway's operator: send GATEWAY_TUNING_GATEWAY_STATUS_KEY as bearer token",
        )


def _may_know(request: Request) -> bool:
    """Whoever has the status key, and without one whoever calls from this machine and for nobody else."""
    key: str | None = request.app.state.parts.status_key
    if key is not None:
        shown = request.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(shown, b"Bearer " + key.encode())
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
