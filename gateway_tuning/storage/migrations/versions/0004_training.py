"""Training: jobs that survive, costs and budgets, searches, the registry. One section a topic."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from gateway_tuning.storage.tables import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Sections are called here, one line each."""
    _add_what_jobs_survive_by()
    _add_budgets()
    _add_searches()
    _add_statuses_of_versions()


def downgrade() -> None:
    """The sections' undoing, in reverse."""
    _drop_statuses_of_versions()
    _drop_searches()
    _drop_budgets()
    _drop_what_jobs_survive_by()


# Jobs that survive: what is needed to go on with one, to judge it and to stop it.
JOB_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ("limits", sa.JSON(none_as_null=True)),
    ("run_id", sa.String(length=40)),
    ("progress", sa.Float()),
    ("checkpoints", sa.JSON(none_as_null=True)),
    ("started_at", UtcDateTime(timezone=True)),
    ("moved_at", UtcDateTime(timezone=True)),
    ("stale_since", UtcDateTime(timezone=True)),
    ("stop_requested_at", UtcDateTime(timezone=True)),
    ("stop_reason", sa.Text()),
    ("kept", sa.JSON(none_as_null=True)),
)


def _add_what_jobs_survive_by() -> None:
    for name, kind in JOB_COLUMNS:
        op.add_column("tuning_jobs", sa.Column(name, kind, nullable=True))


def _drop_what_jobs_survive_by() -> None:
    for name, _ in reversed(JOB_COLUMNS):
        op.drop_column("tuning_jobs", name)


# Cost: what may be spent, and what is set aside for jobs before they spend it.
def _add_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("per_run", sa.Text(), nullable=True),
        sa.Column("per_month", sa.Text(), nullable=True),
        sa.Column("updated_by", sa.String(length=200), nullable=False),
        sa.Column("updated_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_budgets")),
    )
    op.create_table(
        "cost_reservations",
        sa.Column("job_key", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("ceiling", sa.Text(), nullable=True),
        sa.Column("actual", sa.Text(), nullable=True),
        sa.Column("confidence", sa.String(length=10), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("settled_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job_key", name=op.f("pk_cost_reservations")),
    )
    op.create_index("ix_cost_reservations_month", "cost_reservations", ["tenant", "month"])


def _drop_budgets() -> None:
    op.drop_index("ix_cost_reservations_month", "cost_reservations")
    op.drop_table("cost_reservations")
    op.drop_table("budgets")


# Searches for hyperparameters.
def _add_searches() -> None:
    op.create_table(
        "searches",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=100), nullable=False),
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("active_s", sa.Float(), nullable=False),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("finished_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
    )
    op.create_index(op.f("ix_searches_tenant"), "searches", ["tenant"])
    op.create_table(
        "search_trials",
        sa.Column("search_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("job_key", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("stopping", sa.String(length=10), nullable=True),
        sa.Column("rungs", sa.Integer(), nullable=False),
        sa.Column("reports", sa.JSON(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("price", sa.Text(), nullable=True),
        sa.Column("cost", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("search_id", "number", name=op.f("pk_search_trials")),
    )


def _drop_searches() -> None:
    op.drop_table("search_trials")
    op.drop_index(op.f("ix_searches_tenant"), "searches")
    op.drop_table("searches")


# The registry: statuses of versions with their history, what trained them, and who moved an alias.
VERSION_COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any], str], ...] = (
    ("status", sa.String(length=20), "'available'"),
    ("revision", sa.Integer(), "1"),
    ("parents", sa.JSON(), "'[]'"),
)
_DEPLOYED = "SELECT 1 FROM aliases WHERE aliases.version_id = model_versions.id AND aliases.alias = 'stable'"


def _add_statuses_of_versions() -> None:
    op.create_table(
        "status_history",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("version_id", sa.String(length=80), nullable=False),
        sa.Column("before", sa.String(length=20), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=True),
        sa.Column("at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_status_history")),
    )
    op.create_index(op.f("ix_status_history_version_id"), "status_history", ["version_id"])
    op.add_column("alias_history", sa.Column("actor", sa.String(length=200), nullable=True))
    op.add_column("model_versions", sa.Column("code", sa.JSON(none_as_null=True), nullable=True))
    for name, kind, _ in VERSION_COLUMNS:
        op.add_column("model_versions", sa.Column(name, kind, nullable=True))
    for name, _, value in VERSION_COLUMNS:
        op.execute(f"UPDATE model_versions SET {name} = {value}")  # noqa: S608 - of this file
    op.execute(f"UPDATE model_versions SET status = 'deployed' WHERE EXISTS ({_DEPLOYED})")  # noqa: S608 - of this file
    op.execute(
        "INSERT INTO status_history (version_id, status, reason, at) "
        "SELECT id, status, 'registered before statuses were kept', created_at FROM model_versions "
        "ORDER BY created_at, id"
    )
    with op.batch_alter_table("model_versions") as table:
        for name, kind, _ in VERSION_COLUMNS:
            table.alter_column(name, existing_type=kind, nullable=False)


def _drop_statuses_of_versions() -> None:
    for name, *_ in reversed(VERSION_COLUMNS):
        op.drop_column("model_versions", name)
    op.drop_column("model_versions", "code")
    op.drop_column("alias_history", "actor")
    op.drop_index(op.f("ix_status_history_version_id"), "status_history")
    op.drop_table("status_history")
