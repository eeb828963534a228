"""Has what users ask changed since the served version was trained, and what follows."""

import logging
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact

from gateway_tuning.cycles.cycle import StageResult
from gateway_tuning.datasets.published import read_all
from gateway_tuning.drift.check import check_drift
from gateway_tuning.drift.history import live_markdown
from gateway_tuning.drift.live.findings import TEXTS, TRAFFIC, Unchecked, combined
from gateway_tuning.drift.live.policy import LiveDriftPolicy
from gateway_tuning.drift.live.served import Served, under_way
from gateway_tuning.drift.live.served import served_models as find_served
from gateway_tuning.drift.live.texts import recent_examples, window_recipe
from gateway_tuning.drift.live.traffic import read_traffic
from gateway_tuning.drift.result import read_report
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.spending import alpha_of
from gateway_tuning.drift.store import CheckKind, StoredDriftReport
from gateway_tuning.errors import ConflictError, GatewayTuningError, OrchestratorError
from gateway_tuning.runs.orchestrator import Event
from gateway_tuning.runs.run import Intent, RunKind
from tasks.approvals import open_forms
from tasks.drift import dataset_of, topics_of, window_of
from tasks.patience import BRIEF, STAGE
from tasks.runtime import now, runtime

logger = logging.getLogger("gateway_tuning.drift")

FOUND = "drift.found"
_NAMESPACE = uuid.UUID("0c6a1f0e-7b5d-4d0e-9a35-2f6f0f9b3c11")


@dataclass(frozen=True, slots=True)
class _Look:
    """`settings` has the alpha of one part."""

    served: Served
    policy: LiveDriftPolicy
    settings: DriftSettings
    number: int
    at: datetime


@task(name="served models", **BRIEF)
def served_models(tenant: str | None, model: str | None) -> list[Served]:
    return find_served(runtime().engine, tenant=tenant, model=model)


@task(name="check live drift", **STAGE)
def check_live_drift(
    served: Served, policy: LiveDriftPolicy, settings: DriftSettings, at: datetime
) -> StageResult:
    """What users asked in the days before `at` against the dataset of the version, and its traffic against its first.

    Half of what this check may spend goes to either part. A part that cannot be made is an error with its reason, and
    the check with it; nothing is raised for that.

    Raises:
        ConflictError: another check of the model was made meanwhile; it counts, so this one is to be made again.
    """
    rt = runtime()
    identity = _identity(served, policy, settings, at)
    known = rt.drift.find(identity)
    if known is None or known.state == "error":
        number = rt.drift.next_number(served.tenant, served.model, CheckKind.LIVE, served.version_id)
        alpha = alpha_of(number, settings.alpha)
        halved = settings.model_copy(update={"alpha": settings.alpha / 2})
        look = _Look(served, policy, halved, number, at)
        dataset_id = dataset_of(served.version_id)
        parts = {TEXTS: _made(_texts, look, dataset_id), TRAFFIC: _made(_traffic, look)}
        result = combined(
            parts, current=f"{served.model}, {policy.window_days:g} days up to {at:%Y-%m-%d %H:%M}"
        )
        result |= {"alpha": alpha, "check_number": number}
        spent = read_report(result).spends
        report = StoredDriftReport(
            identity,
            served.tenant,
            dataset_id or "",
            served.version_id,
            result,
            now(),
            model=served.model,
            kind=CheckKind.LIVE,
            check_number=number if spent else None,
            alpha=alpha if spent else None,
        )
        known = rt.drift.add(report)
        create_markdown_artifact(
            live_markdown(known, rt.drift.history(served.tenant, served.model)),
            key="live-drift",
            description=identity,
        )
    detail = {name: known.result[name] for name in ("state", "reasons", "score")}
    return StageResult(id=identity, detail=detail | {"model": served.model, "version": served.version_id})


@task(name="act on drift", **BRIEF)
def act_on_drift(report_id: str, policy: LiveDriftPolicy) -> str:
    """What the policy says of drift, done once however often this runs; in words, what was done."""
    report = runtime().drift.get(report_id)
    if report.state != "drift":
        return f"nothing: {report.state.replace('_', ' ')}"
    done = _followed(report, policy)
    logger.info("drift of %s: %s", report.model, done)
    _announce(report)  # last: whatever was due stands in the store, should nobody answer
    return done


def _followed(report: StoredDriftReport, policy: LiveDriftPolicy) -> str:
    if policy.on_drift == "note" or report.model is None:
        return "noted"
    if not report.is_against_stable:
        return "noted: the halves of one dataset were compared, as its stable version was trained on none"
    hindrance = under_way(runtime().engine, report.tenant, report.model)
    if hindrance is not None:
        return f"noted: {hindrance}"
    done = _start_cycle(report) if policy.on_drift == "start_cycle" else _ask(report)
    warning = _would_block(report)
    if warning is not None:
        logger.warning("%s", warning)
    return done if warning is None else f"{done}. {warning}"


def _made(check: Any, *arguments: Any) -> Mapping[str, Any] | Unchecked:
    """Whatever keeps a part from being made is told as an error, which is no pass; the other models' checks go on.

    Only our own errors are quoted: any other may hold a user's words.
    """
    try:
        made: Mapping[str, Any] | Unchecked = check(*arguments)
    except Exception as error:
        logger.exception("a part of the drift check failed")
        said = f": {error}" if isinstance(error, GatewayTuningError) else "; the log of the run has more"
        return Unchecked("error", f"{type(error).__name__}{said}")
    return made


