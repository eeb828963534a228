"""What may be spent, and what is set aside for jobs before they spend it."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import UtcDateTime, column, metadata

budgets = sa.Table(
    "budgets",
    metadata,
    column("tenant", sa.String(100), primary_key=True),
    column("currency", sa.String(3)),
    column("per_run", sa.Text, nullable=True),  # a decimal; absent: no limit
    column("per_month", sa.Text, nullable=True),
    column("updated_by", sa.String(200)),
    column("updated_at", UtcDateTime),
)

cost_reservations = sa.Table(
    "cost_reservations",
    metadata,
    column("job_key", sa.String(64), primary_key=True),
    column("tenant", sa.String(100)),
    column("month", sa.String(7)),  # of its declaration: 2026-11
    column("provider", sa.String(40)),
    column("base_model", sa.Text),
    column("method", sa.String(40)),
    column("state", sa.String(10)),  # reserved, settled, released
    column("currency", sa.String(3)),
    column("expected", sa.Text, nullable=True),  # decimals; absent: not known
    column("ceiling", sa.Text, nullable=True),
    column("actual", sa.Text, nullable=True),
    column("confidence", sa.String(10)),
    column("detail", sa.JSON),  # parts and reasons as told
    column("created_at", UtcDateTime),
    column("settled_at", UtcDateTime, nullable=True),
    sa.Index("ix_cost_reservations_month", "tenant", "month"),
)
