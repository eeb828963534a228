"""Searches for hyperparameters, and their trials. What a trial's job did stands with the job."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import UtcDateTime, column, metadata

searches = sa.Table(
    "searches",
    metadata,
    column("id", sa.String(40), primary_key=True),  # of the dataset and the plan
    column("tenant", sa.String(100), index=True),
    column("dataset_id", sa.String(40)),
    column("plan", sa.JSON),
    column("active_s", sa.Float),  # that runs have worked on it
    column("ended_by", sa.Text, nullable=True),
    column("result", sa.JSON(none_as_null=True), nullable=True),
    column("created_at", UtcDateTime),
    column("finished_at", UtcDateTime, nullable=True),
)

search_trials = sa.Table(
    "search_trials",
    metadata,
    column("search_id", sa.String(40), primary_key=True),
    column("number", sa.Integer, primary_key=True, autoincrement=False),
    column("role", sa.String(20)),
    column("hyperparameters", sa.JSON),
    column("seed", sa.BigInteger),
    column("job_key", sa.String(64)),
    column("state", sa.String(10)),
    column("stopping", sa.String(10), nullable=True),  # the state that its job is stopped for
    column("rungs", sa.Integer),
    column("reports", sa.JSON),  # step and validation loss; null is not a number
    column("value", sa.Float, nullable=True),
    column("price", sa.Text, nullable=True),  # decimals; absent: not known
    column("cost", sa.Text, nullable=True),
    column("message", sa.Text),
    column("created_at", UtcDateTime),
    column("ended_at", UtcDateTime, nullable=True),
)
