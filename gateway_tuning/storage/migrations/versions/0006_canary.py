"""Gateway and canary: who may call, what a canary is pinned to and who said so, shadows, more of each request."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from gateway_tuning.storage.tables import UtcDateTime
from gateway_tuning.storage.tables.columns import Sequence as Counter

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CANARY_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("config_hash", sa.String(length=64)),
    ("approved_share", sa.Float()),
    ("started_by", sa.String(length=200)),
    ("ended_by", sa.String(length=200)),
    ("verified_at", UtcDateTime(timezone=True)),
    ("verification", sa.Text()),
)
OUTCOME_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("relevance", sa.Float()),
    ("first_token_ms", sa.Float()),
    ("answered_by", sa.String(length=80)),
    ("key_id", sa.String(length=40)),
)


def upgrade() -> None:
    for name, kind in CANARY_COLUMNS:
        op.add_column("canaries", sa.Column(name, kind, nullable=True))
    for name, kind in OUTCOME_COLUMNS:
        op.add_column("outcomes", sa.Column(name, kind, nullable=True))
    _resize_awaited(40, 80)
    op.create_table(
        "canary_actions",
        sa.Column("sequence", Counter, nullable=False, autoincrement=True),
        sa.Column("canary_id", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("share", sa.Float(), nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["canary_id"], ["canaries.id"]),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_canary_actions_canary_id", "canary_actions", ["canary_id"])
    op.create_table(
        "endpoint_history",
        sa.Column("sequence", Counter, nullable=False, autoincrement=True),
        sa.Column("version_id", sa.String(length=80), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("served_model", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=True),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_endpoint_history_version_id", "endpoint_history", ["version_id"])
    _create_shadows()
    op.create_table(
        "gateway_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("models", sa.JSON(), nullable=True),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("tokens_per_minute", sa.Integer(), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_gateway_keys_tenant", "gateway_keys", ["tenant"])
    op.create_table(
        "model_names",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_shadows() -> None:
    op.create_table(
        "shadows",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("candidate", sa.String(length=80), nullable=False),
        sa.Column("control", sa.String(length=80), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("budget", sa.String(length=40), nullable=True),
        sa.Column("spent", sa.String(length=40), nullable=True),
        sa.Column("held", sa.String(length=40), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("input_price", sa.String(length=40), nullable=True),
        sa.Column("output_price", sa.String(length=40), nullable=True),
        sa.Column("max_requests", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("started_by", sa.String(length=200), nullable=False),
        sa.Column("started_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("finished_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_shadows_tenant", "shadows", ["tenant"])
    op.create_table(
        "shadow_pairs",
        sa.Column("shadow_id", sa.String(length=40), nullable=False),
        sa.Column("answer_id", sa.String(length=40), nullable=False),
        sa.Column("user_key", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("control_scores", sa.JSON(), nullable=False),
        sa.Column("candidate_scores", sa.JSON(), nullable=False),
        sa.Column("control_ms", sa.Float(), nullable=False),
        sa.Column("candidate_ms", sa.Float(), nullable=True),
        sa.Column("candidate_error", sa.Text(), nullable=True),
        sa.Column("cost", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["shadow_id"], ["shadows.id"]),
        sa.PrimaryKeyConstraint("shadow_id", "answer_id"),
    )


def _resize_awaited(before: int, length: int) -> None:
    with op.batch_alter_table("approvals") as table:
        table.alter_column(
            "awaited_id",
            existing_type=sa.String(length=before),
            type_=sa.String(length=length),
            existing_nullable=False,
        )


def downgrade() -> None:
    _resize_awaited(80, 40)
    op.drop_table("model_names")
    op.drop_index("ix_gateway_keys_tenant", "gateway_keys")
    op.drop_table("gateway_keys")
    op.drop_table("shadow_pairs")
    op.drop_index("ix_shadows_tenant", "shadows")
    op.drop_table("shadows")
    op.drop_index("ix_endpoint_history_version_id", "endpoint_history")
    op.drop_table("endpoint_history")
    op.drop_index("ix_canary_actions_canary_id", "canary_actions")
    op.drop_table("canary_actions")
    for name, _ in reversed(OUTCOME_COLUMNS):
        op.drop_column("outcomes", name)
    for name, _ in reversed(CANARY_COLUMNS):
        op.drop_column("canaries", name)
