"""Deployments and their schedules."""

from http import HTTPStatus
from typing import Any

from deployments.applying.changes import Action, Change, differing
from deployments.catalog import Wanted
from gateway_tuning.runs.prefect_api import OURS, PrefectApi, accepted

_MOST = 200


def apply_deployments(
    prefect: PrefectApi, wanted: list[Wanted], *, dry_run: bool
) -> tuple[list[Change], dict[str, str]]:
    """What is ours is known by its tag, and is removed where prefect.yaml has it no more.

    A deployment keeps whether somebody paused it or one of its schedules, and schedules that somebody added to it.

    Returns:
        What was done, and name to id.
    """
    changes, ids = [], {}
    for one in wanted:
        present = _find(prefect, one)
        if present is not None:
            changes.append(_update(prefect, one, present, dry_run))
            ids[one.name] = present["id"]
        else:
            if not dry_run:
                ids[one.name] = _create(prefect, one)
            changes.append(Change("deployment", one.name, Action.CREATED))
    for left in _ours(prefect):
        if left["name"] not in {one.name for one in wanted}:
            if not dry_run:
                accepted(prefect.ask("DELETE", f"/deployments/{left['id']}"), f"to remove {left['name']}")
            changes.append(Change("deployment", left["name"], Action.REMOVED))
    return changes, ids


def _find(prefect: PrefectApi, wanted: Wanted) -> dict[str, Any] | None:
    answer = prefect.ask("GET", f"/deployments/name/{wanted.flow}/{wanted.name}")
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    found: dict[str, Any] = accepted(answer, f"to show {wanted.name}").json()
    return found


def _ours(prefect: PrefectApi) -> list[dict[str, Any]]:
    body = {"deployments": {"tags": {"all_": [OURS]}}, "limit": _MOST}
    found: list[dict[str, Any]] = accepted(
        prefect.ask("POST", "/deployments/filter", body), "to list deployments"
    ).json()
    return found


def _create(prefect: PrefectApi, wanted: Wanted) -> str:
    flow = accepted(prefect.ask("POST", "/flows/", {"name": wanted.flow}), f"the flow {wanted.flow}").json()
    schedules = [
        {"slug": slug, "schedule": schedule, "active": True} for slug, schedule in wanted.schedules.items()
    ]
    body = wanted.fields | {"name": wanted.name, "flow_id": flow["id"], "schedules": schedules}
    made = accepted(prefect.ask("POST", "/deployments/", body), f"the deployment {wanted.name}").json()
    id_: str = made["id"]
    return id_


def _update(prefect: PrefectApi, wanted: Wanted, present: dict[str, Any], dry_run: bool) -> Change:
    id_, told = present["id"], f"the deployment {wanted.name}"
    fields = differing(wanted.fields, _comparable(present))
    if fields and not dry_run:
        body = {name: wanted.fields[name] for name in fields}
        accepted(prefect.ask("PATCH", f"/deployments/{id_}", body), told)
    ours = {one["slug"]: one for one in present["schedules"] if one["slug"] in {"cron", "interval"}}
    changed = False
    for slug, schedule in wanted.schedules.items():
        known = ours.pop(slug, None)
        if known is not None and not differing(schedule, known["schedule"]):
            continue
        changed = True
        if dry_run:
            continue
        if known is None:
            body_ = [{"slug": slug, "schedule": schedule, "active": True}]
            answer = prefect.ask("POST", f"/deployments/{id_}/schedules", body_)
        else:
            answer = prefect.ask(
                "PATCH", f"/deployments/{id_}/schedules/{known['id']}", {"schedule": schedule}
            )
        accepted(answer, f"the schedule of {wanted.name}")
    for left in ours.values():
        changed = True
        if not dry_run:
            accepted(prefect.ask("DELETE", f"/deployments/{id_}/schedules/{left['id']}"), told)
    if changed:
        fields = (*fields, "schedules")
    return Change("deployment", wanted.name, Action.CHANGED if fields else Action.UNCHANGED, fields)


def _comparable(present: dict[str, Any]) -> dict[str, Any]:
    """In the words in which it is asked for."""
    limit = present["global_concurrency_limit"]
    return present | {"concurrency_limit": limit and limit["limit"]}
