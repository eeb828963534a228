"""Reviews of what was set aside, and what people are told."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from gateway_tuning.storage.tables import UtcDateTime
from gateway_tuning.storage.tables.columns import Sequence as Counter

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("cycles", sa.Column("run_id", sa.String(length=40), nullable=True))
    op.create_index("ix_quarantine_tenant_sequence", "quarantine", ["tenant", "sequence"])
    op.create_table(
        "quarantine_reviews",
        sa.Column("sequence", Counter, nullable=False, autoincrement=True),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("feedback_id", sa.Text(), nullable=True),
        sa.Column("feedback_sequence", sa.BigInteger(), nullable=True),
        sa.Column("decision", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index("ix_quarantine_reviews_feedback_id", "quarantine_reviews", ["feedback_id"])
    op.create_index(
        "ix_quarantine_reviews_tenant_fingerprint", "quarantine_reviews", ["tenant", "fingerprint"]
    )
    op.create_table(
        "restarts",
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", "number"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_notifications_created_at", "notifications", ["created_at"])
    op.create_table(
        "notification_deliveries",
        sa.Column("notification_id", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("sent_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["notification_id"], ["notifications.id"]),
        sa.PrimaryKeyConstraint("notification_id", "channel"),
    )


def downgrade() -> None:
    op.drop_table("notification_deliveries")
    op.drop_index("ix_notifications_created_at", "notifications")
    op.drop_table("notifications")
    op.drop_table("restarts")
    op.drop_index("ix_quarantine_reviews_tenant_fingerprint", "quarantine_reviews")
    op.drop_index("ix_quarantine_reviews_feedback_id", "quarantine_reviews")
    op.drop_table("quarantine_reviews")
    op.drop_index("ix_quarantine_tenant_sequence", "quarantine")
    op.drop_column("cycles", "run_id")
