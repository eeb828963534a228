"""The metadata store: its tables and how to open it. Migrations in `migrations/` make the same tables."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC on both sides; SQLite drops time zones, so this puts them back."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the store keeps UTC only")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        del dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


# SQLite gives autoincrement to INTEGER keys alone.
Sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _column(name: str, kind: Any, *args: Any, **options: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, *args, **{"nullable": False, **options})


feedback = sa.Table(
    "feedback",
    metadata,
    _column("sequence", Sequence, primary_key=True, autoincrement=True),
    _column("tenant", sa.String(100)),
    _column("id", sa.String(200)),
    _column("user_id", sa.Text, nullable=True),
    _column("type", sa.String(40)),
    _column("event_time", UtcDateTime),
    _column("received_at", UtcDateTime),
    _column("content_hash", sa.String(64)),
    _column("record", sa.JSON),
    sa.UniqueConstraint("tenant", "id"),
    sqlite_autoincrement=True,  # a sequence is never given twice: the newest record may be replaced or erased
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    _column("sequence", Sequence, primary_key=True, autoincrement=True),
    _column("tenant", sa.String(100)),
    _column(
        "fingerprint", sa.String(64)
    ),  # of source text and stage: quarantined once, however often it is read
    _column("stage", sa.String(20)),  # reading, validation, anonymization
    _column("source", sa.Text),
    _column("position", sa.Text),
    _column("feedback_id", sa.Text, nullable=True),
    _column("reasons", sa.JSON),
    _column("raw", sa.Text, nullable=True),  # ASCII-escaped JSON; absent when the record stands in `feedback`
    _column("created_at", UtcDateTime),
    sa.UniqueConstraint("tenant", "fingerprint"),
)

feedback_batches = sa.Table(
    "feedback_batches",
    metadata,
    _column("id", sa.String(64), primary_key=True),  # of the file's bytes and the mapping
    _column("tenant", sa.String(100)),
    _column("source", sa.Text),
    _column("counts", sa.JSON),
    _column("expectations", sa.JSON, nullable=True),
    _column("created_at", UtcDateTime),
)

datasets = sa.Table(
    "datasets",
    metadata,
    _column("build_key", sa.String(64), primary_key=True),  # tenant, watermark and recipe
    _column("id", sa.String(40), index=True),  # of the content: two builds may give one dataset
    _column("tenant", sa.String(100)),
    _column("watermark", sa.BigInteger),
    _column("manifest_sha256", sa.String(64)),
    _column("created_at", UtcDateTime),
)

tuning_jobs = sa.Table(
    "tuning_jobs",
    metadata,
    _column("key", sa.String(64), primary_key=True),
    _column("provider", sa.String(40)),
    _column("spec", sa.JSON),
    _column("status", sa.String(20)),
    _column("provider_job_id", sa.Text, nullable=True),  # absent: an intent whose effect is not known yet
    _column("message", sa.Text, default=""),
    _column("metrics", sa.JSON, default=dict),
    _column("created_at", UtcDateTime),
    _column("updated_at", UtcDateTime),
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    _column("id", sa.String(80), primary_key=True),
    _column("model", sa.String(100), index=True),
    _column("base_model", sa.Text),
    _column("dataset_id", sa.String(40), nullable=True),
    _column("job_key", sa.String(64), nullable=True),
    _column("provider", sa.String(40)),
    _column("served_model", sa.Text, nullable=True),
    _column("files", sa.JSON),
    _column("metrics", sa.JSON),
    _column("hyperparameters", sa.JSON),
    _column("created_at", UtcDateTime),
    sa.UniqueConstraint("model", "job_key"),  # a job may serve two models, each of them once
)

aliases = sa.Table(
    "aliases",
    metadata,
    _column("model", sa.String(100), primary_key=True),
    _column("alias", sa.String(40), primary_key=True),
    _column("version_id", sa.String(80)),
    _column("updated_at", UtcDateTime),
)

alias_history = sa.Table(
    "alias_history",
    metadata,
    _column("sequence", Sequence, primary_key=True, autoincrement=True),
    _column("model", sa.String(100)),
    _column("alias", sa.String(40)),
    _column("version_id", sa.String(80), nullable=True),  # absent: the alias was removed
    _column("reason", sa.Text),
    _column("at", UtcDateTime),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    _column("version_id", sa.String(80), primary_key=True),
    _column("base_url", sa.Text),
    _column("served_model", sa.Text),
    _column("extra_body", sa.JSON),
    _column("api_key_env", sa.Text, nullable=True),
    _column("updated_at", UtcDateTime),
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    _column("id", sa.String(40), primary_key=True),  # of versions, dataset and settings
    _column("model", sa.String(100)),
    _column("candidate", sa.String(80)),
    _column("baseline", sa.String(80)),
    _column("dataset_id", sa.String(40)),
    _column("result", sa.JSON),
    _column("created_at", UtcDateTime),
)

drift_reports = sa.Table(
    "drift_reports",
    metadata,
    _column("id", sa.String(40), primary_key=True),
    _column("dataset_id", sa.String(40)),
    _column("reference_id", sa.Text),
    _column("result", sa.JSON),
    _column("created_at", UtcDateTime),
)

cycles = sa.Table(
    "cycles",
    metadata,
    _column("id", sa.String(40), primary_key=True),
    _column("tenant", sa.String(100)),
    _column("model", sa.String(100)),
    _column("plan_hash", sa.String(64)),
    _column("plan", sa.JSON),
    _column("watermark", sa.BigInteger),
    _column("incumbent", sa.String(80)),
    _column("status", sa.String(20)),  # running, in_canary, finished
    _column("outcome", sa.String(30), nullable=True),
    _column("reasons", sa.JSON, default=list),
    _column("created_at", UtcDateTime),
    _column("finished_at", UtcDateTime, nullable=True),
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
    _column("cycle_id", sa.String(40), sa.ForeignKey("cycles.id"), primary_key=True),
    _column("stage", sa.String(20), primary_key=True),
    _column("object_id", sa.Text),
    _column("detail", sa.JSON, default=dict),
    _column("seconds", sa.Float),
    _column("finished_at", UtcDateTime),
)

canaries = sa.Table(
    "canaries",
    metadata,
    _column("id", sa.String(40), primary_key=True),
    _column("model", sa.String(100)),
    _column("candidate", sa.String(80)),
    _column("control", sa.String(80)),
    _column("policy", sa.JSON),
    _column("salt", sa.String(64)),
    _column("state", sa.String(20)),  # running, promoted, rolled_back, inconclusive, invalid
    _column("stage", sa.Integer),
    _column("share", sa.Float),
    _column("looks", sa.Integer),
    _column("reasons", sa.JSON, default=list),
    _column("started_at", UtcDateTime),
    _column("stage_started_at", UtcDateTime),
    _column("finished_at", UtcDateTime, nullable=True),
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
    _column("canary_id", sa.String(40), sa.ForeignKey("canaries.id"), primary_key=True),
    _column("look", sa.Integer, primary_key=True),
    _column("at", UtcDateTime),
    _column("stage", sa.Integer),
    _column("share", sa.Float),
    _column("decision", sa.String(20)),
    _column("verdict", sa.JSON),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    _column("answer_id", sa.String(40), primary_key=True),
    _column("model", sa.String(100)),
    _column("canary_id", sa.String(40), nullable=True, index=True),
    _column("arm", sa.String(20)),  # canary, control, stable
    _column("version_id", sa.String(80)),
    _column("user_key", sa.String(64)),  # salted hash: joins requests of a user, names nobody
    _column("at", UtcDateTime),
    _column("latency_ms", sa.Float),
    _column("error", sa.Text, nullable=True),
    _column("prompt_tokens", sa.Integer, nullable=True),
    _column("completion_tokens", sa.Integer, nullable=True),
    _column("rating", sa.Float, nullable=True),  # -1 to 1
    _column("simulated", sa.Boolean, default=False),
)

leases = sa.Table(
    "leases",
    metadata,
    _column("name", sa.String(200), primary_key=True),
    _column("owner", sa.String(200)),
    _column("fence", sa.BigInteger),
    _column("expires_at", UtcDateTime),
)


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def open_database(url: str) -> sa.Engine:
    """Connect and bring the schema to the newest migration.

    SQLite runs in WAL mode with full durability: what is committed survives a power cut.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, json_serializer=_dump_json, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    upgrade(engine)
    return engine


def upgrade(engine: sa.Engine) -> None:
    """Apply missing migrations; a store that is up to date is only read."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == ScriptDirectory.from_config(config).get_current_head():
        return
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, see _begin_immediate
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once when another writer came between.
    reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for queries alone: on SQLite it waits for no writer. Writers use `engine.begin()`."""
    with engine.connect().execution_options(reading=True) as connection:
        yield connection


@contextmanager
def first_insert_wins(connection: sa.Connection) -> Iterator[None]:
    """Inside: an insert that may lose a race on a unique key; losing is silent, the row is there."""
    try:
        with connection.begin_nested():
            yield
    except sa.exc.IntegrityError:
        return
