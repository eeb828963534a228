"""The models that a caller may ask for, as OpenAI lists them."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway_tuning.gateway.replies import RefusedError, json_reply
from gateway_tuning.gateway.routes.parts import Parts


async def list_models(request: Request) -> Response:
    """Raises RefusedError."""
    return json_reply({"object": "list", "data": _listed(request)})


async def show_model(request: Request) -> Response:
    """Raises RefusedError."""
    wanted = request.path_params["model"]
    for one in _listed(request):
        if one["id"] == wanted:
            return json_reply(one)
    raise RefusedError(404, "model_not_found", f"The model '{wanted}' does not exist")


def _listed(request: Request) -> list[dict[str, Any]]:
    """Models and names that stand for them, without those that the caller's key does not open."""
    parts: Parts = request.app.state.parts
    visitor = parts.door.visitor(dict(request.headers.raw))
    served = parts.router.table.models
    names = {name: model for name, model in parts.directory.names.items() if model in served}
    created = int(parts.router.loaded_at.timestamp()) if parts.router.loaded_at is not None else 0
    return [
        {"id": name, "object": "model", "created": created, "owned_by": "gateway-tuning"}
        for name, model in sorted({**names, **dict(zip(served, served, strict=True))}.items())
        if parts.door.opens(visitor, model)
    ]
