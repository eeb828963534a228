"""Feedback as it comes in, and what is known of it before it is used."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import Sequence, UtcDateTime, column, metadata

feedback = sa.Table(
    "feedback",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("tenant", sa.String(100)),
    column("id", sa.String(200)),
    column("subject_id", sa.String(64), nullable=True),  # the user, by the tenant's key
    column("type", sa.String(40)),
    column("event_time", UtcDateTime),
    column("revision", sa.BigInteger),  # of the sender; -1 where none was given
    column("received_at", UtcDateTime),
    column("content_hash", sa.String(64)),
    column("record", sa.JSON),
    sa.UniqueConstraint("tenant", "id"),
    sa.Index("ix_feedback_tenant_sequence", "tenant", "sequence"),
    sa.Index("ix_feedback_tenant_subject", "tenant", "subject_id"),
    # Blocks of feedback (`feedback.blocks`) are cut from this index alone, and each is read as one range of it: ids by
    # their code points, as SQLite sorts them anyway. The collation stands where PostgreSQL's operator class would.
    sa.Index(
        "ix_feedback_tenant_time",
        *("tenant", "event_time", "id", "type", "sequence"),
        postgresql_ops={"id": 'COLLATE "C"'},
    ),
    sqlite_autoincrement=True,  # a sequence is never given twice: the newest record may be replaced or erased
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("tenant", sa.String(100)),
    column("fingerprint", sa.String(64)),  # of text and stage: set aside once, however often it is read
    column("stage", sa.String(20)),  # reading, validation, trust, anonymization
    column("source", sa.Text),
    column("position", sa.Text),
    column("feedback_id", sa.Text, nullable=True, index=True),
    column("subject_id", sa.String(64), nullable=True),
    column("reasons", sa.JSON),
    column("raw", sa.Text, nullable=True),  # ASCII-escaped JSON; absent when the record stands in `feedback`
    column("created_at", UtcDateTime),
    sa.UniqueConstraint("tenant", "fingerprint"),
    sa.Index("ix_quarantine_tenant_sequence", "tenant", "sequence"),  # the queue of reviews, newest first
)

feedback_batches = sa.Table(
    "feedback_batches",
    metadata,
    column("id", sa.String(64), primary_key=True),  # of the file's bytes and the mapping
    column("tenant", sa.String(100)),
    column("source", sa.Text),
    column("counts", sa.JSON),
    column("expectations", sa.JSON, nullable=True),
    column("created_at", UtcDateTime),
)

tenants = sa.Table(
    "tenants",
    metadata,
    column("name", sa.String(100), primary_key=True),
    column("subject_key", sa.String(64)),  # hex; without it nobody links a subject id to a user
    column("created_at", UtcDateTime),
)

enrichments = sa.Table(
    "enrichments",
    metadata,
    column("tenant", sa.String(100), primary_key=True),
    column("feedback_id", sa.String(200), primary_key=True),
    column("sequence", sa.BigInteger, index=True),  # of the version that was enriched
    column("status", sa.String(20)),  # done, failed
    column("attempts", sa.Integer),
    column("result", sa.JSON),
    column("updated_at", UtcDateTime),
)

rating_tokens = sa.Table(
    "rating_tokens",
    metadata,
    column("tenant", sa.String(100), primary_key=True),
    column("answer_id", sa.String(200), primary_key=True),  # a signed answer is rated under one feedback id
    column("feedback_id", sa.String(200)),
    column("used_at", UtcDateTime),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    column("tenant", sa.String(100), primary_key=True),
    column("key_sha256", sa.String(64), primary_key=True),
    column("request_sha256", sa.String(64)),
    column("created_at", UtcDateTime),
)

thresholds = sa.Table(
    "thresholds",
    metadata,
    column("tenant", sa.String(100), primary_key=True),
    column("model", sa.String(100), primary_key=True),
    column("watermark", sa.BigInteger, primary_key=True),  # of the last cycle: crossed once a watermark
    column("event_id", sa.String(36)),
    column("counted", sa.Integer),
    column("reached_at", UtcDateTime),
    column("announced_at", UtcDateTime, nullable=True),
    column("error", sa.Text, nullable=True),  # of the last attempt to announce it
)
