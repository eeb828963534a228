import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.tables import metadata


def test_migrations_make_exactly_the_tables_that_the_code_uses(engine):
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_opening_a_store_again_keeps_its_data(tmp_path, now):
    url = f"sqlite:///{tmp_path / 'deep' / 'folder' / 's.db'}"
    with open_database(url).begin() as connection:
        connection.execute(
            sa.insert(metadata.tables["leases"]).values(name="x", owner="", fence=1, expires_at=now)
        )

    with open_database(url).connect() as connection:
        row = connection.execute(sa.select(metadata.tables["leases"])).one()
    assert (row.name, row.expires_at) == ("x", now)
