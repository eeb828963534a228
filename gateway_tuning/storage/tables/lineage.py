"""From feedback to what was made of it: datasets, jobs, versions, evaluations, drift, costs, erasures."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import Sequence, UtcDateTime, column, metadata

datasets = sa.Table(
    "datasets",
    metadata,
    column("build_key", sa.String(64), primary_key=True),  # tenant, watermark and recipe
    column("id", sa.String(40), index=True),  # of the content: two builds may give one dataset
    column("tenant", sa.String(100)),
    column("watermark", sa.BigInteger),
    column("manifest_sha256", sa.String(64)),
    column("created_at", UtcDateTime),
    column("retired_at", UtcDateTime, nullable=True),  # erased or deleted; its objects are gone
    column("replaced_by", sa.String(40), nullable=True),  # the same without the erased
)

dataset_feedback = sa.Table(
    "dataset_feedback",
    metadata,
    column("dataset_id", sa.String(40), primary_key=True),
    column("feedback_id", sa.String(200), primary_key=True),
    column("tenant", sa.String(100)),
    column("subject_id", sa.String(64), nullable=True),
    column("used", sa.Boolean),
    column("reason", sa.Text, nullable=True),  # why it was left out, or what was decided on its vote
    sa.Index("ix_dataset_feedback_feedback", "tenant", "feedback_id"),
    sa.Index("ix_dataset_feedback_subject", "tenant", "subject_id"),
)

tuning_jobs = sa.Table(
    "tuning_jobs",
    metadata,
    column("key", sa.String(64), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("provider", sa.String(40)),
    column("spec", sa.JSON),
    column("status", sa.String(20)),
    column("provider_job_id", sa.Text, nullable=True),  # absent: an intent whose effect is not known yet
    column("message", sa.Text, default=""),
    column("metrics", sa.JSON, default=dict),
    column("created_at", UtcDateTime),
    column("updated_at", UtcDateTime),
    column("limits", sa.JSON(none_as_null=True), nullable=True),  # absent: the defaults
    column("run_id", sa.String(40), nullable=True),  # of the orchestrator: cancelling it cancels the job
    column("progress", sa.Float, nullable=True),
    column("checkpoints", sa.JSON(none_as_null=True), nullable=True),  # all that were ever seen
    column("started_at", UtcDateTime, nullable=True),  # first seen at work
    column("moved_at", UtcDateTime, nullable=True),  # when the provider last told anything new
    column("stale_since", UtcDateTime, nullable=True),
    column("stop_requested_at", UtcDateTime, nullable=True),
    column("stop_reason", sa.Text, nullable=True),
    column("kept", sa.JSON(none_as_null=True), nullable=True),  # the checkpoint that stands for the result
)

models = sa.Table(
    "models",
    metadata,
    column("name", sa.String(100), primary_key=True),  # behind the gateway; it belongs to one tenant
    column("tenant", sa.String(100)),
    column("feedback_threshold", sa.Integer, nullable=True),  # absent: the default of the settings
    column("threshold_hours", sa.Float, nullable=True),
    column("created_at", UtcDateTime),
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    column("id", sa.String(80), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("model", sa.String(100), index=True),
    column("base_model", sa.Text),
    column("dataset_id", sa.String(40), nullable=True),
    column("job_key", sa.String(64), nullable=True),
    column("provider", sa.String(40)),
    column("served_model", sa.Text, nullable=True),
    column("files", sa.JSON),
    column("metrics", sa.JSON),
    column("hyperparameters", sa.JSON),
    column("created_at", UtcDateTime),
    column(
        "holds_erased_since", UtcDateTime, nullable=True
    ),  # trained on data of a person who was erased then
    column("status", sa.String(20), default="available"),
    column("revision", sa.Integer, default=1),  # of the status
    column("code", sa.JSON(none_as_null=True), nullable=True),  # what trained it; absent: not known
    column("parents", sa.JSON, default=list),  # versions that it was trained from
    sa.UniqueConstraint("model", "job_key"),  # a job may serve two models, each of them once
)

status_history = sa.Table(
    "status_history",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("version_id", sa.String(80), index=True),
    column("before", sa.String(20), nullable=True),  # absent of the first one
    column("status", sa.String(20)),
    column("reason", sa.Text),
    column("actor", sa.String(200), nullable=True),
    column("at", UtcDateTime),
)

aliases = sa.Table(
    "aliases",
    metadata,
    column("model", sa.String(100), primary_key=True),
    column("alias", sa.String(40), primary_key=True),  # stable, staging/candidate
    column("version_id", sa.String(80)),
    column("updated_at", UtcDateTime),
)

alias_history = sa.Table(
    "alias_history",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("model", sa.String(100)),
    column("alias", sa.String(40)),
    column("version_id", sa.String(80), nullable=True),  # absent: the alias was removed
    column("reason", sa.Text),
    column("actor", sa.String(200), nullable=True),  # absent: nobody said who
    column("at", UtcDateTime),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    column("version_id", sa.String(80), primary_key=True),
    column("base_url", sa.Text),
    column("served_model", sa.Text),
    column("extra_body", sa.JSON),
    column("api_key_env", sa.Text, nullable=True),
    column("updated_at", UtcDateTime),
)

endpoint_history = sa.Table(
    "endpoint_history",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("version_id", sa.String(80), index=True),
    column("base_url", sa.Text),
    column("served_model", sa.Text),
    column("digest", sa.String(64)),  # of the whole endpoint
    column("actor", sa.String(200), nullable=True),
    column("at", UtcDateTime),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    column("id", sa.String(40), primary_key=True),  # of versions, dataset and settings
    column("tenant", sa.String(100), index=True),
    column("model", sa.String(100)),
    column("candidate", sa.String(80)),
    column("baseline", sa.String(80)),
    column("dataset_id", sa.String(40)),
    column("result", sa.JSON),
    column("created_at", UtcDateTime),
)

drift_reports = sa.Table(
    "drift_reports",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("dataset_id", sa.String(40)),
    column("reference_id", sa.Text),
    column("result", sa.JSON),
    column("model", sa.String(100), nullable=True),
    column("kind", sa.String(20), nullable=True),  # dataset, live
    column("check_number", sa.Integer, nullable=True),  # of this model: repeated checks share their alpha
    column("alpha", sa.Float, nullable=True),
    column("created_at", UtcDateTime),
)

cost_entries = sa.Table(
    "cost_entries",
    metadata,
    column("id", sa.String(64), primary_key=True),  # of what it is for: counted once however often it is told
    column("tenant", sa.String(100), index=True),
    column("purpose", sa.String(40)),  # training
    column("object_id", sa.Text),
    column("provider", sa.String(40)),
    column("amount", sa.Text, nullable=True),  # a decimal; absent: not known, see `note`
    column("currency", sa.String(3), nullable=True),
    column("usage", sa.JSON),
    column("note", sa.Text),
    column("created_at", UtcDateTime),
)

erasures = sa.Table(
    "erasures",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100)),
    column("subject_id", sa.String(64)),
    column("requested_by", sa.String(200)),
    column("state", sa.String(20)),  # requested, completed, incomplete
    column("erased_at", UtcDateTime),  # what the person said up to here never comes back
    column("counts", sa.JSON),  # rows removed at once, by table
    column("certificate", sa.JSON, nullable=True),
    column("completed_at", UtcDateTime, nullable=True),
    sa.Index("ix_erasures_subject", "tenant", "subject_id"),
)

# A receipt says "erased" by this alone; the ids themselves are gone.
erased_feedback = sa.Table(
    "erased_feedback",
    metadata,
    column("tenant", sa.String(100), primary_key=True),
    column("feedback_key", sa.String(64), primary_key=True),  # of the feedback id, by the tenant's key
    column("erasure_id", sa.String(40)),
)
