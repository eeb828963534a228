"""From every schema there was: nothing that stood in the store is lost or changed, and it is today's store after."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import gateway_tuning.storage
from gateway_tuning.errors import ConfigurationError, IntegrityError
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.registry.store import Registry
from gateway_tuning.storage.database import open_database, schema_of
from gateway_tuning.storage.tables import metadata
from tests.unit.storage.test_migrations import OLD_RECORD

AT = datetime(2026, 10, 1, 12, tzinfo=UTC)
# What a column's type does not tell: where one row names another, and words that only some values are.
MEANT = {
    ("feedback", "record"): OLD_RECORD | {"tenant": "tenant 1"},
    ("feedback", "type"): "thumbs_up",
    ("feedback", "tenant"): "tenant 1",
    ("datasets", "tenant"): "tenant 1",
    ("tuning_jobs", "spec"): {"provider": "llama", "base_model": "b", "dataset_id": "id 1"},
    ("tuning_jobs", "status"): "succeeded",
    ("model_versions", "status"): "deployed",
    ("model_versions", "tenant"): "tenant 1",
    ("model_versions", "files"): {},
    ("model_versions", "metrics"): {},
    ("model_versions", "hyperparameters"): {},
    ("model_versions", "parents"): [],
    ("model_versions", "code"): None,
    ("aliases", "alias"): "stable",
}
# What a migration makes new on purpose.
REPLACED = {("feedback", "content_hash")}


def alembic(connection=None):
    config = Config()
    config.set_main_option(
        "script_location", str(Path(gateway_tuning.storage.__file__).parent / "migrations")
    )
    config.attributes["connection"] = connection
    return config


SCHEMAS = [script.revision for script in ScriptDirectory.from_config(alembic()).walk_revisions()][::-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    from tests.postgresql import new_database

    return new_database(request.getfixturevalue("postgresql_url"))


def value_of(column, number):
    if (column.table.name, column.name) in MEANT:
        return MEANT[column.table.name, column.name]
    kind = column.type
    if isinstance(kind, sa.JSON):
        return {"number": number}
    if isinstance(kind, sa.Boolean):
        return True
    if isinstance(kind, sa.DateTime):
        return AT
    if isinstance(kind, sa.Integer | sa.Numeric):
        return number
    return f"{column.name} {number}"[: getattr(kind, "length", None)]


def filled(url, schema):
    """Every table of that schema with a row, in which no column is empty that could hold something."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        command.upgrade(alembic(connection), schema)
    old = sa.MetaData()
    with engine.begin() as connection:
        old.reflect(connection)
        for table in (table for table in old.sorted_tables if table.name != "alembic_version"):
            row = {column.name: value_of(column, 1) for column in table.columns}
            for key in table.foreign_keys:
                row[key.parent.name] = value_of(key.column, 1)
            connection.execute(table.insert().values(row))
    engine.dispose()
    return old


def rows(url, tables):
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = {table.name: connection.execute(sa.select(table)).mappings().all() for table in tables}
    engine.dispose()
    return found


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_store_of_every_schema_becomes_that_of_today_and_its_rows_are_kept_and_read(url, schema):
    old = filled(url, schema)
    tables = [table for table in old.sorted_tables if table.name != "alembic_version"]
    before = rows(url, tables)
    # Before statuses were kept, what no alias names was available.
    status = "deployed" if schema >= "0004" else "available"

    engine = open_database(url)

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert schema_of(engine).current == SCHEMAS[-1]
    ((_, record),) = FeedbackStore(engine).read("tenant 1")
    (version,) = Registry(engine).versions("model 1")
    assert (record.id, record.prompt) == ("f1", OLD_RECORD["prompt"])
    assert (version.tenant, version.status.value) == ("tenant 1", status)
    kept = sa.MetaData()
    kept.reflect(engine)
    after = rows(url, kept.sorted_tables)
    engine.dispose()
    assert {name for name, found in before.items() if len(found) != 1} == set()
    changed = {
        (name, column): (value, after[name][0].get(column))
        for name, (row,) in before.items()
        for column, value in row.items()
        if column in kept.tables[name].columns and after[name][0][column] != value
    }
    assert changed.keys() <= REPLACED
    gone = {(name, column) for name, (row,) in before.items() for column in row} - {
        (table.name, column.name) for table in kept.sorted_tables for column in table.columns
    }
    assert gone == ({("feedback", "user_id")} if schema == "0001" else set())


def test_a_store_of_a_later_version_is_refused_and_left_as_it_is(url):
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigurationError, match=r"has schema 9999; .* knows none after 00\d\d\. Install"):
        open_database(url)

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"
    engine.dispose()


def test_processes_that_start_together_upgrade_the_store_once(url):
    filled(url, "0001")
    errors = []
    start = threading.Barrier(3)

    def upgrade():
        start.wait()
        try:
            open_database(url).dispose()
        except Exception as error:  # noqa: BLE001 - whatever it was, the other thread must tell
            errors.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    engine = open_database(url)
    assert schema_of(engine).current == SCHEMAS[-1]
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM tenants")) == 1
    engine.dispose()


def test_a_migration_that_fails_leaves_the_store_as_it_was(url):
    """A job without its dataset's id cannot be given to a tenant: nothing of the second schema may stay."""
    filled(url, "0001")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE tuning_jobs SET spec = '{}'"))
    engine.dispose()

    with pytest.raises(KeyError):
        open_database(url)

    engine = sa.create_engine(url)
    assert schema_of(engine).current == "0001"
    assert "tenants" not in sa.inspect(engine).get_table_names()
    engine.dispose()


def test_a_store_in_which_rows_are_missing_already_is_told_and_left_as_it_was(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    filled(url, "0001")
    engine = sa.create_engine(url)  # without the checks that this project's own connections make
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM canaries"))

    with pytest.raises(
        IntegrityError, match="1 rows would name rows that are not there, first of canary_looks"
    ):
        open_database(url)

    assert schema_of(engine).current == "0001"
    engine.dispose()
