"""Who may what, who did what, and what was started for whom."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import Sequence, UtcDateTime, column, metadata

api_keys = sa.Table(
    "api_keys",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("name", sa.String(100)),
    column("role", sa.String(40)),
    column("secret_sha256", sa.String(64)),
    column("created_by", sa.String(200)),
    column("created_at", UtcDateTime),
    column("expires_at", UtcDateTime, nullable=True),
    column("revoked_at", UtcDateTime, nullable=True),
    column("last_used_at", UtcDateTime, nullable=True),
)

# Append-only: the migration adds triggers that refuse updates and deletions.
audit_entries = sa.Table(
    "audit_entries",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("at", UtcDateTime),
    column("tenant", sa.String(100), index=True),
    column("actor", sa.String(200)),
    column("action", sa.String(60)),
    column("object_id", sa.Text),
    column("outcome", sa.String(20)),  # done, denied, failed
    column("request_id", sa.String(64), nullable=True),
    column("detail", sa.JSON),  # names and figures, never texts of a user
    column("previous_hash", sa.String(64)),
    column("hash", sa.String(64)),
    sa.UniqueConstraint("previous_hash"),  # a chain does not fork
    sqlite_autoincrement=True,
)

runs = sa.Table(
    "runs",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100)),
    column("kind", sa.String(40)),
    column("parameters", sa.JSON),
    column("idempotency_key", sa.String(64), nullable=True),
    column("request_sha256", sa.String(64)),
    column("started_by", sa.String(200)),
    column("status", sa.String(20)),  # awaiting_approval, queued, running, succeeded, failed, cancelled
    column("orchestrator_id", sa.String(40), nullable=True),  # absent: an intent whose run is not known yet
    column("result_id", sa.Text, nullable=True),
    column("message", sa.Text),
    column("created_at", UtcDateTime),
    column("updated_at", UtcDateTime),
    sa.UniqueConstraint("tenant", "idempotency_key"),
    sa.Index("ix_runs_tenant_created", "tenant", "created_at"),
)

approvals = sa.Table(
    "approvals",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("model", sa.String(100)),
    column("candidate", sa.String(80)),
    column("awaited_by", sa.String(20)),  # cycle, run, canary
    column("awaited_id", sa.String(80)),  # of a canary with the share that is asked for
    column("requested_by", sa.String(200)),
    column("reasons", sa.JSON),  # what the gate found
    column("state", sa.String(20)),  # pending, approved, rejected, withdrawn
    column("decided_by", sa.String(200), nullable=True),
    column("comment", sa.Text, nullable=True),
    column("created_at", UtcDateTime),
    column("decided_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint("awaited_by", "awaited_id"),
)
