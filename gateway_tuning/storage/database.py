"""Opening the metadata store. Its tables stand in `tables/`; migrations in `migrations/` make the same ones."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def open_database(url: str, *, busy_seconds: float = 30.0) -> sa.Engine:
    """Connect and bring the schema to the newest migration.

    SQLite runs in WAL mode with full durability: what is committed survives a power cut. `busy_seconds` is how long
    one of its writers waits for another.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = _engine(url, busy_seconds)
    upgrade(engine)
    return engine


def connect_database(url: str, *, busy_seconds: float = 30.0) -> sa.Engine:
    """For a store that is there already, or will be again: nothing is done to it, and an SQLite file is not made."""
    engine = _engine(url, busy_seconds)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _require_file)
    return engine


def _engine(url: str, busy_seconds: float) -> sa.Engine:
    engine = sa.create_engine(url, json_serializer=_dump_json, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_configure_sqlite, busy_seconds=busy_seconds))
        event.listen(engine, "begin", _begin_immediate)
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


def _configure_sqlite(connection: Any, _record: Any, *, busy_seconds: float) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself, see _begin_immediate
    busy = f"busy_timeout={int(busy_seconds * 1000)}"
    for pragma in (busy, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _require_file(_dialect: Any, _record: Any, arguments: Any, _options: Any) -> None:
    if not Path(arguments[0]).is_file():
        raise sqlite3.OperationalError(f"there is no database at {arguments[0]}")


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
