"""Every table of the metadata store."""

from gateway_tuning.storage.tables.access import api_keys, approvals, audit_entries, runs
from gateway_tuning.storage.tables.columns import UtcDateTime, metadata
from gateway_tuning.storage.tables.costs import budgets, cost_reservations
from gateway_tuning.storage.tables.evaluation import judgements, predictions
from gateway_tuning.storage.tables.intake import (
    enrichments,
    feedback,
    feedback_batches,
    idempotency_keys,
    quarantine,
    rating_tokens,
    tenants,
    thresholds,
)
from gateway_tuning.storage.tables.lineage import (
    alias_history,
    aliases,
    cost_entries,
    dataset_feedback,
    datasets,
    drift_reports,
    endpoints,
    erased_feedback,
    erasures,
    evaluations,
    model_versions,
    models,
    status_history,
    tuning_jobs,
)
from gateway_tuning.storage.tables.rollout import (
    canaries,
    canary_looks,
    cycle_stages,
    cycles,
    leases,
    outcomes,
)
from gateway_tuning.storage.tables.search import search_trials, searches

__all__ = [
    "UtcDateTime",
    "alias_history",
    "aliases",
    "api_keys",
    "approvals",
    "audit_entries",
    "budgets",
    "canaries",
    "canary_looks",
    "cost_entries",
    "cost_reservations",
    "cycle_stages",
    "cycles",
    "dataset_feedback",
    "datasets",
    "drift_reports",
    "endpoints",
    "enrichments",
    "erased_feedback",
    "erasures",
    "evaluations",
    "feedback",
    "feedback_batches",
    "idempotency_keys",
    "judgements",
    "leases",
    "metadata",
    "model_versions",
    "models",
    "outcomes",
    "predictions",
    "quarantine",
    "rating_tokens",
    "runs",
    "search_trials",
    "searches",
    "status_history",
    "tenants",
    "thresholds",
    "tuning_jobs",
]
