"""Tenants, access, receipts, thresholds and erasures; a user stands in the feedback by a keyed id alone."""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from gateway_tuning.feedback.subjects import subject_id
from gateway_tuning.storage.tables import UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TENANT = sa.String(length=100)
OWNED = ("canaries", "drift_reports", "evaluations", "model_versions", "tuning_jobs")


def upgrade() -> None:
    _create_tables()
    for name in OWNED:
        op.add_column(name, sa.Column("tenant", TENANT, nullable=True))
    op.add_column(
        "model_versions", sa.Column("holds_erased_since", UtcDateTime(timezone=True), nullable=True)
    )
    op.add_column("datasets", sa.Column("retired_at", UtcDateTime(timezone=True), nullable=True))
    op.add_column("datasets", sa.Column("replaced_by", sa.String(length=40), nullable=True))
    op.add_column("cycles", sa.Column("started_by", sa.String(length=200), nullable=True))
    op.add_column("feedback", sa.Column("subject_id", sa.String(length=64), nullable=True))
    op.add_column("feedback", sa.Column("revision", sa.BigInteger(), nullable=True))
    op.add_column("quarantine", sa.Column("subject_id", sa.String(length=64), nullable=True))
    _fill(op.get_bind())
    for name in OWNED:
        with op.batch_alter_table(name) as table:
            table.alter_column("tenant", existing_type=TENANT, nullable=False)
            table.create_index(f"ix_{name}_tenant", ["tenant"])
    with op.batch_alter_table("cycles") as table:
        table.alter_column("started_by", existing_type=sa.String(length=200), nullable=False)
    # A sequence is never given twice, so the copy that SQLite makes must count on.
    with op.batch_alter_table("feedback", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("revision", existing_type=sa.BigInteger(), nullable=False)
        table.drop_column("user_id")
        table.create_index("ix_feedback_tenant_sequence", ["tenant", "sequence"])
        table.create_index("ix_feedback_tenant_subject", ["tenant", "subject_id"])
    with op.batch_alter_table("quarantine") as table:
        table.create_index("ix_quarantine_feedback_id", ["feedback_id"])
    _refuse_changes_of_the_audit_log(op.get_bind().dialect.name)


def _fill(connection: sa.Connection) -> None:
    """Who owns what: by its dataset, then by the cycle of its model; what no cycle made is the default tenant's."""
    ask = connection.exec_driver_sql
    now = datetime.now(UTC)
    by_dataset = {row[0]: row[1] for row in ask("SELECT id, tenant FROM datasets")}
    by_model = {row[0]: row[1] for row in ask("SELECT model, tenant FROM cycles ORDER BY created_at DESC")}
    owners: dict[str, dict[str, str]] = {name: {} for name in OWNED}
    for id_, model, dataset in ask("SELECT id, model, dataset_id FROM model_versions"):
        owners["model_versions"][id_] = by_dataset.get(dataset) or by_model.get(model) or "default"
        by_model.setdefault(model, owners["model_versions"][id_])
    for table in ("evaluations", "drift_reports"):
        for id_, dataset in ask(f"SELECT id, dataset_id FROM {table}"):  # noqa: S608 - fixed names
            owners[table][id_] = by_dataset.get(dataset, "default")
    for id_, model in ask("SELECT id, model FROM canaries"):
        owners["canaries"][id_] = by_model.get(model, "default")
    for key, spec in connection.execute(sa.text("SELECT key, spec FROM tuning_jobs")):
        dataset = (json.loads(spec) if isinstance(spec, str) else spec)["dataset_id"]
        owners["tuning_jobs"][key] = by_dataset.get(dataset, "default")
    for table, found in owners.items():
        key = "key" if table == "tuning_jobs" else "id"
        statement = sa.text(f"UPDATE {table} SET tenant = :tenant WHERE {key} = :id")  # noqa: S608 - fixed names
        for id_, tenant in found.items():
            connection.execute(statement, {"id": id_, "tenant": tenant})
    models = sa.table("models", *map(sa.column, ("name", "tenant")), sa.column("created_at", UtcDateTime()))
    for model, tenant in by_model.items():
        connection.execute(models.insert().values(name=model, tenant=tenant, created_at=now))
    ask("UPDATE cycles SET started_by = 'unknown'")
    ask("UPDATE feedback SET revision = -1")
    _hash_again(connection)
    _name_subjects(connection, now)


def _hash_again(connection: sa.Connection) -> None:
    """Content is hashed without what is absent from now on; what is imported again must still be known."""
    statement = sa.text("UPDATE feedback SET content_hash = :digest WHERE sequence = :sequence")
    last = 0
    while rows := connection.execute(
        sa.text("SELECT sequence, record FROM feedback WHERE sequence > :last ORDER BY sequence LIMIT 500"),
        {"last": last},
    ).all():
        for sequence, record in rows:
            content = json.loads(record) if isinstance(record, str) else record
            present = orjson.dumps(_without_nulls(content), option=orjson.OPT_SORT_KEYS)
            digest = sha256(present).hexdigest()
            connection.execute(statement, {"digest": digest, "sequence": sequence})
            last = sequence


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _name_subjects(connection: sa.Connection, now: datetime) -> None:
    tenants = sa.table(
        "tenants", *map(sa.column, ("name", "subject_key")), sa.column("created_at", UtcDateTime())
    )
    for (tenant,) in connection.exec_driver_sql("SELECT DISTINCT tenant FROM feedback").all():
        key = secrets.token_hex(32)
        connection.execute(tenants.insert().values(name=tenant, subject_key=key, created_at=now))
        users = connection.execute(
            sa.text("SELECT DISTINCT user_id FROM feedback WHERE tenant = :tenant AND user_id IS NOT NULL"),
            {"tenant": tenant},
        ).all()
        statement = sa.text("UPDATE feedback SET subject_id = :id WHERE tenant = :tenant AND user_id = :user")
        for (user,) in users:
            connection.execute(statement, {"id": subject_id(key, user), "tenant": tenant, "user": user})


def _refuse_changes_of_the_audit_log(dialect: str) -> None:
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_entries_no_{change.lower()} BEFORE {change} ON audit_entries "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def _create_tables() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_tenant"), ["tenant"], unique=False)

    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("candidate", sa.String(length=80), nullable=False),
        sa.Column("awaited_by", sa.String(length=20), nullable=False),
        sa.Column("awaited_id", sa.String(length=40), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("decided_by", sa.String(length=200), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("decided_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
        sa.UniqueConstraint("awaited_by", "awaited_id", name=op.f("uq_approvals_awaited_by_awaited_id")),
    )
    with op.batch_alter_table("approvals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_approvals_tenant"), ["tenant"], unique=False)

    op.create_table(
        "audit_entries",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_entries")),
        sa.UniqueConstraint("previous_hash", name=op.f("uq_audit_entries_previous_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_entries_tenant"), ["tenant"], unique=False)

    op.create_table(
        "cost_entries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.Text(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_entries")),
    )
    with op.batch_alter_table("cost_entries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_cost_entries_tenant"), ["tenant"], unique=False)

    op.create_table(
        "dataset_feedback",
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("feedback_id", sa.String(length=200), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=True),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("dataset_id", "feedback_id", name=op.f("pk_dataset_feedback")),
    )
    with op.batch_alter_table("dataset_feedback", schema=None) as batch_op:
        batch_op.create_index("ix_dataset_feedback_feedback", ["tenant", "feedback_id"], unique=False)
        batch_op.create_index("ix_dataset_feedback_subject", ["tenant", "subject_id"], unique=False)

    op.create_table(
        "enrichments",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("feedback_id", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("updated_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "feedback_id", name=op.f("pk_enrichments")),
    )
    with op.batch_alter_table("enrichments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_enrichments_sequence"), ["sequence"], unique=False)

    op.create_table(
        "erased_feedback",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("feedback_key", sa.String(length=64), nullable=False),
        sa.Column("erasure_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "feedback_key", name=op.f("pk_erased_feedback")),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("subject_id", sa.String(length=64), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("erased_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("certificate", sa.JSON(), nullable=True),
        sa.Column("completed_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.create_index("ix_erasures_subject", ["tenant", "subject_id"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key_sha256", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "models",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("feedback_threshold", sa.Integer(), nullable=True),
        sa.Column("threshold_hours", sa.Float(), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_models")),
    )
    op.create_table(
        "rating_tokens",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("answer_id", sa.String(length=200), nullable=False),
        sa.Column("feedback_id", sa.String(length=200), nullable=False),
        sa.Column("used_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "answer_id", name=op.f("pk_rating_tokens")),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=64), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("started_by", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("orchestrator_id", sa.String(length=40), nullable=True),
        sa.Column("result_id", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("updated_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        sa.UniqueConstraint("tenant", "idempotency_key", name=op.f("uq_runs_tenant_idempotency_key")),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index("ix_runs_tenant_created", ["tenant", "created_at"], unique=False)

    op.create_table(
        "tenants",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("subject_key", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tenants")),
    )
    op.create_table(
        "thresholds",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("watermark", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("reached_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("announced_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "model", "watermark", name=op.f("pk_thresholds")),
    )
