"""Prefect's REST API as our orchestrator. Prefect itself is not imported."""

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx

from gateway_tuning.errors import ConfigurationError, NotFoundError, OrchestratorError
from gateway_tuning.runs.orchestrator import Event, OrchestratedRun, RunStatus
from gateway_tuning.settings import Settings

_STATUSES = {
    "SCHEDULED": RunStatus.QUEUED,
    "PENDING": RunStatus.QUEUED,
    "PAUSED": RunStatus.QUEUED,
    "RUNNING": RunStatus.RUNNING,
    "CANCELLING": RunStatus.RUNNING,
    "COMPLETED": RunStatus.SUCCEEDED,
    "FAILED": RunStatus.FAILED,
    "CRASHED": RunStatus.FAILED,
    "CANCELLED": RunStatus.CANCELLED,
}
OURS = "gateway-tuning"
"""Tag of what is ours on a server that may serve others too. Runs have it from their deployment."""
_HEARTBEAT = "prefect.flow-run.heartbeat"
_TEMPLATE_KEY = "__prefect_kind"
_MOST_RUNS = 200  # in one answer
# Its database is locked for a moment. Every call of ours may be repeated: runs have keys, events have ids.
_BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE}
_PAUSES_S = (0.2, 0.5, 1.0)


class PrefectApi:
    """Safe to use from several threads. `auth` is `user:password`."""

    def __init__(self, url: str, *, auth: str | None = None, timeout_s: float = 5.0) -> None:
        self._url = url.rstrip("/")
        user, _, password = (auth or "").partition(":")
        self._client = httpx.Client(
            base_url=self._url,
            auth=httpx.BasicAuth(user, password) if auth else None,
            timeout=httpx.Timeout(timeout_s, connect=min(2.0, timeout_s)),
        )

    @classmethod
    def from_settings(cls, settings: Settings, *, timeout_s: float = 5.0) -> "PrefectApi | None":
        """None where no server is configured."""
        if not settings.prefect_api_url:
            return None
        auth = settings.prefect_api_auth
        secret = auth.get_secret_value() if auth else None
        return cls(settings.prefect_api_url, auth=secret, timeout_s=timeout_s)

    def close(self) -> None:
        self._client.close()

    def start(
        self, deployment: str, parameters: dict[str, Any], *, key: str, tags: tuple[str, ...] = ()
    ) -> OrchestratedRun:
        """Raises ConfigurationError for parameters that Prefect would take for templates of its own."""
        refuse_templates(parameters)
        id_ = self._deployment_id(deployment)
        body = {"parameters": parameters, "tags": list(tags), "idempotency_key": key}
        answer = self.ask("POST", f"/deployments/{id_}/create_flow_run", body)
        if answer.is_error:
            raise OrchestratorError(
                f"Prefect refused to start {deployment} ({_told(answer)}); deploy the flows of this version: "
                "`gateway-tuning deploy`, or `gateway-tuning serve-flows` on one machine"
            )
        return _run(answer.json())

    def read(self, run_id: str) -> OrchestratedRun:
        answer = self.ask("GET", f"/flow_runs/{run_id}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise NotFoundError(
                f"Prefect at {self._url} knows no run {run_id}; it may have been deleted there"
            )
        return _run(accepted(answer, f"to show run {run_id}").json())

    def cancel(self, run_id: str) -> None:
        state = accepted(self.ask("GET", f"/flow_runs/{run_id}"), f"to show run {run_id}").json()["state"]
        if state is not None and _STATUSES[state["type"]].is_terminal:
            return
        begun = state is not None and state["type"] in {"RUNNING", "CANCELLING"}
        body = {"state": {"type": "CANCELLING" if begun else "CANCELLED"}}
        accepted(self.ask("POST", f"/flow_runs/{run_id}/set_state", body), f"to cancel run {run_id}")

    def crash(self, run_id: str, message: str) -> None:
        """Say that a run's process is gone; a run that has ended stays as it ended."""
        if self.read(run_id).status.is_terminal:
            return
        body = {"state": {"type": "CRASHED", "name": "Crashed", "message": message}, "force": True}
        accepted(self.ask("POST", f"/flow_runs/{run_id}/set_state", body), f"to end run {run_id}")

    def silent(self, *, unstarted_s: float, silent_s: float, now: datetime) -> dict[str, str]:
        """Runs of ours that nobody carries any more, by id, and why: never started, or without heartbeats.

        A run that never gave a heartbeat is not told silent: heartbeats may be switched off.
        """
        body = {
            "flow_runs": {"tags": {"all_": [OURS]}, "state": {"type": {"any_": ["PENDING", "RUNNING"]}}},
            "limit": _MOST_RUNS,
        }
        found = accepted(self.ask("POST", "/flow_runs/filter", body), "to list runs").json()
        told = {}
        for run in found:
            since = datetime.fromisoformat(run["state"]["timestamp"])
            if run["state"]["type"] == "PENDING":
                if run["deployment_id"] and now - since > timedelta(seconds=unstarted_s):
                    told[run["id"]] = f"no process has begun it since {since:%H:%M:%S} UTC"
            elif now - since > timedelta(seconds=silent_s):
                last = self._last_heartbeat(run["id"], since)
                if last is not None and now - last > timedelta(seconds=silent_s):
                    told[run["id"]] = f"its process has told nothing since {last:%H:%M:%S} UTC"
        return told

    def _last_heartbeat(self, run_id: str, since: datetime) -> datetime | None:
        body = {
            "filter": {
                "event": {"name": [_HEARTBEAT]},
                "resource": {"id": [f"prefect.flow-run.{run_id}"]},
                "occurred": {"since": since.isoformat()},
            },
            "limit": 1,
        }
        found = accepted(self.ask("POST", "/events/filter", body), "to list heartbeats").json()["events"]
        return datetime.fromisoformat(found[0]["occurred"]) if found else None

    def announce(self, event: Event) -> None:
        body = {
            "id": event.id,
            "event": event.name,
            "resource": {"prefect.resource.id": event.resource},
            "occurred": event.occurred.isoformat(),
            "payload": event.payload,
        }
        accepted(self.ask("POST", "/events", [body]), f"the event {event.name}")

    def check(self) -> None:
        accepted(self.ask("GET", "/health"), "to tell its health")

    def under_way(self, deployment: str, *, now: datetime) -> list[dict[str, Any]]:
        """Parameters of the deployment's runs that are due or running; what is scheduled for later is neither."""
        flow, _, name = deployment.partition("/")
        due = {"before_": now.isoformat()}
        body = {
            "flows": {"name": {"any_": [flow]}},
            "deployments": {"name": {"any_": [name]}},
            "flow_runs": {
                "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]}},
                "expected_start_time": due,
            },
            "limit": _MOST_RUNS,
        }
        answer = accepted(self.ask("POST", "/flow_runs/filter", body), f"to list the runs of {deployment}")
        return [run["parameters"] for run in answer.json()]

    def _deployment_id(self, deployment: str) -> str:
        answer = self.ask("GET", f"/deployments/name/{deployment}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise OrchestratorError(
                f"Prefect at {self._url} has no deployment {deployment}; run `gateway-tuning deploy`, or "
                "`gateway-tuning serve-flows` on one machine"
            )
        id_: str = accepted(answer, f"to show deployment {deployment}").json()["id"]
        return id_

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Any call of Prefect's REST API; a refusal (4xx) is an answer too. Raises OrchestratorError."""
        try:
            answer = self._client.request(method, path, json=body)
            for pause_s in _PAUSES_S:
                if answer.status_code not in _BUSY:
                    break
                time.sleep(pause_s)
                answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise OrchestratorError(
                f"Prefect does not answer at {self._url} ({type(error).__name__}); start it, or set PREFECT_API_URL "
                "to where it is"
            ) from error
        if answer.is_server_error:
            raise OrchestratorError(
                f"Prefect at {self._url} failed ({_told(answer)}); try again, and see its log"
            )
        return answer


