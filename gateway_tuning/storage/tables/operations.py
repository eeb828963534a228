"""What people do about what was set aside, and what they are told."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import Sequence, UtcDateTime, column, metadata

quarantine_reviews = sa.Table(
    "quarantine_reviews",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("tenant", sa.String(100)),
    column("fingerprint", sa.String(64)),  # of the entry in `quarantine`
    column("feedback_id", sa.Text, nullable=True, index=True),
    column("feedback_sequence", sa.BigInteger, nullable=True),  # of the version that the decision is about
    column("decision", sa.String(20)),  # accepted, rejected; the newest counts
    column("reason", sa.Text),
    column("actor", sa.String(200)),
    column("at", UtcDateTime),
    sa.Index("ix_quarantine_reviews_tenant_fingerprint", "tenant", "fingerprint"),
)

restarts = sa.Table(
    "restarts",
    metadata,
    column("subject", sa.String(80), primary_key=True),  # a run's id, or `cycle` and its id
    column("number", sa.Integer, primary_key=True),
    column("reason", sa.String(40)),
    column("at", UtcDateTime),
)

notifications = sa.Table(
    "notifications",
    metadata,
    column("id", sa.String(64), primary_key=True),  # of what happened: told once, however often it is noticed
    column("tenant", sa.String(100)),
    column("kind", sa.String(40)),  # gate, canary, cost, failure, drift, approval
    column("severity", sa.String(20)),  # information, warning, alarm
    column("subject", sa.Text),
    column("body", sa.Text),  # Markdown without a text of a user
    column("object_id", sa.Text, nullable=True),
    column("created_at", UtcDateTime),
    sa.Index("ix_notifications_created_at", "created_at"),
)

notification_deliveries = sa.Table(
    "notification_deliveries",
    metadata,
    column("notification_id", sa.String(64), sa.ForeignKey("notifications.id"), primary_key=True),
    column("channel", sa.String(40), primary_key=True),  # webhook, email
    column("attempts", sa.Integer),
    column("next_attempt_at", UtcDateTime),
    column("sent_at", UtcDateTime, nullable=True),
    column("error", sa.Text, nullable=True),  # of the last attempt
)
