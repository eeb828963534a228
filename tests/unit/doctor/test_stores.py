"""The doctor at real stores: a database file, PostgreSQL, folders and an S3 server."""

from contextlib import contextmanager

import sqlalchemy as sa

from gateway_tuning.doctor.finding import State
from gateway_tuning.doctor.stores import check_clock, check_objects, check_store, skew
from gateway_tuning.settings import Settings
from tests.s3 import reach


def settings_of(home, **given):
    return Settings(_env_file=None, home=home, **given)


def url_of(engine):
    return engine.url.render_as_string(hide_password=False)


def test_a_store_that_is_up_to_date_is_well(engine, tmp_path):
    found = check_store(settings_of(tmp_path, database_url=url_of(engine)))

    assert found.state is State.OK
    assert "schema" in found.told


@contextmanager
def schema(engine, revision):
    """The store says of itself that it is of this schema."""
    with engine.begin() as connection:
        (newest,) = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))  # noqa: S608
    yield
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{newest}'"))  # noqa: S608


def test_a_store_of_an_earlier_schema_is_a_fault_that_names_the_remedy(engine, tmp_path):
    with schema(engine, "0001"):
        found = check_store(settings_of(tmp_path, database_url=url_of(engine)))

    assert found.state is State.FAULT
    assert "schema 0001" in found.told
    assert "store upgrade" in found.remedy


def test_a_store_of_a_later_version_is_a_fault(engine, tmp_path):
    with schema(engine, "9999"):
        found = check_store(settings_of(tmp_path, database_url=url_of(engine)))

    assert (found.state, "9999" in found.told) == (State.FAULT, True)


def test_a_store_that_nobody_has_made_yet_is_not_made_by_looking(tmp_path):
    found = check_store(settings_of(tmp_path))

    assert found.state is State.NOT_CONFIGURED
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_does_not_answer_is_a_fault_without_its_password(tmp_path):
    url = "postgresql+psycopg://somebody:hunter2@127.0.0.1:9/none?connect_timeout=2"

    found = check_store(settings_of(tmp_path, database_url=url))

    assert found.state is State.FAULT
    assert "hunter2" not in found.told + found.remedy


def test_a_folder_is_written_read_and_left_empty(tmp_path):
    found = list(check_objects(settings_of(tmp_path, object_storage_url=f"file://{tmp_path}/objects")))

    assert [one.state for one in found] == [State.OK, State.OK]
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path):
    (tmp_path / "taken").write_text("a file")

    found = list(check_objects(settings_of(tmp_path, object_storage_url=f"file://{tmp_path}/taken/objects")))

    assert [one.state for one in found] == [State.FAULT]
    assert found[0].remedy


def test_a_bucket_that_is_missing_is_a_fault_that_says_how_to_make_it(s3_port, tmp_path):
    connection = reach(s3_port)
    settings = settings_of(
        tmp_path,
        object_storage_url="s3://never-made/root",
        s3_endpoint_url=connection.endpoint_url,
        s3_region="us-east-1",
        s3_access_key_id="testing",
        s3_secret_access_key="testing",  # noqa: S106 - of a test's server
        s3_path_style=True,
    )

    found = list(check_objects(settings))

    assert [one.state for one in found] == [State.FAULT]
    assert "store make-bucket" in found[0].remedy


def test_the_clock_of_the_database_server_is_compared_where_there_is_one(engine, tmp_path):
    found = check_clock(settings_of(tmp_path, database_url=url_of(engine)))

    on_server = engine.dialect.name == "postgresql"
    assert found.state is (State.OK if on_server else State.NOT_CONFIGURED)


def test_seconds_between_clocks_are_a_warning_and_minutes_a_fault():
    states = [skew("clock", seconds, "it").state for seconds in (0.2, -4.9, 30, -61)]

    assert states == [State.OK, State.OK, State.WARNING, State.FAULT]
    assert "behind" in skew("clock", -61, "it").told
