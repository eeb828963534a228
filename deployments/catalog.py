"""The deployments of prefect.yaml, as Prefect's API takes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from deployments.applying.files import PoolFile
from gateway_tuning import __version__
from gateway_tuning.runs.prefect_api import OURS

ROOT = Path(__file__).parents[1]
PREFECT_YAML = ROOT / "prefect.yaml"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`fields` are those of a deployment, `schedules` by the name that makes each ours."""

    flow: str
    name: str
    fields: dict[str, Any]
    schedules: dict[str, dict[str, Any]]


def entries() -> list[dict[str, Any]]:
    """The `deployments` of prefect.yaml, anchors resolved."""
    found: list[dict[str, Any]] = yaml.safe_load(PREFECT_YAML.read_text(encoding="utf-8"))["deployments"]
    return found


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """Import the flow that an entry names; a flow that cannot be imported raises instead of deploying a shell."""
    module, _, name = entrypoint.rpartition(".")
    flow = getattr(import_module(module), name)
    if not isinstance(flow, Flow):
        raise TypeError(f"{entrypoint} in prefect.yaml is no flow")
    return flow


def wanted(pool: PoolFile, folder: Path | None, *, gpu: bool = False) -> list[Wanted]:
    """Every deployment, run by the pool.

    Args:
        pool: its work pool.
        folder: the project's folder where runs happen; None where their image says.
        gpu: runs that train get what the pool says of them, such as a node with a GPU.
    """
    return [_wanted(entry, pool, folder, gpu) for entry in entries()]


def _wanted(entry: Mapping[str, Any], pool: PoolFile, folder: Path | None, gpu: bool) -> Wanted:
    flow = load_flow(entry["entrypoint"])
    limit, tags = entry.get("concurrency_limit"), [OURS, *entry["tags"]]
    variables: dict[str, Any] = {}
    for tag in tags if gpu else ():
        variables |= pool.job_variables_of_tags.get(tag, {})
    step = "prefect.deployments.steps.set_working_directory"
    fields = {
        "entrypoint": entry["entrypoint"],
        "version": __version__,
        "description": entry.get("description") or flow.description,
        "tags": tags,
        "parameters": entry.get("parameters", {}),
        "parameter_openapi_schema": parameter_schema(flow.fn).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
        "concurrency_limit": limit and pool.concurrency_limits.get(entry["name"], limit["limit"]),
        "concurrency_options": limit and {name: limit[name] for name in limit if name != "limit"},
        "work_pool_name": pool.name,
        "job_variables": variables,
        "pull_steps": [] if folder is None else [{step: {"directory": str(folder)}}],
    }
    schedules = dict(_schedule(entry["name"], schedule) for schedule in entry.get("schedules", []))
    return Wanted(flow.name, entry["name"], fields, schedules)


def _schedule(name: str, schedule: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """One of a kind a deployment, so that its kind is name enough. Those of one interval do not all start at once."""
    if "cron" in schedule:
        return "cron", {"cron": schedule["cron"], "timezone": schedule.get("timezone", "UTC")}
    seconds = int(schedule["interval"])
    anchor = _EPOCH + timedelta(seconds=crc32(name.encode()) % seconds)
    return "interval", {"interval": float(seconds), "anchor_date": f"{anchor:%Y-%m-%dT%H:%M:%SZ}"}
