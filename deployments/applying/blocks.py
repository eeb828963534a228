"""Blocks: configuration that runs read from Prefect's server. None holds a secret."""

from http import HTTPStatus
from typing import Any

from deployments.applying.changes import Action, Change
from deployments.applying.files import BlockFile, PoolFile
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.runs.prefect_api import PrefectApi, accepted
from gateway_tuning.settings import Settings


def apply_block(prefect: PrefectApi, block: BlockFile, settings: Settings, *, dry_run: bool) -> Change:
    """Raises ConfigurationError for a type that the server does not know, OrchestratorError."""
    data, told = block_data(block, settings), f"the block {block.type}/{block.name}"
    name = f"{block.type}/{block.name}"
    place = f"/block_types/slug/{block.type}/block_documents/name/{block.name}"
    answer = prefect.ask("GET", place)
    if answer.status_code == HTTPStatus.NOT_FOUND:
        if not dry_run:
            body: dict[str, Any] = {"name": block.name, "data": data, **_type_and_schema(prefect, block)}
            accepted(prefect.ask("POST", "/block_documents/", body), told)
        return Change("block", name, Action.CREATED)
    present = accepted(answer, f"to show {told}").json()
    fields = tuple(key for key, value in data.items() if present["data"].get(key) != value)
    if not fields:
        return Change("block", name, Action.UNCHANGED)
    if not dry_run:
        body = {"data": data, "merge_existing_data": False}
        accepted(prefect.ask("PATCH", f"/block_documents/{present['id']}", body), told)
    return Change("block", name, Action.CHANGED, fields)


def blocks_of(blocks: list[BlockFile], pool: PoolFile) -> list[BlockFile]:
    return [block for block in blocks if pool.kind in block.pools]


def block_data(block: BlockFile, settings: Settings) -> dict[str, Any]:
    """With the places of this installation filled in.

    Raises:
        ConfigurationError: runs of a cluster would keep results on a disk that they do not share.
    """
    storage = settings.resolved_object_storage_url.rstrip("/")
    if block.type == "remote-file-system" and storage.startswith("file:"):
        raise ConfigurationError(
            f"The block {block.name} holds what runs on several machines share; set GATEWAY_TUNING_OBJECT_STORAGE_URL "
            "to a place that all of them reach, such as s3://bucket/folder"
        )
    places = {"home": str(settings.home.resolve()), "object_storage": storage}
    return {
        key: value.format(**places) if isinstance(value, str) else value for key, value in block.data.items()
    }


def _type_and_schema(prefect: PrefectApi, block: BlockFile) -> dict[str, str]:
    answer = prefect.ask("GET", f"/block_types/slug/{block.type}")
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise ConfigurationError(f"Prefect's server knows no block of type {block.type!r}")
    type_id = accepted(answer, f"to show the block type {block.type}").json()["id"]
    body = {"block_schemas": {"block_type_id": {"any_": [type_id]}}}
    answer = accepted(prefect.ask("POST", "/block_schemas/filter", body), f"to list schemas of {block.type}")
    return {"block_type_id": type_id, "block_schema_id": answer.json()[0]["id"]}
