"""`/v1/models`: the base model and what was tuned from it."""

from typing import Any

from fastapi import APIRouter

from gateway_tuning.local_service.problems import RefusedError
from gateway_tuning.local_service.service import Serving
from gateway_tuning.training.local.model.weights import BASE_MODEL

router = APIRouter(prefix="/v1/models")
BASE = BASE_MODEL.lower()
_RELEASED = 1730419200  # SmolLM2, 1 November 2024


@router.get("")
def list_models(service: Serving) -> dict[str, Any]:
    """As at OpenAI without checkpoints: their jobs list them."""
    tuned = [model.wire() for model in service.models.oldest_first() if model.step is None]
    return {"object": "list", "data": [_base(), *tuned]}


@router.get("/{name:path}")
def retrieve(service: Serving, name: str) -> dict[str, Any]:
    return _base() if name.lower() == BASE else service.models.get(name).wire()


@router.delete("/{name:path}")
def delete(service: Serving, name: str) -> dict[str, Any]:
    if name.lower() == BASE:
        raise RefusedError(403, f"{BASE} is the base model and cannot be deleted", param="model")
    gone = {model.name for model in service.models.oldest_first()}
    service.models.delete(name)
    for other in gone - {model.name for model in service.models.oldest_first()}:
        service.servers.stop(other)
    return {"id": name, "object": "model", "deleted": True}


def _base() -> dict[str, Any]:
    return {"id": BASE, "object": "model", "created": _RELEASED, "owned_by": "huggingface"}