def _texts(look: _Look, dataset_id: str | None) -> Mapping[str, Any] | Unchecked:
    served, policy, at = look.served, look.policy, look.at
    if dataset_id is None:
        return Unchecked("not_applicable", f"{served.version_id} was trained on no dataset")
    from gateway_tuning.anonymization.anonymizer import anonymizer_version

    rt = runtime()
    manifest = rt.datasets.manifest(dataset_id)
    since = at - timedelta(days=policy.window_days)
    recipe = window_recipe(
        manifest.recipe,
        anonymization=rt.thresholds.plan(served.tenant, served.model).recipe.anonymization,
        since=since,
        max_records=policy.max_records,
    )
    recent = recent_examples(
        rt.workshop(),
        tenant=served.tenant,
        recipe=recipe,
        anonymizer=anonymizer_version(rt.settings.spacy_model),
        now=at,
    )
    current = window_of(recent, f"feedback since {since:%Y-%m-%d %H:%M}")
    if not recent:
        return Unchecked("inconclusive", f"no feedback since {since:%Y-%m-%d %H:%M} makes an example")
    reference = window_of(read_all(rt.objects, manifest), dataset_id)
    topics = topics_of(dataset_id, reference, look.settings)
    return asdict(check_drift(reference, current, look.settings, check_number=look.number, topics=topics))


def _traffic(look: _Look) -> Mapping[str, Any] | Unchecked:
    traffic = read_traffic(
        runtime().engine,
        look.served.version_id,
        now=look.at,
        days=look.policy.window_days,
        max_requests=look.policy.max_requests,
    )
    if traffic.windows is None:
        return Unchecked(traffic.state or "error", traffic.missing or "no traffic could be read")
    reference, current = traffic.windows
    return asdict(check_drift(reference, current, look.settings, check_number=look.number))


def _announce(report: StoredDriftReport) -> None:
    """Raises OrchestratorError; where no server is named, nobody listens."""
    rt = runtime()
    if not rt.settings.prefect_api_url or report.model is None:
        return
    plan = rt.thresholds.plan(report.tenant, report.model)
    rt.prefect.announce(
        Event(
            id=str(uuid.uuid5(_NAMESPACE, f"{FOUND}:{report.id}")),
            name=FOUND,
            resource=f"gateway-tuning.model.{report.model}",
            occurred=report.created_at,
            payload={
                "tenant": report.tenant,
                "model": report.model,
                "report": report.id,
                "reasons": report.result["reasons"],
                "plan": plan.model_dump(mode="json"),
            },
        )
    )


def _start_cycle(report: StoredDriftReport) -> str:
    """Written down before it is started: what cannot be started now, `check-threshold` starts, under the same key."""
    rt = runtime()
    if not rt.settings.prefect_api_url:
        raise OrchestratorError("No Prefect server is configured to start the cycle; set PREFECT_API_URL")
    run = rt.runs.intend(_cycle(report), now=now())
    try:
        rt.runs.start(run, rt.prefect, now=now())
    except OrchestratorError as error:
        logger.warning("%s is not started yet: %s", run.id, error)
        return f"a tuning cycle is due: {run.id}"
    return f"a tuning cycle was started: {run.id}"


def _cycle(report: StoredDriftReport) -> Intent:
    """With the plan of the last one."""
    plan = runtime().thresholds.plan(report.tenant, report.model or "")
    return Intent(
        id=_run_id(report),
        tenant=report.tenant,
        kind=RunKind.TUNING_CYCLE,
        parameters={"plan": plan.model_dump(mode="json")},
        started_by="flow:watch-drift" if report.kind == CheckKind.LIVE else "flow:check-drift",
        request_sha256="",
    )


def _ask(report: StoredDriftReport) -> str:
    rt = runtime()
    try:
        rt.approvals.request_run(
            _cycle(report),
            model=report.model or "",
            candidate=report.reference_id if report.kind == CheckKind.LIVE else report.dataset_id,
            reasons=(f"{report.id}: tune again, as what users ask has changed", *report.result["reasons"]),
            now=now(),
        )
    except ConflictError as error:  # of an intent under this id that asks for something else: never ours
        raise OrchestratorError(str(error)) from error
    open_forms(report.tenant)
    return "an approval was asked for"


def _run_id(report: StoredDriftReport) -> str:
    return f"run-{report.id.removeprefix('drift-')}"


def _would_block(report: StoredDriftReport) -> str | None:
    gate = runtime().thresholds.plan(report.tenant, report.model or "").gate
    if gate.on_drift != "block":
        return None
    return (
        f"The gate of {report.model} blocks on drift: a candidate that learned from what users ask now will not pass. "
        "Let the plan's gate.on_drift be ask"
    )


def _identity(served: Served, policy: LiveDriftPolicy, settings: DriftSettings, at: datetime) -> str:
    looked_at = policy.model_dump_json(exclude={"on_drift"})
    parts = [*asdict(served).values(), at.isoformat(), looked_at, settings.model_dump_json()]
    return "drift-" + sha256("\x1f".join(parts).encode()).hexdigest()[:16]
