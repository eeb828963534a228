"""A dataset in a real store, a provider that is only asked what it can do, and a price file of one's own."""

import shutil
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training import catalog
from gateway_tuning.training.cost.affording import Counter
from gateway_tuning.training.provider import Capabilities
from tests.unit.datasets.shelf import Shelf, example

PRICES = """
[[tariff]]
provider = "acme"
charges = ["million_training_tokens"]

[[price]]
provider = "acme"
model = "m-*"
unit = "million_training_tokens"
amount = "1000"
valid_from = 2026-01-01
"""


@pytest.fixture
def home(tmp_path, migrated_sqlite):
    shutil.copyfile(migrated_sqlite, tmp_path / "gateway-tuning.db")
    return tmp_path


@pytest.fixture
def price_file(home):
    path = home / "prices.toml"
    path.write_text(PRICES)
    return path


@pytest.fixture
def counter(home, price_file, monkeypatch):
    offered = Capabilities({"supervised": "chat", "dpo": "openai-dpo"}, None, 1)
    monkeypatch.setitem(catalog._BUILT_IN, "acme", lambda _settings: SimpleNamespace(capabilities=offered))
    settings = Settings(_env_file=None, home=home, price_file=price_file)
    engine = open_database(settings.resolved_database_url)
    yield Counter(settings, engine, ObjectStore.from_settings(settings))
    engine.dispose()


@pytest.fixture
def manifest(counter, home):
    """Twelve short chats to train on, and one to validate."""
    chats = [example(number) for number in range(12)] + [example(90, split="validation")]
    return Shelf(counter.engine, counter.objects, home).put(chats)


@pytest.fixture
def run(counter, home, price_file, monkeypatch):
    """`gateway-tuning ...` as a person types it, on the same store."""
    monkeypatch.setenv("GATEWAY_TUNING_HOME", str(home))
    monkeypatch.setenv("GATEWAY_TUNING_PRICE_FILE", str(price_file))
    monkeypatch.setenv("COLUMNS", "300")

    def invoke(*arguments):
        from gateway_tuning.cli import app

        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke
