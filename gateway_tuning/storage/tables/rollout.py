"""Cycles, canaries, shadows, what happened to each request, who may send them, and leases."""

import sqlalchemy as sa

from gateway_tuning.storage.tables.columns import Sequence, UtcDateTime, column, metadata

cycles = sa.Table(
    "cycles",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100)),
    column("model", sa.String(100)),
    column("plan_hash", sa.String(64)),
    column("plan", sa.JSON),
    column("watermark", sa.BigInteger),
    column("incumbent", sa.String(80)),
    column("started_by", sa.String(200)),  # a principal of the API, or what else began it
    column("status", sa.String(20)),  # running, awaiting_approval, in_canary, finished
    column("outcome", sa.String(30), nullable=True),
    column("reasons", sa.JSON, default=list),
    column("created_at", UtcDateTime),
    column("finished_at", UtcDateTime, nullable=True),
    column("run_id", sa.String(40), nullable=True),  # the orchestrator's run that carried it last
    # One unfinished cycle a model: the store refuses a second one whatever Prefect does.
    sa.Index(
        "uq_cycles_open",
        "tenant",
        "model",
        unique=True,
        sqlite_where=sa.text("status != 'finished'"),
        postgresql_where=sa.text("status != 'finished'"),
    ),
)

cycle_stages = sa.Table(
    "cycle_stages",
    metadata,
    column("cycle_id", sa.String(40), sa.ForeignKey("cycles.id"), primary_key=True),
    column("stage", sa.String(20), primary_key=True),
    column("object_id", sa.Text),
    column("detail", sa.JSON, default=dict),
    column("seconds", sa.Float),
    column("finished_at", UtcDateTime),
)

canaries = sa.Table(
    "canaries",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("model", sa.String(100)),
    column("candidate", sa.String(80)),
    column("control", sa.String(80)),
    column("policy", sa.JSON),
    column("salt", sa.String(64)),
    column("state", sa.String(20)),  # running, promoted, rolled_back, inconclusive, invalid, superseded
    column("stage", sa.Integer),
    column("share", sa.Float),
    column("looks", sa.Integer),
    column("reasons", sa.JSON, default=list),
    column("started_at", UtcDateTime),
    column("stage_started_at", UtcDateTime),
    column("finished_at", UtcDateTime, nullable=True),
    column("config_hash", sa.String(64), nullable=True),  # of endpoints, policy, judge
    column("approved_share", sa.Float, nullable=True),  # absent: every stage may be served
    column("started_by", sa.String(200), nullable=True),
    column("ended_by", sa.String(200), nullable=True),  # absent: a look ended it
    column("verified_at", UtcDateTime, nullable=True),  # every gateway said that it serves the end of it
    column("verification", sa.Text, nullable=True),  # what they said last
    sa.Index(
        "uq_canaries_running",
        "model",
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    ),
)

canary_looks = sa.Table(
    "canary_looks",
    metadata,
    column("canary_id", sa.String(40), sa.ForeignKey("canaries.id"), primary_key=True),
    column("look", sa.Integer, primary_key=True),
    column("at", UtcDateTime),
    column("stage", sa.Integer),
    column("share", sa.Float),
    column("decision", sa.String(20)),
    column("verdict", sa.JSON),
)

