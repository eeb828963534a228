"""Where pages lead: to each other, and to the run in Prefect that made what they show."""

from urllib.parse import quote

from gateway_tuning.api.dashboard.nav import HOME
from gateway_tuning.settings import Settings


def dataset(dataset_id: str) -> str:
    return f"{HOME}/datasets/{quote(dataset_id, safe='')}"


def job(key: str) -> str:
    return f"{HOME}/jobs/{quote(key, safe='')}"


def model(name: str) -> str:
    return f"{HOME}/models/{quote(name, safe='')}"


def version(version_id: str) -> str:
    """The name of a base model, which stands in it, may have slashes."""
    return f"{HOME}/models/versions/{quote(version_id, safe='@/')}"


def evaluation(evaluation_id: str) -> str:
    return f"{HOME}/evaluations/{quote(evaluation_id, safe='')}"


def drift_report(report_id: str) -> str:
    return f"{HOME}/drift/{quote(report_id, safe='')}"


def canary(canary_id: str) -> str:
    return f"{HOME}/canaries/{quote(canary_id, safe='')}"


def cycle(cycle_id: str) -> str:
    return f"{HOME}/cycles/{quote(cycle_id, safe='')}"


def prefect_run(settings: Settings, run_id: str | None) -> str | None:
    """None where no Prefect is configured, or nothing is known of a run."""
    address = settings.prefect_ui_url or (settings.prefect_api_url or "").rstrip("/").removesuffix("/api")
    if not address or run_id is None:
        return None
    return f"{address.rstrip('/')}/runs/flow-run/{quote(run_id, safe='')}"


def feedback(feedback_id: str) -> str:
    return f"{HOME}/feedback/records/{quote(feedback_id, safe='')}"


def set_aside(fingerprint: str) -> str:
    return f"{HOME}/quarantine/{quote(fingerprint, safe='')}"
