"""Deleted rows leave their bytes in the database's files until somebody overwrites them."""

import sqlite3
import time

import sqlalchemy as sa

from gateway_tuning.storage.tables import (
    dataset_feedback,
    enrichments,
    erasures,
    evaluations,
    feedback,
    judgements,
    outcomes,
    predictions,
    quarantine,
    quarantine_reviews,
    rating_tokens,
    shadow_pairs,
)

_TOUCHED = (
    feedback,
    quarantine,
    quarantine_reviews,
    enrichments,
    rating_tokens,
    outcomes,
    shadow_pairs,
    dataset_feedback,
    evaluations,
    predictions,
    judgements,
    erasures,
)
_SNAPSHOTS = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_xmin IS NOT NULL AND age(backend_xmin) > age(CAST(:mine AS xid))"
)


def remove_remains(engine: sa.Engine, *, wait_seconds: float) -> list[str]:
    """Returns what could not be done because others were busy; trying again helps."""
    if engine.dialect.name == "sqlite":
        return _rewrite_file(engine)
    return _vacuum(engine, wait_seconds)


def _rewrite_file(engine: sa.Engine) -> list[str]:
    raw = engine.raw_connection()
    try:
        connection = raw.driver_connection
        assert connection is not None  # noqa: S101 - it was just opened
        try:
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            return [f"the database file was not rewritten: {error}"]
    finally:
        raw.close()
    return ["the write-ahead log was not emptied: others were reading"] if busy else []


def _vacuum(engine: sa.Engine, wait_seconds: float) -> list[str]:
    deadline = time.monotonic() + wait_seconds
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = connection.execute(sa.text("SELECT CAST(pg_current_xact_id() AS text)")).scalar_one()
        mine = str(int(mine) % 2**32)
        # A row stays as long as a transaction that began before its end could still see it.
        while connection.execute(_SNAPSHOTS, {"mine": mine}).scalar_one():
            if time.monotonic() > deadline:
                return ["deleted rows were not vacuumed: an older transaction is still open"]
            time.sleep(0.1)
        for table in _TOUCHED:
            connection.exec_driver_sql(f"VACUUM {table.name}")
    return []
