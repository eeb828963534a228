"""A store as the command line finds it, on SQLite: what these tests ask of a database is asked on both elsewhere."""

import shutil

import pytest
from typer.testing import CliRunner

from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from tests.unit.datasets.shelf import Shelf


@pytest.fixture
def shelf(tmp_path, migrated_sqlite):
    settings = Settings(_env_file=None, home=tmp_path)
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    engine = open_database(settings.resolved_database_url)
    yield Shelf(engine, ObjectStore(settings.resolved_object_storage_url), tmp_path)
    engine.dispose()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`gateway-tuning models ...` as a person types it, on the same store."""
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "240")

    def invoke(*arguments):
        from gateway_tuning.cli import app

        return CliRunner().invoke(app, ["models", *(str(argument) for argument in arguments)])

    return invoke
