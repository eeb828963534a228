"""An object of a tenant for every parameter that a path of the API may hold: how to make one, and its id."""

from dataclasses import asdict
from datetime import UTC, datetime

from gateway_tuning.access.permissions import Role
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.drift.store import DriftStore, StoredDriftReport
from gateway_tuning.evaluation.scored import Role as System
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.evaluation.store import EvaluationStore, StoredEvaluation
from gateway_tuning.evaluation.summary import summarize
from gateway_tuning.feedback.quarantine import QuarantineEntry
from gateway_tuning.feedback.record import FeedbackRecord
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.registry.model_version import ModelVersion
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.rollout.policy import CanaryPolicy
from gateway_tuning.storage.tables import approvals, datasets, erasures, runs
from gateway_tuning.training.cost.actual import cost_of_job
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.jobs import JobStore


def api_key(services, tenant):
    key, _ = services.keys.create(tenant, "owned", Role.MODEL_VIEWER, by="cli:tests", now=datetime.now(UTC))
    return key.id


def feedback(services, tenant):
    now = datetime.now(UTC)
    record = FeedbackRecord(
        id="f-owned", tenant=tenant, type="thumbs_up", prompt="Where?", response="Here.", timestamp=now
    )
    FeedbackStore(services.engine).add([record], now)
    return record.id


def run(services, tenant):
    now = datetime.now(UTC)
    row = {
        "id": "run-owned",
        "tenant": tenant,
        "kind": "tuning-cycle",
        "parameters": {},
        "request_sha256": "0" * 64,
        "started_by": "cli:tests",
        "status": "succeeded",
        "message": "",
        "created_at": now,
        "updated_at": now,
    }
    with services.engine.begin() as connection:
        connection.execute(runs.insert().values(row))
    return row["id"]


def approval(services, tenant):
    row = {
        "id": "approval-owned",
        "tenant": tenant,
        "model": "assistant",
        "candidate": "assistant@1",
        "awaited_by": "run",
        "awaited_id": run(services, tenant),
        "requested_by": "cli:tests",
        "reasons": [],
        "state": "pending",
        "created_at": datetime.now(UTC),
    }
    with services.engine.begin() as connection:
        connection.execute(approvals.insert().values(row))
    return row["id"]


def erasure(services, tenant):
    row = {
        "id": "erasure-owned",
        "tenant": tenant,
        "subject_id": "0" * 64,
        "requested_by": "cli:tests",
        "state": "requested",
        "erased_at": datetime.now(UTC),
        "counts": {},
    }
    with services.engine.begin() as connection:
        connection.execute(erasures.insert().values(row))
    return row["id"]


def dataset(services, tenant):
    row = {
        "build_key": "0" * 64,
        "id": "ds-owned",
        "tenant": tenant,
        "watermark": 1,
        "manifest_sha256": "0" * 64,
        "created_at": datetime.now(UTC),
    }
    with services.engine.begin() as connection:
        connection.execute(datasets.insert().values(row))
    return row["id"]


def job(services, tenant):
    spec = TuningSpec("llama", "SmolLM2-135M-Instruct", "ds-owned")
    return JobStore(services.engine).intend(spec, tenant=tenant, now=datetime.now(UTC)).key


def cost(services, tenant):
    key = job(services, tenant)
    ended = JobStore(services.engine).get(key)
    CostStore(services.engine).add(cost_of_job(ended, now=datetime.now(UTC)))
    return key


def set_aside(services, tenant):
    entry = QuarantineEntry(tenant, "validation", "api", "element 0", ("Prompt is empty: ''",), "{}")
    FeedbackStore(services.engine).add_quarantine([entry], datetime.now(UTC))
    return entry.fingerprint


def evaluation(services, tenant, result=None):
    versions = {System.CANDIDATE: "owned@1", System.STABLE: "owned@0"}
    result = result or asdict(summarize([], {}, EvaluationSettings(), versions=versions))
    stored = StoredEvaluation(
        "eval-owned", tenant, "owned", "owned@1", "owned@0", "ds-owned", result, datetime.now(UTC)
    )
    return EvaluationStore(services.engine).add(stored).id


def drift_report(services, tenant, result=None):
    result = result or {
        "state": "not_applicable",
        "reasons": [],
        "score": None,
        "metrics": [],
        "data_quality": [],
    }
    result = {"reference": None, "current": "ds-owned"} | result
    stored = StoredDriftReport("drift-owned", tenant, "ds-owned", "ds-older", result, datetime.now(UTC))
    return DriftStore(services.engine).add(stored).id


def version(services, tenant, name="owned@1"):
    made = ModelVersion(
        id=name, tenant=tenant, model="owned", base_model="b", provider="llama", created_at=datetime.now(UTC)
    )
    return Registry(services.engine).register(made).id


def model(services, tenant):
    version(services, tenant)
    return "owned"


def canary(services, tenant):
    now = datetime.now(UTC)
    candidate, control = version(services, tenant), version(services, tenant, "owned@0")
    Registry(services.engine).point("owned", "stable", control, reason="a test", now=now)
    started = CanaryStore(services.engine).start(
        "canary-owned",
        tenant=tenant,
        model="owned",
        candidate=candidate,
        control=control,
        policy=CanaryPolicy(),
        now=now,
    )
    return started.id


def cycle(services, tenant):
    opened = CycleStore(services.engine).open(
        tenant=tenant,
        model="owned",
        plan={},
        watermark=1,
        incumbent="owned@0",
        started_by="cli:tests",
        now=datetime.now(UTC),
    )
    return opened.id


OBJECTS = {
    "dataset_id": dataset,
    "job_key": job,
    "cost_id": cost,
    "fingerprint": set_aside,
    "evaluation_id": evaluation,
    "report_id": drift_report,
    "model": model,
    "version_id": version,
    "canary_id": canary,
    "cycle_id": cycle,
    "key_id": api_key,
    "feedback_id": feedback,
    "run_id": run,
    "approval_id": approval,
    "erasure_id": erasure,
}
# A person may be erased of whom nothing is known: the caller's own tenant is all that such a path reaches.
NO_OBJECTS = {"user_id"}
