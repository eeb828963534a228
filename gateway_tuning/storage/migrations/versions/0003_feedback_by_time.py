"""Feedback is found by its time, so that a block of it is read without a look at all the others."""

from collections.abc import Sequence

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_feedback_tenant_time",
        "feedback",
        ["tenant", "event_time", "id", "type", "sequence"],
        postgresql_ops={"id": 'COLLATE "C"'},
    )
