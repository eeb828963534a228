"""Opening the metadata store. Its tables stand in `tables/`; migrations in `migrations/` make the same ones."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event

from gateway_tuning import __version__
from gateway_tuning.errors import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    from alembic.config import Config

_UPGRADING = 0x67745F75  # of the lock that lets one process upgrade while others wait for it


def _dump_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def open_database(url: str, *, busy_seconds: float = 30.0) -> sa.Engine:
    """Connect and bring the schema to the newest migration.

    SQLite runs in WAL mode with full durability: what is committed survives a power cut. `busy_seconds` is how long
    one of its writers waits for another.
    """
    engine = new_database(url, busy_seconds=busy_seconds)
    upgrade(engine)
    return engine


def new_database(url: str, *, busy_seconds: float = 30.0) -> sa.Engine:
    """For a store that may not be there yet: an SQLite file and its folder are made; its schema is left as it is."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    return _engine(url, busy_seconds)


def connect_database(url: str, *, busy_seconds: float = 30.0) -> sa.Engine:
    """For a store that is there already, or will be again: nothing is done to it, and an SQLite file is not made."""
    engine = _engine(url, busy_seconds)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "do_connect", _require_file)
    return engine


def _engine(url: str, busy_seconds: float) -> sa.Engine:
    engine = sa.create_engine(url, json_serializer=_dump_json, pool_pre_ping=True, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_configure_sqlite, busy_seconds=busy_seconds))
        event.listen(engine, "begin", _begin_immediate)
    return engine


@dataclass(frozen=True, slots=True)
class Schema:
    """`current` is None for a store without tables; `newest` is what this version of the code makes of it."""

    current: str | None
    newest: str


def schema_of(engine: sa.Engine) -> Schema:
    """Raises ConfigurationError for a schema of a later version of this project: its tables are not known here."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_migrations())
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    known = [script.revision for script in scripts.walk_revisions()]  # the newest first
    if current is not None and current not in known:
        store = engine.url.set(query={}).render_as_string(hide_password=True)
        raise ConfigurationError(
            f"The metadata store {store} has schema {current}; {__version__} of llm-gateway-tuning knows none after "
            f"{known[0]}. Install the version that upgraded the store, or restore the backup from before"
        )
    return Schema(current, known[0])


def upgrade(engine: sa.Engine) -> None:
    """Apply missing migrations, all or none; a store that is up to date is only read. Raises as `schema_of`."""
    from alembic import command

    schema = schema_of(engine)
    if schema.current == schema.newest:
        return
    with engine.connect() as connection, _without_foreign_keys(connection), connection.begin():
        if engine.dialect.name == "postgresql":  # SQLite has one writer as it is
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADING)))
        config = _migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _check_foreign_keys(connection)


@contextmanager
def _without_foreign_keys(connection: sa.Connection) -> Iterator[None]:
    """SQLite changes a table by a copy of it that takes its place, and would miss the rows that others name.

    It takes this setting between transactions alone, so it goes to the driver, for which nothing has begun yet.
    """
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _check_foreign_keys(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if lost:
            raise IntegrityError(
                f"After the upgrade {len(lost)} rows would name rows that are not there, first of {lost[0][0]}; the "
                "store is left as it was. Restore it from a backup, or look for what changed it by hand"
            )


def _migrations() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


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
