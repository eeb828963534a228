"""What an evaluation was told while it ran: answers, and what a judge said of them."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import UtcDateTime, column, metadata

predictions = sa.Table(
    "predictions",
    metadata,
    column("evaluation_id", sa.String(40), primary_key=True),
    column("example_id", sa.String(64), primary_key=True),
    column("role", sa.String(20), primary_key=True),  # candidate, stable, base; of a probe: candidate:probe
    column("tenant", sa.String(100)),
    column("dataset_id", sa.String(40), index=True),  # an erasure finds them by it
    column("version", sa.String(80)),
    column("text", sa.Text, nullable=True),
    column("error", sa.Text, nullable=True),
    column("unavailable", sa.Boolean),  # it failed because nobody answered: a run that resumes asks again
    column("runs", sa.Integer),  # that have asked it
    column("latency_ms", sa.Float),
    column("prompt_tokens", sa.Integer, nullable=True),
    column("completion_tokens", sa.Integer, nullable=True),
    column("created_at", UtcDateTime),
)

judgements = sa.Table(
    "judgements",
    metadata,
    column(
        "key", sa.String(64), primary_key=True
    ),  # of judge, rubric, prompt and both answers in their order
    column("tenant", sa.String(100), primary_key=True),
    column("dataset_id", sa.String(40), index=True),
    column("model", sa.String(200)),
    column("verdict", sa.String(10)),  # first, second, tie
    column("reason", sa.Text),
    column("prompt_tokens", sa.Integer, nullable=True),
    column("completion_tokens", sa.Integer, nullable=True),
    column("cost", sa.String(40), nullable=True),  # decimal, in the currency of its settings; NULL: unknown
    column("created_at", UtcDateTime),
)
