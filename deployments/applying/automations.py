"""Automations: which event starts which deployment."""

import copy
from collections.abc import Mapping
from typing import Any

from prefect.events.schemas.automations import AutomationCore

from deployments.applying.changes import Action, Change, differing
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.runs.prefect_api import OURS, PrefectApi, accepted

_MOST = 200
_SETS = ("after", "expect", "for_each")  # in no order of their own


def apply_automations(
    prefect: PrefectApi, wanted: list[dict[str, Any]], deployments: Mapping[str, str], *, dry_run: bool
) -> list[Change]:
    """Ours are known by their tag. One keeps whether somebody switched it on or off since it was made.

    Args:
        prefect: server.
        wanted: as the files say.
        deployments: name to id. In a dry run those that are still to be made are absent.
        dry_run: tell only.
    """
    present = {one["name"]: one for one in _ours(prefect)}
    changes = [_apply(prefect, one, present.get(one["name"]), deployments, dry_run) for one in wanted]
    for name in present.keys() - {one["name"] for one in wanted}:
        if not dry_run:
            accepted(prefect.ask("DELETE", f"/automations/{present[name]['id']}"), f"to remove {name!r}")
        changes.append(Change("automation", name, Action.REMOVED))
    return changes


def _ours(prefect: PrefectApi) -> list[dict[str, Any]]:
    body = {"automations": {"tags": {"all_": [OURS]}}, "limit": _MOST}
    found: list[dict[str, Any]] = accepted(
        prefect.ask("POST", "/automations/filter", body), "to list automations"
    ).json()
    return found


def _apply(
    prefect: PrefectApi,
    file: dict[str, Any],
    present: dict[str, Any] | None,
    deployments: Mapping[str, str],
    dry_run: bool,
) -> Change:
    name = file["name"]
    body = _body(file, deployments)
    if present is None:
        if not dry_run:
            accepted(prefect.ask("POST", "/automations/", body), f"the automation {name!r}")
        return Change("automation", name, Action.CREATED)
    if body is None:
        return Change("automation", name, Action.CHANGED, ("actions",))
    body["enabled"] = present["enabled"]
    fields = differing(body, _plain(present))
    if not fields:
        return Change("automation", name, Action.UNCHANGED)
    if not dry_run:
        accepted(prefect.ask("PUT", f"/automations/{present['id']}", body), f"the automation {name!r}")
    return Change("automation", name, Action.CHANGED, fields)


def _body(file: dict[str, Any], deployments: Mapping[str, str]) -> dict[str, Any] | None:
    """None where an action's deployment is not made yet."""
    body = copy.deepcopy(file) | {"tags": [OURS]}
    for action in body["actions"]:
        deployment = action.pop("deployment")
        if deployment not in deployments:
            return None
        action["deployment_id"] = deployments[deployment]
    return _plain(body)


def _plain(automation: Mapping[str, Any]) -> dict[str, Any]:
    """As the API takes it, every default written out and no ids, so that two can be held against each other."""
    try:
        plain = AutomationCore.model_validate(automation).model_dump(
            mode="json", exclude={"owner_resource": True, "trigger": {"id"}}
        )
    except ValueError as error:
        raise ConfigurationError(f"The automation {automation.get('name')!r} cannot work: {error}") from error
    trigger = plain["trigger"]
    return plain | {"trigger": trigger | {name: sorted(trigger.get(name, ())) for name in _SETS}}
