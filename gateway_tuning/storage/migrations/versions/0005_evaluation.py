"""Evaluation and drift: answers and judgements as they come, whose drift was checked, lengths of live answers."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from gateway_tuning.storage.tables import UtcDateTime

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# A check of before has no model and is of a dataset.
DRIFT_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("model", sa.String(length=100)),
    ("kind", sa.String(length=20)),
    ("check_number", sa.Integer()),
    ("alpha", sa.Float()),
)
OUTCOME_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("prompt_chars", sa.Integer()),
    ("answer_chars", sa.Integer()),
    ("refused", sa.Boolean()),
)


def upgrade() -> None:
    op.create_table(
        "predictions",
        sa.Column("evaluation_id", sa.String(length=40), nullable=False),
        sa.Column("example_id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("unavailable", sa.Boolean(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "example_id", "role"),
    )
    op.create_index("ix_predictions_dataset_id", "predictions", ["dataset_id"])
    op.create_table(
        "judgements",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("cost", sa.String(length=40), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "tenant"),
    )
    op.create_index("ix_judgements_dataset_id", "judgements", ["dataset_id"])
    for name, kind in DRIFT_COLUMNS:
        op.add_column("drift_reports", sa.Column(name, kind, nullable=True))
    for name, kind in OUTCOME_COLUMNS:
        op.add_column("outcomes", sa.Column(name, kind, nullable=True))
    op.create_index("ix_outcomes_version_at", "outcomes", ["version_id", "at"])


def downgrade() -> None:
    op.drop_index("ix_outcomes_version_at", "outcomes")
    for name, _ in reversed(OUTCOME_COLUMNS):
        op.drop_column("outcomes", name)
    for name, _ in reversed(DRIFT_COLUMNS):
        op.drop_column("drift_reports", name)
    op.drop_index("ix_judgements_dataset_id", "judgements")
    op.drop_table("judgements")
    op.drop_index("ix_predictions_dataset_id", "predictions")
    op.drop_table("predictions")
