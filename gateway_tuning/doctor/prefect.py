"""Prefect: whether it answers, knows every deployment of `prefect.yaml`, and somebody runs what is due."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from gateway_tuning.doctor.finding import Finding, fault, not_configured, ok, warning
from gateway_tuning.errors import OrchestratorError
from gateway_tuning.runs.prefect_api import PrefectApi, accepted
from gateway_tuning.runs.run import RunKind
from gateway_tuning.settings import Settings

SERVER, DEPLOYMENTS, SCHEDULES, WORKERS = "prefect", "deployments", "schedules", "workers"
_NAMED = 5  # of what is missing or late
_AT_MOST = 200  # in one answer of Prefect's


def check_prefect(settings: Settings, folder: Path) -> Iterator[Finding]:
    """`folder` is the project's, where `prefect.yaml` lies; elsewhere the API's own deployments are looked for."""
    api = PrefectApi.from_settings(settings)
    if api is None:
        yield not_configured(
            SERVER, "no server runs the flows", "Set PREFECT_API_URL, or start `gateway-tuning serve-flows`"
        )
        return
    try:
        version = str(accepted(api.ask("GET", "/admin/version"), "to tell its version").json())
        yield _version(version)
        listed = _all(api, "/deployments/filter", "its deployments")
        yield from _deployments(listed, wanted(folder))
        yield _workers(listed, _all(api, "/work_pools/filter", "its work pools"))
        yield _schedules(api)
    except OrchestratorError as error:
        yield fault(SERVER, str(error), "Start Prefect's server, or correct PREFECT_API_URL")
    except (ValueError, KeyError, TypeError) as error:
        yield fault(
            SERVER,
            f"what answers at {settings.prefect_api_url} is no API of Prefect ({type(error).__name__})",
            "PREFECT_API_URL is the server's address with /api at its end",
        )
    finally:
        api.close()


def wanted(folder: Path) -> set[str]:
    """Names of the deployments that must be there."""
    import yaml

    described = folder / "prefect.yaml"
    if described.is_file():
        return {one["name"] for one in yaml.safe_load(described.read_text(encoding="utf-8"))["deployments"]}
    return {kind.deployment.partition("/")[2] for kind in RunKind}


def _version(version: str) -> Finding:
    try:
        own = metadata.version("prefect")
    except metadata.PackageNotFoundError:
        return ok(SERVER, f"answers, version {version}")
    if version.split(".")[:2] == own.split(".")[:2]:
        return ok(SERVER, f"answers, version {version}")
    return warning(
        SERVER,
        f"the server is of version {version}, and {own} is installed here",
        "Let both be of one version; a newer client may say what an older server does not understand",
    )


def _deployments(listed: list[dict[str, Any]], names: set[str]) -> Iterator[Finding]:
    known = {one["name"]: one for one in listed}
    missing = sorted(names - known.keys())
    paused = sorted(name for name in names & known.keys() if known[name].get("paused"))
    if missing:
        yield fault(
            DEPLOYMENTS,
            f"{len(missing)} of {len(names)} are not there: {_some(missing)}",
            "Run `gateway-tuning deploy` in the project's folder, or `gateway-tuning serve-flows` on one machine",
        )
    if paused:
        yield warning(
            DEPLOYMENTS,
            f"{len(paused)} are paused, so nothing starts them by schedule: {_some(paused)}",
            "Resume them in Prefect's UI, or by `prefect deployment schedule resume`",
        )
    if not missing and not paused:
        yield ok(DEPLOYMENTS, f"all {len(names)} are there and none is paused")


def _workers(listed: list[dict[str, Any]], pools: list[dict[str, Any]]) -> Finding:
    """A deployment of a pool is run by its workers; one without a pool by the process that serves it."""
    by_name = {pool["name"]: pool for pool in pools}
    needed = {one["work_pool_name"] for one in listed if one.get("work_pool_name")}
    asleep = sorted(
        name for name in needed if str(by_name.get(name, {}).get("status", "")).upper() != "READY"
    )
    if asleep:
        return fault(
            WORKERS,
            f"no worker asks for runs of {_some(asleep)}",
            f"Start one: `prefect worker start --pool {asleep[0]}`",
        )
    paused = sorted(name for name in needed if by_name[name].get("is_paused"))
    if paused:
        return warning(WORKERS, f"paused: {_some(paused)}", f"`prefect work-pool resume {paused[0]}`")
    unserved = sorted(
        one["name"]
        for one in listed
        if not one.get("work_pool_name") and str(one.get("status", "")).upper() != "READY"
    )
    if unserved:
        return fault(
            WORKERS,
            f"nobody serves {len(unserved)} deployments: {_some(unserved)}",
            "Start `gateway-tuning serve-flows`, or `gateway-tuning deploy` and a worker",
        )
    if not listed:
        return fault(
            WORKERS, "there is nothing to run", "Run `gateway-tuning deploy` in the project's folder"
        )
    return ok(WORKERS, f"somebody runs {', '.join(sorted(needed)) or 'every deployment'}")


def _schedules(api: PrefectApi) -> Finding:
    late = {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}}
    count = accepted(api.ask("POST", "/flow_runs/count", late), "to count late runs").json()
    if int(count) == 0:
        return ok(SCHEDULES, "no run is late")
    return warning(
        SCHEDULES,
        f"{count} runs are late",
        "See whether their worker runs and has room; `prefect flow-run ls --state Late` names them",
    )


def _all(api: PrefectApi, path: str, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {"limit": _AT_MOST, "offset": len(found)}
        page = accepted(api.ask("POST", path, body), f"to list {what}").json()
        found += page
        if len(page) < _AT_MOST:
            return found


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
