import pytest
import sqlalchemy as sa
from alembic import command
from typer.testing import CliRunner

from gateway_tuning.cli import app
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.s3 import SECRET, Fault, new_bucket, reach
from tests.unit.storage.test_upgrade import SCHEMAS, alembic


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path / "home"))

    def invoke(*arguments):
        return CliRunner().invoke(app, ["store", *arguments])

    return invoke


def test_a_store_is_upgraded_once_from_nothing_and_from_an_older_schema(run, tmp_path):
    url = f"sqlite:///{tmp_path / 'home' / 'gateway-tuning.db'}"

    assert run("upgrade").output == f"Schema none is {SCHEMAS[-1]} now\n"
    assert run("upgrade").output == f"The store has schema {SCHEMAS[-1]} already\n"

    (tmp_path / "home" / "gateway-tuning.db").unlink()
    with sa.create_engine(url).begin() as connection:
        command.upgrade(alembic(connection), "0003")
    shown = run("show")
    assert f"schema 0003: `store upgrade` brings it to {SCHEMAS[-1]}" in shown.output
    assert run("upgrade").output == f"Schema 0003 is {SCHEMAS[-1]} now\n"
    assert f"schema {SCHEMAS[-1]}: up to date" in run("show").output


def test_a_look_at_a_store_that_is_not_there_makes_none(run, tmp_path):
    shown = run("show")

    assert shown.exit_code == 1
    assert "did not answer (there is no database at" in shown.output
    assert not (tmp_path / "home").exists()


def test_a_store_of_a_later_version_is_told_in_one_line(run, tmp_path):
    run("upgrade")
    engine = open_database(f"sqlite:///{tmp_path / 'home' / 'gateway-tuning.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    for asked in ("upgrade", "show"):
        told = run(asked)
        assert told.exit_code == 1
        assert "has schema 9999" in told.output
        assert "Install the version that upgraded the store" in told.output


def test_a_password_is_not_shown(run, monkeypatch, postgresql_url):
    monkeypatch.setenv("GATEWAY_TUNING_DATABASE_URL", postgresql_url.replace("tests@", "tests:hidden-word@"))

    assert "hidden-word" not in run("show").output


@pytest.fixture
def settings_of_s3(monkeypatch, s3_port):
    for name, value in {
        "ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
        "ACCESS_KEY_ID": "access",
        "SECRET_ACCESS_KEY": SECRET,
        "REGION": "us-east-1",
        "PATH_STYLE": "true",
    }.items():
        monkeypatch.setenv(f"GATEWAY_TUNING_S3_{name}", value)


def test_a_missing_bucket_is_made_once(run, monkeypatch, settings_of_s3, s3):
    monkeypatch.setenv("GATEWAY_TUNING_OBJECT_STORAGE_URL", "s3://made-by-the-command/tuning")

    assert run("make-bucket").output == "s3://made-by-the-command/tuning: made\n"
    assert run("make-bucket").output == "s3://made-by-the-command/tuning: was there\n"
    store = ObjectStore("s3://made-by-the-command/tuning", s3)
    store.write("a", b"1")
    assert store.read("a") == b"1"


def test_a_bucket_is_made_in_the_region_that_is_set(s3_port):
    connection = reach(s3_port)
    there = ObjectStore(
        "s3://made-in-frankfurt", type(connection)(**_fields(connection) | {"region": "eu-central-1"})
    )

    assert there.make_root()
    place = there._place.fs.call_s3("get_bucket_location", Bucket="made-in-frankfurt")
    assert place["LocationConstraint"] == "eu-central-1"


def test_a_refused_server_is_no_missing_bucket(proxy, s3):
    proxy.start()
    name = new_bucket(s3)
    proxy.set_rule(lambda _request: Fault(status=403))

    with pytest.raises(ConfigurationError, match="refused"):
        ObjectStore(f"s3://{name}", reach(proxy.port)).make_root()


def test_a_root_of_files_needs_no_bucket(run):
    assert run("make-bucket").output.endswith("objects: was there\n")


def _fields(connection):
    return {name: getattr(connection, name) for name in connection.__slots__}
