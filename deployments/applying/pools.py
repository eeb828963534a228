"""Work pools: Prefect's own job template of the pool's type, with the file's defaults and additions."""

import copy
import json
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from deployments.applying.changes import Action, Change, differing, merged
from deployments.applying.files import PoolFile
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.runs.prefect_api import PrefectApi, accepted

_TEMPLATES = "collections_data/views/aggregate-worker-metadata.json"


def apply_pool(prefect: PrefectApi, pool: PoolFile, *, python: str, dry_run: bool) -> Change:
    """A pool keeps whether somebody paused it.

    Args:
        prefect: server.
        pool: what its file says.
        python: program that runs the flows of processes.
        dry_run: tell only.

    Raises:
        ConfigurationError: a pool of this name has another type.
        OrchestratorError: Prefect did not answer, or refused.
    """
    answer = prefect.ask("GET", f"/work_pools/{pool.name}")
    wanted = {
        "description": pool.description,
        "concurrency_limit": pool.concurrency_limit,
        "base_job_template": job_template(pool, python),
    }
    told = f"the work pool {pool.name}"
    if answer.status_code == HTTPStatus.NOT_FOUND:
        if not dry_run:
            body = wanted | {"name": pool.name, "type": pool.type}
            accepted(prefect.ask("POST", "/work_pools/", body), told)
        return Change("work pool", pool.name, Action.CREATED)
    present = accepted(answer, f"to show {told}").json()
    if present["type"] != pool.type:
        raise ConfigurationError(
            f"Prefect has a work pool {pool.name} of type {present['type']}, not {pool.type}; delete it with "
            f"`prefect work-pool delete {pool.name}`, or give ours another name in "
            f"deployments/work_pools/{pool.kind}.yaml and prefect.yaml"
        )
    fields = differing(wanted, present)
    if not fields:
        return Change("work pool", pool.name, Action.UNCHANGED)
    if not dry_run:
        accepted(prefect.ask("PATCH", f"/work_pools/{pool.name}", wanted), told)
    return Change("work pool", pool.name, Action.CHANGED, fields)


def job_template(pool: PoolFile, python: str) -> dict[str, Any]:
    """Of the Prefect that is installed; its worker for the type fills in what stands in double braces."""
    text = files("prefect.server.api").joinpath(_TEMPLATES).read_text(encoding="utf-8")
    collections: dict[str, dict[str, Any]] = json.loads(text)
    found = next((workers[pool.type] for workers in collections.values() if pool.type in workers), None)
    if found is None:
        raise ConfigurationError(f"Prefect knows no work pool of type {pool.type!r}")
    template: dict[str, Any] = copy.deepcopy(found["default_base_job_configuration"])
    template["variables"]["properties"] = merged(template["variables"]["properties"], pool.variables)
    if command := pool.variables.get("command"):
        started = command | {"default": command["default"].format(python=python)}
        template["variables"]["properties"]["command"] |= started
    template["job_configuration"] = merged(template["job_configuration"], pool.job_configuration)
    return template