def accepted(answer: httpx.Response, what: str) -> httpx.Response:
    """Raises OrchestratorError, which names what was refused, with Prefect's reason."""
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise OrchestratorError(
            "Prefect refuses our credentials; set GATEWAY_TUNING_PREFECT_API_AUTH to user:password of its server"
        )
    if answer.is_error:
        raise OrchestratorError(f"Prefect refused {what}: {_told(answer)}")
    return answer


def _told(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    return f"{answer.status_code} {detail or answer.reason_phrase}"[:300]


def _run(answer: Mapping[str, Any]) -> OrchestratedRun:
    state = answer["state"] or {"type": "SCHEDULED"}
    message = state.get("message") or ""
    if state["type"] == "CRASHED" and not message:
        message = "the process of the run ended without a word"
    return OrchestratedRun(
        id=answer["id"],
        status=_STATUSES[state["type"]],
        message=message,
        crashed=state["type"] == "CRASHED",
    )


def refuse_templates(value: Any) -> None:
    """Prefect's server renders such objects, and they can read its variables: not from a caller's parameters.

    Raises ConfigurationError.
    """
    if isinstance(value, Mapping):
        if _TEMPLATE_KEY in value:
            raise ConfigurationError(
                f"The parameter name {_TEMPLATE_KEY!r} is Prefect's own; use another one"
            )
        for item in value.values():
            refuse_templates(item)
    elif isinstance(value, list | tuple):
        for item in value:
            refuse_templates(item)
