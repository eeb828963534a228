"""The deployments of prefect.yaml as objects, so that both ways of deploying say the same."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron, Interval, Schedule

PREFECT_YAML = Path(__file__).parents[1] / "prefect.yaml"


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


def deployments() -> list[RunnerDeployment]:
    return [_deployment(entry) for entry in entries()]


def _deployment(entry: Mapping[str, Any]) -> RunnerDeployment:
    limit = entry.get("concurrency_limit")
    deployment = load_flow(entry["entrypoint"]).to_deployment(
        name=entry["name"],
        description=entry.get("description"),
        tags=entry.get("tags"),
        parameters=entry.get("parameters"),
        schedules=[_schedule(schedule) for schedule in entry.get("schedules", [])],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        triggers=[DeploymentEventTrigger(**trigger) for trigger in entry.get("triggers", [])],
    )
    if not isinstance(deployment, RunnerDeployment):
        raise TypeError(
            "to_deployment answers with a coroutine inside an event loop; call this outside of one"
        )
    return deployment


def _schedule(schedule: Mapping[str, Any]) -> Schedule:
    if "cron" in schedule:
        return Cron(schedule["cron"], timezone=schedule.get("timezone"))
    return Interval(schedule["interval"])