canary_actions = sa.Table(
    "canary_actions",
    metadata,
    column("sequence", Sequence, primary_key=True, autoincrement=True),
    column("canary_id", sa.String(40), sa.ForeignKey("canaries.id"), index=True),
    column("action", sa.String(20)),  # approve, reject, abort, override
    column("share", sa.Float, nullable=True),  # the share asked for; 1 is the promotion
    column("actor", sa.String(200)),
    column("comment", sa.Text, nullable=True),
    column("at", UtcDateTime),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    column("answer_id", sa.String(40), primary_key=True),
    column("model", sa.String(100)),
    column("canary_id", sa.String(40), nullable=True, index=True),
    column("arm", sa.String(20)),  # canary, control, stable
    column("version_id", sa.String(80)),
    column("user_key", sa.String(64)),  # salted hash: joins requests of a user, names nobody
    column("at", UtcDateTime),
    column("latency_ms", sa.Float),
    column("error", sa.Text, nullable=True),
    column("prompt_tokens", sa.Integer, nullable=True),
    column("completion_tokens", sa.Integer, nullable=True),
    column("prompt_chars", sa.Integer, nullable=True),
    column("answer_chars", sa.Integer, nullable=True),
    column("refused", sa.Boolean, nullable=True),
    column("rating", sa.Float, nullable=True),  # -1 to 1
    column("relevance", sa.Float, nullable=True),  # 0 to 1, of a sampled share
    column("first_token_ms", sa.Float, nullable=True),  # of a streamed answer
    column("answered_by", sa.String(80), nullable=True),  # the version that helped out where this one failed
    column("key_id", sa.String(40), nullable=True),  # the virtual key
    column("simulated", sa.Boolean, default=False),
    sa.Index("ix_outcomes_version_at", "version_id", "at"),  # a look at what a version was asked lately
)

shadows = sa.Table(
    "shadows",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("model", sa.String(100)),
    column("candidate", sa.String(80)),
    column("control", sa.String(80)),
    column("share", sa.Float),  # of requests that are mirrored
    column("budget", sa.String(40), nullable=True),  # a decimal of `currency`; absent: the cost is not known
    column("spent", sa.String(40), nullable=True),
    column("held", sa.String(40), nullable=True),  # what requests under way may cost at most
    column("currency", sa.String(3), nullable=True),
    column("input_price", sa.String(40), nullable=True),  # of a million tokens, when it began
    column("output_price", sa.String(40), nullable=True),
    column("max_requests", sa.Integer),
    column("requests", sa.Integer, default=0),  # sent or about to be: counted before they go out
    column("state", sa.String(20)),  # running, finished, over_budget, stopped
    column("reasons", sa.JSON, default=list),
    column("salt", sa.String(64)),
    column("started_by", sa.String(200)),
    column("started_at", UtcDateTime),
    column("ends_at", UtcDateTime),
    column("finished_at", UtcDateTime, nullable=True),
)

shadow_pairs = sa.Table(
    "shadow_pairs",
    metadata,
    column("shadow_id", sa.String(40), sa.ForeignKey("shadows.id"), primary_key=True),
    column("answer_id", sa.String(40), primary_key=True),
    column("user_key", sa.String(64)),
    column("at", UtcDateTime),
    column("control_scores", sa.JSON),
    column("candidate_scores", sa.JSON),
    column("control_ms", sa.Float),
    column("candidate_ms", sa.Float, nullable=True),
    column("candidate_error", sa.Text, nullable=True),
    column("cost", sa.String(40), nullable=True),  # absent: not known
)

gateway_keys = sa.Table(
    "gateway_keys",
    metadata,
    column("id", sa.String(40), primary_key=True),
    column("tenant", sa.String(100), index=True),
    column("name", sa.String(100)),
    column("secret_sha256", sa.String(64)),
    column("models", sa.JSON, nullable=True),  # absent: every model
    column("requests_per_minute", sa.Integer, nullable=True),  # absent: no limit
    column("tokens_per_minute", sa.Integer, nullable=True),
    column("created_by", sa.String(200)),
    column("created_at", UtcDateTime),
    column("expires_at", UtcDateTime, nullable=True),
    column("revoked_at", UtcDateTime, nullable=True),
)

model_names = sa.Table(
    "model_names",
    metadata,
    column("name", sa.String(100), primary_key=True),  # what a client asks for
    column("model", sa.String(100)),
    column("created_by", sa.String(200)),
    column("created_at", UtcDateTime),
)

leases = sa.Table(
    "leases",
    metadata,
    column("name", sa.String(200), primary_key=True),
    column("owner", sa.String(200)),
    column("fence", sa.BigInteger),
    column("expires_at", UtcDateTime),
)
